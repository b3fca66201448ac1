//! The guests' consoles beside each other, row by row: scene (or another command's rows) × kernel, architecture and backend.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    console::{CONTAINERS, Cell, Column, Console, EVADE, Mark, Row, Sight},
    verified,
};

/// What the words of a technique's row mean.
pub const LEGEND: &str = "seen: all of it is reported; partly: some of it; not-seen: a theft that is not reported; \
    harmless: none is reported and none took place; skip: the kernel lacks what it needs; -: not played";

/// The guests beside each other.
#[derive(Default)]
pub struct Matrix {
    guests: Vec<(String, Console)>,
}

/// One backend on one guest.
pub struct Heading<'a> {
    pub guest: &'a str,
    pub column: &'a Column,
    console: &'a Console,
    index: usize,
}

impl<'a> Heading<'a> {
    pub fn cell(&self, row: &Row) -> Option<&'a Cell> {
        self.console.cell(row, self.index)
    }

    /// One word.
    pub fn shown(&self, row: &Row) -> &'static str {
        match self.cell(row) {
            Some(cell) => cell.shown(),
            None if self.column.refused.is_some() => "refused",
            None => "-",
        }
    }

    fn has_job(&self, section: &str) -> bool {
        let mut jobs = self.console.jobs().iter();
        jobs.any(|job| job.column == Some(self.index) && job.name() == section)
    }
}

impl Matrix {
    pub fn add(&mut self, guest: &str, console: Console) {
        self.guests.push((guest.to_owned(), console));
    }

    /// The columns that a command ran in.
    pub fn headings(&self, section: &str) -> Vec<Heading<'_>> {
        let all = self.guests.iter().flat_map(|(guest, console)| {
            let columns = console.columns().iter().enumerate();
            columns.map(move |(index, column)| Heading {
                guest,
                column,
                console,
                index,
            })
        });
        all.filter(|heading| heading.has_job(section)).collect()
    }

    /// A command's rows in the order in which they came.
    pub fn rows(&self, section: &str) -> Vec<&Row> {
        let mut rows = Vec::new();
        for row in self.guests.iter().flat_map(|(_, console)| console.rows()) {
            if row.0 == section && !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    /// What a row is about.
    pub fn about(&self, row: &Row) -> Option<&str> {
        let mut consoles = self.guests.iter();
        consoles.find_map(|(_, console)| console.about(row))
    }

    fn sections(&self) -> Vec<&str> {
        let mut sections = Vec::new();
        for (section, _) in self.guests.iter().flat_map(|(_, console)| console.rows()) {
            if !sections.contains(&section.as_str()) {
                sections.push(section);
            }
        }
        sections
    }

    /// The rows that took longest, in all columns together.
    pub fn slowest(&self) -> String {
        let mut times: BTreeMap<&Row, (Duration, usize)> = BTreeMap::new();
        let cells = self.guests.iter().flat_map(|(_, console)| console.cells());
        for (row, _, cell) in cells {
            let (sum, count) = times.entry(row).or_default();
            *sum += cell.took;
            *count += 1;
        }
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_by_key(|(_, (sum, _))| std::cmp::Reverse(*sum));
        let shown = times.iter().take(12).map(|((_, name), (sum, count))| {
            let mean = sum.as_secs_f64() / (*count).max(1) as f64;
            format!("{name} {mean:.1} s")
        });
        let shown: Vec<_> = shown.collect();
        if shown.is_empty() {
            return String::new();
        }
        format!("slowest, on average: {}\n", shown.join(", "))
    }

    /// How often each word stands in a command's table, in the order of the legend.
    pub fn totals(&self, section: &str) -> String {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for row in self.rows(section) {
            for heading in self.headings(section) {
                let shown = heading.shown(row);
                // Of `auto`, one scene is enough.
                if shown != "-" || heading.column.backend != "auto" {
                    *counts.entry(shown).or_default() += 1;
                }
            }
        }
        let order = ["ok"].into_iter().chain(Sight::ALL.map(Sight::word));
        let order = order.chain(["FAIL", "skip", "refused", "-"]);
        let shown: Vec<_> = order
            .filter_map(|word| Some((word, counts.get(word)?)))
            .map(|(word, count)| match word {
                "-" => format!("{count} not played"),
                word => format!("{count} {word}"),
            })
            .collect();
        shown.join(", ")
    }

    /// Rows that were skipped, each with its reason and the columns where.
    pub fn skips(&self) -> Vec<String> {
        let mut skips: BTreeMap<(&Row, &str), Vec<String>> = BTreeMap::new();
        for (guest, console) in &self.guests {
            for (row, index, cell) in console.cells() {
                if cell.mark != Mark::Skipped {
                    continue;
                }
                let why = cell.why.as_deref().unwrap_or("no reason is given");
                let backend = console.columns().get(index);
                let backend = backend.map_or("?", |column| &column.backend);
                let places = skips.entry((row, why)).or_default();
                places.push(format!("{guest} {backend}"));
            }
        }
        skips
            .into_iter()
            .map(|(((_, name), why), places)| {
                format!("{name} skipped: {why} ({})", places.join(", "))
            })
            .collect()
    }

    /// Why backends and programs are refused.
    pub fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        for (guest, console) in &self.guests {
            for column in console.columns() {
                if let Some(why) = &column.refused {
                    refusals.push(format!("{guest} {} refused: {why}", column.backend));
                }
            }
            for probe in console.probes() {
                if let verified::Count::Refused(why) = &probe.count {
                    refusals.push(format!("{guest} program {} refused: {why}", probe.name));
                }
            }
        }
        refusals
    }
}

