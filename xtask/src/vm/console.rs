//! One guest's console, read line by line: which job runs on which backend, and how each of its rows went.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::verified::{self, Probe};
use crate::summary::{self, Counts};

/// The lab's command that plays the evasion corpus; only its rows say what was seen.
pub const EVADE: &str = "evade";
/// The lab's command that runs the auditor in a container.
pub const CONTAINERS: &str = "e2e";
/// What begins the line with the auditor's samples of the attack simulation; JSON follows.
const SAMPLES: &str = "samples ";
/// What the lab says of a container where it did what no node does.
const HELPED: &str = "not as on a node: ";
/// The commands that tell a row for each thing that their summary counts.
const TELL_ROWS: [&str; 3] = ["play", EVADE, CONTAINERS];

/// How a row went on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Passed,
    Failed,
    Skipped,
}

/// What the auditor is declared to see of a technique, and was found to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    Seen,
    Partly,
    NotSeen,
    Harmless,
}

impl Sight {
    pub const ALL: [Self; 4] = [Self::Seen, Self::Partly, Self::NotSeen, Self::Harmless];

    /// As the lab prints it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Partly => "partly",
            Self::NotSeen => "not-seen",
            Self::Harmless => "harmless",
        }
    }

    fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sight| sight.word() == word)
    }
}

/// A row on a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub mark: Mark,
    /// Only of a technique.
    pub sight: Option<Sight>,
    /// Since the row before.
    pub took: Duration,
    /// Why it was skipped.
    pub why: Option<String>,
}

impl Cell {
    /// One word.
    pub fn shown(&self) -> &'static str {
        match (self.mark, self.sight) {
            (Mark::Passed, Some(sight)) => sight.word(),
            (Mark::Passed, None) => "ok",
            (Mark::Failed, _) => "FAIL",
            (Mark::Skipped, _) => "skip",
        }
    }
}

/// One backend on one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    pub backend: String,
    /// The kernel's reason, where it refuses the backend.
    pub refused: Option<String>,
    /// What watches opens, by each start of the auditor.
    pub chosen: BTreeSet<String>,
}

/// One command of the guest's job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// As it stands in the job, without `lab`.
    pub command: String,
    pub column: Option<usize>,
    /// The rows that were read.
    pub rows: Counts,
    /// What its own summary says; none has come from one that did not end.
    pub told: Option<Counts>,
    pub refused: bool,
}

impl Job {
    /// The lab's command.
    pub fn name(&self) -> &str {
        self.command.split_whitespace().next().unwrap_or_default()
    }

    /// Whether each of its rows was read. A line that the kernel's own messages tore apart is a row that the matrix lacks.
    pub fn is_whole(&self) -> bool {
        let tells = TELL_ROWS.contains(&self.name()) && !self.refused;
        self.told.is_none_or(|told| !tells || told == self.rows)
    }
}

/// The lab's command, and the row's name.
pub type Row = (String, String);

#[derive(Debug, Default)]
pub struct Console {
    columns: Vec<Column>,
    cells: BTreeMap<(Row, usize), Cell>,
    /// In the order in which they came.
    rows: Vec<Row>,
    abouts: BTreeMap<Row, String>,
    probes: Vec<Probe>,
    jobs: Vec<Job>,
    samples: Option<String>,
    helped: Option<String>,
    /// The row whose reason may follow.
    skipped: Option<(Row, usize)>,
    /// When the last row ended.
    at: Duration,
    last: String,
}

