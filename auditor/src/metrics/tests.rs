use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    event::{BindingKind, Body, Severity, Verdict},
    report::{Observer, fixture},
};

mod crowd;

/// The server in a current_thread runtime, as the daemon runs it.
pub(super) fn served(
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    test: impl FnOnce(SocketAddr),
) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let (addr, stop) = (listener.addr(), CancellationToken::new());
    let stopped = stop.clone();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(serve(listener, metrics, readiness, stopped))
            .unwrap();
    });
    test(addr);
    stop.cancel();
    server.join().unwrap();
}

pub(super) fn ask(addr: SocketAddr, request: &str) -> String {
    finish(
        TcpStream::connect(addr).unwrap(),
        &format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"),
    )
}

/// Sends the rest of a request, and reads to the end.
pub(super) fn finish(mut stream: TcpStream, rest: &str) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(series))
        .unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().unwrap()
}

#[test]
fn the_three_paths_answer_and_others_do_not() {
    let (metrics, readiness) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
    served(metrics, readiness.clone(), |addr| {
        let answer = ask(addr, "GET /metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.contains(
                "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"
            ),
            "{head}"
        );
        assert!(body.ends_with("# EOF\n"), "{body}");
        assert!(ask(addr, "GET /healthz").ends_with("\r\n\r\nok\n"));
        let waiting = ask(addr, "GET /readyz");
        assert!(
            waiting.starts_with("HTTP/1.1 503") && waiting.contains("not ready: starting"),
            "{waiting}"
        );
        assert_eq!(value(body, "credential_auditor_ready "), 0.0);
        readiness.set_ready();
        assert!(ask(addr, "GET /readyz").starts_with("HTTP/1.1 200"));
        let answer = ask(addr, "GET /metrics");
        assert_eq!(value(&answer, "credential_auditor_ready "), 1.0);
        readiness.set_not_ready("the ring is gone");
        assert!(ask(addr, "GET /readyz").ends_with("not ready: the ring is gone\n"));
        assert!(ask(addr, "GET /").starts_with("HTTP/1.1 404"));
        assert!(ask(addr, "POST /metrics").starts_with("HTTP/1.1 405"));
        assert!(ask(addr, "HEAD /healthz").ends_with("\r\n\r\n"));
    });
}

