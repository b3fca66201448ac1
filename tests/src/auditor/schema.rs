//! `docs/event.schema.json`, as what every line must be.

use std::{collections::BTreeMap, sync::LazyLock};

use anyhow::{Context, Result, bail, ensure};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::ocsf;

/// Compiled in: a virtual machine has no docs.
const TEXT: &str = include_str!("../../../docs/event.schema.json");

/// One validator a type of event: whether a line is one of fourteen types is settled by its `event`, and what is wrong with it is
/// told of that type alone.
static BY_EVENT: LazyLock<Result<BTreeMap<String, Validator>>> = LazyLock::new(compile);

/// Holds a line against the schema; and, beyond what the schema says to readers, a field that it does not name is an error.
pub fn check(line: &Value) -> Result<()> {
    let by_event = BY_EVENT
        .as_ref()
        .map_err(|error| anyhow::anyhow!("docs/event.schema.json: {error:#}"))?;
    let event = line["event"].as_str().context("no event")?;
    let validator = by_event
        .get(event)
        .with_context(|| format!("the schema has no event {event}"))?;
    // Telling what is wrong costs more than finding that nothing is.
    if validator.is_valid(line) {
        return Ok(());
    }
    let errors: Vec<String> = validator
        .iter_errors(line)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    bail!(
        "not as docs/event.schema.json has it: {}",
        errors.join("; ")
    )
}

/// Puts in what a line must have and what was left out for being empty: nulls, empty lists and maps.
///
/// # Errors
/// Where what is missing may not be empty.
pub fn complete(line: &mut Value) -> Result<()> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(TEXT).unwrap_or_default());
    let definitions = SCHEMA["$defs"].as_object().context("no $defs")?;
    let event = line["event"].as_str().context("no event")?.to_owned();
    let mut branches = SCHEMA["oneOf"].as_array().into_iter().flatten();
    let of_event = |branch: &&Value| branch["properties"]["event"]["const"] == *event;
    let branch = branches
        .find(of_event)
        .with_context(|| format!("the schema has no event {event}"))?;
    ocsf::complete(line, branch, definitions)?;
    // The envelope's own; its parts have no parts.
    ocsf::complete(line, &SCHEMA, definitions)
}

/// The types of event that the schema knows.
pub fn event_types() -> Result<Vec<String>> {
    let schema: Value = serde_json::from_str(TEXT)?;
    Ok(branches(&schema)?.into_keys().collect())
}

fn compile() -> Result<BTreeMap<String, Validator>> {
    let mut schema: Value = serde_json::from_str(TEXT)?;
    let branches = branches(&schema)?;
    for branch in branches.values() {
        // What is flattened into the line may not be closed by itself.
        ensure!(
            branch["$ref"].is_string(),
            "a branch without a $ref: {branch}"
        );
    }
    let open: Vec<String> = branches
        .values()
        .filter_map(|branch| branch["$ref"].as_str()?.strip_prefix("#/$defs/"))
        .map(str::to_owned)
        .collect();
    let definitions = schema["$defs"].as_object_mut().context("no $defs")?;
    close(definitions, &open);
    let envelope = schema.as_object_mut().context("no object")?;
    envelope.remove("oneOf");
    envelope.insert("unevaluatedProperties".into(), json!(false));
    branches
        .into_iter()
        .map(|(event, branch)| {
            let mut schema = schema.clone();
            schema["allOf"] = json!([branch]);
            let validator = jsonschema::options()
                .should_validate_formats(true)
                .build(&schema)
                .map_err(|error| anyhow::anyhow!("{event}: {error}"))?;
            Ok((event, validator))
        })
        .collect()
}

/// The members of the root's `oneOf`, by their `event`.
fn branches(schema: &Value) -> Result<BTreeMap<String, Value>> {
    let branches = schema["oneOf"].as_array().context("no oneOf")?;
    branches
        .iter()
        .map(|branch| {
            let event = branch["properties"]["event"]["const"].as_str();
            Ok((
                event.context("a branch without an event")?.to_owned(),
                branch.clone(),
            ))
        })
        .collect()
}

/// No further members than those that are named.
fn close(definitions: &mut Map<String, Value>, but: &[String]) {
    for (name, definition) in definitions {
        let is_map = definition.get("additionalProperties").is_some();
        if definition["type"] == "object" && !is_map && !but.contains(name) {
            definition["additionalProperties"] = json!(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Value {
        json!({
            "schema": "auditor/v1", "event": "health", "id": "a", "run_id": "r", "seq": 0,
            "time": "2026-11-22T12:00:00.123456789Z", "cluster": null, "account": null, "region": null, "node": "n",
            "instance_id": null, "component": "sink", "state": "ok", "message": "m",
        })
    }

    fn changed(name: &str, value: Value) -> Value {
        let mut line = health();
        line[name] = value;
        line
    }

    #[test]
    fn a_line_is_what_the_schema_says_and_nothing_besides() {
        check(&health()).unwrap();
        for (line, why) in [
            (changed("component", Value::Null), "null is not of type"),
            (changed("seq", json!(-1)), "-1"),
            (changed("seq", json!("0")), "not of type"),
            (changed("time", json!("yesterday")), "date-time"),
            (changed("schema", json!("auditor/v2")), "auditor/v1"),
            (changed("event", json!("telemetry")), "no event telemetry"),
            (changed("surplus", json!(1)), "surplus"),
        ] {
            let error = format!("{:#}", check(&line).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        let mut line = health();
        line.as_object_mut().unwrap().remove("message");
        assert!(check(&line).is_err(), "a field is missing");
    }

    #[test]
    fn objects_within_are_closed_too() {
        let mut line = json!({
            "schema": "auditor/v1", "event": "connection_closed", "id": "a", "run_id": "r", "seq": 0,
            "time": "2026-11-22T12:00:00Z", "cluster": null, "account": null, "region": null, "node": "n",
            "instance_id": null, "connect_id": "c", "bytes_sent": 1, "bytes_received": 2, "duration_us": 3,
            "verdict": "allowed", "undetermined": [], "findings": [], "pod": null,
            "connection": {"endpoint": "imds", "src": null, "dst": "169.254.169.254:80", "outcome": "established",
                "errno": null, "duration_us": 4},
        });
        check(&line).unwrap();
        line["connection"]["surplus"] = json!(1);
        assert!(check(&line).is_err());
    }

    #[test]
    fn every_type_is_there() {
        assert_eq!(event_types().unwrap().len(), 14);
    }
}
