//! Whether a soak went as it must: each check is a row, `ok` or `FAIL`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Report, late,
    load::{BRIEF, Cast, Done},
};
use crate::{measure::stream::Seen, play::Score};

/// MiB a minute that a long run's last half may seem to grow by: a megabyte in a quarter of an hour is the allocator's noise.
const GROWTH: f64 = 1.0 / 15.0;
/// The same where the last half is younger than what is kept of gone pods (15 minutes): that legitimately still fills up.
const GROWTH_WHILE_FILLING: f64 = 1.0;
const FILLED_AFTER_MINUTES: f64 = 15.0;
/// Files that are read just now.
const DESCRIPTORS: u64 = 8;
const THREADS: u64 = 4;

/// How many of each finding the lines have.
pub fn findings(seen: &Seen) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for whole in &seen.whole {
        for one in whole.line["findings"].as_array().into_iter().flatten() {
            let id = one["id"].as_str().unwrap_or("?").to_owned();
            *found.entry(id).or_default() += 1;
        }
    }
    found
}

/// What flood control folded of such events; none: of events that it cannot name any more.
fn folded(seen: &Seen, of: Option<&str>) -> u64 {
    let summaries = seen
        .of("summary")
        .filter(|whole| whole.line["of"].as_str() == of);
    summaries
        .filter_map(|whole| whole.line["count"].as_u64())
        .sum()
}

/// Of which ServiceAccount's pods how many own opens are neither lines nor folded; less than 0 where there are more than were made.
fn short_of(done: &Done, seen: &Seen, doubted: &[&Value]) -> BTreeMap<String, i64> {
    let mut short: BTreeMap<String, i64> = done
        .opens_by
        .iter()
        .map(|(of, count)| (of.clone(), *count as i64))
        .collect();
    let mut told = |of: &str, count: u64| *short.entry(of.to_owned()).or_default() -= count as i64;
    for (of, count) in &seen.allowed_by {
        told(of, *count);
    }
    let of = |line: &Value| {
        let of = line["pod"]["service_account"].as_str();
        of.unwrap_or("nobody known").to_owned()
    };
    for line in doubted {
        told(&of(line), 1);
    }
    for whole in seen.of("summary") {
        if whole.line["of"] == "token_open" {
            told(
                &of(&whole.line),
                whole.line["count"].as_u64().unwrap_or_default(),
            );
        }
    }
    short.retain(|_, count| *count != 0);
    short
}

