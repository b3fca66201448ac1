//! Runbooks: their parts, and the queries in them.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Files, read};
use crate::{apt, process, summary::Counts};

const PARTS: [&str; 4] = [
    "## What it means",
    "## How to check",
    "## False positives",
    "## First ten minutes",
];

/// A runbook's text, and what can be run of it.
pub struct Runbook {
    pub name: String,
    pub promql: Vec<String>,
    /// Command lines that begin with `jq` and read `events.jsonl`.
    pub jq: Vec<String>,
}

/// All of them but their README.
pub fn all(files: &Files) -> Result<Vec<Runbook>> {
    let mut runbooks = Vec::new();
    for entry in fs::read_dir(&files.runbooks)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.context("a runbook without a name")?;
        if name != "README" {
            runbooks.push(parse(&name, &read(&path)?).with_context(|| path.display().to_string())?);
        }
    }
    runbooks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(runbooks)
}

fn parse(name: &str, text: &str) -> Result<Runbook> {
    ensure!(
        text.starts_with(&format!("# {name}\n")),
        "its title is another's"
    );
    for part in PARTS {
        let (_, rest) = text
            .split_once(part)
            .with_context(|| format!("no part `{part}`"))?;
        ensure!(
            !rest
                .split("\n## ")
                .next()
                .unwrap_or_default()
                .trim()
                .is_empty(),
            "nothing is said in `{part}`"
        );
    }
    let promql = blocks(text, "promql");
    ensure!(!promql.is_empty(), "no query for Prometheus");
    let shell = blocks(text, "sh");
    let jq = shell.iter().flat_map(|block| block.lines());
    let jq = jq.filter(|line| line.starts_with("jq ")).map(str::to_owned);
    Ok(Runbook {
        name: name.to_owned(),
        promql,
        jq: jq.collect(),
    })
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .filter_map(|block| block.split_once("```"))
        .map(|(block, _)| block.to_owned())
        .collect()
}

/// Runs a jq command of a runbook on `events.jsonl` in `directory`; gives what it printed.
pub fn run_jq(command: &str, directory: &Path) -> Result<String> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", command]).current_dir(directory);
    process::capture(&mut shell)
}

/// Runs the first jq command of each runbook on the lines of a real run, in `events.jsonl` of `directory`: where the run has a
/// finding that the command asks for, it must print something.
pub fn on_lines(files: &Files, directory: &Path) -> Result<Counts> {
    let mut counts = Counts::default();
    if let Err(why) = apt::ensure_program("jq", "jq", "runs the queries of the runbooks") {
        println!("skipped: queries of runbooks: {why:#}");
        counts.skipped += 1;
        return Ok(counts);
    }
    let found = findings(&read(&directory.join("events.jsonl"))?)?;
    for runbook in all(files)? {
        let Some(command) = runbook.jq.first() else {
            continue;
        };
        let asks = |finding: &&String| command.contains(&format!("\"{finding}\""));
        if !found.iter().any(|finding| asks(&finding)) {
            continue;
        }
        let printed = run_jq(command, directory)?;
        match printed.lines().next() {
            Some(line) => {
                counts.passed += 1;
                println!("ok   runbook {}: {line}", runbook.name);
            }
            None => {
                counts.failed += 1;
                println!("FAIL runbook {}: nothing by {command}", runbook.name);
            }
        }
    }
    ensure!(
        counts.passed + counts.failed > 0,
        "the run has no finding of any runbook"
    );
    Ok(counts)
}

/// Those that no policy exempts.
fn findings(lines: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).context("a line is no JSON")?;
        let findings = line["findings"].as_array().into_iter().flatten();
        let plain = findings.filter(|finding| finding["exempted_by"].is_null());
        found.extend(plain.filter_map(|finding| finding["id"].as_str().map(str::to_owned)));
    }
    Ok(found)
}

/// That each field that a jq command asks for is one of the events: a name with a slip in it is null for ever.
pub fn check_fields(command: &str, schema: &str) -> Result<()> {
    // What the commands make themselves, and functions.
    let unknown: BTreeSet<&str> = fields(command)
        .into_iter()
        .filter(|field| !schema.contains(&format!("\"{field}\": {{")))
        .collect();
    ensure!(unknown.is_empty(), "no event has {unknown:?}: {command}");
    Ok(())
}

/// Words after a dot outside of quoted text, and the words alone in braces (`{time, id}`).
fn fields(command: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    for (at, part) in command.split('"').enumerate() {
        if at % 2 == 1 {
            continue;
        }
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        for (index, _) in part.match_indices('.') {
            let rest = &part[index + 1..];
            let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
            // `events.jsonl` is a file.
            if !name.is_empty() && name != "jsonl" {
                fields.push(name);
            }
        }
        for inner in part.split('{').skip(1) {
            let inner = inner.split('}').next().unwrap_or_default();
            let alone = inner.split(',').map(str::trim);
            fields.extend(alone.filter(|word| !word.is_empty() && word.chars().all(is_name)));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n\n## What it means\nx\n\n## How to check\n```promql\nup\n```\n```sh\njq . events.jsonl\nls\n```\n\n## False positives\nNone.\n\n## First ten minutes\n1. Look.\n";

    #[test]
    fn a_runbook_has_all_parts() {
        let runbook = parse("A", TEXT).unwrap();
        assert_eq!(runbook.promql, ["up\n"]);
        assert_eq!(runbook.jq, ["jq . events.jsonl"]);
        assert!(parse("B", TEXT).is_err());
        assert!(parse("A", &TEXT.replace("None.\n", "")).is_err());
        assert!(parse("A", &TEXT.replace("```promql", "```text")).is_err());
    }

    #[test]
    fn fields_that_no_event_has_are_found() {
        let schema = r#"{"time": {}, "pod": {}, "name": {}}"#;
        let command = r#"jq -c 'select(.pod.name == "a.b") | {time, who: .pod.name}' events.jsonl"#;
        check_fields(command, schema).unwrap();
        assert!(check_fields(&command.replace("{time", "{tiem"), schema).is_err());
        assert!(check_fields(&command.replace("pod.name ==", "pod.nane =="), schema).is_err());
    }
}
