//! Makes a line the same, whenever it was played: ids are counted, and times are those of one moment.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// When everything happened.
const MOMENT: &str = "2026-11-22T12:00:00.123456789Z";
/// Members that hold milliseconds since 1970 (OCSF).
const MILLISECONDS: [&str; 4] = ["time", "created_time", "start_time", "end_time"];
/// Members that hold what differs from run to run and says nothing, and what stands for it.
const NUMBERS: [(&str, u64); 6] = [
    ("latency_us", 212),
    ("bindings_age_ms", 12_000),
    ("pod_age_ms", 86_000),
    ("cgroup_id", 4242),
    ("uptime_seconds", 3600),
    ("untruncated_size", 17),
];

/// Lines of JSON that speak of each other: what has one id in all of them keeps one.
pub fn texts(lines: &[String]) -> Result<Vec<String>> {
    let (mut uuids, mut hashes) = (uuids(), hashes());
    let lines = lines.iter();
    lines
        .map(|line| text(line, &mut uuids, &mut hashes))
        .collect()
}

fn text(
    text: &str,
    uuids: &mut dyn FnMut(&str) -> String,
    hashes: &mut dyn FnMut(&str) -> String,
) -> Result<String> {
    let line: Value = serde_json::from_str(text)?;
    let time = line["time"]
        .as_str()
        .or(line["metadata"]["original_time"].as_str());
    let time: Timestamp = time.context("no time")?.parse()?;
    let shift = MOMENT.parse::<Timestamp>()?.duration_since(time);
    let text = replace(text, uuid_at, uuids);
    let text = replace(&text, time_at, &mut |found| shifted(found, shift));
    let mut text = replace(&text, hex_at, hashes);
    for name in MILLISECONDS {
        text = numbers(&text, name, &mut |old| {
            i64::try_from(old).map_or(old, |old| (old + shift.as_millis() as i64).unsigned_abs())
        });
    }
    for (name, value) in NUMBERS {
        text = numbers(&text, name, &mut |_| value);
    }
    Ok(text)
}

/// Each one by the order in which they come.
fn uuids() -> impl FnMut(&str) -> String {
    let mut known = BTreeMap::new();
    move |found| {
        let next = known.len() + 1;
        let number = *known.entry(found.to_owned()).or_insert(next);
        format!("0198a1b2-0000-7000-8000-{number:012}")
    }
}

/// Container ids and content hashes: 64 hex digits.
fn hashes() -> impl FnMut(&str) -> String {
    let mut known = BTreeMap::new();
    move |found| {
        let next = known.len() + 1;
        let number = *known.entry(found.to_owned()).or_insert(next);
        format!("{number:064x}")
    }
}

fn shifted(found: &str, shift: SignedDuration) -> String {
    let moved = found
        .parse::<Timestamp>()
        .ok()
        .and_then(|time| time.checked_add(shift).ok());
    moved.map_or_else(|| found.to_owned(), |time| time.to_string())
}

/// Replaces what `found` tells the length of, wherever it begins.
fn replace(
    text: &str,
    found: fn(&[u8]) -> Option<usize>,
    with: &mut dyn FnMut(&str) -> String,
) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        if let Some(length) = found(rest.as_bytes()) {
            let (it, after) = rest.split_at(length);
            out.push_str(&with(it));
            rest = after;
        } else {
            let mut chars = rest.chars();
            out.extend(chars.next());
            rest = chars.as_str();
        }
    }
    out
}

/// `8-4-4-4-12` hex digits.
fn uuid_at(text: &[u8]) -> Option<usize> {
    let text = text.get(..36)?;
    let is_dash = |at: usize| [8, 13, 18, 23].contains(&at);
    let fits = |(at, c): (usize, &u8)| {
        if is_dash(at) {
            *c == b'-'
        } else {
            c.is_ascii_hexdigit()
        }
    };
    text.iter().enumerate().all(fits).then_some(36)
}

fn hex_at(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|c| c.is_ascii_hexdigit()).count();
    (digits == 64).then_some(64)
}

/// RFC 3339 in UTC, as every time on a line is.
fn time_at(text: &[u8]) -> Option<usize> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let head = text.get(..FORM.len())?;
    let fits = head.iter().zip(FORM).all(|(c, form)| match form {
        b'd' => c.is_ascii_digit(),
        form => c == form,
    });
    let tail = text[FORM.len()..]
        .iter()
        .take_while(|c| c.is_ascii_digit() || **c == b'.')
        .count();
    let end = FORM.len() + tail;
    (fits && text.get(end) == Some(&b'Z')).then_some(end + 1)
}

/// Replaces the number of each member of this name.
fn numbers(text: &str, name: &str, with: &mut dyn FnMut(u64) -> u64) -> String {
    let key = format!("\"{name}\":");
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(&key) {
        let (before, after) = rest.split_at(at + key.len());
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(before);
        match after[..digits].parse() {
            Ok(old) => out.push_str(&with(old).to_string()),
            Err(_) => out.push_str(&after[..digits]),
        }
        rest = &after[digits..];
    }
    out + rest
}

#[test]
fn ids_are_counted_and_times_are_moved_together() {
    let line = r#"{"time":"2020-01-01T00:00:00.5Z","id":"019860c8-ffff-7000-8000-0123456789ab","other":"x/019860c8-ffff-7000-8000-0123456789ab","from":"2020-01-01T00:00:01Z","latency_us":9,"created_time":1577836800600}"#;
    let want = r#"{"time":"2026-11-22T12:00:00.123456789Z","id":"0198a1b2-0000-7000-8000-000000000001","other":"x/0198a1b2-0000-7000-8000-000000000001","from":"2026-11-22T12:00:00.623456789Z","latency_us":212,"created_time":1795348800223}"#;
    let about = r#"{"time":"2020-01-01T00:00:00.5Z","id":"019860c8-aaaa-7000-8000-0123456789ab","of":"019860c8-ffff-7000-8000-0123456789ab"}"#;
    let told = r#"{"time":"2026-11-22T12:00:00.123456789Z","id":"0198a1b2-0000-7000-8000-000000000002","of":"0198a1b2-0000-7000-8000-000000000001"}"#;
    let both = texts(&[line, about].map(str::to_owned)).unwrap();
    assert_eq!(both, [want, told]);
}
