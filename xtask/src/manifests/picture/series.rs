//! Prometheus' answers: names, values, points.

use serde_json::Value;

/// The legend with its labels put in; without one, all labels.
pub fn name_of(legend: &str, metric: &Value) -> String {
    let mut name = legend.to_owned();
    let labels = metric.as_object().into_iter().flatten();
    for (label, value) in labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or("?"));
    }
    // A label that is empty is none, to Prometheus.
    while let (Some(from), Some(to)) = (name.find("{{"), name.find("}}")) {
        if to < from {
            break;
        }
        name.replace_range(from..to + 2, "-");
    }
    name
}

/// Of a series of an instant query.
pub fn value_of(series: &Value) -> Option<f64> {
    series["value"][1].as_str()?.parse().ok()
}

/// Time and value of each point of a range query that is a number.
pub fn points_of(series: &Value) -> Vec<(f64, f64)> {
    let points = series["values"].as_array().into_iter().flatten();
    points
        .filter_map(|point| {
            let value: f64 = point[1].as_str()?.parse().ok()?;
            value.is_finite().then_some((point[0].as_f64()?, value))
        })
        .collect()
}

/// A number in Grafana's unit.
pub fn shown(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" => format!("{} %", plain(value * 100.0)),
        "bytes" => format!("{} MiB", plain(value / 1_048_576.0)),
        "s" if value < 0.001 && value > 0.0 => format!("{} µs", plain(value * 1e6)),
        "s" if value < 1.0 && value > 0.0 => format!("{} ms", plain(value * 1e3)),
        "s" => format!("{} s", plain(value)),
        "ops" | "reqps" => format!("{}/s", plain(value)),
        "Bps" => format!("{} B/s", plain(value)),
        _ => plain(value),
    }
}

/// Three digits, no zeroes that say nothing.
fn plain(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_made_of_labels() {
        let metric = json!({"finding": "role-drift", "node": "n"});
        assert_eq!(
            name_of("{{finding}} on {{node}}", &metric),
            "role-drift on n"
        );
        assert_eq!(
            name_of("{{finding}} by {{who}}", &metric),
            "role-drift by -"
        );
        assert_eq!(name_of("all", &metric), "all");
    }

    #[test]
    fn values_have_their_units() {
        let of = |value, unit| shown(value, unit);
        assert_eq!(of(0.000_25, "s"), "250 µs");
        assert_eq!(of(0.25, "s"), "250 ms");
        assert_eq!(of(0.5, "percentunit"), "50 %");
        assert_eq!(of(31_457_280.0, "bytes"), "30 MiB");
        assert_eq!(
            (of(0.0, "short"), of(1200.0, "short")),
            ("0".into(), "1200".into())
        );
    }
}
