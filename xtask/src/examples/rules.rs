//! Which rule runs a block. A block that no rule runs is a failure: whoever writes an example says here how it is run.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::document::Block;
use crate::process;

/// How a block is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Command by command, as in `shell.rs`.
    Shell,
    /// By what checks data of this kind, as in `data.rs`.
    Data(Kind),
    /// A test elsewhere holds it: that test's file and name.
    Held(&'static str, &'static str),
    NotRun(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A policy, or some keys of one: `auditor policy check`.
    Policy,
    /// Objects for the API server: the API's own schema.
    Objects,
    /// Values for our chart: its schema.
    Values,
    /// A kustomization of the reader's own, beside ours in `manifests/kustomize`: kubectl builds it.
    Kustomization,
    /// Configuration of Alertmanager: amtool.
    Alertmanager,
    /// `metricRelabelings` of a PodMonitor: as Prometheus has them, promtool.
    Relabeling,
    /// An event, whole or with parts left out (`…`): `docs/event.schema.json`.
    Event,
    /// A policy of IAM, or a statement of one: parliament.
    Iam,
    /// Athena's SQL: run on made-up records.
    Sql,
    Promql,
    Logrotate,
    /// Lines of the lab's scenes: `lab list` has them.
    Scenes,
    /// What the auditor says, with `…` for what differs: its source has the words.
    Messages,
}

/// Keys that a policy has; `docs/policy.schema.json` has no others.
const POLICY_KEYS: [&str; 11] = [
    "version",
    "agent",
    "kubelet",
    "node_role",
    "exempt",
    "severity",
    "executables",
    "learn",
    "unused_after",
    "irsa_audiences",
    "log",
];

/// What a kustomization has in the documents.
const KUSTOMIZATION_KEYS: [&str; 5] = [
    "resources",
    "components",
    "configMapGenerator",
    "patches",
    "replacements",
];

/// Held by a test elsewhere: the document, a part of the block or its section's title, the test's file and name.
const HELD: [(&str, &str, &str, &str); 3] = [
    (
        "CONTRIBUTING.md",
        "The first hour",
        "xtask/src/newcomer.rs",
        "run",
    ),
    (
        "docs/lint.md",
        "errors, 1 warning, 0 undecided",
        "auditor/src/lint/tests.rs",
        "the_document_shows_what_the_samples_give",
    ),
    (
        "docs/lint.md",
        "\"remedy\": ",
        "auditor/src/lint/tests.rs",
        "the_document_shows_what_the_samples_give",
    ),
];

/// What nothing can run: the document, a part of the block or its section's title, why.
const NOT_RUN: [(&str, &str, &str); 1] = [("ARCHITECTURE.md", "security_file_open", "a drawing")];

/// The rule of a block.
///
/// # Errors
/// Where there is none; the message says what to do.
pub fn rule_of(block: &Block) -> Result<Rule> {
    if let Some(&(.., why)) = NOT_RUN
        .iter()
        .find(|(document, part, _)| is_it(block, document, part))
    {
        return Ok(Rule::NotRun(why));
    }
    if let Some(&(.., file, test)) = HELD
        .iter()
        .find(|(document, part, ..)| is_it(block, document, part))
    {
        let tests = std::fs::read_to_string(process::workspace().join(file))
            .with_context(|| file.to_owned())?;
        ensure!(
            tests.contains(&format!("fn {test}(")),
            "{file} has no test `{test}` any more"
        );
        return Ok(Rule::Held(file, test));
    }
    let kind = match block.language.as_str() {
        "sh" => return Ok(Rule::Shell),
        "sql" => Some(Kind::Sql),
        "promql" => Some(Kind::Promql),
        "logrotate" => Some(Kind::Logrotate),
        "yaml" => of_yaml(&block.text)?,
        "json" => of_json(&block.text),
        _ if block.text.lines().all(|line| line.starts_with("ok   ")) => Some(Kind::Scenes),
        "text" => Some(Kind::Messages),
        // logrotate's; it has no language that renderers know.
        _ if block.text.starts_with("/var/log/") => Some(Kind::Logrotate),
        _ => None,
    };
    match kind {
        Some(kind) => Ok(Rule::Data(kind)),
        None => bail!(
            "no rule runs this block (`{}`). Commands go into ```sh, what the auditor says into ```text; sql, promql, yaml and json say \
             so behind the fence. For another kind add a rule to xtask/src/examples/rules.rs; where a test elsewhere holds it, name \
             that in HELD there. What nothing can run goes into NOT_RUN, with the reason",
            block.language
        ),
    }
}

