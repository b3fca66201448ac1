//! What the guests' consoles say, row by row: scene (or another command's rows) × kernel, architecture and backend.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::verified::{self, Probe};
use crate::summary;

/// How a row went on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Passed,
    Failed,
    Skipped,
}

impl Cell {
    fn shown(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAIL",
            Self::Skipped => "skip",
        }
    }
}

/// One backend on one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub backend: String,
    /// The kernel's reason, where it refuses the backend.
    pub refused: Option<String>,
    /// What watches opens.
    pub chosen: Option<String>,
    /// The last command's summary came.
    pub ended: bool,
}

/// The heading of a row, which is the lab's command, and its name.
type Row = (String, String);

/// One guest's console, read line by line.
#[derive(Debug, Default)]
pub struct Console {
    columns: Vec<Column>,
    cells: BTreeMap<(Row, usize), (Cell, Duration)>,
    /// In the order in which they came.
    rows: Vec<Row>,
    probes: Vec<Probe>,
    jobs: usize,
    /// What is running: the command and its column.
    section: String,
    column: Option<usize>,
    /// When the last row ended.
    last: Duration,
}

impl Console {
    /// Takes `guest: lab COMMAND … --backend NAME …`, `ok   ROW …`, `FAIL ROW …`, `skip ROW …`, `refused NAME: …`,
    /// `probe …` and summaries; passes over the rest. `at` is the time since the boot.
    pub fn line(&mut self, line: &str, at: Duration) {
        if let Some(command) = line.strip_prefix("guest: lab ") {
            self.begin(command, at);
        } else if let Some(probe) = verified::parse(line) {
            self.probes.push(probe);
        } else if summary::lab(line.trim()).is_some() {
            if let Some(column) = self.current() {
                column.ended = true;
            }
        } else if let Some((mark, rest)) = line.split_once(' ') {
            self.marked(mark, rest.trim_start(), at);
        }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Whether a backend has such a cell.
    pub fn any(&self, backend: &str, is: impl Fn(Cell) -> bool) -> bool {
        self.cells.iter().any(|((_, column), (cell, _))| {
            is(*cell)
                && self
                    .columns
                    .get(*column)
                    .is_some_and(|column| column.backend == backend)
        })
    }

    fn begin(&mut self, command: &str, at: Duration) {
        self.jobs += 1;
        self.last = at;
        let mut words = command.split_whitespace();
        self.section = words.next().unwrap_or_default().to_owned();
        let backend = words.skip_while(|word| *word != "--backend").nth(1);
        self.column = backend.map(|backend| {
            let known = self
                .columns
                .iter()
                .position(|column| column.backend == backend);
            known.unwrap_or_else(|| {
                self.columns.push(Column {
                    backend: backend.to_owned(),
                    ..Column::default()
                });
                self.columns.len() - 1
            })
        });
        if let Some(column) = self.current() {
            column.ended = false;
        }
    }

    fn current(&mut self) -> Option<&mut Column> {
        self.columns.get_mut(self.column?)
    }

    fn marked(&mut self, mark: &str, rest: &str, at: Duration) {
        let name = rest.split_whitespace().next().unwrap_or_default();
        match mark {
            "ok" => self.row(name, Cell::Passed, at),
            "skip" => self.row(name, Cell::Skipped, at),
            // `FAIL at the end: …` is about what came after the last row.
            "FAIL" if name == "at" => self.row("after-the-last", Cell::Failed, at),
            "FAIL" => self.row(name, Cell::Failed, at),
            "refused" => {
                if let (Some(column), Some((_, why))) = (self.current(), rest.split_once(": ")) {
                    column.refused = Some(why.to_owned());
                }
            }
            // `auditor VERSION on KERNEL: HOOK by WAY, …`
            "auditor" => {
                let by = rest
                    .split([',', ':'])
                    .find_map(|part| part.trim().strip_prefix("file_open by "));
                if let (Some(column), Some(by)) = (self.current(), by) {
                    column.chosen = Some(by.to_owned());
                }
                self.last = at;
            }
            _ => {}
        }
    }

    fn row(&mut self, name: &str, cell: Cell, at: Duration) {
        let Some(column) = self.column else {
            return;
        };
        let row = (self.section.clone(), name.to_owned());
        if !self.rows.contains(&row) {
            self.rows.push(row.clone());
        }
        let took = at.saturating_sub(self.last);
        self.last = at;
        self.cells.insert((row, column), (cell, took));
    }
}

/// The guests beside each other.
#[derive(Default)]
pub struct Matrix {
    guests: Vec<(String, Console)>,
}

impl Matrix {
    pub fn add(&mut self, guest: &str, console: Console) {
        self.guests.push((guest.to_owned(), console));
    }

    /// The rows that took longest, in all columns together.
    pub fn slowest(&self) -> String {
        let mut times: BTreeMap<&Row, (Duration, usize)> = BTreeMap::new();
        for (_, console) in &self.guests {
            for ((row, _), (_, took)) in &console.cells {
                let (sum, count) = times.entry(row).or_default();
                *sum += *took;
                *count += 1;
            }
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

    /// Headings, then one table for each command's rows; below them why a backend is refused.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for section in self.sections() {
            let headings: Vec<String> = self
                .headings()
                .map(|(guest, backend)| format!("{guest}<br>{backend}"))
                .collect();
            text.push_str(&format!(
                "| {} | {} |\n",
                heading(section),
                headings.join(" | ")
            ));
            text.push_str(&format!("|---|{}\n", "---|".repeat(headings.len())));
            for name in self.names(section) {
                let cells: Vec<_> = self.cells(section, name).collect();
                text.push_str(&format!("| `{name}` | {} |\n", cells.join(" | ")));
            }
            text.push('\n');
        }
        for refusal in self.refusals() {
            text.push_str(&format!("- {refusal}\n"));
        }
        text
    }

