//! The dashboard as a picture: its panels in their places, drawn from Prometheus' answers to their queries.
//!
//! Not Grafana: Debian, PyPI and npm have none that could be run headless here. Titles, places and queries are the dashboard's;
//! lines are drawn where Grafana might stack areas.

mod draw;
mod series;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::dashboard::{Panel, Place};
use draw::{Canvas, Frame};
use series::{name_of, points_of, shown, value_of};

/// Pixels of a unit of Grafana's grid.
const COLUMN: f64 = 50.0;
const ROW: f64 = 27.0;
const MARGIN: f64 = 12.0;
const CAPTION: f64 = 22.0;

/// The picture as SVG. `answers`: the queries with `data`, as `lab e2e prometheus` writes them, in the panels' order.
///
/// # Errors
/// When the answers are not those of these panels.
pub fn draw(panels: &[Panel], answers: &Value, caption: &[String]) -> Result<String> {
    let mut answers = answers.as_array().context("no answers")?.iter();
    let bottom = panels.iter().map(|panel| panel.place.y + panel.place.h);
    let height = bottom.fold(0.0, f64::max) * ROW + MARGIN * 2.0 + CAPTION * caption.len() as f64;
    let mut canvas = Canvas::new(24.0 * COLUMN + MARGIN * 2.0, height);
    for panel in panels {
        let mut data = Vec::new();
        for target in &panel.targets {
            let answer = answers.next().context("fewer answers than queries")?;
            ensure!(
                answer["panel"] == panel.title,
                "the answers are another dashboard's"
            );
            data.push((target.legend.as_str(), &answer["data"]["result"]));
        }
        let frame = frame(panel.place);
        match panel.kind.as_str() {
            "row" => canvas.heading(&frame, &heading(&panel.title)),
            "stat" => {
                canvas.panel(&frame, &panel.title);
                let value = data.first().and_then(|(_, result)| value_of(&result[0]));
                canvas.number(&frame, &shown(value.unwrap_or(0.0), &panel.unit));
            }
            "table" => {
                canvas.panel(&frame, &panel.title);
                let rows = data
                    .first()
                    .map(|(_, result)| table(result, &panel.columns));
                canvas.table(&frame, &rows.unwrap_or_default());
            }
            _ => {
                canvas.panel(&frame, &panel.title);
                let lines = data.iter().flat_map(|(legend, result)| {
                    let series = result.as_array().into_iter().flatten();
                    series.map(|one| (name_of(legend, &one["metric"]), points_of(one)))
                });
                canvas.lines(&frame, &lines.collect::<Vec<_>>(), &panel.unit);
            }
        }
    }
    for (at, line) in caption.iter().rev().enumerate() {
        canvas.caption(height - MARGIN - CAPTION * at as f64, line);
    }
    Ok(canvas.finish("EKS Credential Auditor: the dashboard"))
}

fn frame(place: Place) -> Frame {
    const GAP: f64 = 4.0;
    Frame {
        x: MARGIN + place.x * COLUMN + GAP,
        y: MARGIN + place.y * ROW + GAP,
        w: place.w * COLUMN - GAP * 2.0,
        h: place.h * ROW - GAP * 2.0,
    }
}

/// The variables of a row's title, all of them chosen.
fn heading(title: &str) -> String {
    title.replace("$workload_namespace / $workload_service_account", "(all)")
}

/// The columns' names, then a row for each series; the value is the last column.
fn table(result: &Value, columns: &[String]) -> Vec<Vec<String>> {
    let labels: Vec<&String> = columns.iter().filter(|column| *column != "Value").collect();
    let mut head: Vec<String> = labels.iter().map(|label| label.replace('_', " ")).collect();
    head.push("count".to_owned());
    let series = result.as_array().into_iter().flatten();
    let mut rows: Vec<(f64, Vec<String>)> = series
        .map(|one| {
            let value = value_of(one).unwrap_or_default();
            let text = |label: &&String| one["metric"][label.as_str()].as_str().unwrap_or("-");
            let mut row: Vec<String> = labels.iter().map(|label| text(label).to_owned()).collect();
            row.push(shown(value, "short"));
            (value, row)
        })
        .collect();
    rows.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    std::iter::once(head)
        .chain(rows.into_iter().map(|(_, row)| row))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifests::{Files, dashboard};

    #[test]
    fn each_panel_is_drawn_and_answers_of_others_are_refused() {
        let panels = dashboard::panels(&Files::ours().dashboard).unwrap();
        let mut answers = dashboard::queries(&panels, "15s", "60s");
        for answer in answers.as_array_mut().unwrap() {
            let metric = json!({"node": "n <1>", "verdict": "allowed"});
            answer["data"] = if answer["instant"] == true {
                json!({"result": [{"metric": metric, "value": [1.0, "3"]}]})
            } else {
                json!({"result": [{"metric": metric, "values": [[1.0, "0"], [2.0, "4"], [3.0, "NaN"]]}]})
            };
        }
        let svg = draw(&panels, &answers, &["a & b".to_owned()]).unwrap();
        for panel in panels.iter().filter(|panel| panel.kind != "row") {
            assert!(svg.contains(&panel.title), "{}", panel.title);
        }
        assert!(svg.contains("a &amp; b") && svg.contains("n &lt;1&gt;"));
        assert!(svg.matches("<polyline").count() > 10);
        let mut fewer = answers.clone();
        fewer.as_array_mut().unwrap().remove(0);
        assert!(draw(&panels, &fewer, &[]).is_err());
    }
}