/// Prints the rows.
pub fn judge(report: &Report, seen: &Seen, cast: &Cast) -> Score {
    let mut score = Score::default();
    let mut check = |name: &str, is_so: bool, detail: String| {
        let (mark, count) = match is_so {
            true => ("ok  ", &mut score.passed),
            false => ("FAIL", &mut score.failed),
        };
        *count += 1;
        println!("{mark} {name:<22} {detail}");
    };
    let done = &report.done;

    let stolen = seen.of("token_open").filter(|whole| {
        whole.line["pod"]["uid"] == cast.thief.spec.uid && whole.line["verdict"] == "violation"
    });
    let stolen = stolen.count() as u64;
    let detail = format!("{} thefts, {stolen} lines of them", done.thefts);
    check("thefts", stolen == done.thefts, detail);

    let others: Vec<String> = findings(seen)
        .iter()
        .filter(|(id, _)| !["foreign-token-open", "token-harvest"].contains(&id.as_str()))
        .map(|(id, count)| format!("{count} {id}"))
        .collect();
    let detail = match others.is_empty() {
        true => format!("{} findings, all of the thefts", report.findings),
        false => format!("besides the thefts' there are {}", others.join(", ")),
    };
    check("findings", others.is_empty(), detail);

    let opens_folded = folded(seen, Some("token_open"));
    // What is not known yet of a pod, or of who else is in its mount namespace, is a line all the same. Nobody opens another's token
    // but the thief.
    let is_doubted = |line: &Value| {
        line["event"] == "token_open"
            && line["verdict"] != "allowed"
            && line["pod"]["uid"] != cast.thief.spec.uid
    };
    let doubted: Vec<&Value> = seen
        .whole
        .iter()
        .map(|whole| &whole.line)
        .filter(|line| is_doubted(line))
        .collect();
    let doubts: BTreeSet<String> = doubted
        .iter()
        .map(|line| {
            let (relation, verdict) = (&line["relation"], &line["verdict"]);
            format!("{relation} {verdict} {}", line["undetermined"])
        })
        .collect();
    let told = seen.allowed_opens + doubted.len() as u64 + opens_folded;
    let opens_lost = done.opens.checked_sub(told);
    let detail = format!(
        "{} own opens: {} lines, {} more that are not allowed {doubts:?}, {opens_folded} folded",
        done.opens,
        seen.allowed_opens,
        doubted.len()
    );
    // A short-lived pod may be in the cluster's file no more when its open is judged, and never have been when the file was read. Each such
    // line has its place in the account of those pods, and in no other's.
    let named = short_of(done, seen, &[]);
    let of_brief = named.get(BRIEF).copied().unwrap_or_default();
    let only_brief = doubted.len() as i64 <= of_brief
        && doubted
            .iter()
            .all(|line| line["undetermined"] == json!(["pod"]));
    check("own opens", opens_lost.is_some() && only_brief, detail);

    let connects = seen
        .by_event
        .get("credential_connect")
        .copied()
        .unwrap_or_default();
    let connects_folded = folded(seen, Some("credential_connect"));
    let connects_lost = done.connects.checked_sub(connects + connects_folded);
    let detail = format!(
        "{} connects, {connects} lines of them, {connects_folded} folded",
        done.connects
    );
    check("connects", connects_lost.is_some(), detail);

    // One account for all that was done: what was lost of the one cannot stand for what is missing of the other.
    let missing = opens_lost.unwrap_or_default() + connects_lost.unwrap_or_default();
    let (lost, unnamed) = (report.totals.lost, folded(seen, None));
    let missed = report.totals.missed_runs;
    let whose = match opens_lost {
        None | Some(0) => String::new(),
        Some(_) => format!(" (by ServiceAccount: {:?})", short_of(done, seen, &doubted)),
    };
    let detail = format!(
        "{missing} opens and connects neither told of nor folded{whose}; {lost} lost of all events, {unnamed} folded without a name, {missed} \
         runs of probes left out by the kernel, which was told"
    );
    check("lost", missing <= lost + unnamed + missed, detail);

    let detail = format!(
        "matched {} = accounted for, off by {}",
        report.totals.matched, report.unaccounted
    );
    check("accounting", report.unaccounted == 0, detail);

    let detail = format!("{} numbers that no line explains", report.holes);
    check("seq", report.holes == 0, detail);

    let bound = match report.minutes / 2.0 >= FILLED_AFTER_MINUTES {
        true => GROWTH,
        false => GROWTH_WHILE_FILLING,
    };
    let at = |first: bool| {
        let sample = if first {
            report.samples.first()
        } else {
            report.samples.last()
        };
        sample.map_or(f64::NAN, |sample| sample.resident)
    };
    let detail = format!(
        "{:.1} MiB at the start, {:.1} at the end, peak {:.1}; {:+.3} MiB a minute in the last half (bound {bound:.3})",
        at(true),
        at(false),
        report.peak_mib,
        report.growth
    );
    check("memory", report.growth <= bound, detail);

    let late = late(&report.samples);
    let grown = |of: fn(&super::Sample) -> u64| {
        let (first, last) = (late.first().map(of), late.last().map(of));
        (first.unwrap_or_default(), last.unwrap_or_default())
    };
    let (first, last) = grown(|sample| sample.descriptors);
    let detail = format!("{first} at half time, {last} at the end");
    check("descriptors", last <= first + DESCRIPTORS, detail);
    let (first, last) = grown(|sample| sample.threads);
    let detail = format!("{first} at half time, {last} at the end");
    check("threads", last <= first + THREADS, detail);
    score
}
