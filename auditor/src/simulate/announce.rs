//! What must fire for what was played, by the labels that Prometheus knows it by.

use std::collections::BTreeMap;

use serde::Serialize;

use super::scenes::{Expected, Scene};
use crate::event::word;

/// Of a series or an alert. One that is empty is as good as none.
pub type Labels = BTreeMap<String, String>;

/// Those of a finding, as alerts carry them: `severity` is the alert's own there.
pub(super) const OF_FINDING: [&str; 6] = [
    "finding",
    "finding_severity",
    "workload_namespace",
    "workload_service_account",
    "owner_namespace",
    "owner_service_account",
];

/// An alert that must fire, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announced {
    pub scene: &'static str,
    pub alert: &'static str,
    pub labels: Labels,
    /// From the deed on, where Prometheus reads and judges each 30 s.
    pub within_seconds: u64,
    /// The hook that tells of it, where kernels may be without.
    pub hook: Option<&'static str>,
}

impl Announced {
    #[must_use]
    pub fn all<'a>(scenes: impl IntoIterator<Item = &'a Scene>, namespace: &str) -> Vec<Self> {
        let scenes = scenes.into_iter();
        scenes
            .flat_map(|scene| {
                let expects = scene.expects.iter();
                expects.map(move |expected| Self::new(scene, expected, namespace))
            })
            .collect()
    }

    fn new(scene: &Scene, expected: &Expected, namespace: &str) -> Self {
        let mut labels = vec![
            ("finding", word(&expected.finding)),
            ("finding_severity", word(&expected.severity)),
            ("workload_namespace", namespace.to_owned()),
            ("workload_service_account", scene.actor.name().to_owned()),
        ];
        if let Some(owner) = expected.owner {
            labels.push(("owner_namespace", namespace.to_owned()));
            labels.push(("owner_service_account", owner.name().to_owned()));
        }
        let labels = labels.into_iter();
        Self {
            scene: scene.name,
            alert: expected.alert,
            labels: labels
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            within_seconds: expected.within.as_secs(),
            hook: expected.hook,
        }
    }

    /// Whether what was seen is this. A series of the auditor's own has no name of an alert.
    #[must_use]
    pub fn is(&self, seen: &Labels) -> bool {
        let of = |labels: &Labels, name: &str| labels.get(name).cloned().unwrap_or_default();
        seen.get("alertname").is_none_or(|name| name == self.alert)
            && OF_FINDING
                .iter()
                .all(|name| of(&self.labels, name) == of(seen, name))
    }

    /// `finding:severity`
    #[must_use]
    pub fn finding(&self) -> String {
        format!(
            "{}:{}",
            self.label("finding"),
            self.label("finding_severity")
        )
    }

    /// The ServiceAccount, and after an arrow whose credential it is, where that is another's.
    #[must_use]
    pub fn who(&self) -> String {
        let workload = self.label("workload_service_account");
        match self.label("owner_service_account") {
            "" => workload.to_owned(),
            owner if owner == workload => workload.to_owned(),
            owner => format!("{workload} -> {owner}"),
        }
    }

    fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}
