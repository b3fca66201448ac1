use serde_json::{Value, json};

use super::*;
use crate::{plain::is_command, report::fixture};

const SHORT: Style = Style {
    painted: false,
    width: None,
    times: Times::OfDay,
    ids: false,
};

/// `body` on a line at noon.
fn event(mut body: Value) -> Value {
    body["time"] = json!("2026-11-22T12:00:00.123456789Z");
    body["id"] = json!("0198-x");
    body
}

fn shown(body: Value) -> String {
    line(&event(body), SHORT)
}

fn pod_of(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name, "uid": "u", "service_account": "sa"})
}

fn open(verdict: &str, relation: &str) -> Value {
    json!({
        "event": "token_open", "verdict": verdict, "relation": relation, "findings": [], "undetermined": [],
        "process": {"pid": 7, "comm": "cat", "exe": "/bin/cat", "exec_session": false, "tty": null, "login_uid": null},
        "pod": pod_of("shop", "web-1"),
        "token": {"kind": "pod-identity", "owner": pod_of("payments", "api-1")},
        "access": {"via": "open", "flags": ["O_RDONLY"]},
        "attribution": {"process": "cgroup"}, "repeats": 0,
    })
}

/// A change to a line of the contract.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (place, key) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(place).unwrap()[key] = value;
    body
}

