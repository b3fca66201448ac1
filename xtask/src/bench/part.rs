//! The parts of the benchmark, and how much of each a run measures.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use clap::ValueEnum;

use super::{
    ASSOCIATIONS, Args, PODS, Subject, burst, counted, opens, paced, programs, rest,
    section::{Figure, Section, Table},
};
use crate::{build::Built, process};

/// In the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Memory and processor time of an auditor that has nothing to do.
    Rest,
    /// What each BPF program takes, as the kernel counts it.
    Programs,
    /// What an open+close costs more, beside other tools.
    Opens,
    /// Delay and processor time at 100 and 1,000 matching opens a second.
    Pace,
    /// A million opens of one pod, and a theft.
    Burst,
    /// 200,000 matching opens a second of 2,000 keys.
    Flood,
    /// The cost of an open+close with fentry, counted in a virtual machine.
    Instructions,
    /// What one node asks of an API server.
    Api,
}

impl Part {
    /// As `--only` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Programs => "programs",
            Self::Opens => "opens",
            Self::Pace => "pace",
            Self::Burst => "burst",
            Self::Flood => "flood",
            Self::Instructions => "instructions",
            Self::Api => "api",
        }
    }

    pub(super) fn measure(
        self,
        args: &Args,
        subject: &Subject,
        built: &Built,
        token: &Path,
    ) -> Result<Section> {
        let of = |full: u32, less: u32| if args.quick { less } else { full };
        match self {
            Self::Rest => rest::measure(subject, Duration::from_secs(of(60, 10).into())),
            Self::Programs => programs::section(subject, token),
            Self::Opens => opens::native(subject, args.rounds.unwrap_or(of(8, 1))),
            Self::Pace => paced::pace(subject, f64::from(of(30, 5))),
            Self::Burst => {
                let opens = args.opens.unwrap_or(of(1_000_000, 250_000).into());
                burst::measure(subject, args.runs.unwrap_or(of(100, 3)), opens)
            }
            Self::Flood => paced::flood(subject, f64::from(of(10, 5))),
            Self::Instructions if args.quick && args.only.is_empty() => Ok(self.skipped("--quick")),
            Self::Instructions => counted::measure(built, of(2, 1)),
            Self::Api => api(subject, args.rest.unwrap_or(of(125, 10))),
        }
    }

    /// In the place of one that could not be measured.
    pub fn failed(self, error: &anyhow::Error) -> Section {
        self.skipped(&format!("{error:#}"))
    }

    fn skipped(self, why: &str) -> Section {
        Section {
            name: self.name(),
            title: self.name(),
            how: "It was not measured.".to_owned(),
            figures: vec![Figure::unmeasured(self.name(), "all of this part", why)],
            ..Section::default()
        }
    }
}

const MEMORY_GOAL_MIB: f64 = 25.0;

/// `lab load`, as it prints it.
fn api(subject: &Subject, rest: u32) -> Result<Section> {
    let mut lab = Command::new(&subject.lab);
    lab.arg("load").arg("--auditor").arg(&subject.auditor);
    lab.args(["--backend", subject.backend, "--rest", &rest.to_string()]);
    println!("$ {}", process::shown(&lab));
    let printed = process::capture(&mut lab)?;
    let mut table = Table::new(["what one node asks of an API server"]);
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        table.rows.push(vec![words.join(" ")]);
    }
    let what = "resident memory at rest, 250 pods of an API server, 1,000 associations";
    Ok(Section {
        name: "api",
        title: "What one node asks of an API server",
        how: format!(
            "The lab's API server with {PODS} fat pods, and `sync-associations` with {ASSOCIATIONS} associations beside it; \
             {rest} s at rest. They begin with the node's first minutes, when each ServiceAccount is read once, one each 20 s."
        ),
        tables: vec![table],
        figures: vec![Figure::at_most(
            what,
            resident(&printed),
            MEMORY_GOAL_MIB,
            "MiB",
        )],
        ..Section::default()
    })
}

/// `  resident 29.0 MiB (peak 51.0)`; NaN where there is none.
fn resident(printed: &str) -> f64 {
    let mut lines = printed.lines().map(str::trim);
    let number = lines.find_map(|line| {
        line.strip_prefix("resident ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    });
    number.unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_only_takes() {
        for part in Part::value_variants() {
            assert_eq!(Part::from_str(part.name(), false), Ok(*part));
        }
    }

    #[test]
    fn reads_what_the_load_prints() {
        assert_eq!(resident("x\n  resident 29.5 MiB (peak 51.0)\n"), 29.5);
        assert!(resident("").is_nan());
    }
}
