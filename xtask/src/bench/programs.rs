//! What each BPF program costs a run, as the kernel itself counts it (`kernel.bpf_stats_enabled`).

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    Subject,
    section::{Section, Table, number},
};
use crate::process::capture;

const SYSCTL: &str = "/proc/sys/kernel/bpf_stats_enabled";
const OPENS: u32 = 200_000;

/// The kernel's counters of one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    runs: u64,
    nanoseconds: u64,
}

/// One program under one kind of open.
struct Cost {
    program: String,
    runs_per_open: f64,
    nanoseconds_per_run: f64,
}

/// Costs of each program that ran, for opens that concern nobody and for opens of a token.
struct Costs {
    unrelated: Vec<Cost>,
    matching: Vec<Cost>,
}

/// What each program takes, for opens of a file of the disk and of a token.
pub fn section(subject: &Subject, token: &Path) -> Result<Section> {
    let unrelated = crate::process::workspace().join("Cargo.toml");
    let costs = measure(subject, &unrelated, token)?;
    let mut table = Table::new(["open, program", "runs an open", "ns a run"]);
    for (kind, costs) in [("unrelated", costs.unrelated), ("token", costs.matching)] {
        for cost in costs {
            table.row([
                format!("{kind}, {}", cost.program),
                number(cost.runs_per_open),
                number(cost.nanoseconds_per_run),
            ]);
        }
    }
    Ok(Section {
        name: "programs",
        title: "BPF programs",
        how: format!(
            "run_time_ns / run_cnt of each program during {OPENS} opens by a process of the host \
             (`kernel.bpf_stats_enabled`). The statistics themselves take about 30 ns of each run; runs by every process of the \
             machine count, the auditor's own among them."
        ),
        tables: vec![table],
        ..Section::default()
    })
}

/// Runs the auditor with the kernel's statistics on, and opens each path many times.
fn measure(subject: &Subject, unrelated: &Path, token: &Path) -> Result<Costs> {
    let _statistics = Statistics::on()?;
    let daemon = subject.start()?;
    let costs = |path: &Path| -> Result<Vec<Cost>> {
        let before = counters(daemon.pid())?;
        subject.open(path, OPENS)?;
        let after = counters(daemon.pid())?;
        Ok(difference(&before, &after))
    };
    Ok(Costs {
        unrelated: costs(unrelated)?,
        matching: costs(token)?,
    })
}

fn difference(before: &BTreeMap<u32, Counters>, after: &BTreeMap<u32, Counters>) -> Vec<Cost> {
    let rows = after.iter().filter_map(|(id, now)| {
        let then = before.get(id).copied().unwrap_or_default();
        let runs = now.runs.checked_sub(then.runs).filter(|runs| *runs > 0)?;
        let nanoseconds = now.nanoseconds.checked_sub(then.nanoseconds)?;
        Some(Cost {
            program: name(*id),
            runs_per_open: runs as f64 / f64::from(OPENS),
            nanoseconds_per_run: nanoseconds as f64 / runs as f64,
        })
    });
    rows.collect()
}

/// Of every program that a process holds a descriptor of, by program id.
fn counters(pid: u32) -> Result<BTreeMap<u32, Counters>> {
    let directory = format!("/proc/{pid}/fdinfo");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&directory).context(directory)? {
        // A descriptor may be closed meanwhile.
        if let Ok(text) = fs::read_to_string(entry?.path()) {
            found.extend(parse_fdinfo(&text));
        }
    }
    Ok(found)
}

/// `prog_id`, `run_time_ns` and `run_cnt` of a program's fdinfo; a link's has a `prog_id` only.
fn parse_fdinfo(text: &str) -> Option<(u32, Counters)> {
    let field = |name: &str| -> Option<u64> {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| *key == name)?.1.trim().parse().ok()
    };
    let id = u32::try_from(field("prog_id")?).ok()?;
    Some((
        id,
        Counters {
            runs: field("run_cnt")?,
            nanoseconds: field("run_time_ns")?,
        },
    ))
}

/// The program's name by bpftool, which is not in fdinfo; without bpftool its id.
fn name(id: u32) -> String {
    let shown =
        capture(Command::new("/usr/sbin/bpftool").args(["prog", "show", "id", &id.to_string()]));
    let name = shown.ok().and_then(|text| parse_name(&text));
    name.unwrap_or_else(|| format!("program {id}"))
}

/// `12: tracing  name file_open  tag 0123 …`
fn parse_name(shown: &str) -> Option<String> {
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "name")?;
    words.next().map(str::to_owned)
}

/// The statistics switched on, and back to what they were.
struct Statistics {
    before: String,
}

impl Statistics {
    fn on() -> Result<Self> {
        let before = fs::read_to_string(SYSCTL).context(SYSCTL)?;
        fs::write(SYSCTL, "1").with_context(|| format!("cannot write {SYSCTL}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SYSCTL, self.before.trim()) {
            println!("{SYSCTL} stays 1: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_programs_fdinfo_and_no_links() {
        let program = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nprog_id:\t41\nrun_time_ns:\t1200\nrun_cnt:\t30\nverified_insns:\t7\n";
        assert_eq!(
            parse_fdinfo(program),
            Some((
                41,
                Counters {
                    runs: 30,
                    nanoseconds: 1200
                }
            ))
        );
        assert_eq!(
            parse_fdinfo("link_type:\ttracing\nlink_id:\t3\nprog_id:\t41\n"),
            None
        );
    }

    #[test]
    fn a_cost_is_the_difference() {
        let before = BTreeMap::from([
            (
                1,
                Counters {
                    runs: 10,
                    nanoseconds: 1000,
                },
            ),
            (2, Counters::default()),
        ]);
        let now = Counters {
            runs: 10 + 2 * u64::from(OPENS),
            nanoseconds: 1000 + 100 * u64::from(OPENS),
        };
        let after = BTreeMap::from([(1, now), (2, Counters::default())]);
        let costs = difference(&before, &after);
        assert_eq!(costs.len(), 1);
        assert_eq!(
            (costs[0].runs_per_open, costs[0].nanoseconds_per_run),
            (2.0, 50.0)
        );
    }

    #[test]
    fn reads_bpftools_name() {
        let shown = "12: tracing  name file_open  tag 0123456789abcdef  gpl\n\tloaded_at 2026-11-22T12:00:00+0000  uid 0\n";
        assert_eq!(parse_name(shown).as_deref(), Some("file_open"));
        assert_eq!(parse_name("12: tracing  tag 0123  gpl"), None);
    }
}
