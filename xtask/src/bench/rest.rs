//! An auditor that has nothing to do: memory and processor time on a node of 250 pods.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    ASSOCIATIONS, PODS, Subject, memory,
    section::{Figure, Section, Table, number},
};

const MEMORY_GOAL_MIB: f64 = 25.0;
/// After `ready`, until loading is over and the allocator has given back what it does not need.
const SETTLE: Duration = Duration::from_secs(5);

/// The clock of /proc counts in steps of 10 ms: half a percent of this.
const WINDOW: Duration = Duration::from_secs(2);

pub fn measure(subject: &Subject, watched: Duration) -> Result<Section> {
    let daemon = subject.start()?;
    thread::sleep(SETTLE);
    let mut windows = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < watched {
        let (start, before) = (Instant::now(), memory::processor(daemon.pid())?);
        thread::sleep(WINDOW);
        let took = memory::processor(daemon.pid())?.saturating_sub(before);
        windows.push(100.0 * took.as_secs_f64() / start.elapsed().as_secs_f64());
    }
    windows.sort_by(f64::total_cmp);
    let at = |share: usize| windows.get(windows.len() * share / 100).copied();
    let [quiet, median] = [0, 50].map(|share| at(share).unwrap_or(f64::NAN));
    let memory = memory::read(daemon.pid())?;
    let mut table = Table::new(["", "measured"]);
    for (what, value) in [
        ("resident memory, MiB", memory.now),
        ("its peak, at the start, MiB", memory.peak),
        ("processor time, percent of one core, median", median),
        ("processor time, percent of one core, quietest", quiet),
    ] {
        table.row([what.to_owned(), number(value)]);
    }
    Ok(Section {
        name: "rest",
        title: "At rest",
        how: format!(
            "`auditor run` with {PODS} pods, each with a mounted token volume, and {ASSOCIATIONS} associations, from files; {} s \
             after `ready` it is watched for {} s, in windows of 2 s. What this machine's other programs open, mount and start passes its \
             hooks meanwhile: on a busy machine the quietest window is nearer to rest. VmRSS, and utime + stime of \
             /proc/PID/stat, which counts in steps of 10 ms.",
            SETTLE.as_secs(),
            watched.as_secs()
        ),
        tables: vec![table],
        figures: vec![Figure::at_most(
            "resident memory at rest, 250 pods, 1,000 associations",
            memory.now,
            MEMORY_GOAL_MIB,
            "MiB",
        )],
        ..Section::default()
    })
}