    fn headings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.guests.iter().flat_map(|(guest, console)| {
            let columns = console.columns.iter();
            columns.map(move |column| (guest.as_str(), column.backend.as_str()))
        })
    }

    fn sections(&self) -> Vec<&str> {
        let mut sections = Vec::new();
        for (section, _) in self.guests.iter().flat_map(|(_, console)| &console.rows) {
            if !sections.contains(&section.as_str()) {
                sections.push(section);
            }
        }
        sections
    }

    fn names(&self, section: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for (other, name) in self.guests.iter().flat_map(|(_, console)| &console.rows) {
            if other == section && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    fn cells(&self, section: &str, name: &str) -> impl Iterator<Item = &'static str> {
        let row = (section.to_owned(), name.to_owned());
        self.guests.iter().flat_map(move |(_, console)| {
            let row = row.clone();
            let columns = console.columns.iter().enumerate();
            columns.map(
                move |(index, column)| match console.cells.get(&(row.clone(), index)) {
                    Some((cell, _)) => cell.shown(),
                    None if column.refused.is_some() => "refused",
                    None => "-",
                },
            )
        })
    }

    fn refusals(&self) -> Vec<String> {
        let mut refusals = Vec::new();
        for (guest, console) in &self.guests {
            for column in &console.columns {
                if let Some(why) = &column.refused {
                    refusals.push(format!("{guest} {} refused: {why}", column.backend));
                }
            }
            for probe in &console.probes {
                if let verified::Count::Refused(why) = &probe.count {
                    refusals.push(format!("{guest} program {} refused: {why}", probe.name));
                }
            }
        }
        refusals
    }
}

fn heading(section: &str) -> &str {
    if section == "play" { "scene" } else { section }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in self.sections() {
            write!(f, "{:<32}", "")?;
            for (guest, _) in self.headings() {
                write!(f, " {guest:>12}")?;
            }
            write!(f, "\n{:<32}", heading(section))?;
            for (_, backend) in self.headings() {
                write!(f, " {backend:>12}")?;
            }
            writeln!(f)?;
            for name in self.names(section) {
                write!(f, "{name:<32}")?;
                for cell in self.cells(section, name) {
                    write!(f, " {cell:>12}")?;
                }
                writeln!(f)?;
            }
        }
        for refusal in self.refusals() {
            writeln!(f, "{refusal}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &str) -> Console {
        let mut console = Console::default();
        for (second, line) in text.lines().enumerate() {
            console.line(line, Duration::from_secs(second as u64));
        }
        console
    }

    fn matrix() -> Matrix {
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
                guest: lab evade --backend kprobe\n\
                ok   openat2-beneath  \n\
                1 passed, 0 failed\n",
            ),
        );
        matrix.add(
            "6.1 aarch64",
            console(
                "guest: lab probes --auditor /auditor\n\
                probe file_open_fentry fentry 4215\n\
                probe open_denied syscall refused: Invalid argument: too many\n\
                guest: lab play --backend fentry\n\
                refused fentry: no way: errno 524\n\
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
        assert_eq!(rows[4], guests);
        assert_eq!(rows[5], ["evade", "fentry", "kprobe", "fentry"]);
        assert_eq!(rows[6], ["openat2-beneath", "-", "ok", "refused"]);
        assert!(shown.contains("6.1 aarch64 fentry refused: no way: errno 524\n"));
        assert!(shown.contains("program open_denied refused: Invalid argument: too many\n"));
    }

    #[test]
    fn columns_know_what_was_chosen_and_whether_it_ended() {
        let matrix = matrix();
        let columns = matrix.guests[0].1.columns();
        assert_eq!(columns[0].chosen.as_deref(), Some("fentry"));
        assert!(columns[0].ended);
        assert_eq!(columns[1].chosen, None);
        assert!(
            matrix.guests[0]
                .1
                .any("fentry", |cell| cell == Cell::Failed)
        );
        assert!(
            !matrix.guests[0]
                .1
                .any("kprobe", |cell| cell == Cell::Failed)
        );
        assert_eq!(matrix.guests[1].1.probes().len(), 2);
        assert_eq!(matrix.guests[1].1.jobs(), 2);
    }

    #[test]
    fn a_rows_time_is_since_the_one_before() {
        assert!(matrix().slowest().starts_with("slowest, on average: "));
        let console = &matrix().guests[0].1;
        let row = ("play".to_owned(), "theft".to_owned());
        assert_eq!(console.cells[&(row, 0)].1, Duration::from_secs(1));
    }

    #[test]
    fn markdown_has_a_table_a_command() {
        let text = matrix().markdown();
        assert!(text.starts_with(
            "| scene | 6.12 x86_64<br>fentry | 6.12 x86_64<br>kprobe | 6.1 aarch64<br>fentry |\n|---|---|---|---|\n| `own-irsa` | ok | skip | refused |\n"
        ));
        assert!(text.contains("| evade | "));
        assert!(text.contains("- 6.1 aarch64 fentry refused: no way: errno 524\n"));
    }
}
