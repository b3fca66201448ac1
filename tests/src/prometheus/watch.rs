//! Prometheus' alerts against what was to be raised.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    api::Api,
    server::{NAMESPACE, POD, Prometheus},
    watched::{FIRING, Raised},
};
use crate::{node::NODE_NAME, patience};

/// For an alert to fire: scrapes and evaluations are a second apart.
const FIRES_WITHIN: Duration = Duration::from_secs(20);

/// Prometheus, and what of its alerts was accounted for.
pub struct Watch {
    prometheus: Prometheus,
    /// The directory.
    runbooks: PathBuf,
    /// Alert to number of its firing instances that scenes were to raise.
    raised: BTreeMap<String, usize>,
}

impl Watch {
    /// `rules`: the file that it reads, in `manifests/alerts`.
    pub fn new(prometheus: Prometheus, rules: &Path) -> Result<Self> {
        Ok(Self {
            prometheus,
            runbooks: runbooks(rules)?,
            raised: BTreeMap::new(),
        })
    }

    pub fn api(&self) -> &Api {
        &self.prometheus.api
    }

    /// What happens before it would be old news to Prometheus: the alert would fire, and prove less.
    pub fn await_first_scrape(&self) -> Result<()> {
        let deadline = Instant::now() + FIRES_WITHIN * patience();
        loop {
            let ready = self.api().query("credential_auditor_ready == 1")?;
            if ready["result"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
            {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "the auditor's metrics are not read"
            );
            thread::sleep(Duration::from_millis(200));
        }
        let firing = firing(&self.api().alerts()?);
        ensure!(firing.is_empty(), "before anything happened: {firing:?}");
        Ok(())
    }

    /// Waits for an alert, which is returned.
    pub fn await_raised(&mut self, raised: &Raised) -> Result<Value> {
        let deadline = Instant::now() + FIRES_WITHIN * patience();
        loop {
            let alerts = self.api().alerts()?;
            let found = alerts.iter().find(|alert| is_raised(alert, raised));
            if let Some(alert) = found {
                check(alert, &self.runbooks)?;
                if raised.state == FIRING {
                    self.count(raised.alert);
                }
                return Ok(alert.clone());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not {} for {:?}, but there fire {:?}",
                    raised.alert,
                    raised.state,
                    raised.labels,
                    firing(&alerts)
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// An instance that fires was to be raised.
    pub fn count(&mut self, alert: &str) {
        *self.raised.entry(alert.to_owned()).or_default() += 1;
    }

    /// All that fires was to be raised.
    pub fn settle(&self) -> Result<String> {
        let mut firing_now: BTreeMap<String, usize> = BTreeMap::new();
        let alerts = self.api().alerts()?;
        for alert in alerts.iter().filter(|alert| alert["state"] == "firing") {
            let name = alert["labels"]["alertname"].as_str().unwrap_or("?");
            *firing_now.entry(name.to_owned()).or_default() += 1;
        }
        ensure!(
            firing_now == self.raised,
            "{:?} were to fire, and these do: {:?}",
            self.raised,
            firing(&alerts)
        );
        let count: usize = firing_now.values().sum();
        Ok(format!("{count} alerts fire, and all were to"))
    }

    /// Five minutes of it are the rule tests' affair.
    pub fn await_down(&self) -> Result<String> {
        let deadline = Instant::now() + FIRES_WITHIN * patience();
        loop {
            let alerts = self.api().alerts()?;
            let down = alerts
                .iter()
                .find(|alert| alert["labels"]["alertname"] == "CredentialAuditorDown");
            if let Some(alert) = down {
                let (state, summary) = (&alert["state"], annotation(alert, "summary"));
                return Ok(format!("CredentialAuditorDown is {state}: {summary}"));
            }
            ensure!(
                Instant::now() < deadline,
                "CredentialAuditorDown is not pending"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Beside the directory of the rules.
fn runbooks(rules: &Path) -> Result<PathBuf> {
    let manifests = rules.parent().and_then(Path::parent);
    let manifests = manifests.context("the rules are not in manifests/alerts")?;
    Ok(manifests.join("runbooks"))
}

fn is_raised(alert: &Value, raised: &Raised) -> bool {
    alert["state"] == raised.state
        && alert["labels"]["alertname"] == raised.alert
        && raised
            .labels
            .iter()
            .all(|(name, value)| alert["labels"][name] == *value)
}

/// The target's labels are the auditor's, and its summary and runbook are there.
fn check(alert: &Value, runbooks: &Path) -> Result<()> {
    let labels = &alert["labels"];
    for (label, own) in [("namespace", NAMESPACE), ("pod", POD), ("node", NODE_NAME)] {
        ensure!(
            labels[label] == own,
            "{label} is {}, not {own}",
            labels[label]
        );
    }
    let summary = annotation(alert, "summary");
    ensure!(
        summary.contains(NODE_NAME),
        "the summary names no node: {summary}"
    );
    for label in ["workload_service_account", "owner_service_account"] {
        let name = labels[label].as_str().unwrap_or_default();
        // Who acts on what is his own is named once.
        ensure!(
            summary.contains(name) || name.is_empty(),
            "the summary does not name {name}: {summary}"
        );
    }
    let runbook = annotation(alert, "runbook_url");
    let file = runbook.rsplit('/').next().unwrap_or_default();
    ensure!(runbooks.join(file).is_file(), "there is no runbook {file}");
    Ok(())
}

pub fn annotation<'a>(alert: &'a Value, name: &str) -> &'a str {
    alert["annotations"][name].as_str().unwrap_or_default()
}

fn firing(alerts: &[Value]) -> Vec<String> {
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing
        .map(|alert| {
            let name = alert["labels"]["alertname"].as_str().unwrap_or("?");
            format!("{name}: {}", annotation(alert, "summary"))
        })
        .collect()
}
