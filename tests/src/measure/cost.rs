//! What an open+close costs more with a tool attached: nothing, the auditor, and what one could take instead, in turns.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    Subject, holder, own_token,
    stats::quantile,
    tool::{Running, Tool, Tracefs},
    usage,
};
use crate::node::{Lab, Pod};

pub struct Cost {
    pub subject: Subject,
    pub tools: Vec<Tool>,
    /// A file that concerns no tool: not on a tmpfs.
    pub unrelated: PathBuf,
    pub rounds: u32,
    /// Opens in a batch.
    pub opens: u32,
    pub batches: u32,
}

/// Nanoseconds of the opener's own processor time for one open+close.
#[derive(Debug, Serialize)]
pub struct Cell {
    minimum: f64,
    median: f64,
    batches: usize,
    /// What the tool's own process took meanwhile, for each open, ns.
    tool: Option<f64>,
    /// Lines that it printed, for each open.
    lines: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Row {
    tool: &'static str,
    /// Why it was not measured, in the kernel's or the tool's words.
    skipped: Option<String>,
    unrelated: Option<Cell>,
    /// A pod opens its own token.
    matching: Option<Cell>,
}

#[derive(Default)]
struct Samples {
    times: Vec<f64>,
    opens: u64,
    tool: Option<Duration>,
    lines: Option<u64>,
}

impl Samples {
    fn cell(&self) -> Option<Cell> {
        let opens = self.opens.max(1) as f64;
        (!self.times.is_empty()).then(|| Cell {
            minimum: quantile(&self.times, 0.0),
            median: quantile(&self.times, 0.5),
            batches: self.times.len(),
            tool: self.tool.map(|tool| tool.as_nanos() as f64 / opens),
            lines: self.lines.map(|lines| lines as f64 / opens),
        })
    }
}

/// Both cells of a tool.
type Cells = [Samples; 2];

/// Each round measures every tool, so that a noisy minute hits them alike.
///
/// # Errors
/// Where the lab cannot be made, or nothing can be timed. A tool that does not work here is a row with its reason.
pub fn run(cost: &Cost) -> Result<Vec<Row>> {
    let _tracefs = Tracefs::mounted()?;
    let mut lab = Lab::new(&cost.subject.helpers)?;
    let pod = holder(&mut lab, "shop", "web")?;
    let mut all: Vec<(Tool, Cells, Option<String>)> = Vec::new();
    for tool in &cost.tools {
        all.push((*tool, Cells::default(), None));
    }
    for round in 1..=cost.rounds {
        for (tool, cells, skipped) in &mut all {
            if skipped.is_some() {
                continue;
            }
            let begun = Instant::now();
            match Running::start(*tool, &lab, &cost.subject, &cost.unrelated) {
                Ok(running) => {
                    let [unrelated, matching] = cells;
                    measure(unrelated, cost, &running, || host(&lab, cost))?;
                    measure(matching, cost, &running, || own(&mut lab, &pod, cost))?;
                }
                Err(error) => {
                    eprintln!("{}: skipped: {error:#}", tool.name());
                    *skipped = Some(format!("{error:#}"));
                }
            }
            eprintln!(
                "round {round} of {}: {} took {:.1} s",
                cost.rounds,
                tool.name(),
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let rows = all.into_iter().map(|(tool, cells, skipped)| {
        let [unrelated, matching] = &cells;
        Row {
            tool: tool.name(),
            skipped,
            unrelated: unrelated.cell(),
            matching: matching.cell(),
        }
    });
    Ok(rows.collect())
}

fn measure(
    samples: &mut Samples,
    cost: &Cost,
    running: &Running,
    time: impl FnOnce() -> Result<String>,
) -> Result<()> {
    let took = || running.pid().map(usage::processor).transpose();
    let (before, lines) = (took()?, running.lines());
    let printed = time()?;
    let times = printed.lines().map(|line| Ok(line.parse::<f64>()?));
    let times: Vec<f64> = times
        .collect::<Result<_>>()
        .context("flood prints numbers")?;
    ensure!(
        times.len() == cost.batches as usize,
        "flood printed {printed:?}"
    );
    samples.times.extend(times);
    samples.opens += u64::from(cost.opens) * u64::from(cost.batches);
    if let (Some(before), Some(after)) = (before, took()?) {
        *samples.tool.get_or_insert_default() += after.saturating_sub(before);
    }
    if let (Some(before), Some(after)) = (lines, running.lines()) {
        *samples.lines.get_or_insert_default() += after - before;
    }
    Ok(())
}

fn host(lab: &Lab, cost: &Cost) -> Result<String> {
    let path = cost.unrelated.to_string_lossy();
    lab.run_on_host(&words(cost, &path).each_ref().map(String::as_str))
}

fn own(lab: &mut Lab, pod: &Pod, cost: &Cost) -> Result<String> {
    let path = own_token(pod);
    lab.run(pod, &words(cost, &path).each_ref().map(String::as_str))
}

fn words(cost: &Cost, path: &str) -> [String; 5] {
    let (opens, batches) = (cost.opens.to_string(), cost.batches.to_string());
    ["flood".into(), "time".into(), path.into(), opens, batches]
}

/// The file that is opened where none is named: on no tmpfs, not even in an initramfs.
pub fn default_unrelated() -> &'static Path {
    Path::new("/proc/version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_of_all_batches() {
        let samples = Samples {
            times: vec![500.0, 400.0, 900.0],
            opens: 1000,
            tool: Some(Duration::from_micros(50)),
            lines: Some(250),
        };
        let cell = samples.cell().unwrap();
        assert_eq!((cell.minimum, cell.median, cell.batches), (400.0, 500.0, 3));
        assert_eq!((cell.tool, cell.lines), (Some(50.0), Some(0.25)));
        assert!(Samples::default().cell().is_none());
    }
}
