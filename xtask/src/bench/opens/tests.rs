use super::*;
use serde_json::json;

fn figures() -> Vec<Row> {
    let cell = |median: f64| json!({"minimum": median - 10.0, "median": median, "tool": 5.0, "lines": 1.0});
    let row = |tool: &str, unrelated: f64| json!({"tool": tool, "skipped": null, "unrelated": cell(unrelated), "matching": cell(900.0)});
    let skipped = json!({"tool": "fatrace", "skipped": "Operation not permitted", "unrelated": null, "matching": null});
    let all = json!([
        row("none", 400.0),
        row("empty", 420.0),
        row("auditor", 425.0),
        row("opensnoop", 700.0),
        skipped
    ]);
    rows(&all).unwrap()
}

#[test]
fn goals_are_ratios_of_what_is_added() {
    let section = section(&figures(), "x", "ns", (Some(1.5), Some(0.15)));
    let shown: Vec<_> = section
        .figures
        .iter()
        .map(|f| (f.value.as_str(), f.word()))
        .collect();
    assert_eq!(shown, [("1.25", "met"), ("0.083", "met")]);
    let text = section.text();
    assert!(
        text.contains("fatrace: skipped: Operation not permitted"),
        "{text}"
    );
    assert_eq!(section.tables[0].rows.len(), 4);
}

#[test]
fn noise_is_no_figure() {
    let mut rows = figures();
    rows[1].unrelated[1] = 399.0;
    let figure = ratio(&rows, "x", "empty", 1.5);
    assert_eq!(
        (figure.met, figure.value.as_str()),
        (None, "skipped: within the noise")
    );
    let figure = ratio(&rows, "x", "fatrace", 1.5);
    assert_eq!(figure.value, "skipped: Operation not permitted");
}

#[test]
fn a_skipped_tool_has_a_place_and_no_bar() {
    let svg = plot(&figures(), "x.svg", "t", "ns").svg;
    assert!(svg.contains(">fatrace<") && svg.contains(">-<"));
}
