//! The real auditor under mixed load for as long as one likes: own opens, credentials from the agent, thefts, pods that come and
//! go, files that are rewritten, a reader that falls asleep. Nothing may grow, no theft may be lost, and the totals must add up.

mod load;
mod verdict;

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::{
    auditor::Totals,
    measure::{
        Subject,
        stats::slope,
        stream::{Seen, Stream},
        usage,
    },
    node::Lab,
    play::Score,
};

pub use load::Done;

pub struct Soak {
    pub subject: Subject,
    pub length: Duration,
    /// Between two samples.
    pub interval: Duration,
}

/// What the auditor's process has, so long after its start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    pub seconds: f64,
    /// MiB.
    pub resident: f64,
    pub descriptors: u64,
    pub threads: u64,
    /// Processors, since the sample before.
    pub cores: f64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub minutes: f64,
    pub done: Done,
    pub lines: u64,
    pub findings: u64,
    pub lost: u64,
    pub folded: u64,
    pub unaccounted: i64,
    /// Of `seq`, that no line explains.
    pub holes: u64,
    pub totals: Totals,
    /// MiB a minute, over the last half.
    pub growth: f64,
    pub peak_mib: f64,
    pub samples: Vec<Sample>,
}

/// Plays it, prints a line a check, and gives what a plot needs.
///
/// # Errors
/// Where the lab cannot be made, or the auditor ends by itself.
pub fn run(soak: &Soak) -> Result<(Report, Score)> {
    let mut lab = Lab::new(&soak.subject.helpers)?;
    let mut cast = load::Cast::start(&mut lab)?;
    let mut stream = Stream::start(&lab, &soak.subject)?;
    stream.count_openers();
    let (done, samples) = load::play(soak, &mut lab, &mut cast, &mut stream)?;
    stream.settle(Duration::from_secs(3), |_| false)?;
    let peak_mib = usage::of(stream.pid())?.peak;
    let seen: Seen = stream.stop()?;
    let totals = seen.totals()?;
    let points: Vec<(f64, f64)> = late(&samples)
        .iter()
        .map(|sample| (sample.seconds / 60.0, sample.resident))
        .collect();
    let report = Report {
        minutes: soak.length.as_secs_f64() / 60.0,
        lines: seen.lines,
        findings: verdict::findings(&seen).values().sum(),
        lost: seen.lost,
        folded: seen.folded,
        unaccounted: totals.unaccounted(),
        holes: seen.holes,
        totals,
        growth: slope(&points),
        peak_mib,
        samples,
        done,
    };
    let score = verdict::judge(&report, &seen, &cast);
    Ok((report, score))
}

/// The last half: before it, what is kept for a while (pods of the last 15 minutes, learned executables) fills up.
pub(crate) fn late(samples: &[Sample]) -> &[Sample] {
    samples.get(samples.len() / 2..).unwrap_or_default()
}
