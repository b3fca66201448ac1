//! An auditor that has nothing to do: memory and processor time on a node of 250 pods.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    ASSOCIATIONS, PODS, Subject, memory,
    section::{Figure, Section, Table, number},
};

const MEMORY_GOAL_MIB: f64 = 25.0;
/// After `ready`, until loading is over and the allocator has given back what it does not need.
const SETTLE: Duration = Duration::from_secs(5);

pub fn measure(subject: &Subject, watched: Duration) -> Result<Section> {
    let daemon = subject.start()?;
    thread::sleep(SETTLE);
    let before = memory::processor(daemon.pid())?;
    thread::sleep(watched);
    let took = memory::processor(daemon.pid())?.saturating_sub(before);
    let memory = memory::read(daemon.pid())?;
    let percent = 100.0 * took.as_secs_f64() / watched.as_secs_f64();
    let mut table = Table::new(["", "measured"]);
    for (what, value) in [
        ("resident memory, MiB", memory.now),
        ("its peak, at the start, MiB", memory.peak),
        ("processor time, percent of one core", percent),
    ] {
        table.row([what.to_owned(), number(value)]);
    }
    Ok(Section {
        name: "rest",
        title: "At rest",
        how: format!(
            "`auditor run` with {PODS} pods, each with a mounted token volume, and {ASSOCIATIONS} associations, from files; {} s \
             after `ready` it is watched for {} s. Opens of this machine's other programs pass its hooks meanwhile. VmRSS, and \
             utime + stime of /proc/PID/stat, which counts in steps of 10 ms.",
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
