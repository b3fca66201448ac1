//! A line reduced to the facts that the design fixes.

use std::collections::BTreeMap;

use serde_json::Value;

/// Fact to value; `null` for a null or absent one.
pub type Facts = BTreeMap<&'static str, String>;

/// Reduces a line to its facts.
pub fn facts(line: &Value) -> Facts {
    let event = text(&line["event"]);
    let mut facts = Facts::from([
        ("verdict", text(&line["verdict"])),
        ("undetermined", list(&line["undetermined"], text)),
        (
            "findings",
            list(&line["findings"], |f| {
                format!("{}:{}", text(&f["id"]), text(&f["severity"]))
            }),
        ),
        (
            "exempted",
            list(&line["findings"], |f| {
                f["exempted_by"].as_str().unwrap_or_default().to_owned()
            }),
        ),
        ("pod", name(&line["pod"])),
    ]);
    if matches!(
        event.as_str(),
        "token_open"
            | "token_received"
            | "credential_connect"
            | "finding"
            | "memory_access"
            | "socket_create"
    ) {
        let binding = match &line["binding"] {
            Value::Null => "null".into(),
            binding => format!("{} {}", text(&binding["kind"]), text(&binding["role_arn"])),
        };
        facts.insert("binding", binding);
    }
    if matches!(
        event.as_str(),
        "token_open" | "token_received" | "credential_connect" | "memory_access" | "socket_create"
    ) {
        facts.extend([
            ("service_account", text(&line["pod"]["service_account"])),
            ("container", text(&line["container"]["name"])),
            ("container_id", text(&line["container"]["id"])),
            ("image", text(&line["container"]["image"])),
            ("exe_upper_layer", text(&line["process"]["exe_upper_layer"])),
            ("comm", text(&line["process"]["comm"])),
            ("exec_session", text(&line["process"]["exec_session"])),
            ("host_namespaces", text(&line["process"]["host_namespaces"])),
            ("attribution", text(&line["attribution"]["process"])),
            ("candidates", list(&line["evidence"]["candidates"], text)),
            ("taken", list(&line["evidence"]["taken"], text)),
            (
                "token_opened_at",
                text(&line["evidence"]["token_opened_at"].is_string().into()),
            ),
            (
                "observed_since",
                text(&line["evidence"]["observed_since"].is_string().into()),
            ),
            ("repeats", text(&line["repeats"])),
        ]);
    }
    if event == "listen" {
        facts.extend([
            ("service_account", text(&line["pod"]["service_account"])),
            ("container", text(&line["container"]["name"])),
            ("comm", text(&line["process"]["comm"])),
            ("exec_session", text(&line["process"]["exec_session"])),
            ("attribution", text(&line["attribution"]["process"])),
            ("endpoint", text(&line["socket"]["endpoint"])),
            ("local", text(&line["socket"]["local"])),
            ("agent_net_ns", text(&line["socket"]["agent_net_ns"])),
        ]);
    }
    if event == "agent_accept" {
        facts.extend([
            ("attribution", text(&line["attribution"]["process"])),
            ("endpoint", text(&line["endpoint"])),
            ("local", text(&line["local"])),
            ("listener", name(&line["listener"])),
            ("connect_id", text(&line["connect_id"].is_string().into())),
            (
                "binding",
                match &line["binding"] {
                    Value::Null => "null".into(),
                    binding => {
                        format!("{} {}", text(&binding["kind"]), text(&binding["role_arn"]))
                    }
                },
            ),
        ]);
    }
    match event.as_str() {
        "token_open" | "token_received" => {
            let token = &line["token"];
            facts.extend([
                ("relation", text(&line["relation"])),
                ("kind", text(&token["kind"])),
                ("volume", text(&token["volume"])),
                ("file", text(&token["file"])),
                ("audience", text(&token["audience"])),
                ("owner", name(&token["owner"])),
                ("owner_uid", text(&token["owner"]["uid"])),
                ("via", text(&line["access"]["via"])),
                ("errno", text(&line["access"]["errno"])),
            ]);
        }
        "memory_access" => {
            let target = &line["target"];
            facts.extend([
                ("relation", text(&line["relation"])),
                ("mode", text(&line["mode"])),
                ("target", name(&target["pod"])),
                ("target_pid", text(&target["pid"])),
                ("target_comm", text(&target["comm"])),
                ("target_container", text(&target["container"]["name"])),
            ]);
        }
        "socket_create" => {
            let socket = &line["socket"];
            facts.extend([
                ("family", text(&socket["family"])),
                ("type", text(&socket["type"])),
            ]);
        }
        _ => {}
    }
    if event == "token_received" {
        facts.insert("from", name(&line["from"]["pod"]));
    }
    if event == "token_received" && line["token"].is_null() {
        let connection = &line["connection"];
        facts.extend([
            ("endpoint", text(&connection["endpoint"])),
            ("dst", text(&connection["dst"])),
            (
                "connect_id",
                text(&connection["connect_id"].is_string().into()),
            ),
            ("owner", name(&connection["owner"])),
            ("owner_uid", text(&connection["owner"]["uid"])),
        ]);
    }
    match event.as_str() {
        "credential_connect" | "connection_closed" => {
            let connection = &line["connection"];
            facts.extend([
                ("endpoint", text(&connection["endpoint"])),
                ("dst", text(&connection["dst"])),
                ("outcome", text(&connection["outcome"])),
            ]);
        }
        "finding" => {
            let subject = &line["subject"];
            facts.extend([
                ("state", text(&line["state"])),
                (
                    "subject",
                    format!("{} {}", text(&subject["kind"]), name(subject)),
                ),
            ]);
        }
        _ => {}
    }
    // What was handed on, or whose memory it was.
    let received = &line["connection"]["owner"];
    let owners = [&line["token"]["owner"], received, &line["target"]["pod"]];
    let owner = owners.into_iter().map(name).find(|owner| owner != "null");
    facts.entry("relation").or_insert(text(&line["relation"]));
    facts
        .entry("owner")
        .or_insert(owner.unwrap_or("null".into()));
    facts.insert("event", event);
    facts
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn name(object: &Value) -> String {
    match object["name"].as_str() {
        Some(name) => format!("{}/{name}", text(&object["namespace"])),
        None => "null".into(),
    }
}

fn list(value: &Value, each: impl Fn(&Value) -> String) -> String {
    let mut items: Vec<String> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(each)
        .filter(|i| !i.is_empty())
        .collect();
    items.sort();
    items.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn findings_are_sorted_with_their_severity() {
        let line = json!({"event": "token_open", "findings": [
            {"id": "b", "severity": "high", "exempted_by": null}, {"id": "a", "severity": "info", "exempted_by": null},
        ]});
        assert_eq!(facts(&line)["findings"], "a:info b:high");
    }
}
