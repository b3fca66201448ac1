//! `docs/findings.md` against the contract and the rules themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const SEVERITIES: [&str; 4] = ["info", "medium", "high", "critical"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rows of the table by id: all cells.
fn catalogue() -> BTreeMap<String, Vec<String>> {
    let text = read("docs/findings.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (id, rest) = row.split_once("` |").expect("an id");
        let cells = rest.trim_end_matches('|').split('|');
        (
            id.to_owned(),
            cells.map(|cell| cell.trim().to_owned()).collect(),
        )
    })
    .collect()
}

/// Of the schema, which is generated from the types.
fn ids() -> BTreeSet<String> {
    let schema: serde_json::Value =
        serde_json::from_str(&read("docs/event.schema.json")).expect("JSON");
    let id = &schema["$defs"]["FindingId"];
    let plain = id["enum"].as_array().into_iter().flatten();
    let described = id["oneOf"].as_array().into_iter().flatten();
    let described = described.flat_map(|one| {
        let many = one["enum"].as_array().cloned().unwrap_or_default();
        many.into_iter().chain([one["const"].clone()])
    });
    plain
        .cloned()
        .chain(described)
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

/// Those that the rule's file gives, its tests left out; none where there is no such rule yet.
fn severities(id: &str) -> Option<BTreeSet<&'static str>> {
    let path = format!("auditor/src/audit/findings/{}.rs", id.replace('-', "_"));
    if !root().join(&path).exists() {
        return None;
    }
    let text = read(&path);
    let rule = text.split("#[cfg(test)]").next().unwrap_or_default();
    let given = SEVERITIES.into_iter().filter(|severity| {
        let (first, rest) = severity.split_at(1);
        rule.contains(&format!("Severity::{}{rest}", first.to_uppercase()))
    });
    Some(given.collect())
}

#[test]
fn every_finding_is_in_the_catalogue_and_nothing_else() {
    let ids = ids();
    assert!(ids.len() >= 22, "{ids:?}");
    assert_eq!(catalogue().into_keys().collect::<BTreeSet<_>>(), ids);
}

#[test]
fn the_catalogue_has_the_rules_own_severities() {
    for (id, cells) in catalogue() {
        let told: BTreeSet<&str> = SEVERITIES
            .into_iter()
            .filter(|severity| {
                let mut words = cells[0].split(|c: char| !c.is_alphabetic());
                words.any(|word| word == *severity)
            })
            .collect();
        match severities(&id) {
            Some(given) => assert_eq!(told, given, "{id}"),
            None => assert_eq!(cells[0], "not raised yet", "{id}"),
        }
    }
}

#[test]
fn every_row_says_when_what_to_do_and_which_technique() {
    for (id, cells) in catalogue() {
        assert_eq!(cells.len(), 6, "{id}: {cells:?}");
        if cells[0] == "not raised yet" {
            continue;
        }
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{id}: {cells:?}");
        let technique = &cells[5];
        let digits = technique
            .strip_prefix('T')
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'));
        assert!(digits || technique == "-", "{id}: {technique}");
    }
}
