//! The proposal, in YAML that `auditor policy check` takes.

use std::fmt::Write as _;

use jiff::{ToSpan as _, tz::TimeZone};

use super::{Candidate, Program, Seen, Sighting, Standing};
use crate::{
    event::{Severity, word},
    plain::one_line,
    recorded::Skipped,
};

/// Days until a proposed exemption ends.
const EXPIRES: i64 = 90;

#[must_use]
pub fn render(seen: &Seen, skipped: &Skipped) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{text}");
    };
    line(&format!(
        "# Proposed by `auditor policy suggest` from {} events. Read it before you use it: whatever an attacker did while they were",
        seen.events
    ));
    line(
        "# recorded, or learned, is in it. Behind each entry: how often it was seen, and the id of one event.",
    );
    let unreadable: u64 = skipped.unreadable.values().sum();
    if unreadable > 0 {
        line(&format!("# {unreadable} lines could not be read."));
    }
    if skipped.folded > 0 {
        line(&format!(
            "# {} events were folded into summaries, and may have been others.",
            skipped.folded
        ));
    }
    line("version: 1");
    executables(seen, &mut line);
    node_role(seen, &mut line);
    exempt(seen, &mut line);
    out
}

fn executables(seen: &Seen, line: &mut impl FnMut(&str)) {
    if seen.executables.is_empty() {
        return;
    }
    line("");
    line(
        "# What each ServiceAccount's pods used their credentials with: others are `unexpected-executable`.",
    );
    line("executables:");
    let mut is_empty = true;
    for (account, programs) in &seen.executables {
        let is_proposed = |program: &Program| seen.standing(account, program) == Standing::Proposed;
        if programs.values().any(is_proposed) {
            is_empty = false;
            line(&format!("  - namespace: {}", quoted(&account.0)));
            line(&format!("    service_account: {}", quoted(&account.1)));
            line("    allow:");
        } else {
            line(&format!(
                "  # {}/{}:",
                comment(&account.0),
                comment(&account.1)
            ));
        }
        if seen.full.contains(account) {
            line(
                "      # It ran more programs than a node learns: these are not all, and nothing is proposed.",
            );
        }
        for (path, program) in programs {
            line(&executable(seen.standing(account, program), path, program));
        }
    }
    if is_empty {
        line("  []");
    }
}

fn executable(standing: Standing, path: &str, program: &Program) -> String {
    let (why, sighting) = match standing {
        Standing::Proposed => {
            return format!("      - {} # {}", quoted(path), told(&program.clear));
        }
        Standing::Doubtful => ("look at it first", program.doubtful.as_ref()),
        Standing::OutsideOnly => (
            "run from outside the container alone (an exec session or probe)",
            program.outside.as_ref(),
        ),
        Standing::OfTooMany => ("one of too many", None),
        Standing::ConnectedOnly => (
            "it connected to the agent and opened no token, as a list would let it",
            None,
        ),
    };
    format!(
        "      # not proposed, {why}: {} # {}",
        comment(path),
        told(sighting.unwrap_or(&program.clear))
    )
}

fn node_role(seen: &Seen, line: &mut impl FnMut(&str)) {
    if seen.node_role.is_empty() {
        return;
    }
    line("");
    line(
        "# Who reached instance metadata. Better: give it a role of its own, and set the hop limit to 1.",
    );
    line("node_role:");
    let mut is_empty = true;
    for (account, sighting) in &seen.node_role {
        let has_own = seen.has_own_role.contains(account);
        let mark = match has_own {
            true => "# not proposed, it has a role of its own: ",
            false => "",
        };
        is_empty &= has_own;
        line(&format!(
            "  {mark}- {{namespace: {}, service_account: {}, reason: \"REVIEW: seen in recorded events\"}} # {}",
            quoted(&account.0),
            quoted(&account.1),
            told(sighting)
        ));
    }
    if is_empty {
        line("  []");
    }
}

fn exempt(seen: &Seen, line: &mut impl FnMut(&str)) {
    if seen.exempt.is_empty() {
        return;
    }
    let expires = seen.last.and_then(|last| {
        let day = last.to_zoned(TimeZone::UTC).date();
        day.checked_add(EXPIRES.days()).ok()
    });
    line("");
    line(
        "# What was found, by who did it. An exempted finding stays on its line and does not count. Take out what is not meant.",
    );
    line("exempt:");
    let mut is_empty = true;
    // The gravest last, as comments.
    let mut candidates: Vec<(&Candidate, &Sighting)> = seen.exempt.iter().collect();
    candidates.sort_by_key(|(candidate, _)| candidate.severity);
    for (candidate, sighting) in candidates {
        let mark = match candidate.severity {
            Severity::Critical => "# CRITICAL, not proposed: this may be an attack. ",
            Severity::High => "# HIGH, not proposed, look at it first: ",
            _ if candidate.covers_worse() => {
                "# not proposed, it would cover what is a violation, too: "
            }
            Severity::Info | Severity::Medium => "",
        };
        let names_somebody = candidate.account.is_some() || candidate.executable.is_some();
        let mark = match (mark, names_somebody) {
            ("", false) => "# not proposed, it would name nobody: ",
            (mark, _) => mark,
        };
        is_empty &= !mark.is_empty();
        let mut matches = format!("finding: {}", word(&candidate.finding));
        if let Some((namespace, account)) = &candidate.account {
            let _ = write!(
                matches,
                ", namespace: {}, service_account: {}",
                quoted(namespace),
                quoted(account)
            );
        }
        if let Some(executable) = &candidate.executable {
            let _ = write!(matches, ", executable: {}", quoted(executable));
        }
        if let Some(relation) = candidate.relation {
            let _ = write!(matches, ", relation: {}", word(&relation));
        }
        let until = expires.map_or_else(String::new, |day| format!(", expires: {day}"));
        line(&format!(
            "  {mark}- {{match: {{{matches}}}, reason: \"REVIEW: seen in recorded events\"{until}}} # {}: {}",
            word(&candidate.severity),
            told(sighting)
        ));
    }
    if is_empty {
        line("  []");
    }
}

fn told(sighting: &Sighting) -> String {
    let seen = match (&sighting.event, sighting.count) {
        (Some(event), count) => format!("{count} times, {}", comment(event)),
        (None, _) => "in no recorded event".to_owned(),
    };
    match &sighting.learned_from {
        Some(learned) => format!("{seen}; {}", comment(learned)),
        None => seen,
    }
}

/// A scalar of YAML that stands for exactly this text (JSON's strings are YAML's double-quoted ones).
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    let begins_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    if begins_plain && text.chars().all(is_plain) && !is_word {
        return text.to_owned();
    }
    crate::plain::json(&serde_json::Value::from(text).to_string())
}

/// On one line, whatever it holds.
fn comment(text: &str) -> String {
    one_line(text)
}
