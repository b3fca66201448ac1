//! Prometheus' HTTP API, as much as is asked: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>.

use std::{fmt::Write as _, time::Duration};

use serde::Deserialize;

use super::Labels;

/// How each hook is watched.
pub const PROBES: &str = "credential_auditor_probe_info == 1";

/// Alerts of this namespace that fired within `since`, also those that are over: most last for five minutes.
/// (`ALERTS` is written by whoever evaluates the rules.)
pub fn alerts(namespace: &str, since: Duration) -> String {
    let seconds = since.as_secs();
    let of = |side: &str| {
        format!(
            "max_over_time(ALERTS{{alertstate=\"firing\",{side}_namespace=\"{namespace}\"}}[{seconds}s])"
        )
    };
    format!("{} or {}", of("workload"), of("owner"))
}

pub fn url(base: &str, query: &str) -> String {
    let mut url = format!("{}/api/v1/query?query=", base.trim_end_matches('/'));
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
}

/// The labels of an instant query's answer.
pub fn series(answer: &[u8]) -> Result<Vec<Labels>, String> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| format!("this is no answer of Prometheus' API: {error}"))?;
    match answer.data {
        Some(data) if answer.status == "success" => {
            Ok(data.result.into_iter().map(|one| one.metric).collect())
        }
        _ => Err(answer.error.unwrap_or(answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_both_sides_and_reads_the_labels() {
        let query = alerts("sim", Duration::from_mins(15));
        assert_eq!(
            query,
            r#"max_over_time(ALERTS{alertstate="firing",workload_namespace="sim"}[900s]) or max_over_time(ALERTS{alertstate="firing",owner_namespace="sim"}[900s])"#
        );
        assert_eq!(
            url("http://p:9090/", "a{b=\"c d\"}"),
            "http://p:9090/api/v1/query?query=a%7Bb%3D%22c%20d%22%7D"
        );
        let answer = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"alertname":"CredentialTheft"},"value":[1,"1"]}]}}"#;
        let found = series(answer).unwrap();
        assert_eq!(found[0]["alertname"], "CredentialTheft");
        let refused = br#"{"status":"error","errorType":"bad_data","error":"no"}"#;
        assert_eq!(series(refused).unwrap_err(), "no");
        assert!(series(b"<html>").unwrap_err().contains("no answer"));
    }
}
