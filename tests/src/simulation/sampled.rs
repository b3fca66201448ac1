//! The simulation in a virtual machine, where no Prometheus is: what the auditor's metrics say of it is put out, for promtool to hold the
//! alerts against (`xtask/src/vm/alerts.rs`).

use std::{net::TcpStream, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::verify::{Asked, verified};
use crate::{auditor::Auditor, http, play::Fence, scene::Stage};

/// What begins the line with samples and announcements; JSON follows.
pub const SAMPLES: &str = "samples ";

/// Plays it; what was seen, for a human, after a line of [`SAMPLES`].
///
/// # Errors
/// As of [`verified`], and when the metrics cannot be read.
pub fn perform(
    stage: &mut Stage,
    program: &Path,
    auditor: &mut Auditor,
    fence: &Fence,
    ready: &Value,
) -> Result<String> {
    let metrics = ready["metrics"].as_str().context("no metrics are served")?;
    let address = metrics.parse().with_context(|| metrics.to_owned())?;
    let verified = verified(stage, program, auditor, fence, Asked::Auditor(address))?;
    let mut stream = http::Connection::new(TcpStream::connect(address)?);
    let (status, text) = http::exchange(&mut stream, &http::get("/metrics", metrics))?;
    ensure!(status == 200, "/metrics answers {status}");
    let text = String::from_utf8_lossy(&text);
    let samples = samples(&text, &verified.namespace);
    println!(
        "{SAMPLES}{}",
        json!({"samples": samples, "announced": verified.watched})
    );
    let mut said = format!(
        "{} alerts announced: {:?}",
        verified.watched.len() + verified.unwatched.len(),
        verified.states
    );
    for one in &verified.unwatched {
        said += &format!("; nothing watches {}", one["hook"]);
    }
    Ok(said)
}

/// Of the text exposition format: what was found that concerns the namespace.
fn samples<'a>(text: &'a str, namespace: &str) -> Vec<&'a str> {
    let of =
        ["workload_namespace", "owner_namespace"].map(|side| format!("{side}=\"{namespace}\""));
    let lines = text.lines();
    lines
        .filter(|line| line.starts_with("credential_auditor_findings_total{"))
        .filter(|line| of.iter().any(|label| line.contains(label)))
        .collect()
}

#[test]
fn of_the_simulations_namespace_alone() {
    let found = "credential_auditor_findings_total{finding=\"a\",workload_namespace=\"sim\"} 1";
    let text = format!(
        "# TYPE credential_auditor_findings_total counter\n{found}\n\
         credential_auditor_findings_total{{finding=\"a\",workload_namespace=\"simulator\"}} 1\n\
         credential_auditor_opens_total{{workload_namespace=\"sim\"}} 1\n"
    );
    assert_eq!(samples(&text, "sim"), [found]);
}
