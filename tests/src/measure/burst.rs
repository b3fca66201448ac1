//! One pod opens its own token a million times, as fast as it goes; meanwhile another pod steals one token once.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::{
    Subject,
    flood::{Request, ask},
    flooder, holder, own_token,
    stats::quantile,
    stream::{Seen, Stream, Whole},
    usage,
};
use crate::{
    auditor::Totals,
    node::{Lab, Pod, PodSpec, pod::POD_IDENTITY},
    patience,
};

/// Where the thief sees the kubelet's directory.
const HOST_KUBELET: &str = "/host/kubelet";
/// The goal for a theft's line.
const THEFT_LIMIT_MS: f64 = 100.0;
/// A summary may come so long after what it counts.
const QUIET: Duration = Duration::from_secs(3);

pub struct Burst {
    pub subject: Subject,
    pub runs: u32,
    pub opens: u64,
}

/// One run.
#[derive(Debug, Serialize)]
struct Run {
    /// From before the thief's open to its line read, ms; none where no line came.
    theft_ms: Option<f64>,
    /// What a theft's line lacks.
    lacks: Vec<&'static str>,
    /// Of the noisy pod's opens: lines, folded into summaries, announced as lost.
    lines: u64,
    folded: u64,
    lost: u64,
    opens_per_second: f64,
}

#[derive(Debug, Serialize)]
pub struct Measured {
    runs: usize,
    opens: u64,
    /// Thefts that were reported, complete, within 100 ms.
    thefts_in_time: usize,
    thefts_reported: usize,
    thefts_complete: usize,
    theft_ms_p50: f64,
    theft_ms_max: f64,
    /// Runs whose lines and folded opens are what was opened, exactly.
    totals_exact: usize,
    /// Runs whose lines, folded and lost opens are what was opened, exactly; the theft too, where it has no line.
    totals_accounted: usize,
    lost: u64,
    lost_share: f64,
    opens_per_second: f64,
    /// Of all lines of opens, ms.
    delay_p50: f64,
    delay_p99: f64,
    lines: u64,
    peak_mib: f64,
    unaccounted: i64,
    holes: u64,
    totals: Totals,
    each: Vec<Run>,
}

pub fn run(burst: &Burst) -> Result<Measured> {
    let mut lab = Lab::new(&burst.subject.helpers)?;
    let noisy = flooder(&mut lab, "batch", "noisy")?;
    let victim = holder(&mut lab, "payments", "ledger")?;
    let mut spec = PodSpec::new("shop", "web").with_host_path(&lab.kubelet_root(), HOST_KUBELET);
    spec.argv = vec!["flood".into()];
    let thief = lab.start(spec)?;
    let mut stream = Stream::start(&lab, &burst.subject)?;
    usage::forget_peak(stream.pid())?;

    let mut each = Vec::new();
    for index in 0..burst.runs {
        let run = once(
            burst,
            &mut lab,
            &mut stream,
            [&noisy, &victim, &thief],
            index,
        )?;
        eprintln!(
            "run {} of {}: theft after {}, {:.0} opens/s, {} lines, {} folded, {} lost",
            index + 1,
            burst.runs,
            run.theft_ms
                .map_or("no line".into(), |ms| format!("{ms:.1} ms")),
            run.opens_per_second,
            run.lines,
            run.folded,
            run.lost,
        );
        each.push(run);
    }
    let peak_mib = usage::of(stream.pid())?.peak;
    let seen = stream.stop()?;
    summarise(burst, each, peak_mib, &seen)
}

