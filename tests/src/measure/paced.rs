//! So many matching opens a second, spread over pods and executables; the auditor's processor time and delay meanwhile.

use std::{thread, time::Duration};

use anyhow::Result;
use serde::Serialize;

use super::{
    Subject,
    flood::{Request, ask, monotonic},
    flooder,
    helpers::Helpers,
    own_token,
    stats::quantile,
    stream::Stream,
    usage,
};
use crate::{auditor::Totals, node::Lab, patience};

/// To start one process, of which there may be thousands on two processors.
const START: Duration = Duration::from_millis(4);
const QUIET: Duration = Duration::from_secs(3);

pub struct Paced {
    pub subject: Subject,
    pub pods: usize,
    /// Of each pod.
    pub executables: usize,
    /// Opens a second of all of them.
    pub rate: f64,
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct Measured {
    pods: usize,
    executables: usize,
    rate: f64,
    seconds: f64,
    opens: u64,
    achieved: f64,
    /// Of opens.
    lines: u64,
    folded: u64,
    lost: u64,
    /// Opens that neither a line nor a summary nor a loss tells of.
    untold: i64,
    /// Processors that the auditor took while it was opened.
    cores: f64,
    delay_p50: f64,
    delay_p99: f64,
    delay_max: f64,
    peak_mib: f64,
    unaccounted: i64,
    holes: u64,
    totals: Totals,
}

pub fn run(paced: &Paced) -> Result<Measured> {
    let helpers = Helpers::with_copies(&paced.subject.helpers, paced.executables)?;
    let mut lab = Lab::new(helpers.dir())?;
    let mut pods = Vec::new();
    for index in 0..paced.pods {
        pods.push(flooder(&mut lab, "load", &format!("app-{index}"))?);
    }
    eprintln!("{} pods stand", pods.len());
    let mut stream = Stream::start(&lab, &paced.subject)?;
    usage::forget_peak(stream.pid())?;

    let keys = paced.pods * paced.executables;
    let wait = START * patience() * u32::try_from(keys)? + Duration::from_secs(1);
    let at = monotonic() + wait.as_nanos() as u64;
    for pod in &pods {
        let request = Request::Paced {
            programs: helpers.copies.clone(),
            path: own_token(pod),
            rate: paced.rate / keys as f64,
            at,
            seconds: paced.seconds,
        };
        ask(&mut lab, pod, &request)?;
    }
    let late = monotonic().saturating_sub(at);
    if late > 0 {
        eprintln!(
            "the last process was started {:.1} s late",
            late as f64 / 1e9
        );
    }
    thread::sleep(Duration::from_nanos(at.saturating_sub(monotonic())));
    let (begun, before) = (monotonic(), usage::processor(stream.pid())?);
    thread::sleep(Duration::from_secs_f64(paced.seconds));
    let took = usage::processor(stream.pid())?.saturating_sub(before);
    let cores = took.as_secs_f64() / ((monotonic() - begun) as f64 / 1e9);

    let mut opens = 0;
    for pod in &pods {
        opens += ask(&mut lab, pod, &Request::Join)?.opens;
    }
    stream.settle(QUIET * patience(), |seen| {
        seen.allowed_opens + seen.folded + seen.lost >= opens
    })?;
    let peak_mib = usage::of(stream.pid())?.peak;
    let seen = stream.stop()?;
    let totals = seen.totals()?;
    let delays: Vec<f64> = seen.delays.iter().copied().map(f64::from).collect();
    let told = seen.allowed_opens + seen.folded + seen.lost;
    Ok(Measured {
        pods: paced.pods,
        executables: paced.executables,
        rate: paced.rate,
        seconds: paced.seconds,
        opens,
        achieved: opens as f64 / paced.seconds,
        lines: seen.allowed_opens,
        folded: seen.folded,
        lost: seen.lost,
        untold: opens as i64 - told as i64,
        cores,
        delay_p50: quantile(&delays, 0.5),
        delay_p99: quantile(&delays, 0.99),
        delay_max: quantile(&delays, 1.0),
        peak_mib,
        unaccounted: totals.unaccounted(),
        holes: seen.holes,
        totals,
    })
}
