//! What the labs of this program started, so that one that stands beside others can tell its auditor's lines from those that
//! the others caused: an auditor is told of the whole kernel.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

/// To the directory of the lab. What has ended stays: its lines may still be to come.
static STARTED: Mutex<BTreeMap<Thing, PathBuf>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// A process id, as the host sees it; of those that others descend from.
    Process(u64),
    /// Inode of the node's network namespace.
    Network(u64),
}

/// `lab`: its directory.
pub(super) fn note_process(pid: u32, lab: &Path) {
    note(Thing::Process(pid.into()), lab);
}

/// `namespace`: the file that it is mounted on.
pub(super) fn note_network(namespace: &Path, lab: &Path) -> io::Result<()> {
    note(Thing::Network(fs::metadata(namespace)?.ino()), lab);
    Ok(())
}

fn note(thing: Thing, lab: &Path) {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    // Numbers are given anew: the last one to have it counts.
    started.insert(thing, lab.to_owned());
}

/// Whether the line's process is, or descends of, one that another lab than `lab` started, or the line is of what happened on
/// another one's network. A line that tells of neither is nobody else's.
pub(super) fn is_of_another(line: &Value, lab: &Path) -> bool {
    let process = &line["process"];
    let parents = process["parents"].as_array().into_iter().flatten();
    let processes = std::iter::once(process)
        .chain(parents)
        .filter_map(|process| process["pid"].as_u64().map(Thing::Process));
    let network = line["net_ns"].as_u64().map(Thing::Network);
    let started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    processes
        .chain(network)
        .any(|thing| started.get(&thing).is_some_and(|other| other != lab))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_anothers_by_a_process_a_parent_or_the_network_and_by_nothing_else() {
        let (ours, theirs) = (Path::new("/lab/ours"), Path::new("/lab/theirs"));
        // Larger than any that the kernel gives.
        let pid = |number: u32| u32::MAX - number;
        note_process(pid(0), ours);
        note_process(pid(1), theirs);
        note(Thing::Network(u64::MAX), theirs);
        for (line, expected) in [
            (json!({"process": {"pid": pid(1)}}), true),
            (
                json!({"process": {"pid": 7, "parents": [{"pid": 8}, {"pid": pid(1)}]}}),
                true,
            ),
            (json!({"net_ns": u64::MAX}), true),
            (
                json!({"process": {"pid": pid(0), "parents": [{"pid": 8}]}}),
                false,
            ),
            (
                json!({"process": {"pid": 7, "parents": []}, "net_ns": 8}),
                false,
            ),
            (json!({"process": null, "event": "loss"}), false),
        ] {
            assert_eq!(is_of_another(&line, ours), expected, "{line}");
        }
        assert!(is_of_another(&json!({"process": {"pid": pid(0)}}), theirs));
    }
}
