//! The totals of a run, from its `stopped` line.

use anyhow::{Context, Result};
use serde::Serialize;

use super::stream::Seen;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub matched: u64,
    pub lines: u64,
    pub counted_only: u64,
    pub folded: u64,
    pub merged: u64,
    pub lost: u64,
    pub queued: u64,
}

impl Totals {
    /// # Errors
    /// Where there is no `stopped` line, or it lacks a total.
    pub fn of(seen: &Seen) -> Result<Self> {
        let stopped = seen.of("stopped").next().context("no `stopped` line")?;
        let total = |name: &str| {
            let total = stopped.line[name].as_u64();
            total.with_context(|| format!("stopped has no {name}"))
        };
        Ok(Self {
            matched: total("matched")?,
            lines: total("lines")?,
            counted_only: total("counted_only")?,
            folded: total("folded")?,
            merged: total("merged")?,
            lost: total("lost")?,
            queued: total("queued")?,
        })
    }

    /// matched - (lines + folded + counted only + merged + lost + queued); 0 where nothing is unaccounted for.
    pub fn unaccounted(&self) -> i64 {
        let sum =
            self.lines + self.counted_only + self.folded + self.merged + self.lost + self.queued;
        self.matched as i64 - sum as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_too_much_shows() {
        let stopped = |matched: u64| {
            let mut seen = Seen::default();
            let line = format!(
                r#"{{"event":"stopped","matched":{matched},"lines":3,"counted_only":1,"folded":10,"merged":2,"lost":4,"queued":0}}"#
            );
            seen.take(line.as_bytes(), 0);
            Totals::of(&seen).unwrap().unaccounted()
        };
        assert_eq!((stopped(20), stopped(21), stopped(18)), (0, 1, -2));
        assert!(Totals::of(&Seen::default()).is_err());
    }
}
