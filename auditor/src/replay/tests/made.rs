//! Events that no backend of the machine that recorded the lab's lines sees, made of one that was recorded.

use serde_json::{Value, json};

use super::*;

/// A pod that opened another one's token.
fn theft() -> Value {
    let lines = LINES
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut thefts = lines.filter(|line| {
        line["event"] == "token_open"
            && line["relation"] == "other-pod"
            && line["pod"].is_object()
            && line["verdict"] == "violation"
            && line["findings"].as_array().map(Vec::len) == Some(1)
    });
    thefts.next().unwrap()
}

fn made(edit: impl FnOnce(&mut Value)) -> Line {
    let mut line = theft();
    edit(&mut line);
    serde_json::from_value(line).unwrap()
}

fn judged(line: &mut Value, verdict: &str, findings: &[(&str, &str)], undetermined: &[&str]) {
    line["verdict"] = json!(verdict);
    line["undetermined"] = json!(undetermined);
    let finding = |(id, severity): &(&str, &str)| json!({"id": id, "severity": severity, "message": "", "exempted_by": null});
    line["findings"] = findings.iter().map(finding).collect();
}

fn owner_pod(line: &Value) -> Value {
    let owner = &line["token"]["owner"];
    json!({
        "namespace": owner["namespace"], "name": owner["name"], "uid": owner["uid"],
        "service_account": owner["service_account"], "service_account_uid": null, "owner": null, "labels": {},
    })
}

fn received(line: &mut Value) {
    line["event"] = json!("token_received");
    line["access"]["via"] = json!("scm_rights");
    line["connection"] = Value::Null;
    line["from"] = Value::Null;
}

fn of_connection(line: &mut Value, endpoint: &str) {
    received(line);
    let owner = line["token"]["owner"].take();
    line["connection"] = json!({"endpoint": endpoint, "src": null, "dst": "1.2.3.4:80", "connect_id": null, "owner": owner});
    line["token"] = Value::Null;
}

fn memory(line: &mut Value) {
    line["event"] = json!("memory_access");
    line["target"] = json!({
        "pid": 1, "start_time": line["time"], "comm": "app", "container": null, "pod": owner_pod(line),
    });
    line["mode"] = json!("attach-real-creds");
    line["via"] = json!("process_vm_readv");
    line["backend"] = json!("fentry");
    line["attribution"]["owner"] = json!("cgroup");
}

fn socket(line: &mut Value) {
    line["event"] = json!("socket_create");
    line["socket"] =
        json!({"family": "packet", "type": "raw", "protocol": 3, "net_ns": 1, "backend": "fentry"});
}

fn all() -> Vec<(&'static str, Line)> {
    let found = |id: &'static str, severity: &'static str| {
        move |line: &mut Value| {
            let verdict = match severity {
                "medium" => "suspicious",
                _ => "violation",
            };
            judged(line, verdict, &[(id, severity)], &[]);
        }
    };
    let line = |shape: fn(&mut Value), judge: &dyn Fn(&mut Value)| {
        made(|line| {
            shape(line);
            judge(line);
        })
    };
    vec![
        (
            "a token received",
            line(received, &found("foreign-token-received", "critical")),
        ),
        (
            "a connection to the agent received",
            line(
                |l| of_connection(l, "pod-identity-agent"),
                &found("foreign-token-received", "critical"),
            ),
        ),
        (
            "a connection to instance metadata received",
            line(
                |l| of_connection(l, "imds"),
                &found("foreign-token-received", "medium"),
            ),
        ),
        (
            "a connection of nobody that is known",
            line(
                |l| {
                    of_connection(l, "imds");
                    l["connection"]["owner"] = Value::Null;
                    l["relation"] = json!("unknown");
                },
                &|l| judged(l, "undetermined", &[], &["owner"]),
            ),
        ),
        (
            "memory",
            line(memory, &found("credential-memory-access", "high")),
        ),
        (
            "the memory of the agent on the host",
            line(
                |l| {
                    memory(l);
                    l["target"]["pod"] = Value::Null;
                    l["attribution"]["owner"] = json!("host");
                    l["relation"] = json!("unknown");
                },
                &found("credential-memory-access", "critical"),
            ),
        ),
        (
            "memory of a pod that was not told of",
            line(
                |l| {
                    memory(l);
                    l["target"]["pod"] = Value::Null;
                },
                &|l| judged(l, "undetermined", &[], &["pod"]),
            ),
        ),
        ("a raw socket", line(socket, &found("raw-socket", "medium"))),
        (
            "of somebody in doubt",
            line(
                |l| {
                    socket(l);
                    l["attribution"]["process"] = json!("cgroup-only");
                },
                &|l| {
                    judged(
                        l,
                        "undetermined",
                        &[("raw-socket", "medium")],
                        &["namespaces"],
                    )
                },
            ),
        ),
    ]
}

#[test]
fn events_of_the_other_backends_stay_as_they_are() {
    for (what, line) in all() {
        let difference = replay(policy(""), Given::default(), vec![line]);
        assert_eq!(difference.changes, [], "{what}");
        assert!(
            difference.not_judged_again.is_empty(),
            "{what}: {:?}",
            difference.not_judged_again
        );
        assert_eq!(difference.events, 1, "{what}");
    }
}

#[test]
fn and_are_exempted_by_whom_they_are_about() {
    for (what, line) in all() {
        let pod = line.pod().unwrap();
        let exempt = format!(
            "version: 1\nexempt: [{{match: {{namespace: {}, service_account: {}}}, reason: x}}]",
            pod.namespace, pod.service_account
        );
        let lacked_more = line.lacked("namespaces");
        let policy = Policy::parse(exempt.as_bytes()).unwrap();
        let difference = replay(policy, Given::default(), vec![line]);
        let verdict = difference.changes[0].after.verdict;
        let expected = if lacked_more {
            Verdict::Undetermined
        } else {
            Verdict::Allowed
        };
        assert_eq!(verdict, Some(expected), "{what}");
    }
}
