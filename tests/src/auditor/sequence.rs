//! `seq` of one run: no number is left out but those that a line says the sink lost.

use serde_json::Value;

#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence {
    next: u64,
}

impl Sequence {
    /// The number that is due after `explained` that a line tells of; the line's own comes after it, whatever it is.
    pub fn take(&mut self, seq: u64, explained: u64) -> u64 {
        let due = self.next + explained;
        self.next = seq + 1;
        due
    }
}

/// Numbers that this line says are missing before it.
pub fn explained_hole(line: &Value) -> u64 {
    let is_sinks = line["event"] == "loss" && line["reason"] == "sink";
    line["count"]
        .as_u64()
        .filter(|_| is_sinks)
        .unwrap_or_default()
}
