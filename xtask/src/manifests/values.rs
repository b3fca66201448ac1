//! The chart's values: each says why, and the schema knows each, and no other.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::read;
use crate::process;

/// Deeper ones are Kubernetes' own.
const DEPTH: usize = 2;

pub fn check() -> Result<()> {
    let chart = process::workspace().join("manifests/helm/credential-auditor");
    let text = read(&chart.join("values.yaml"))?;
    let schema = serde_json::from_str(&read(&chart.join("values.schema.json"))?)?;
    ensure_documented(&text)?;
    let values = serde_saphyr::from_str(&text).context("values.yaml")?;
    ensure_covered(&values, &schema)
}

/// That a comment stands directly above each key down to [`DEPTH`], and after it on its own line none.
fn ensure_documented(text: &str) -> Result<()> {
    let mut above = "";
    let mut bare = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim_start().split_once(':').map(|(key, _)| key);
        let is_key = key
            .is_some_and(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric()));
        if is_key && indent / 2 < DEPTH && !above.trim_start().starts_with('#') {
            bare.push(line.trim());
        }
        above = line;
    }
    ensure!(
        bare.is_empty(),
        "no reason is given for {}",
        bare.join(", ")
    );
    Ok(())
}

/// That each value has a place in the schema, that each of the schema's has a default, and that nothing else is let in.
fn ensure_covered(values: &Value, schema: &Value) -> Result<()> {
    ensure_at(values, schema, "", 0)
}

fn ensure_at(values: &Value, schema: &Value, path: &str, depth: usize) -> Result<()> {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    ensure!(
        schema["additionalProperties"] == Value::Bool(false),
        "the schema lets anything in at `{path}`"
    );
    let names = |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<BTreeSet<_>>();
    let unknown: Vec<_> = names(values).difference(&names(known)).cloned().collect();
    ensure!(unknown.is_empty(), "the schema has no {path}.{unknown:?}");
    if depth < DEPTH {
        // Helm puts it there for charts that are part of another.
        let known: BTreeSet<_> = names(known)
            .into_iter()
            .filter(|name| name != "global")
            .collect();
        let said = names(values);
        let unsaid: Vec<_> = known.difference(&said).collect();
        ensure!(unsaid.is_empty(), "values.yaml has no {path}.{unsaid:?}");
    }
    for (name, value) in values {
        ensure_at(value, &known[name], &format!("{path}.{name}"), depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_without_a_reason_is_found() {
        ensure_documented("# Why.\na:\n  # Why.\n  b: 1\n  # Why.\n  c:\n    d: 1\n").unwrap();
        let error = ensure_documented("# Why.\na:\n  # Why.\n  b: 1\n  c: 2\n").unwrap_err();
        assert!(error.to_string().ends_with("c: 2"), "{error}");
        assert!(ensure_documented("# Why.\n\na: 1\n").is_err());
    }

    #[test]
    fn schema_and_values_know_the_same_names() {
        let schema = json!({"additionalProperties": false, "properties": {"global": {}, "a": {"additionalProperties": false,
            "properties": {"b": {}}}}});
        ensure_covered(&json!({"a": {"b": 1}}), &schema).unwrap();
        assert!(ensure_covered(&json!({"a": {"b": 1, "c": 2}}), &schema).is_err());
        assert!(ensure_covered(&json!({"a": {}}), &schema).is_err());
        assert!(ensure_covered(&json!({}), &schema).is_err());
        let mut open = schema;
        open["properties"]["a"]["additionalProperties"] = json!(true);
        assert!(ensure_covered(&json!({"a": {"b": 1}}), &open).is_err());
    }
}