impl Console {
    /// Takes `guest: lab COMMAND … --backend NAME …`, where `--must-choose NAME` comes first, `ok   ROW …`, `FAIL ROW …`,
    /// `skip ROW …` with `skipped: WHY` below it, `refused NAME: …`, `probe …`, `samples …` and summaries; passes over the rest. A row of `evade` has a [`Sight`]'s word after its
    /// name. `at` is the time since the boot.
    pub fn line(&mut self, line: &str, at: Duration) {
        if !line.trim().is_empty() {
            line.trim_end().clone_into(&mut self.last);
        }
        if let Some(command) = line.strip_prefix("guest: lab ") {
            self.begin(command, at);
        } else if let Some(samples) = line.strip_prefix(SAMPLES) {
            self.samples = Some(samples.to_owned());
        } else if let Some(helped) = line.strip_prefix(HELPED) {
            self.helped = Some(helped.to_owned());
        } else if let Some(probe) = verified::parse(line) {
            self.probes.push(probe);
        } else if let Some(told) = summary::lab(line.trim()) {
            if let Some(job) = self.jobs.last_mut() {
                job.told = Some(told);
            }
        } else if let Some(why) = line.trim_start().strip_prefix("skipped: ") {
            let cell = self.skipped.take().and_then(|key| self.cells.get_mut(&key));
            if let Some(cell) = cell {
                cell.why = Some(why.trim().to_owned());
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

    /// What the auditor's metrics said of the attack simulation, as JSON.
    pub fn samples(&self) -> Option<&str> {
        self.samples.as_deref()
    }

    /// What the lab did for the auditor's container that no node does.
    pub fn helped(&self) -> Option<&str> {
        self.helped.as_deref()
    }

    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Techniques that were played and do not say what was seen of them, in a column.
    pub fn wordless(&self, column: usize) -> Vec<&str> {
        let cells = self.cells().filter(|((section, _), at, cell)| {
            *at == column && section == EVADE && cell.mark == Mark::Passed && cell.sight.is_none()
        });
        cells.map(|((_, name), _, _)| name.as_str()).collect()
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn cell(&self, row: &Row, column: usize) -> Option<&Cell> {
        self.cells.get(&(row.clone(), column))
    }

    /// Every cell with its row and column.
    pub fn cells(&self) -> impl Iterator<Item = (&Row, usize, &Cell)> {
        let cells = self.cells.iter();
        cells.map(|((row, column), cell)| (row, *column, cell))
    }

    /// What the row is about, where the console says it.
    pub fn about(&self, row: &Row) -> Option<&str> {
        self.abouts.get(row).map(String::as_str)
    }

    /// What it was last heard doing, for a guest that fell silent.
    pub fn doing(&self) -> String {
        let job = self.jobs.last();
        let job = job.map_or("before its first job".to_owned(), |job| {
            format!("in `lab {}`", job.command)
        });
        format!("{job}, last line {:?}", self.last)
    }

    fn begin(&mut self, command: &str, at: Duration) {
        self.at = at;
        let after = |flag: &str| {
            let mut words = command.split_whitespace();
            words.find(|word| *word == flag).and_then(|_| words.next())
        };
        let backend = after("--must-choose").or_else(|| after("--backend"));
        let column = backend.map(|backend| {
            let mut columns = self.columns.iter();
            let known = columns.position(|column| column.backend == backend);
            known.unwrap_or_else(|| {
                self.columns.push(Column {
                    backend: backend.to_owned(),
                    ..Column::default()
                });
                self.columns.len() - 1
            })
        });
        self.jobs.push(Job {
            command: command.trim_end().to_owned(),
            column,
            ..Job::default()
        });
    }

    fn column(&mut self) -> Option<&mut Column> {
        self.columns.get_mut(self.jobs.last()?.column?)
    }

    fn marked(&mut self, mark: &str, rest: &str, at: Duration) {
        match mark {
            "ok" => self.row(rest, Mark::Passed, at),
            "skip" => self.row(rest, Mark::Skipped, at),
            "FAIL" => self.row(rest, Mark::Failed, at),
            "refused" => {
                if let (Some(column), Some((_, why))) = (self.column(), rest.split_once(": ")) {
                    column.refused = Some(why.to_owned());
                }
                if let Some(job) = self.jobs.last_mut() {
                    job.refused = true;
                }
            }
            // `auditor VERSION on KERNEL: HOOK by WAY, …`
            "auditor" => {
                let by = rest
                    .split([',', ':'])
                    .find_map(|part| part.trim().strip_prefix("file_open by "));
                let by = by.and_then(|by| by.split_whitespace().next());
                if let (Some(column), Some(by)) = (self.column(), by) {
                    column.chosen.insert(by.to_owned());
                }
                self.at = at;
            }
            _ => {}
        }
    }

    fn row(&mut self, rest: &str, mark: Mark, at: Duration) {
        let Some(job) = self.jobs.last_mut() else {
            return;
        };
        let Some(column) = job.column else {
            return;
        };
        let count = match mark {
            Mark::Passed => &mut job.rows.passed,
            Mark::Failed => &mut job.rows.failed,
            Mark::Skipped => &mut job.rows.skipped,
        };
        *count += 1;
        let section = job.name().to_owned();
        let word = rest.split_whitespace().next().unwrap_or_default();
        let rest = rest.strip_prefix(word).unwrap_or_default().trim_start();
        let name = match word {
            // `FAIL at the end: …` is about what came after the last row.
            "at" if mark == Mark::Failed => "after-the-last",
            // No name has a bracket: there one of the kernel's own lines, `[   12.345678] …`, has torn this one.
            word => word.split('[').next().unwrap_or_default(),
        };
        let (sight, about) = if section == EVADE {
            let (word, about) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match Sight::read(word) {
                Some(sight) => (Some(sight), about.trim_start()),
                None => (None, rest),
            }
        } else {
            (None, rest)
        };
        let row = (section, name.to_owned());
        let about = about.split(" =>").next().unwrap_or_default().trim();
        // The first to tell it whole; a torn or failed one may not.
        if mark != Mark::Failed && !about.is_empty() && word == name {
            self.abouts
                .entry(row.clone())
                .or_insert_with(|| about.to_owned());
        }
        if !self.rows.contains(&row) {
            self.rows.push(row.clone());
        }
        let cell = Cell {
            mark,
            sight,
            took: at.saturating_sub(self.at),
            why: None,
        };
        self.at = at;
        self.skipped = (mark == Mark::Skipped).then(|| (row.clone(), column));
        self.cells.insert((row, column), cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn console(text: &str) -> Console {
        let mut console = Console::default();
        for (second, line) in text.lines().enumerate() {
            console.line(line, Duration::from_secs(second as u64));
        }
        console
    }

    fn shown(console: &Console, section: &str, name: &str) -> &'static str {
        let row = (section.to_owned(), name.to_owned());
        console.cell(&row, 0).map_or("-", Cell::shown)
    }

    #[test]
    fn a_technique_says_what_was_seen_and_a_scene_does_not() {
        let console = console(
            "guest: lab play --backend fentry\n\
            ok   own-irsa                 seen from outside, a pod opens its token => open\n\
            guest: lab evade --backend fentry\n\
            ok   open      seen      (F01) a plain open => open own-pod\n\
            ok   arp       not-seen  (N13) an address\n\
            ok   half      partly\n\
            ok   environ   harmless\n\
            ok   wordless  (F02) seen by nobody => nothing\n\
            FAIL drift     seen      (F03) drifts => nothing\n\
            skip arm       not-seen  (F04) not here => nothing\n\
            \x20      skipped: no ia32 emulation\n",
        );
        assert_eq!(shown(&console, "play", "own-irsa"), "ok");
        let words = ["open", "arp", "half", "environ", "wordless", "drift", "arm"];
        let words = words.map(|name| shown(&console, EVADE, name));
        let expected = [
            "seen", "not-seen", "partly", "harmless", "ok", "FAIL", "skip",
        ];
        assert_eq!(words, expected);
        assert_eq!(console.wordless(0), ["wordless"]);
        let row = |name: &str| (EVADE.to_owned(), name.to_owned());
        assert_eq!(console.about(&row("open")), Some("(F01) a plain open"));
        assert_eq!(console.about(&row("half")), None);
        let skipped = console.cell(&row("arm"), 0).unwrap();
        assert_eq!(skipped.why.as_deref(), Some("no ia32 emulation"));
    }

    #[test]
    fn rows_are_held_against_the_summary() {
        let whole = "guest: lab play --backend fentry\nok   a b\nFAIL at the end: strays\n";
        let whole = console(&format!("{whole}1 passed, 1 failed\n"));
        assert!(whole.jobs()[0].is_whole());
        let torn =
            console("guest: lab play --backend fentry\n[ 1.0] xok   a b\n1 passed, 0 failed\n");
        assert!(!torn.jobs()[0].is_whole());
        let refused = console(
            "guest: lab play --backend fentry\nrefused fentry: no\n0 passed, 0 failed, 1 skipped\n",
        );
        assert!(refused.jobs()[0].is_whole());
        let others = console("guest: lab check --backend fentry\n3 passed, 0 failed\n");
        assert!(others.jobs()[0].is_whole());
    }

    #[test]
    fn a_name_ends_where_the_kernel_breaks_in() {
        let console =
            console("guest: lab play --backend fentry\nok   theft[   12.345678] overlayfs: no\n");
        assert_eq!(shown(&console, "play", "theft"), "ok");
    }

    #[test]
    fn a_silent_guest_was_last_heard_doing_something() {
        assert_eq!(
            console("x\n\n").doing(),
            "before its first job, last line \"x\""
        );
        let heard = console("guest: lab probes --auditor /auditor\nprobe a fentry 1\n");
        assert_eq!(
            heard.doing(),
            "in `lab probes --auditor /auditor`, last line \"probe a fentry 1\""
        );
    }

    #[test]
    fn each_start_of_the_auditor_counts() {
        let text = "guest: lab play --backend fentry\n\
            auditor 0.1.0 on 6.12: connect by fentry, file_open by fentry, x by none \"no\"\n\
            auditor 0.1.0 on 6.12: connect by fentry, file_open by syscall\n";
        let console = console(text);
        let chosen: Vec<_> = console.columns()[0].chosen.iter().collect();
        assert_eq!(chosen, ["fentry", "syscall"]);
    }
}
