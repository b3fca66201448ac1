//! `cargo xtask demo`: build, let the lab play its scenes against the real auditor on this machine, and show what people see of
//! that run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{build, process};

/// Of the view: as many as a screen has.
const LINES: &str = "20";

/// Of /metrics: what came of the events, and what was lost of them.
const METRICS: [&str; 3] = [
    "credential_auditor_events_total",
    "credential_auditor_findings_total",
    "credential_auditor_events_lost_total",
];

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo -- --scene own-irsa
  cargo xtask demo --evasion
  cargo xtask demo -- --backend syscall --output-file /tmp/events.jsonl

It ends with what `auditor tail` shows of the run, and three metrics of it.")]
pub struct Args {
    /// Play the evasion corpus instead of the scenes.
    #[arg(long)]
    evasion: bool,
    /// Arguments for `lab play`, or `lab evade`.
    #[arg(last = true)]
    play: Vec<String>,
}

/// Exit status is the lab's, and 1 where there is nothing to show of a run that went well.
pub fn run(args: &Args) -> Result<ExitCode> {
    let built = build::release()?;
    let lines = lines_file(&args.play);
    // Only the lab and the auditor need root; the build stays the user's.
    let mut command = privileged(&built.lab)?;
    command
        .arg(if args.evasion { "evade" } else { "play" })
        .arg("--auditor")
        .arg(&built.auditor)
        .args(&args.play);
    println!("$ {}", process::shown(&command));
    let status = command.status().context("cannot start the lab")?;
    let shown = show(&built.auditor, &lines, args.evasion);
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match shown {
        Err(error) if status.success() => Err(error),
        _ => Ok(ExitCode::from(code.unwrap_or(1))),
    }
}

/// Mounts, cgroups, namespaces and BPF need root, and so does reading what root wrote.
fn privileged(program: &Path) -> Result<Command> {
    if process::is_root() {
        return Ok(Command::new(program));
    }
    if process::find("sudo").is_none() {
        bail!(
            "the demo makes mounts, cgroups and namespaces and loads BPF: run `cargo xtask demo` as root (there is no sudo here)"
        );
    }
    println!("==> sudo: mounts, cgroups, namespaces and BPF need root");
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    Ok(sudo)
}

/// Where the lab has the auditor write, by its arguments.
fn lines_file(play: &[String]) -> PathBuf {
    let mut words = play.iter();
    let mut path = None;
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--output-file", value)) => path = Some(value),
            None if word == "--output-file" => path = words.next().map(String::as_str),
            _ => {}
        }
    }
    path.unwrap_or("/tmp/credential-lab.jsonl").into()
}

fn show(auditor: &Path, lines: &Path, evasion: bool) -> Result<()> {
    let mut tail = privileged(auditor)?;
    tail.args([
        "tail",
        "--verdict",
        "violation,suspicious",
        "--lines",
        LINES,
    ]);
    tail.arg(lines);
    println!("\n==> what people see of it: the last {LINES} that broke a rule, or nearly did");
    process::run(&mut tail)?;
    if evasion {
        return Ok(());
    }
    println!("\n==> three metrics of the run");
    let path = lines.with_extension("metrics");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for name in METRICS {
        let series = largest(&text, name);
        ensure!(
            !series.is_empty(),
            "{} does not tell of {name}",
            path.display()
        );
        for line in series {
            println!("{line}");
        }
    }
    Ok(())
}

/// The three series of a metric that count most, and how many there are.
fn largest(text: &str, name: &str) -> Vec<String> {
    const MOST: usize = 3;
    let mut series: Vec<(f64, &str)> = text
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter_map(|line| Some((line.rsplit_once(' ')?.1.parse().ok()?, line)))
        .collect();
    series.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let count = series.len();
    let mut lines: Vec<String> = series
        .into_iter()
        .take(MOST)
        .map(|(_, line)| line.to_owned())
        .collect();
    if count > MOST {
        lines.push(format!("({} more series of {name})", count - MOST));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_one_that_the_lab_is_told() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            lines_file(&words)
        };
        assert_eq!(
            of(&["--scene", "x"]),
            Path::new("/tmp/credential-lab.jsonl")
        );
        assert_eq!(
            of(&["--output-file", "/a", "--scene", "x"]),
            Path::new("/a")
        );
        assert_eq!(of(&["--output-file=/b"]), Path::new("/b"));
    }

    #[test]
    fn what_counts_most_stands_first() {
        let text = "# TYPE m counter\nm_total{a=\"1\"} 2\nm_total{a=\"2\"} 10\nm_totals 99\nm_total{a=\"3\"} 1\nm_total{a=\"4\"} 0\n";
        assert_eq!(
            largest(text, "m_total"),
            [
                "m_total{a=\"2\"} 10",
                "m_total{a=\"1\"} 2",
                "m_total{a=\"3\"} 1",
                "(1 more series of m_total)"
            ]
        );
    }
}
