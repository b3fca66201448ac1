//! What the auditor says about itself, and postures, which are no event.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    EVENT, Times, WHAT, WHO, doing,
    field::{at, is_true, number, text},
    pod,
    row::{Paint, Row},
    words::{count, duration},
};

pub(super) fn posture(row: &mut Row, event: &Value) {
    let state = text(event, "/state").unwrap_or("?");
    let paint = match state {
        "cleared" => Paint::Good,
        _ => Paint::Medium,
    };
    head(
        row,
        paint,
        state,
        "finding",
        &pod(event, "/subject").unwrap_or_else(|| "?".to_owned()),
    );
    doing::findings(row, event);
    let messages = at(event, "/findings").and_then(Value::as_array);
    for finding in messages.into_iter().flatten() {
        row.word(Paint::Plain, text(finding, "/message").unwrap_or_default());
    }
}

/// What flood control folded.
pub(super) fn summary(row: &mut Row, event: &Value) {
    let is_strangers = is_true(event, "/stranger");
    let paint = if is_strangers {
        Paint::Medium
    } else {
        Paint::Dim
    };
    let who = pod(event, "/pod").unwrap_or_else(|| match number(event, "/cgroup_id") {
        Some(cgroup) => format!("cgroup {cgroup}"),
        None => "unknown".to_owned(),
    });
    head(row, paint, "folded", "summary", &who);
    let of = text(event, "/of").unwrap_or("event");
    row.push(
        Paint::Plain,
        &format!("{} more {of}", shown(event, "/count")),
    );
    if let Some(owner) = pod(event, "/token/owner") {
        let whose = match text(event, "/relation") {
            Some("own") => "own token".to_owned(),
            _ => format!("{owner}'s token"),
        };
        row.word(Paint::Plain, &format!("of {whose}"));
    }
    if let Some(endpoint) = text(event, "/endpoint") {
        row.word(Paint::Plain, &format!("to {endpoint}"));
    }
    if is_strangers {
        row.word(paint, "by a stranger");
    }
    row.word(
        Paint::Dim,
        &format!(
            "{}, {} in all",
            span(event, "/first", "/last"),
            shown(event, "/total")
        ),
    );
    if let Some(exe) = text(event, "/exe_inode") {
        row.word(Paint::Dim, &format!("by executable {exe}"));
    }
}

pub(super) fn loss(row: &mut Row, event: &Value) {
    let reason = text(event, "/reason").unwrap_or("?");
    head(row, Paint::Bad, "LOST", "loss", reason);
    let lost = match reason {
        "sink" => "lines",
        _ => "events",
    };
    row.push(Paint::Bad, &format!("{} {lost}", shown(event, "/count")));
    if let Some(ring) = text(event, "/ring") {
        row.word(Paint::Plain, &format!("in the ring {ring}"));
    }
    row.word(Paint::Dim, &span(event, "/from", "/to"));
}

pub(super) fn health(row: &mut Row, event: &Value) {
    let state = text(event, "/state").unwrap_or("?");
    let paint = match state {
        "ok" => Paint::Good,
        "restart-gap" => Paint::Bad,
        _ => Paint::Medium,
    };
    head(
        row,
        paint,
        state,
        "health",
        text(event, "/component").unwrap_or("?"),
    );
    row.push(Paint::Plain, text(event, "/message").unwrap_or_default());
}

pub(super) fn ready(row: &mut Row, event: &Value) {
    let version = format!("auditor {}", text(event, "/version").unwrap_or("?"));
    head(row, Paint::Good, "ready", "ready", &version);
    let mut parts = vec![format!("Linux {}", text(event, "/kernel").unwrap_or("?"))];
    if let Some(coverage) = at(event, "/coverage").and_then(Value::as_object) {
        let seen = coverage.values().filter(|seen| **seen == Value::Bool(true));
        parts.push(format!(
            "{} of {} techniques seen",
            seen.count(),
            coverage.len()
        ));
    }
    for (pointer, what) in [("/pods", "pod"), ("/associations", "association")] {
        if let Some(number) = number(event, pointer) {
            let plural = if number == 1 { "" } else { "s" };
            parts.push(format!("{} {what}{plural}", count(number)));
        }
    }
    row.push(Paint::Plain, &parts.join(", "));
    for (backend, hooks) in by_backend(event) {
        let paint = match backend {
            "none" => Paint::Medium,
            _ => Paint::Dim,
        };
        row.word(paint, &format!("{backend}: {};", hooks.join(" ")));
    }
    if let Some(state) = text(event, "/state") {
        row.word(Paint::Dim, &format!("state in {state}"));
    }
}

pub(super) fn stopped(row: &mut Row, event: &Value) {
    head(
        row,
        Paint::Plain,
        "stopped",
        "stopped",
        text(event, "/reason").unwrap_or("?"),
    );
    row.push(
        Paint::Plain,
        &format!(
            "{} matched = {} lines",
            shown(event, "/matched"),
            shown(event, "/lines")
        ),
    );
    for (pointer, what) in [
        ("/counted_only", "counted only"),
        ("/merged", "merged"),
        ("/folded", "folded"),
        ("/queued", "queued"),
        ("/lost", "LOST"),
    ] {
        if let Some(number) = number(event, pointer).filter(|number| *number > 0) {
            let paint = if what == "LOST" {
                Paint::Bad
            } else {
                Paint::Plain
            };
            row.word(paint, &format!("+ {} {what}", count(number)));
        }
    }
    if let Some(missed) = number(event, "/missed_runs").filter(|missed| *missed > 0) {
        row.word(Paint::Bad, &format!("{} RUNS MISSED", count(missed)));
    }
    if let Some(seconds) = number(event, "/uptime_seconds") {
        let uptime = duration(seconds.saturating_mul(1_000_000));
        row.word(Paint::Dim, &format!("in {uptime}"));
    }
}

fn head(row: &mut Row, paint: Paint, verdict: &str, name: &str, who: &str) {
    row.push(paint, verdict);
    row.column(EVENT);
    row.push(Paint::Plain, name);
    row.column(WHO);
    row.push(Paint::Name, who);
    row.column(WHAT);
}

/// A number that must be there.
fn shown(event: &Value, pointer: &str) -> String {
    number(event, pointer).map_or_else(|| "?".to_owned(), count)
}

/// `12:00:00.000 to 12:00:01.000`
fn span(event: &Value, from: &str, to: &str) -> String {
    let of_day = |pointer| Times::OfDay.show(text(event, pointer));
    format!("{} to {}", of_day(from), of_day(to))
}

/// The hooks that each backend watches.
fn by_backend(event: &Value) -> BTreeMap<&str, Vec<&str>> {
    let mut hooks = BTreeMap::<_, Vec<_>>::new();
    let backends = at(event, "/backends").and_then(Value::as_object);
    for (hook, status) in backends.into_iter().flatten() {
        let backend = text(status, "/backend").unwrap_or("?");
        hooks.entry(backend).or_default().push(hook.as_str());
    }
    hooks
}
