//! Whether a run's lines and its `stopped` tell the same, exactly: what the kernel matched is written, folded, counted, lost or
//! queued, and what was lost was announced.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Totals;

/// Lines that stand for a use of a credential; the others are the auditor's words about itself.
const EVENTS: [&str; 8] = [
    "token_open",
    "token_received",
    "credential_connect",
    "connection_closed",
    "agent_accept",
    "listen",
    "memory_access",
    "socket_create",
];

/// What [`stopped`](Account::take) is held against.
#[derive(Debug, Default)]
pub struct Account {
    /// Lines that stand for events.
    events: u64,
    /// Events that `loss` lines told of, the sink's not among them.
    lost_events: u64,
    /// Lines that the sink lost: of events, and its own words.
    lost_lines: u64,
}

impl Account {
    /// Takes the next line of a run; an error where it is `stopped` and does not add up.
    pub fn take(&mut self, line: &Value) -> Result<()> {
        match line["event"].as_str().unwrap_or_default() {
            "stopped" => self.settle(line),
            "loss" => self.note_loss(line),
            event => {
                self.events += u64::from(EVENTS.contains(&event));
                Ok(())
            }
        }
    }

    fn note_loss(&mut self, loss: &Value) -> Result<()> {
        let count = count(loss, "count")?;
        ensure!(count > 0, "a loss of nothing: {loss}");
        let time = |name: &str| -> Result<jiff::Timestamp> {
            let text = loss[name].as_str().with_context(|| format!("no {name}"))?;
            text.parse().with_context(|| format!("{name}: {text}"))
        };
        ensure!(time("from")? <= time("to")?, "it ends before it begins");
        match (loss["reason"].as_str(), loss["ring"].as_str()) {
            (Some("sink"), None) => self.lost_lines += count,
            // What these hold are no events.
            (Some("ring-full"), Some("lifecycle" | "exec-sessions")) => {}
            (Some("ring-full"), Some("events" | "denied" | "strangers"))
            | (Some("decode" | "queue-full"), None) => self.lost_events += count,
            _ => anyhow::bail!("a loss of an unknown kind: {loss}"),
        }
        Ok(())
    }

    fn settle(&self, stopped: &Value) -> Result<()> {
        let totals = Totals::of(stopped)?;
        let unaccounted = totals.unaccounted();
        ensure!(
            unaccounted == 0,
            "the totals do not add up, {unaccounted} are unaccounted for: {stopped}"
        );
        let Totals { lines, lost, .. } = totals;
        ensure!(
            lines == self.events,
            "{} lines were read of events, and `stopped` says {lines}: {stopped}",
            self.events
        );
        // Of the sink's losses it is not told which were events.
        let may_be = self.lost_events..=self.lost_events + self.lost_lines;
        ensure!(
            may_be.contains(&lost),
            "{may_be:?} were announced as lost, and `stopped` says {lost}: {stopped}"
        );
        Ok(())
    }
}

fn count(line: &Value, name: &str) -> Result<u64> {
    line[name]
        .as_u64()
        .with_context(|| format!("no count {name}: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn loss(reason: &str, ring: Option<&str>, count: u64) -> Value {
        let (from, to) = ("2026-11-22T12:00:00Z", "2026-11-22T12:00:01Z");
        json!({"event": "loss", "reason": reason, "ring": ring, "count": count, "from": from, "to": to})
    }

    fn stopped(matched: u64, lines: u64, lost: u64) -> Value {
        json!({
            "event": "stopped", "matched": matched, "lines": lines, "lost": lost,
            "counted_only": 5, "folded": 1, "merged": 0, "queued": 0, "missed_runs": 0,
        })
    }

    fn after(lines: &[Value], stopped: &Value) -> Result<()> {
        let mut account = Account::default();
        lines.iter().try_for_each(|line| account.take(line))?;
        account.take(stopped)
    }

    #[test]
    fn what_does_not_add_up_is_an_error() {
        let open = json!({"event": "token_open"});
        let health = json!({"event": "health"});
        let lines = [open.clone(), health, open];
        after(&lines, &stopped(8, 2, 0)).unwrap();
        assert!(after(&lines, &stopped(9, 2, 0)).is_err(), "one is nowhere");
        assert!(after(&lines, &stopped(9, 3, 0)).is_err(), "not written");
        assert!(after(&lines, &stopped(9, 2, 1)).is_err(), "not announced");
    }

    #[test]
    fn every_loss_is_announced_and_no_more_than_that() {
        let ring = [loss("ring-full", Some("events"), 4)];
        after(&ring, &stopped(10, 0, 4)).unwrap();
        assert!(after(&ring, &stopped(9, 0, 3)).is_err());
        let others = [loss("ring-full", Some("lifecycle"), 4)];
        after(&others, &stopped(6, 0, 0)).unwrap();
        let sink = [loss("sink", None, 4)];
        after(&sink, &stopped(9, 0, 3)).unwrap();
        assert!(after(&sink, &stopped(11, 0, 5)).is_err());
        assert!(after(&[loss("other", None, 1)], &stopped(7, 0, 1)).is_err());
        assert!(after(&[loss("decode", None, 0)], &stopped(6, 0, 0)).is_err());
    }
}