#[test]
fn uses_of_credentials() {
    let theft = || {
        let finding =
            json!([{"id": "foreign-token-open", "severity": "critical", "exempted_by": null}]);
        with(open("violation", "other-pod"), "/findings", finding)
    };
    let own = || open("allowed", "own");
    let connect = || {
        let connection = json!({"endpoint": "pod-identity-agent", "dst": "169.254.170.23:80", "outcome": "established", "errno": null, "duration_us": 90});
        with(
            with(own(), "/event", json!("credential_connect")),
            "/connection",
            connection,
        )
    };
    let closed = json!({
        "event": "connection_closed", "verdict": "suspicious", "pod": pod_of("shop", "web-1"),
        "findings": [{"id": "node-role-fallback", "severity": "medium", "exempted_by": null}],
        "connection": {"endpoint": "imds"}, "bytes_sent": 1247, "bytes_received": 1150, "duration_us": 666,
    });
    let accept = json!({
        "event": "agent_accept", "verdict": "violation", "pod": null, "peer": "10.42.1.58:42335",
        "endpoint": "pod-identity-agent", "listener": pod_of("kube-system", "agent-1"),
        "findings": [{"id": "stealth-agent-connection", "severity": "critical", "exempted_by": null}],
    });
    let listen = with(
        with(own(), "/event", json!("listen")),
        "/socket",
        json!({"local": "169.254.170.23:80"}),
    );
    let memory = json!({
        "event": "memory_access", "verdict": "violation", "pod": null, "attribution": {"process": "host"},
        "findings": [{"id": "credential-memory-access", "severity": "high", "exempted_by": null}],
        "target": {"pid": 9, "comm": "app", "pod": pod_of("payments", "api-1")}, "via": "process_vm_readv",
        "process": {"pid": 8, "comm": "gdb", "exe": null, "login_uid": 1000},
    });
    let socket = with(
        with(own(), "/event", json!("socket_create")),
        "/socket",
        json!({"family": "packet", "type": "raw"}),
    );
    let received = json!({
        "event": "token_received", "verdict": "violation", "relation": "other-pod", "findings": [], "pod": pod_of("shop", "web-1"),
        "token": null, "connection": {"endpoint": "pod-identity-agent", "owner": pod_of("payments", "api-1")},
        "access": {"via": "pidfd_getfd"}, "from": {"pid": 9, "comm": "app", "pod": null},
    });
    let drift =
        json!([{"id": "role-drift", "severity": "high", "exempted_by": "known until June"}]);
    for (body, want) in [
        (
            own(),
            "allowed      open     shop/web-1                own Pod Identity token /bin/cat[7]",
        ),
        (
            theft(),
            "VIOLATION    open     shop/web-1                [foreign-token-open:critical] payments/api-1's Pod Identity token /bin/cat[7]",
        ),
        (
            with(own(), "/findings", drift),
            "allowed      open     shop/web-1                [role-drift:exempt (known until June)] own Pod Identity token /bin/cat[7]",
        ),
        (
            with(
                open("undetermined", "own"),
                "/undetermined",
                json!(["associations", "pod"]),
            ),
            "UNDETERMINED open     shop/web-1                own Pod Identity token lacks associations, pod /bin/cat[7]",
        ),
        (
            with(own(), "/access/flags", json!(["O_RDWR"])),
            "allowed      open     shop/web-1                own Pod Identity token for writing /bin/cat[7]",
        ),
        (
            with(theft(), "/access/errno", json!(13)),
            "VIOLATION    open     shop/web-1                [foreign-token-open:critical] payments/api-1's Pod Identity token refused (EACCES) /bin/cat[7]",
        ),
        (
            with(theft(), "/access/via", json!("held")),
            "VIOLATION    open     shop/web-1                [foreign-token-open:critical] payments/api-1's Pod Identity token held open /bin/cat[7]",
        ),
        (
            with(theft(), "/token/owner", json!(null)),
            "VIOLATION    open     shop/web-1                [foreign-token-open:critical] nobody known's Pod Identity token /bin/cat[7]",
        ),
        (
            with(
                theft(),
                "/token/owner",
                json!({"uid": "97c0", "namespace": null, "name": null}),
            ),
            "VIOLATION    open     shop/web-1                [foreign-token-open:critical] pod 97c0's Pod Identity token /bin/cat[7]",
        ),
        (
            with(
                with(own(), "/pod", json!(null)),
                "/attribution/process",
                json!("conflict"),
            ),
            "allowed      open     more than one pod         own Pod Identity token /bin/cat[7]",
        ),
        (
            with(
                with(own(), "/process/exec_session", json!(true)),
                "/process/tty",
                json!("pts/0"),
            ),
            "allowed      open     shop/web-1                own Pod Identity token /bin/cat[7] exec session on pts/0",
        ),
        (
            with(
                with(
                    own(),
                    "/binding",
                    json!({"role_arn": "arn:aws:iam::111122223333:role/path/api"}),
                ),
                "/repeats",
                json!(12_345),
            ),
            "allowed      open     shop/web-1                own Pod Identity token /bin/cat[7] role path/api and 12,345 more",
        ),
        (
            with(
                own(),
                "/pod/name",
                json!("a-name-that-is-longer-than-its-column"),
            ),
            "allowed      open     shop/a-name-that-is-longer-than-its-column own Pod Identity token /bin/cat[7]",
        ),
        (
            connect(),
            "allowed      connect  shop/web-1                pod-identity-agent established in 90 µs /bin/cat[7]",
        ),
        (
            with(
                with(connect(), "/connection/outcome", json!("refused")),
                "/connection/errno",
                json!(111),
            ),
            "allowed      connect  shop/web-1                pod-identity-agent refused (ECONNREFUSED) /bin/cat[7]",
        ),
        (
            with(connect(), "/connection/endpoint", json!("vault")),
            "allowed      connect  shop/web-1                vault (169.254.170.23:80) established in 90 µs /bin/cat[7]",
        ),
        (
            closed,
            "SUSPICIOUS   closed   shop/web-1                [node-role-fallback:medium] imds 1.2 KiB out, 1.1 KiB in, 666 µs",
        ),
        (
            accept,
            "VIOLATION    accept   10.42.1.58:42335          [stealth-agent-connection:critical] pod-identity-agent by kube-system/agent-1",
        ),
        (
            listen,
            "allowed      listen   shop/web-1                on 169.254.170.23:80 /bin/cat[7]",
        ),
        (
            memory,
            "VIOLATION    memory   host                      [credential-memory-access:high] payments/api-1 (app[9]) by process_vm_readv gdb[8] login uid 1000",
        ),
        (
            socket,
            "allowed      socket   shop/web-1                packet raw /bin/cat[7]",
        ),
        (
            received,
            "VIOLATION    received shop/web-1                payments/api-1's connection to pod-identity-agent by pidfd_getfd from app[9]",
        ),
    ] {
        assert_eq!(shown(body), format!("12:00:00.123 {want}"));
    }
}

