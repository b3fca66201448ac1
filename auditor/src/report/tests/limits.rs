//! Lines stay under the limit, whatever is in them.

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::super::{Format, LINE_LIMIT, encode::Encoder, fixture};
use crate::{event::Body, text::Style};

fn encode(body: Body) -> String {
    encode_as(Format::Json, body)
}

fn encode_as(format: Format, body: Body) -> String {
    let mut encoder = Encoder::new(format);
    let mut line = fixture::envelope().line(
        u64::MAX,
        "2026-11-22T12:00:00.123456789Z".parse().unwrap(),
        Uuid::now_v7(),
        body,
    );
    encoder.encode(&mut line).unwrap();
    String::from_utf8(encoder.bytes().to_vec()).unwrap()
}

fn check(text: &str, many: usize) {
    for body in fixture::bodies(text, many) {
        let line = encode(body);
        assert!(line.len() < LINE_LIMIT, "{} bytes: {line}", line.len());
        assert_eq!(
            line.find('\n'),
            Some(line.len() - 1),
            "more than one line: {line}"
        );
        let value: Value = serde_json::from_str(&line).unwrap();
        assert!(value["event"].is_string() && value["seq"].is_u64());
    }
    for body in fixture::bodies(text, many) {
        let line = encode_as(Format::Text(Style::default()), body);
        assert!(line.len() < LINE_LIMIT, "{} bytes: {line}", line.len());
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
    }
}

fn check_as_ocsf(text: &str, many: usize) {
    for body in fixture::bodies(text, many) {
        check_events(&encode_as(Format::Ocsf, body));
    }
}

fn check_events(text: &str) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!((1..=2).contains(&lines.len()), "{text}");
    let mut cut = Vec::new();
    for line in lines {
        assert!(line.len() < LINE_LIMIT, "{} bytes: {line}", line.len());
        assert!(line.ends_with('\n'), "{line}");
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["metadata"]["sequence"], u64::MAX);
        cut.push(value["metadata"]["is_truncated"] == true);
    }
    cut.dedup();
    assert_eq!(cut.len(), 1, "both were cut, or none: {text}");
    assert!(
        cut[0] || !text.contains("cut]"),
        "it does not say so: {text}"
    );
}

#[test]
fn the_worst_that_fits_no_line_still_makes_one() {
    for text in ["\0", "\u{2028}", "\u{200b}", "\"", "x", "é", "\u{10ffff}"] {
        check(&text.repeat(600), 60);
        check_as_ocsf(&text.repeat(600), 60);
    }
}

#[test]
fn what_fits_comes_out_whole() {
    let line = encode(Body::TokenOpen(Box::new(fixture::token_open(
        "a label, an argument, a name",
        5,
    ))));
    assert!(!line.contains("cut]"), "{line}");
}

#[test]
fn labels_go_first_then_arguments() {
    let mut open = fixture::token_open("x", 1);
    let pod = open.pod.as_mut().unwrap();
    pod.labels = (0..400)
        .map(|n| (format!("label-{n}"), "y".repeat(60)))
        .collect();
    open.process.args = vec!["z".repeat(500)];
    let value: Value =
        serde_json::from_str(&encode(Body::TokenOpen(Box::new(open.clone())))).unwrap();
    assert_eq!(value["process"]["args"][0], "z".repeat(500));
    let kept = value["pod"]["labels"].as_object().unwrap().len() - 1;
    assert_eq!(
        value["pod"]["labels"]["…"],
        format!("[{} more cut]", 400 - kept)
    );

    open.process.args = vec!["z".repeat(500); 40];
    let value: Value = serde_json::from_str(&encode(Body::TokenOpen(Box::new(open)))).unwrap();
    assert_eq!(value["process"]["args"][1], "…[39 more cut]");
    assert_eq!(value["process"]["exe"], "x");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_line_is_one_line_of_json_under_the_limit(
        text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}\\u{2028}\\u{2029}\"\\\\\u{fffd}]){0,40}",
        times in 1_usize..40,
        many in 0_usize..40,
    ) {
        check(&text.repeat(times), many);
    }
}

proptest! {
    // A line is converted again at each level that it is cut to: these take long.
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn every_event_of_ocsf_is_one_line_under_the_limit(
        text in "(\\PC|[\\x00-\\x1f\\u{2028}\"\\\\]){0,40}",
        times in 1_usize..40,
        many in 0_usize..40,
    ) {
        check_as_ocsf(&text.repeat(times), many);
    }
}