/// A block of the document that has this part, or is in the section of this name.
fn is_it(block: &Block, document: &str, part: &str) -> bool {
    block.document == document && (block.text.contains(part) || block.section == part)
}

fn of_yaml(text: &str) -> Result<Option<Kind>> {
    // The first of several documents tells for all.
    let first = text.split("\n---\n").next().unwrap_or_default();
    let value: Value = serde_saphyr::from_str(first).context("it is no YAML")?;
    let Some(object) = value.as_object() else {
        return Ok(None);
    };
    let has = |key: &str| object.contains_key(key);
    let is_policy = object.keys().all(|key| POLICY_KEYS.contains(&key.as_str()));
    let is_kustomization = object
        .keys()
        .all(|key| KUSTOMIZATION_KEYS.contains(&key.as_str()));
    Ok(if has("apiVersion") && has("kind") {
        Some(Kind::Objects)
    } else if is_policy {
        Some(Kind::Policy)
    } else if is_kustomization {
        Some(Kind::Kustomization)
    } else if has("route") || has("receivers") {
        Some(Kind::Alertmanager)
    } else if has("metricRelabelings") {
        Some(Kind::Relabeling)
    } else {
        let values = process::workspace().join("manifests/helm/credential-auditor/values.yaml");
        let values = std::fs::read_to_string(values).unwrap_or_default();
        let known: Value = serde_saphyr::from_str(&values).unwrap_or_default();
        let are_values = object.keys().all(|key| known.get(key).is_some());
        are_values.then_some(Kind::Values)
    })
}

fn of_json(text: &str) -> Option<Kind> {
    if text.contains("\"schema\":\"auditor/v1\"") || text.contains("\"schema\": \"auditor/v1\"") {
        return Some(Kind::Event);
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let is_iam = value.get("Effect").is_some() || value.get("Statement").is_some();
    is_iam.then_some(Kind::Iam)
}

/// Entries above that no block has any more.
pub fn stale(blocks: &[Block]) -> Vec<String> {
    let held = HELD.iter().map(|(document, part, ..)| (document, part));
    let not_run = NOT_RUN.iter().map(|(document, part, _)| (document, part));
    held.chain(not_run)
        .filter(|(document, part)| !blocks.iter().any(|block| is_it(block, document, part)))
        .map(|(document, part)| format!("{document} has no block with `{part}` any more"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(language: &str, text: &str) -> Block {
        Block {
            document: "docs/new.md".into(),
            line: 1,
            section: String::new(),
            language: language.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_block_is_known_by_its_language_and_shape() {
        for (language, text, rule) in [
            ("sh", "ls", Rule::Shell),
            ("sql", "SELECT 1", Rule::Data(Kind::Sql)),
            ("yaml", "learn: {for: 7d}", Rule::Data(Kind::Policy)),
            (
                "yaml",
                "apiVersion: v1\nkind: Pod\n---\nx: 1",
                Rule::Data(Kind::Objects),
            ),
            ("yaml", "route: {}", Rule::Data(Kind::Alertmanager)),
            (
                "yaml",
                "resources: [../cluster]",
                Rule::Data(Kind::Kustomization),
            ),
            ("json", "{\"Effect\": \"Deny\"}", Rule::Data(Kind::Iam)),
            (
                "json",
                "{\"schema\":\"auditor/v1\",…",
                Rule::Data(Kind::Event),
            ),
            ("", "ok   a   b => c\n", Rule::Data(Kind::Scenes)),
            ("text", "cannot read …\n", Rule::Data(Kind::Messages)),
        ] {
            assert_eq!(rule_of(&block(language, text)).unwrap(), rule, "{text}");
        }
    }

    #[test]
    fn what_no_rule_runs_is_an_error_that_says_what_to_do() {
        for (language, text) in [
            ("", "some text"),
            ("hcl", "resource {}"),
            ("yaml", "- a list"),
            ("yaml", "something: else"),
            ("json", "{\"something\": \"else\"}"),
            ("console", "$ ls"),
        ] {
            let error = rule_of(&block(language, text)).unwrap_err().to_string();
            assert!(error.contains("xtask/src/examples/rules.rs"), "{error}");
        }
        assert!(rule_of(&block("yaml", "a: [")).is_err());
    }
}