/// What a command's rows are.
pub fn heading(section: &str) -> &str {
    match section {
        "play" => "scene",
        EVADE => "technique",
        CONTAINERS => "container",
        other => other,
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in self.sections() {
            let (rows, headings) = (self.rows(section), self.headings(section));
            let names = rows.iter().map(|(_, name)| name.len());
            let width = names.max().unwrap_or_default().max(24);
            write!(f, "{:<width$}", "")?;
            for heading in &headings {
                write!(f, " {:>12}", heading.guest)?;
            }
            write!(f, "\n{:<width$}", heading(section))?;
            for heading in &headings {
                write!(f, " {:>12}", heading.column.backend)?;
            }
            writeln!(f)?;
            for row in rows {
                write!(f, "{:<width$}", row.1)?;
                for heading in &headings {
                    write!(f, " {:>12}", heading.shown(row))?;
                }
                writeln!(f)?;
            }
            writeln!(f, "{}s: {}", heading(section), self.totals(section))?;
            if section == EVADE {
                writeln!(f, "{LEGEND}")?;
            }
        }
        for line in self.skips().iter().chain(&self.refusals()) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn console(text: &str) -> Console {
        let mut console = Console::default();
        for (second, line) in text.lines().enumerate() {
            console.line(line, Duration::from_secs(second as u64));
        }
        console
    }

    pub fn matrix() -> Matrix {
        let mut matrix = Matrix::default();
        matrix.add(
            "6.12 x86_64",
            console(
                "ok   stray before any job\n\
                guest: lab play --auditor /auditor --backend fentry --color never\n\
                auditor 0.1.0 on 6.12: connect by fentry, file_open by fentry\n\
                ok   own-irsa    a pod opens its token => open\n\
                FAIL theft       another pod's token => nothing\n\
                1 passed, 1 failed\n\
                guest: lab play --auditor /auditor --backend kprobe --color never\n\
                skip own-irsa    a pod opens its token => open\n\
                \x20      skipped: nothing watches it\n\
                guest: lab evade --backend kprobe\n\
                ok   openat2-beneath  seen      (F01) openat2 | beneath => open\n\
                ok   a-name-that-is-longer-than-any-other  not-seen  (N13) b => nothing\n\
                skip int80  seen  (F02) an old call => nothing\n\
                \x20      skipped: no ia32\n\
                2 passed, 0 failed, 1 skipped\n",
            ),
        );
        matrix.add(
            "6.1 aarch64",
            console(
                "guest: lab probes --auditor /auditor\n\
                probe file_open_fentry fentry 4215\n\
                probe open_denied syscall refused: Invalid argument: too many\n\
                guest: lab play --backend fentry\n\
                refused fentry: no way: os error 524\n\
                0 passed, 0 failed, 1 skipped\n\
                guest: lab evade --backend fentry\n\
                refused fentry: no way: os error 524\n\
                0 passed, 0 failed, 1 skipped\n",
            ),
        );
        matrix
    }

    #[test]
    fn a_row_a_scene_a_column_a_backend_and_other_commands_apart() {
        let shown = matrix().to_string();
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        let guests = ["6.12", "x86_64", "6.12", "x86_64", "6.1", "aarch64"];
        assert_eq!(rows[0], guests);
        assert_eq!(rows[1], ["scene", "fentry", "kprobe", "fentry"]);
        assert_eq!(rows[2], ["own-irsa", "ok", "skip", "refused"]);
        assert_eq!(rows[3], ["theft", "FAIL", "-", "refused"]);
        assert!(shown.contains("scenes: 1 ok, 1 FAIL, 1 skip, 2 refused, 1 not played\n"));
        // No column where nothing of it was to be played.
        assert_eq!(rows[5], ["6.12", "x86_64", "6.1", "aarch64"]);
        assert_eq!(rows[6], ["technique", "kprobe", "fentry"]);
        assert_eq!(rows[7], ["openat2-beneath", "seen", "refused"]);
        assert_eq!(rows[8][1..], ["not-seen", "refused"]);
        assert_eq!(rows[9], ["int80", "skip", "refused"]);
        assert!(shown.contains("techniques: 1 seen, 1 not-seen, 1 skip, 3 refused\nseen: all"));
        assert!(shown.contains("\nint80 skipped: no ia32 (6.12 x86_64 kprobe)\n"));
        assert!(shown.contains("6.1 aarch64 fentry refused: no way: os error 524\n"));
        assert!(shown.contains("program open_denied refused: Invalid argument: too many\n"));
    }

    #[test]
    fn long_names_shift_no_column() {
        let shown = matrix().to_string();
        let ends = |word: &str| {
            let row = shown.lines().find(|row| row.starts_with(word)).unwrap();
            row.len()
        };
        assert_eq!(ends("technique "), ends("a-name-that"));
        assert_eq!(ends("technique "), ends("int80  "));
    }

    #[test]
    fn a_rows_time_is_since_the_one_before() {
        assert!(matrix().slowest().starts_with("slowest, on average: "));
        let console = &matrix().guests[0].1;
        let row = ("play".to_owned(), "theft".to_owned());
        assert_eq!(console.cell(&row, 0).unwrap().took, Duration::from_secs(1));
    }
}
