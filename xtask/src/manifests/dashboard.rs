//! The Grafana dashboard: its panels, and their queries as Prometheus can run them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::read;

/// One panel, or the title of a row of them.
pub struct Panel {
    pub title: String,
    /// `row`, `stat`, `timeseries`, `table`.
    pub kind: String,
    /// `percentunit`, `s`, `bytes`, … as Grafana calls them.
    pub unit: String,
    pub place: Place,
    pub targets: Vec<Target>,
    /// Names of the columns by their labels, in order; of tables.
    pub columns: Vec<String>,
}

/// In Grafana's grid of 24 columns.
#[derive(Clone, Copy)]
pub struct Place {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

pub struct Target {
    pub expr: String,
    /// `{{label}}` stands for a label.
    pub legend: String,
    pub instant: bool,
}

/// # Errors
/// When it is not a dashboard, or a panel has no title, place or query.
pub fn panels(path: &Path) -> Result<Vec<Panel>> {
    let dashboard: Value =
        serde_json::from_str(&read(path)?).context("the dashboard is no JSON")?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    panels.iter().map(panel).collect()
}

fn panel(panel: &Value) -> Result<Panel> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let title = text(&panel["title"]);
    let side = |name: &str| {
        let number = panel["gridPos"][name].as_f64();
        number.with_context(|| format!("panel `{title}` has no place"))
    };
    let targets = panel["targets"].as_array().into_iter().flatten();
    let targets: Vec<Target> = targets
        .map(|target| Target {
            expr: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
            instant: target["instant"] == true,
        })
        .collect();
    let kind = text(&panel["type"]);
    ensure!(
        !title.is_empty() && !kind.is_empty(),
        "a panel without title or type"
    );
    ensure!(
        (kind == "row") == targets.is_empty()
            && targets.iter().all(|target| !target.expr.is_empty()),
        "panel `{title}` has no query, or one too many"
    );
    ensure!(
        kind == "row" || !text(&panel["description"]).is_empty(),
        "panel `{title}` does not say what it shows"
    );
    let order = panel["transformations"][0]["options"]["indexByName"].as_object();
    let mut columns: Vec<(String, u64)> = order
        .into_iter()
        .flatten()
        .map(|(name, at)| (name.clone(), at.as_u64().unwrap_or(u64::MAX)))
        .collect();
    columns.sort_by_key(|(_, at)| *at);
    let place = Place {
        x: side("x")?,
        y: side("y")?,
        w: side("w")?,
        h: side("h")?,
    };
    Ok(Panel {
        unit: text(&panel["fieldConfig"]["defaults"]["unit"]),
        columns: columns.into_iter().map(|(name, _)| name).collect(),
        title,
        kind,
        place,
        targets,
    })
}

/// What Grafana puts in for the variables: all nodes and workloads, and these times.
pub fn filled_in(text: &str, rate_interval: &str, range: &str) -> String {
    text.replace("$__rate_interval", rate_interval)
        .replace("$__range", range)
        .replace("$node", ".*")
        .replace("$workload_namespace", ".*")
        .replace("$workload_service_account", ".*")
}

/// What happens in no test with a cluster from a file: requests to the API server; or must not happen, or need not.
const MAY_BE_EMPTY: [&str; 4] = [
    "Requests to the API server",
    "Bytes from the API server",
    "Not attributed",
    "Techniques not seen",
];

/// All queries as `lab e2e prometheus --queries` takes them.
pub fn queries(panels: &[Panel], rate_interval: &str, range: &str) -> Value {
    let targets = panels
        .iter()
        .flat_map(|panel| panel.targets.iter().map(move |target| (panel, target)));
    targets
        .map(|(panel, target)| {
            json!({
                "panel": panel.title,
                "expr": filled_in(&target.expr, rate_interval, range),
                "instant": target.instant,
                "may_be_empty": MAY_BE_EMPTY.contains(&panel.title.as_str()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::Files;

    #[test]
    fn every_panel_of_ours_has_a_place_of_its_own() {
        let panels = panels(&Files::ours().dashboard).unwrap();
        assert!(panels.len() > 20);
        for (at, one) in panels.iter().enumerate() {
            assert!(one.place.x + one.place.w <= 24.0, "{}", one.title);
            for other in &panels[..at] {
                let apart = one.place.x >= other.place.x + other.place.w
                    || other.place.x >= one.place.x + one.place.w
                    || one.place.y >= other.place.y + other.place.h
                    || other.place.y >= one.place.y + one.place.h;
                assert!(apart, "{} lies on {}", one.title, other.title);
            }
        }
        for query in queries(&panels, "15s", "60s").as_array().unwrap() {
            assert!(!query["expr"].as_str().unwrap().contains('$'), "{query}");
        }
    }
}
