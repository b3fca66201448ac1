//! The difference for people.

use std::{collections::BTreeMap, fmt::Write as _};

use super::difference::{Count, Difference, Judged, KEPT, label};
use crate::{event::word, plain::one_line};

/// Changed events that are shown one by one.
const SHOWN: usize = 1000;

pub(super) fn render(difference: &Difference) -> String {
    let mut out = String::new();
    let policy = match &difference.policy_hash {
        Some(hash) => format!("policy {hash}"),
        None => "the built-in rules".to_owned(),
    };
    let events = difference.events;
    line(
        &mut out,
        &format!(
            "{events} events judged again under {policy}: {} changed",
            difference.changed
        ),
    );
    table(&mut out, "verdict", &difference.verdicts);
    table(&mut out, "finding", &difference.findings);
    notes(
        &mut out,
        "not judged again, the line lacks",
        &difference.not_judged_again,
    );
    notes(&mut out, "kept as recorded", &difference.kept_as_recorded);
    notes(
        &mut out,
        "left open: gone for want of what no line tells",
        &difference.left_open,
    );
    notes(
        &mut out,
        "lines that could not be read",
        &difference.unreadable,
    );
    if difference.folded > 0 {
        line(
            &mut out,
            &format!(
                "\n{} events were folded into summaries, and are in no count",
                difference.folded
            ),
        );
    }
    if !difference.changes.is_empty() {
        line(&mut out, "\nchanged");
    }
    for change in difference.changes.iter().take(SHOWN) {
        let who = change.pod.as_deref().unwrap_or("outside every pod");
        let exe = change.executable.as_deref().unwrap_or("");
        line(
            &mut out,
            &format!(
                "{}  {}  {}  {who} {exe}  {}",
                change.time,
                change.id,
                change.event,
                verdicts(&change.before, &change.after)
            ),
        );
        for (sign, here, there) in [
            ('-', &change.before, &change.after),
            ('+', &change.after, &change.before),
        ] {
            let others: Vec<String> = there.findings.iter().map(described).collect();
            for finding in here.findings.iter().map(described) {
                if !others.contains(&finding) {
                    line(&mut out, &format!("    {sign} {finding}"));
                }
            }
            for lacking in &here.undetermined {
                if !there.undetermined.contains(lacking) {
                    line(&mut out, &format!("    {sign} lacks {lacking}"));
                }
            }
        }
    }
    if let Some(more) = difference.changed.checked_sub(SHOWN as u64)
        && more > 0
    {
        line(
            &mut out,
            &format!("… and {more} more: --output json has the first {KEPT}"),
        );
    }
    out
}

fn line(out: &mut String, text: &str) {
    // The line breaks are ours alone.
    let (breaks, text) = match text.strip_prefix('\n') {
        Some(text) => ("\n", text),
        None => ("", text),
    };
    let _ = writeln!(out, "{breaks}{}", one_line(text).trim_end());
}

fn table(out: &mut String, title: &str, counts: &BTreeMap<String, Count>) {
    if counts.is_empty() {
        return;
    }
    let width = counts
        .keys()
        .map(|key| key.len())
        .max()
        .unwrap_or_default()
        .max(title.len());
    line(
        out,
        &format!("\n{title:width$}  {:>8}  {:>8}", "before", "after"),
    );
    for (key, Count { before, after }) in counts {
        let mark = if before == after { "" } else { "  *" };
        line(out, &format!("{key:width$}  {before:>8}  {after:>8}{mark}"));
    }
}

fn notes(out: &mut String, title: &str, counts: &BTreeMap<String, u64>) {
    if counts.is_empty() {
        return;
    }
    line(out, &format!("\n{title}"));
    for (what, count) in counts {
        line(out, &format!("{count:>8}  {what}"));
    }
}

fn verdicts(before: &Judged, after: &Judged) -> String {
    match (before.verdict, after.verdict) {
        (Some(before), Some(after)) if before != after => {
            format!("{} -> {}", word(&before), word(&after))
        }
        (Some(same), _) => format!("still {}", word(&same)),
        (None, _) => String::new(),
    }
}

fn described(finding: &crate::event::Finding) -> String {
    match &finding.exempted_by {
        Some(reason) => format!("{} (\"{reason}\")", label(finding)),
        None => label(finding),
    }
}
