use std::{collections::BTreeSet, env, fmt::Write as _, fs};

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    event::{FindingId, PostureState, Severity, Verdict},
    report::fixture,
};

fn line(body: Body) -> Line {
    let time = "2026-11-22T12:00:00.123456789Z".parse().unwrap();
    fixture::envelope().line(7, time, Uuid::now_v7(), body)
}

fn of(body: Body) -> Vec<Value> {
    events(&line(body), None)
}

fn token_open(change: impl FnOnce(&mut crate::event::TokenOpen)) -> Vec<Value> {
    let mut open = fixture::token_open("x", 1);
    open.findings[0].exempted_by = None;
    change(&mut open);
    of(Body::TokenOpen(Box::new(open)))
}

/// With `OCSF_EVENTS=FILE` they are written there: `cargo xtask e2e shipping` has them validated.
#[test]
fn every_type_of_line_has_a_class_and_ids_of_its_own() {
    let mut text = String::new();
    let mut codes = BTreeSet::new();
    for body in ["x", "10.0.0.1:80", "[fd00::1]:443"]
        .iter()
        .flat_map(|text| [0, 1, 30].map(|many| fixture::bodies(text, many)))
        .flatten()
    {
        let line = line(body);
        let events = events(&line, None);
        let judged = line_has_findings(&line);
        let is_state = matches!(line.body, Body::Posture(_));
        assert_eq!(events.len(), if judged && !is_state { 2 } else { 1 });
        let ids: BTreeSet<_> = events
            .iter()
            .map(|e| e["metadata"]["uid"].as_str())
            .collect();
        assert_eq!(ids.len(), events.len());
        for event in &events {
            let metadata = &event["metadata"];
            assert_eq!(metadata["sequence"], 7);
            assert_eq!(metadata["original_event_uid"], line.id);
            assert_eq!(
                metadata["event_code"],
                serde_json::to_value(&line).unwrap()["event"]
            );
            assert_eq!(event["unmapped"]["run_id"], *line.run_id);
            assert_eq!(event["time"], 1_795_348_800_123_i64);
            codes.insert(metadata["event_code"].to_string());
            writeln!(text, "{event}").unwrap();
        }
    }
    assert_eq!(codes.len(), 14);
    if let Some(path) = env::var_os("OCSF_EVENTS") {
        fs::write(path, text).unwrap();
    }
}

fn line_has_findings(line: &Line) -> bool {
    serde_json::to_value(line).unwrap()["findings"]
        .as_array()
        .is_some_and(|findings| !findings.is_empty())
}

#[test]
fn a_finding_follows_its_activity_and_refers_to_it() {
    let [activity, finding] = &token_open(|_| {})[..] else {
        panic!("two events")
    };
    assert_eq!(activity["class_uid"], 1001);
    assert_eq!(activity["type_uid"], 100_114);
    assert_eq!(activity["severity_id"], 5);
    assert_eq!(finding["class_uid"], 2004);
    assert_eq!(finding["severity_id"], 5);
    assert_eq!(finding["is_alert"], true);
    let related = &finding["finding_info"]["related_events"][0];
    assert_eq!(related["uid"], activity["metadata"]["uid"]);
    assert_eq!(related["type_uid"], activity["type_uid"]);
    assert_eq!(finding["evidences"][0]["file"], activity["file"]);
    assert_eq!(finding["unmapped"], activity["unmapped"]);
}

#[test]
fn what_policy_exempts_is_suppressed_and_alerts_nobody() {
    let events = token_open(|open| {
        open.verdict = Verdict::Allowed;
        open.findings[0].exempted_by = Some("backup".to_owned());
    });
    assert_eq!(events[0]["severity_id"], 1);
    assert_eq!(events[1]["status_id"], 3);
    assert_eq!(events[1]["is_alert"], false);
}

#[test]
fn the_gravest_finding_that_counts_names_the_detection() {
    let events = token_open(|open| {
        let mut exempted = open.findings[0].clone();
        exempted.exempted_by = Some("known".to_owned());
        let mut info = open.findings[0].clone();
        (info.id, info.severity) = (FindingId::NodeRoleFallback, Severity::Info);
        let mut high = open.findings[0].clone();
        (high.id, high.severity) = (FindingId::RoleDrift, Severity::High);
        high.message = "the role drifted".to_owned();
        open.findings = vec![exempted, info, high];
    });
    let info = &events[1]["finding_info"];
    assert_eq!(info["title"], "role-drift");
    assert_eq!(events[1]["message"], "the role drifted");
    assert_eq!(info["related_analytics"].as_array().unwrap().len(), 2);
    assert_eq!(info["attacks"].as_array().unwrap().len(), 3);
    assert_eq!(events[0]["severity_id"], 4);
}

#[test]
fn a_line_without_findings_is_one_event() {
    let events = token_open(|open| {
        open.findings.clear();
        open.verdict = Verdict::Undetermined;
    });
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["severity_id"], 2);
    assert_eq!(events[0]["message"], "x opened the token x");
}

#[test]
fn a_state_is_closed_under_the_name_that_it_was_created_with() {
    let uid = |state: PostureState| {
        let mut body = fixture::bodies("x", 1)
            .into_iter()
            .find_map(|body| match body {
                Body::Posture(posture) => Some(posture),
                _ => None,
            });
        let mut posture = body.take().unwrap();
        posture.state = state;
        let [event] = &of(Body::Posture(posture))[..] else {
            panic!("one event")
        };
        (
            event["finding_info"]["uid"].clone(),
            event["type_uid"].clone(),
        )
    };
    let (raised, created) = uid(PostureState::Raised);
    let (cleared, closed) = uid(PostureState::Cleared);
    assert_eq!(raised, cleared);
    assert_eq!((created, closed), (json!(200_401), json!(200_403)));
}

#[test]
fn what_was_cut_says_so() {
    let line = line(fixture::health("x"));
    assert_eq!(events(&line, None)[0]["metadata"].get("is_truncated"), None);
    let metadata = &events(&line, Some(16_500))[0]["metadata"];
    assert_eq!(metadata["is_truncated"], true);
    assert_eq!(metadata["untruncated_size"], 17);
}

#[test]
fn nothing_is_null_or_empty() {
    fn walk(value: &Value) {
        match value {
            Value::Object(members) => members.values().for_each(|member| {
                assert!(!member.is_null() && *member != json!([]) && *member != json!({}));
                walk(member);
            }),
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    for body in fixture::bodies("x", 0) {
        of(body).iter().for_each(walk);
    }
}

#[test]
fn the_documentation_names_every_event_and_class() {
    let text = include_str!("../../../docs/ocsf.md");
    for event in fixture::bodies("x", 1).into_iter().flat_map(of) {
        let code = event["metadata"]["event_code"].as_str().unwrap();
        let class = event["class_name"].as_str().unwrap();
        assert!(text.contains(&format!("`{code}`")), "{code}");
        assert!(
            text.contains(&format!("{class} {}", event["class_uid"])),
            "{class}"
        );
        assert!(
            text.contains(event["activity_name"].as_str().unwrap()),
            "{event}"
        );
    }
}
