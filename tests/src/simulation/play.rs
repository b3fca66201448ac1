//! Plays it, and tells what its pods announce and what the auditor found.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Manifests, Template};
use crate::node::{Lab, Pod};

/// Where a lab's pods have the auditor's program: of an image they would have it at `/auditor`.
const IMAGE: &str = "/image";

/// What came of it.
pub struct Played {
    pub namespace: String,
    /// What each Job printed, as `auditor simulate run --output json` does.
    pub reports: Vec<Value>,
}

impl Played {
    /// All that the Jobs announced: `Announced` in `auditor/src/simulate/announce.rs`.
    pub fn announced(&self) -> Vec<Value> {
        self.rows()
            .flat_map(|row| row["announces"].as_array().into_iter().flatten())
            .cloned()
            .collect()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Value> {
        let reports = self.reports.iter();
        reports.flat_map(|report| report["scenes"].as_array().into_iter().flatten())
    }
}

/// Starts the victim, then each Job, one after the other.
pub fn play(lab: &mut Lab, auditor: &Path) -> Result<Played> {
    let manifests = Manifests::ours()?;
    for account in &manifests.accounts {
        if let Some(role) = &account.role {
            lab.cluster
                .annotate(&manifests.namespace, &account.name, role)?;
        }
    }
    let mut reports = Vec::new();
    for template in &manifests.templates {
        let pod = start(lab, &manifests, template, auditor)?;
        if template.kind == "Job" {
            let said = lab
                .wait(&pod)
                .with_context(|| format!("the Job {}", template.name))?;
            reports.push(serde_json::from_str(&said).with_context(|| said.clone())?);
        }
    }
    ensure!(!reports.is_empty(), "no Job");
    Ok(Played {
        namespace: manifests.namespace,
        reports,
    })
}

/// One pod of it; a Job's prints JSON.
pub fn start(
    lab: &mut Lab,
    manifests: &Manifests,
    template: &Template,
    auditor: &Path,
) -> Result<Pod> {
    // Not all of a directory that only leads to it.
    let auditor = &fs::canonicalize(auditor).with_context(|| auditor.display().to_string())?;
    let directory = auditor.parent().context("a program in no directory")?;
    let name = auditor.file_name().context("a program without a name")?;
    let program = Path::new(IMAGE).join(name);
    let mut pod = template
        .pod(&manifests.namespace, &lab.kubelet_root(), &program)
        .with_context(|| template.name.clone())?
        .with_host_path(directory, IMAGE);
    if template.kind == "Job" {
        pod.argv.extend(["--output", "json"].map(str::to_owned));
    }
    lab.start(pod)
}

/// The findings of a line that concern the namespace, by the labels that metrics and alerts have for them.
pub fn raised(line: &Value, namespace: &str) -> Vec<Value> {
    let owner = match line["event"].as_str() {
        Some("memory_access") => &line["target"]["pod"],
        _ => &line["token"]["owner"],
    };
    let mut labels = json!({});
    for (side, whose) in [("workload", &line["pod"]), ("owner", owner)] {
        for part in ["namespace", "service_account"] {
            if whose[part].is_string() {
                labels[format!("{side}_{part}")] = whose[part].clone();
            }
        }
    }
    let concerns = |side: &str| labels[side] == namespace;
    if !concerns("workload_namespace") && !concerns("owner_namespace") {
        return Vec::new();
    }
    let findings = line["findings"].as_array().into_iter().flatten();
    findings
        .map(|finding| {
            let mut labels = labels.clone();
            labels["finding"] = finding["id"].clone();
            labels["finding_severity"] = finding["severity"].clone();
            labels
        })
        .collect()
}