#[test]
fn events_show_in_the_metrics() {
    let metrics = Metrics::default();
    let mut open = fixture::token_open("x", 1);
    open.findings[0].exempted_by = None;
    let body = Body::TokenOpen(Box::new(open.clone()));
    metrics.emitted(&body);
    metrics.emitted(&body);
    metrics.written(&body, Duration::from_micros(300));
    metrics.lost(&body);
    metrics.add_lost("ring-full", 7);
    metrics.set_folded(4);
    metrics.set_folded(6);
    metrics.add_counted_only(3);
    metrics.add_unattributed("no-cgroup");
    metrics.set_bindings("file:a.json", BindingKind::PodIdentity, 5);
    metrics.set_bindings_sync("2026-11-22T12:00:00.5Z".parse().unwrap());
    metrics.set_queue_depth(9);
    metrics.set_policy(Some("abc"));
    metrics.set_policy(Some("def"));
    metrics.set_source("policy", false);
    let bodies = fixture::bodies("fentry", 1);
    let ready = bodies.iter().find_map(|body| match body {
        Body::Ready(ready) => Some(ready),
        _ => None,
    });
    let ready = ready.unwrap();
    metrics.set_probes(&ready.backends);

    open.findings[0].exempted_by = Some("it may".to_owned());
    open.verdict = Verdict::Allowed;
    metrics.emitted(&Body::TokenOpen(Box::new(open)));

    let text = metrics.encode().unwrap();
    for (series, want) in [
        (
            r#"events_total{event="token_open",verdict="violation",kind="irsa"}"#,
            2.0,
        ),
        (
            r#"events_total{event="token_open",verdict="allowed",kind="irsa"}"#,
            1.0,
        ),
        (
            concat!(
                r#"findings_total{finding="foreign-token-open",severity="critical",workload_namespace="x","#,
                r#"workload_service_account="x",owner_namespace="x",owner_service_account="x"}"#
            ),
            2.0,
        ),
        (r#"events_lost_total{reason="sink"}"#, 1.0),
        (r#"events_lost_total{reason="ring-full"}"#, 7.0),
        (r#"events_lost_total{reason="decode"}"#, 0.0),
        ("events_counted_only_total", 3.0),
        ("events_folded_total", 6.0),
        ("label_sets_folded_total", 0.0),
        (r#"unattributed_total{reason="no-cgroup"}"#, 1.0),
        (r#"event_latency_seconds_bucket{le="0.00025"}"#, 0.0),
        (r#"event_latency_seconds_bucket{le="0.0005"}"#, 1.0),
        (r#"probe_info{hook="file_open",backend="fentry"}"#, 1.0),
        (r#"bindings{source="file:a.json",kind="pod-identity"}"#, 5.0),
        ("bindings_sync_timestamp_seconds", 1_795_348_800.5),
        ("queue_depth", 9.0),
        (r#"policy_info{hash="def"}"#, 1.0),
        (r#"source_ok{source="policy"}"#, 0.0),
        (
            concat!(
                r#"build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""}"#
            ),
            1.0,
        ),
    ] {
        assert_eq!(
            value(&text, &format!("credential_auditor_{series}")),
            want,
            "{series}"
        );
    }
    assert!(
        !text.contains(r#"hash="abc""#),
        "the old policy is still there"
    );
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
    ] {
        assert!(value(&text, &format!("{name} ")) > 0.0, "{name}");
    }
}

#[test]
fn what_is_known_beforehand_is_0_before_it_happens() {
    let text = Metrics::default().encode().unwrap();
    for series in [
        r#"events_lost_total{reason="sink"}"#,
        r#"events_total{event="loss",verdict="",kind=""}"#,
        r#"events_total{event="token_open",verdict="violation",kind="pod-identity"}"#,
        r#"events_total{event="credential_connect",verdict="violation",kind="imds"}"#,
        "events_folded_total",
        "events_counted_only_total",
        "label_sets_folded_total",
    ] {
        let series = format!("credential_auditor_{series} ");
        assert_eq!(value(&text, &series), 0.0, "{series}");
    }
}

#[test]
fn what_is_no_alarm_leaves_room_for_what_names_a_thief() {
    let metrics = Metrics::with_max_label_sets(10);
    for (severity, count) in [(Severity::Info, 100), (Severity::Critical, 5)] {
        for n in 0..count {
            let mut open = fixture::token_open(&format!("{severity:?}-{n}"), 1);
            open.findings[0].exempted_by = None;
            open.findings[0].severity = severity;
            metrics.emitted(&Body::TokenOpen(Box::new(open)));
        }
    }
    let text = metrics.encode().unwrap();
    let named = |severity: &str| {
        let severity = format!(r#"severity="{severity}""#);
        let is_named = |line: &&str| line.contains(&severity) && !line.contains(r#"="other""#);
        text.lines().filter(is_named).count()
    };
    assert_eq!((named("info"), named("critical")), (5, 5));
    let folded = value(&text, "credential_auditor_label_sets_folded_total");
    assert_eq!(folded, 95.0);
}

#[test]
fn past_the_limit_workloads_fold_into_other_and_a_metric_says_so() {
    let metrics = Metrics::with_max_label_sets(10);
    for n in 0..100 {
        let mut open = fixture::token_open(&format!("ns-{n}"), 1);
        open.findings[0].exempted_by = None;
        metrics.emitted(&Body::TokenOpen(Box::new(open)));
    }
    let text = metrics.encode().unwrap();
    assert_eq!(
        text.lines()
            .filter(|l| l.starts_with("credential_auditor_findings_total{"))
            .count(),
        11
    );
    let other = concat!(
        r#"credential_auditor_findings_total{finding="foreign-token-open",severity="critical",workload_namespace="other","#,
        r#"workload_service_account="other",owner_namespace="other",owner_service_account="other"}"#
    );
    assert_eq!(value(&text, other), 90.0);
    assert_eq!(
        value(&text, "credential_auditor_label_sets_folded_total"),
        90.0
    );
}
