//! Reads what `--output ocsf` writes back into the lines of JSON that it stands for. That this can be done is what proves that
//! nothing was left out: all that holds for JSON is then held of OCSF too.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::schema;

/// Whether this is an event of OCSF, and no line of ours.
pub fn is_event(value: &Value) -> bool {
    value["class_uid"].is_u64()
}

/// The line that `event` stands for; none where it is the finding beside an activity, which is held against that one alone.
pub fn line(event: &Value, before: Option<&Value>) -> Result<Option<Value>> {
    let metadata = &event["metadata"];
    ensure!(metadata["version"] == "1.8.0", "no OCSF 1.8.0");
    if metadata["uid"] != metadata["original_event_uid"] {
        return second(event, before.context("a finding without its activity")?).map(|()| None);
    }
    let mut line = event["unmapped"].clone();
    for (name, value) in [
        ("schema", &metadata["log_version"]),
        ("event", &metadata["event_code"]),
        ("id", &metadata["original_event_uid"]),
        ("seq", &metadata["sequence"]),
        ("time", &metadata["original_time"]),
        ("account", &event["cloud"]["account"]["uid"]),
        ("region", &event["cloud"]["region"]),
        ("node", &event["device"]["hostname"]),
        ("instance_id", &event["device"]["instance_uid"]),
    ] {
        line[name] = value.clone();
    }
    particulars(&mut line, event)?;
    schema::complete(&mut line)?;
    Ok(Some(line))
}

/// A finding refers to the activity right before it, and says of it what that says.
fn second(finding: &Value, activity: &Value) -> Result<()> {
    ensure!(
        finding["class_uid"] == 2004,
        "no Detection Finding: {finding}"
    );
    let related = &finding["finding_info"]["related_events"][0];
    ensure!(
        finding["metadata"]["sequence"] == activity["metadata"]["sequence"]
            && related["uid"] == activity["metadata"]["uid"]
            && related["type_uid"] == activity["type_uid"],
        "it is not about the activity before it: {finding}"
    );
    ensure!(
        finding["unmapped"] == activity["unmapped"] && finding["actor"] == activity["actor"],
        "it differs from its activity: {finding}"
    );
    ensure!(
        finding["unmapped"]["findings"].is_array(),
        "a finding without findings: {finding}"
    );
    Ok(())
}

fn particulars(line: &mut Value, event: &Value) -> Result<()> {
    let actor = &event["actor"]["process"];
    if actor["pid"].is_u64() {
        let own = line["process"].take();
        line["process"] = process(actor, own)?;
        line["container"] = container(&actor["container"]);
    }
    let errno = match event["status_code"].as_str() {
        Some(code) => code.parse::<i64>().map_or(Value::Null, Value::from),
        None => Value::Null,
    };
    let (source, destination) = (&event["src_endpoint"], &event["dst_endpoint"]);
    let name = line["event"].as_str().unwrap_or_default().to_owned();
    match name.as_str() {
        "token_open" | "token_received" => {
            if line["token"].is_object() {
                line["token"]["volume"] = event["file"]["volume"].clone();
                line["token"]["file"] = event["file"]["path"].clone();
            }
            if errno.is_i64() {
                line["access"]["errno"] = errno;
            }
        }
        "credential_connect" | "connection_closed" => {
            line["connection"]["endpoint"] = destination["svc_name"].clone();
            line["connection"]["src"] = address(source);
            line["connection"]["dst"] = address(destination);
            line["connection"]["errno"] = errno;
            if name == "connection_closed" {
                line["bytes_sent"] = event["traffic"]["bytes_out"].clone();
                line["bytes_received"] = event["traffic"]["bytes_in"].clone();
            }
        }
        "agent_accept" => {
            line["endpoint"] = destination["svc_name"].clone();
            line["peer"] = address(source);
            line["local"] = address(destination);
        }
        "listen" => {
            line["socket"]["endpoint"] = destination["svc_name"].clone();
            line["socket"]["local"] = address(destination);
        }
        "memory_access" => {
            let target = &event["process"];
            line["target"]["pid"] = target["pid"].clone();
            line["target"]["start_time"] = start_time(target)?;
            line["target"]["comm"] = target["name"].clone();
            line["target"]["container"] = container(&target["container"]);
        }
        "health" => line["message"] = event["message"].clone(),
        "socket_create" | "finding" | "ready" | "stopped" | "loss" | "summary" => {}
        other => bail!("an event of an unknown kind: {other}"),
    }
    Ok(())
}

