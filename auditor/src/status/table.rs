//! A status for people.

use std::fmt::Write as _;

use super::report::{Learning, SourceState, Status, Talker};
use crate::{
    plain::one_line,
    text::{count, duration},
};

const VERDICTS: [&str; 5] = ["allowed", "suspicious", "undetermined", "violation", "-"];

/// `painted`: for a terminal.
pub fn render(status: &Status, painted: bool) -> String {
    let mut page = Page {
        text: String::new(),
        painted,
    };
    head(&mut page, status);
    hooks(&mut page, status);
    sources(&mut page, status);
    learning(&mut page, &status.learning);
    events(&mut page, status);
    talkers(&mut page, "most events", &status.talkers.by_events);
    talkers(&mut page, "most folded", &status.talkers.by_folded);
    page.text
}

struct Page {
    text: String,
    painted: bool,
}

impl Page {
    /// Everything goes through it: what comes from outside is harmless behind it.
    fn line(&mut self, line: &str) {
        self.text.push_str(one_line(line).trim_end());
        self.text.push('\n');
    }

    fn coloured(&mut self, code: &str, line: &str) {
        if self.painted {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "\x1b[{code}m{}\x1b[0m", one_line(line));
        } else {
            self.line(line);
        }
    }

    fn title(&mut self, title: &str) {
        self.text.push('\n');
        self.coloured("1", title);
    }
}

fn head(page: &mut Page, status: &Status) {
    let cluster = status.cluster.as_deref().unwrap_or("no cluster's name");
    page.line(&format!(
        "auditor {} on {} ({cluster}), Linux {}",
        status.version, status.node, status.kernel
    ));
    page.line(&format!(
        "pid {}, up {}, run {}",
        status.pid,
        duration(status.uptime_seconds.saturating_mul(1_000_000)),
        status.run_id
    ));
    page.line(&format!(
        "state in {}, metrics at {}",
        status.state_dir, status.metrics
    ));
    match &status.not_ready {
        None => page.coloured("32", "ready"),
        Some(why) => page.coloured("1;31", &format!("NOT READY: {why}")),
    }
}

fn hooks(page: &mut Page, status: &Status) {
    let seen = status.coverage.values().filter(|seen| **seen).count();
    page.title(&format!(
        "HOOKS ({seen} of {} techniques of the evasion corpus are seen; --output json names them)",
        status.coverage.len()
    ));
    let width = status
        .hooks
        .keys()
        .map(|hook| hook.chars().count())
        .max()
        .unwrap_or_default();
    for (name, hook) in &status.hooks {
        let misses = match hook.misses.as_slice() {
            [] => String::new(),
            misses => format!("misses {}", misses.join(", ")),
        };
        let line = format!(
            "{name:width$}  {:10}  {:11}  {misses}",
            hook.backend, hook.state
        );
        match hook.state.as_str() {
            "failing" => page.coloured("1;31", &line),
            "unavailable" => page.coloured("33", &line),
            _ => page.line(&line),
        }
    }
}

fn sources(page: &mut Page, status: &Status) {
    page.title("SOURCES");
    let all = [
        ("cluster", "pods", &status.sources.cluster),
        ("associations", "associations", &status.sources.associations),
        ("policy", "", &status.sources.policy),
    ];
    for (name, what, source) in all {
        let SourceState {
            source,
            count: number,
            age_seconds,
            hash,
            trouble,
        } = source;
        let mut parts = vec![source.clone()];
        if let Some(number) = number {
            parts.push(format!("{} {what}", count(*number)));
        }
        if let Some(age) = age_seconds {
            parts.push(format!("{} old", duration(age.saturating_mul(1_000_000))));
        }
        if let Some(hash) = hash {
            parts.push(format!("hash {hash}"));
        }
        page.line(&format!("{name:12}  {}", parts.join(", ")));
        if let Some(trouble) = trouble {
            page.coloured("33", &format!("{:12}  {trouble}", ""));
        }
    }
}

/// Nothing is said where nothing is learned.
fn learning(page: &mut Page, learning: &Learning) {
    let Learning {
        service_accounts,
        full,
    } = learning;
    if *service_accounts > 0 {
        page.line(&format!(
            "{:12}  programs of {} ServiceAccounts",
            "learned",
            count(*service_accounts)
        ));
    }
    for account in full {
        page.coloured(
            "33",
            &format!(
                "{:12}  {account} ran more programs than are learned; list them in the policy's `executables`",
                ""
            ),
        );
    }
}

fn events(page: &mut Page, status: &Status) {
    let totals = &status.totals;
    page.title("EVENTS");
    page.line(&format!(
        "{} matched = {} lines + {} counted only + {} merged + {} folded + {} lost + {} on the way",
        count(totals.matched),
        count(totals.lines),
        count(totals.counted_only),
        count(totals.merged),
        count(totals.folded),
        count(totals.lost),
        count(totals.on_the_way),
    ));
    for loss in &status.lost {
        let ring = loss
            .ring
            .as_deref()
            .map_or_else(String::new, |ring| format!(" in the ring {ring}"));
        page.coloured(
            "1;31",
            &format!("LOST {} by {}{ring}", count(loss.count), loss.reason),
        );
    }
    let sink = &status.sink;
    page.line(&format!(
        "{} lines written to {}, {} lost there, {} of {} places in its queue taken",
        count(sink.written),
        sink.name,
        count(sink.lost),
        count(sink.waiting),
        count(sink.capacity)
    ));
    if let Some(why) = &sink.failing {
        page.coloured("1;31", why);
    }
    page.line("");
    page.line(&format!(
        "{:18}{}",
        "",
        VERDICTS.map(|verdict| format!("{verdict:>14}")).concat()
    ));
    for (event, by_verdict) in &status.lines {
        let cell = |verdict| {
            by_verdict
                .get(verdict)
                .map_or_else(String::new, |number| count(*number))
        };
        let cells = VERDICTS.map(|verdict| format!("{:>14}", cell(verdict)));
        page.line(&format!("{event:18}{}", cells.concat()));
    }
}

fn talkers(page: &mut Page, what: &str, talkers: &[Talker]) {
    if talkers.is_empty() {
        return;
    }
    page.title(&format!("PODS WITH THE {}", what.to_uppercase()));
    page.line(&format!(
        "{:>12}{:>12}{:>12}  pod (ServiceAccount)",
        "events", "violations", "folded"
    ));
    for talker in talkers {
        let who = match (&talker.pod, &talker.service_account) {
            (Some(pod), Some(account)) => format!("{pod} ({account})"),
            (Some(pod), None) => pod.clone(),
            (None, _) => "outside of pods, or not known".to_owned(),
        };
        page.line(&format!(
            "{:>12}{:>12}{:>12}  {who}",
            count(talker.events),
            count(talker.violations),
            count(talker.folded)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_more_than_is_learned_is_named() {
        let mut page = Page {
            text: String::new(),
            painted: false,
        };
        learning(&mut page, &Learning::default());
        assert_eq!(page.text, "");
        let full = vec!["shop/web".to_owned()];
        learning(
            &mut page,
            &Learning {
                service_accounts: 12,
                full,
            },
        );
        let lines: Vec<&str> = page.text.lines().collect();
        assert!(
            lines[0].ends_with("programs of 12 ServiceAccounts"),
            "{lines:?}"
        );
        assert!(lines[1].contains("shop/web ran more programs"), "{lines:?}");
    }
}