fn once(
    burst: &Burst,
    lab: &mut Lab,
    stream: &mut Stream,
    [noisy, victim, thief]: [&Pod; 3],
    index: u32,
) -> Result<Run> {
    let counts = |seen: &Seen| (seen.allowed_opens, seen.folded, seen.lost);
    let before = counts(&stream.seen());
    let path = own_token(noisy);
    let count = burst.opens;
    ask(lab, noisy, &Request::Open { path, count })?;
    // Somewhere in the burst, each time elsewhere; the shortest burst takes a second.
    thread::sleep(Duration::from_millis(100 + u64::from(index) * 137 % 700));
    let path = victim.token_below(Path::new(HOST_KUBELET), POD_IDENTITY);
    let path = path.to_string_lossy().into_owned();
    ask(lab, thief, &Request::Open { path, count: 1 })?;
    let theft = ask(lab, thief, &Request::Join)?;
    let done = ask(lab, noisy, &Request::Join)?;

    let (thief, victim) = (&thief.spec.uid, &victim.spec.uid);
    let is_theft = |whole: &&Whole| {
        let line = &whole.line;
        let pods = line["pod"]["uid"] == **thief && line["token"]["owner"]["uid"] == **victim;
        pods && whole.arrived >= theft.began
    };
    stream.settle(QUIET * patience(), |seen| {
        let now = counts(seen);
        let told = now.0 + now.1 + now.2 - before.0 - before.1 - before.2;
        told >= done.opens && seen.of("token_open").any(|whole| is_theft(&whole))
    })?;
    let seen = stream.seen();
    let found = seen.of("token_open").find(is_theft);
    let now = counts(&seen);
    Ok(Run {
        theft_ms: found.map(|whole| (whole.arrived - theft.began) as f64 / 1e6),
        lacks: found.map(|whole| lacks(&whole.line)).unwrap_or_default(),
        lines: now.0 - before.0,
        folded: now.1 - before.1,
        lost: now.2 - before.2,
        opens_per_second: done.opens as f64 / (done.took as f64 / 1e9),
    })
}

/// What a theft's line must have, and this one has not.
fn lacks(line: &Value) -> Vec<&'static str> {
    let is_found = line["findings"]
        .as_array()
        .is_some_and(|found| found.iter().any(|one| one["id"] == "foreign-token-open"));
    let parts = [
        ("finding", is_found),
        ("verdict", line["verdict"] == "violation"),
        ("relation", line["relation"] == "other-pod"),
        ("opener", line["pod"]["name"].is_string()),
        (
            "service account",
            line["pod"]["service_account"].is_string(),
        ),
        ("owner", line["token"]["owner"]["name"].is_string()),
        ("file", line["token"]["file"].is_string()),
        ("executable", line["process"]["exe"].is_string()),
        ("arguments", line["process"]["args"].is_array()),
        ("container", line["container"]["id"].is_string()),
    ];
    parts
        .into_iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(name, _)| name)
        .collect()
}

fn summarise(burst: &Burst, each: Vec<Run>, peak_mib: f64, seen: &Seen) -> Result<Measured> {
    let count = |is: &dyn Fn(&Run) -> bool| each.iter().filter(|run| is(run)).count();
    let in_time = |run: &Run| run.theft_ms.is_some_and(|ms| ms <= THEFT_LIMIT_MS);
    let thefts: Vec<f64> = each.iter().filter_map(|run| run.theft_ms).collect();
    let speeds: Vec<f64> = each.iter().map(|run| run.opens_per_second).collect();
    let delays: Vec<f64> = seen.delays.iter().copied().map(f64::from).collect();
    let totals = seen.totals()?;
    let lost = each.iter().map(|run| run.lost).sum::<u64>();
    Ok(Measured {
        runs: each.len(),
        opens: burst.opens,
        thefts_in_time: count(&|run| in_time(run) && run.lacks.is_empty()),
        thefts_reported: thefts.len(),
        thefts_complete: count(&|run| run.theft_ms.is_some() && run.lacks.is_empty()),
        theft_ms_p50: quantile(&thefts, 0.5),
        theft_ms_max: quantile(&thefts, 1.0),
        totals_exact: count(&|run| run.lines + run.folded == burst.opens),
        totals_accounted: count(&|run| {
            // A theft without a line must be among the lost.
            let thefts = u64::from(run.theft_ms.is_none());
            run.lines + run.folded + run.lost == burst.opens + thefts
        }),
        lost,
        lost_share: lost as f64 / (burst.opens as f64 * each.len().max(1) as f64),
        opens_per_second: quantile(&speeds, 0.5),
        delay_p50: quantile(&delays, 0.5),
        delay_p99: quantile(&delays, 0.99),
        lines: seen.lines,
        peak_mib,
        unaccounted: totals.unaccounted(),
        holes: seen.holes,
        totals,
        each,
    })
}