fn process(process: &Value, own: Value) -> Result<Value> {
    let number = |text: &Value| text.as_str().and_then(|t| t.parse::<u64>().ok());
    let parents = process["ancestry"].as_array().into_iter().flatten();
    let parents: Vec<Value> = parents
        .map(|parent| json!({"pid": parent["pid"], "comm": parent["name"]}))
        .collect();
    let file = &process["file"];
    let mut all = json!({
        "pid": process["pid"],
        "tid": process["ptid"],
        "start_time": start_time(process)?,
        "comm": process["name"],
        "exe": file["path"],
        "exe_inode": file["uid"],
        "exe_unlinked": file["is_deleted"].as_bool().unwrap_or_default(),
        "args": words(process["cmd_line"].as_str().unwrap_or_default()),
        "uid": number(&process["user"]["uid"]),
        "gid": number(&process["group"]["uid"]),
        "tty": process["session"]["terminal"],
        "login_uid": process["auid"],
        "parents": parents,
    });
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    Ok(all)
}

fn start_time(process: &Value) -> Result<Value> {
    let uid = process["uid"].as_str().context("a process without uid")?;
    let (pid, time) = uid.split_once('@').context("no start in its uid")?;
    ensure!(
        pid.parse().ok() == process["pid"].as_u64(),
        "another pid in its uid: {uid}"
    );
    Ok(json!(time))
}

fn container(container: &Value) -> Value {
    match container {
        Value::Object(members) => json!({
            "id": members.get("uid"),
            "name": members.get("name"),
            "image": container["image"]["uid"],
        }),
        _ => Value::Null,
    }
}

fn address(endpoint: &Value) -> Value {
    let ip = endpoint["ip"].as_str().and_then(|ip| ip.parse().ok());
    let port = endpoint["port"]
        .as_u64()
        .and_then(|port| port.try_into().ok());
    match (ip, port) {
        (Some(ip), Some(port)) => json!(SocketAddr::new(ip, port).to_string()),
        _ => endpoint["hostname"].clone(),
    }
}

/// The arguments of a shell's command line, as far as it is quoted by `'` and `\`.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            '\\' if !quoted => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The members that a schema asks for, and that were left out for being empty.
pub(super) fn complete(
    value: &mut Value,
    schema: &Value,
    definitions: &Map<String, Value>,
) -> Result<()> {
    let schema = resolved(schema, definitions);
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    let empty = empty(&schema["properties"][name], definitions)
                        .with_context(|| format!("there is no {name}"))?;
                    members.insert(name.to_owned(), empty);
                }
            }
            for (name, member) in members {
                let of = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    named => named,
                };
                complete(member, of, definitions).with_context(|| name.clone())?;
            }
        }
        Value::Array(items) => {
            for item in items {
                complete(item, &schema["items"], definitions)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What nothing looks like where it is allowed.
fn empty(schema: &Value, definitions: &Map<String, Value>) -> Option<Value> {
    let may_be = |kind: &str| {
        let own = &schema["type"];
        own == kind
            || own
                .as_array()
                .is_some_and(|kinds| kinds.contains(&json!(kind)))
    };
    let any = schema["anyOf"].as_array();
    if may_be("null") || any.is_some_and(|any| any.iter().any(|one| one["type"] == "null")) {
        return Some(Value::Null);
    }
    if may_be("array") {
        return Some(json!([]));
    }
    let is_map = resolved(schema, definitions)
        .get("additionalProperties")
        .is_some();
    is_map.then(|| json!({}))
}

/// Past a reference, and past `null` as the other choice.
fn resolved<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let named = |schema: &'a Value| {
        let name = schema["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        definitions.get(name)
    };
    if let Some(definition) = named(schema) {
        return definition;
    }
    let mut any = schema["anyOf"].as_array().into_iter().flatten();
    any.find_map(named).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_a_shell_does() {
        let text = r"sh -c 'cat '\''x'\''' '' a=b";
        assert_eq!(words(text), ["sh", "-c", "cat 'x'", "", "a=b"]);
        assert!(words("").is_empty());
    }

    #[test]
    fn an_address_is_put_together_again() {
        for (endpoint, want) in [
            (
                json!({"ip": "fd00:ec2::23", "port": 80}),
                json!("[fd00:ec2::23]:80"),
            ),
            (json!({"ip": "1.2.3.4", "port": 80}), json!("1.2.3.4:80")),
            (json!({"hostname": "…"}), json!("…")),
            (json!({"name": "shop/web"}), Value::Null),
        ] {
            assert_eq!(address(&endpoint), want);
        }
    }

    #[test]
    fn what_is_empty_is_filled_in_and_what_is_missing_is_an_error() {
        let mut line = json!({
            "schema": "auditor/v1", "event": "loss", "id": "a", "run_id": "r", "seq": 0, "node": "n",
            "time": "2026-11-22T12:00:00Z", "reason": "decode", "count": 1, "from": "2026-11-22T12:00:00Z",
            "to": "2026-11-22T12:00:00Z",
        });
        let mut without = line.clone();
        schema::complete(&mut line).unwrap();
        schema::check(&line).unwrap();
        assert_eq!(line["ring"], Value::Null);
        without.as_object_mut().unwrap().remove("count");
        assert!(schema::complete(&mut without).is_err());
    }
}