#[test]
fn the_auditors_own_words() {
    let posture = json!({
        "event": "finding", "state": "raised", "subject": pod_of("shop", "moved-1"),
        "findings": [{"id": "identity-not-injected", "severity": "medium", "message": "restart the pod", "exempted_by": null}],
    });
    let cleared = with(posture.clone(), "/state", json!("cleared"));
    let summary = json!({
        "event": "summary", "of": "token_open", "count": 12_345, "total": 12_400, "stranger": true, "relation": "other-pod",
        "first": "2026-11-22T11:59:50Z", "last": "2026-11-22T12:00:00Z", "cgroup_id": 17, "pod": pod_of("shop", "web-1"),
        "exe_inode": "0:52/1234", "token": {"volume": "v", "owner": pod_of("payments", "api-1")}, "endpoint": null,
    });
    let own = with(
        with(summary.clone(), "/stranger", json!(false)),
        "/relation",
        json!("own"),
    );
    let loss = json!({
        "event": "loss", "reason": "ring-full", "ring": "events", "count": 1_200,
        "from": "2026-11-22T11:59:50Z", "to": "2026-11-22T12:00:00Z",
    });
    let health = json!({"event": "health", "component": "policy", "state": "reload-refused", "message": "line 3: no\nsuch key"});
    let ready = json!({
        "event": "ready", "version": "0.1.0", "kernel": "6.12.1", "pods": 3, "associations": null, "state": "memory",
        "backends": {"file_open": {"backend": "fentry"}, "connect": {"backend": "fentry"}, "memory_access": {"backend": "none"}},
        "coverage": {"a": true, "b": false},
    });
    let stopped = json!({
        "event": "stopped", "reason": "SIGTERM", "matched": 2_319, "lines": 607, "counted_only": 1_601, "merged": 110,
        "folded": 0, "lost": 1, "queued": 0, "uptime_seconds": 63,
    });
    for (body, want) in [
        (
            posture,
            "raised       finding  shop/moved-1              [identity-not-injected:medium] restart the pod",
        ),
        (
            cleared,
            "cleared      finding  shop/moved-1              [identity-not-injected:medium] restart the pod",
        ),
        (
            summary,
            "folded       summary  shop/web-1                12,345 more token_open of payments/api-1's token by a stranger 11:59:50.000 to 12:00:00.000, 12,400 in all by executable 0:52/1234",
        ),
        (
            own,
            "folded       summary  shop/web-1                12,345 more token_open of own token 11:59:50.000 to 12:00:00.000, 12,400 in all by executable 0:52/1234",
        ),
        (
            loss,
            "LOST         loss     ring-full                 1,200 events in the ring events 11:59:50.000 to 12:00:00.000",
        ),
        (
            health,
            r"reload-refused health policy                    line 3: no\nsuch key",
        ),
        (
            ready,
            "ready        ready    auditor 0.1.0             Linux 6.12.1, 1 of 2 techniques seen, 3 pods fentry: connect file_open; none: memory_access; state in memory",
        ),
        (
            stopped,
            "stopped      stopped  SIGTERM                   2,319 matched = 607 lines + 1,601 counted only + 110 merged + 1 LOST in 1 min 3 s",
        ),
        (
            json!({"event": "new_thing"}),
            "             new_thing                          an event that this version does not know",
        ),
    ] {
        assert_eq!(shown(body), format!("12:00:00.123 {want}"));
    }
}

#[test]
fn whole_times_ids_colours_and_widths() {
    let event = event(open("violation", "own"));
    let text = line(
        &event,
        Style {
            ids: true,
            ..Style::default()
        },
    );
    assert!(
        text.starts_with("2026-11-22T12:00:00.123Z VIOLATION "),
        "{text}"
    );
    assert!(text.ends_with("/bin/cat[7] 0198-x"), "{text}");
    let painted = line(
        &event,
        Style {
            painted: true,
            ..SHORT
        },
    );
    assert!(painted.contains("\x1b[1;31mVIOLATION\x1b[0m"), "{painted}");
    assert!(painted.contains("\x1b[1mshop/web-1\x1b[0m"), "{painted}");
    let narrow = line(
        &event,
        Style {
            width: Some(40),
            ..SHORT
        },
    );
    assert_eq!(narrow, "12:00:00.123 VIOLATION    open     shop…");
}

#[test]
fn what_is_missing_or_of_another_type_is_unknown_and_panics_nowhere() {
    for (name, _) in EVENTS {
        let bare = shown(json!({ "event": name }));
        assert!(bare.contains('?') || bare.contains("unknown"), "{bare}");
        for odd in [
            json!(null),
            json!(17),
            json!("text"),
            json!([1, null]),
            json!({"x": 1}),
        ] {
            let mut event = json!({ "event": name, "time": odd });
            for key in [
                "verdict",
                "findings",
                "pod",
                "token",
                "access",
                "process",
                "connection",
                "target",
                "subject",
                "backends",
                "coverage",
                "binding",
                "repeats",
                "count",
            ] {
                event[key] = odd.clone();
            }
            assert!(!line(&event, SHORT).is_empty());
        }
    }
}

#[test]
fn hostile_text_anywhere_in_any_event_controls_nothing() {
    let hostile = "\x1b]0;owned\x07\x1b[2J\u{9b}1A\r\n\u{202e}\u{200b}x";
    for body in fixture::bodies(hostile, 3) {
        let line_of = fixture::envelope().line(
            1,
            "2026-11-22T12:00:00Z".parse().unwrap(),
            uuid::Uuid::nil(),
            body,
        );
        let event = serde_json::to_value(&line_of).unwrap();
        for style in [
            SHORT,
            Style {
                ids: true,
                width: Some(200),
                ..Style::default()
            },
        ] {
            let text = line(&event, style);
            assert!(
                !text.chars().any(is_command) && !text.contains('\u{200b}'),
                "{text:?}"
            );
        }
    }
}
