//! The totals of a run, from its `stopped` line.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub matched: u64,
    pub lines: u64,
    pub counted_only: u64,
    pub folded: u64,
    pub merged: u64,
    pub lost: u64,
    pub queued: u64,
    /// In none of the others.
    pub missed_runs: u64,
}

impl Totals {
    /// # Errors
    /// Where a total is missing.
    pub fn of(stopped: &Value) -> Result<Self> {
        let total = |name: &str| {
            let total = stopped[name].as_u64();
            total.with_context(|| format!("stopped has no {name}: {stopped}"))
        };
        Ok(Self {
            matched: total("matched")?,
            lines: total("lines")?,
            counted_only: total("counted_only")?,
            folded: total("folded")?,
            merged: total("merged")?,
            lost: total("lost")?,
            queued: total("queued")?,
            missed_runs: total("missed_runs")?,
        })
    }

    /// matched - (lines + folded + counted only + merged + lost + queued); 0 where nothing is unaccounted for.
    pub fn unaccounted(&self) -> i64 {
        let Self {
            matched,
            lines,
            counted_only,
            folded,
            merged,
            lost,
            queued,
            missed_runs: _,
        } = *self;
        let sum = lines + counted_only + folded + merged + lost + queued;
        matched as i64 - sum as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_and_what_is_too_much_shows() {
        let unaccounted = |matched: u64| {
            let line = json!({
                "event": "stopped", "matched": matched, "lines": 3, "counted_only": 1, "folded": 10, "merged": 2,
                "lost": 4, "queued": 5, "missed_runs": 6,
            });
            Totals::of(&line).unwrap().unaccounted()
        };
        let found = (unaccounted(25), unaccounted(26), unaccounted(23));
        assert_eq!(found, (0, 1, -2));
        assert!(Totals::of(&json!({"event": "stopped"})).is_err());
    }
}
