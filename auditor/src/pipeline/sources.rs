//! What the cluster says: pods and ServiceAccounts, associations, policy. They are looked at before every judgement, so
//! that what a file does not hold was not there when the event happened either.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    association, cluster,
    event::{BindingKind, Health},
    metrics::Metrics,
    policy::{self, Policy},
    status::SourceState,
};

#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    #[error("--cluster: {0}")]
    Cluster(String),
    #[error("--associations: {0}")]
    Associations(String),
    #[error("--policy: {0}")]
    Policy(String),
}

/// The three sources and which of them is failing.
#[derive(Debug)]
pub struct Sources {
    cluster: cluster::Source,
    associations: association::Source,
    policy: policy::FileSource,
    /// What was last said of each, so that a failure is announced once.
    said: [Option<String>; 3],
}

/// How long the API server may take to tell of a pod or a ServiceAccount.
const POD_PATIENCE: Duration = Duration::from_secs(30);
/// Of a source that has not said how often it is renewed: `sync-associations`' default.
const SYNC_INTERVAL: Duration = Duration::from_secs(60);

/// How long to wait for time to look at who else is in a mount namespace.
const NAMESPACE_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for time to look for a cgroup that nothing told of.
const CGROUP_PATIENCE: Duration = Duration::from_secs(2);

const COMPONENTS: [&str; 3] = ["cluster", "associations", "policy"];

impl Sources {
    /// The first reading of a file must succeed: nothing can be judged by a file that was never read.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub fn read(
        mut cluster: cluster::Source,
        mut associations: association::Source,
        mut policy: policy::FileSource,
    ) -> Result<Self, SourcesError> {
        let now = Timestamp::now();
        match &mut cluster {
            cluster::Source::File(file) => file
                .refresh(now)
                .map(drop)
                .map_err(|error| SourcesError::Cluster(error.to_string()))?,
            // It may be away: what it will tell is told when it comes.
            cluster::Source::Kube(_) => {}
        }
        if let association::Source::File(file) = &mut associations {
            file.refresh(now)
                .map_err(|error| SourcesError::Associations(error.to_string()))?;
        }
        policy
            .refresh()
            .map_err(|error| SourcesError::Policy(error.to_string()))?;
        Ok(Self {
            cluster,
            associations,
            policy,
            said: [None, None, None],
        })
    }

    /// Looks at all of them; `now` is taken before. Returns what changed for better or worse.
    pub fn refresh(&mut self, now: Timestamp) -> Vec<Health> {
        let policy = self.policy.refresh().err();
        let troubles = [
            self.cluster.refresh(now),
            self.associations.refresh(now),
            policy.map(|error| format!("{error}; what was read before stays in force")),
        ];
        let is_file = [
            matches!(self.cluster, cluster::Source::File(_)),
            matches!(self.associations, association::Source::File(_)),
            true,
        ];
        let mut changes = Vec::new();
        for (index, (trouble, said)) in troubles.into_iter().zip(&mut self.said).enumerate() {
            if *said == trouble {
                continue;
            }
            let component = COMPONENTS[index];
            let (state, message) = match (&trouble, is_file[index]) {
                (Some(trouble), true) => ("reload-refused", trouble.clone()),
                (Some(trouble), false) => ("degraded", trouble.clone()),
                (None, true) => ("ok", format!("the {component} file can be read again")),
                (None, false) => ("ok", format!("the {component} source answers again")),
            };
            *said = trouble;
            changes.push(Health {
                component: component.to_owned(),
                state: state.to_owned(),
                message,
            });
        }
        changes.extend(self.cluster.take_news().map(|news| Health {
            component: "cluster".to_owned(),
            state: if news.is_good { "ok" } else { "degraded" }.to_owned(),
            message: news.message,
        }));
        changes
    }

    pub fn cluster(&self) -> &cluster::Store {
        self.cluster.store()
    }

    pub fn cluster_source(&self) -> &cluster::Source {
        &self.cluster
    }

    pub fn cluster_source_mut(&mut self) -> &mut cluster::Source {
        &mut self.cluster
    }

    /// `None` with `--associations none`, and before the first reading.
    pub fn bindings(&self) -> Option<&association::Snapshot> {
        self.associations.snapshot()
    }

    pub fn policy(&self) -> &Policy {
        self.policy.policy()
    }

    /// How long to wait for an input that a judgement lacked; `None` where waiting brings nothing.
    pub(super) fn patience(&self, lacking: &str) -> Option<Duration> {
        match lacking {
            "pod" => Some(self.cluster.start_delay().saturating_add(POD_PATIENCE)),
            "namespaces" => Some(NAMESPACE_PATIENCE),
            "process" => Some(CGROUP_PATIENCE),
            "serviceaccount" => self.cluster.reads_one_by_one().then_some(POD_PATIENCE),
            "associations" => match &self.associations {
                association::Source::Live(_) => {
                    let interval = self.bindings().and_then(|bindings| bindings.interval);
                    Some(
                        interval
                            .unwrap_or(SYNC_INTERVAL)
                            .saturating_mul(2)
                            .saturating_add(association::ABSENCE_MARGIN),
                    )
                }
                association::Source::None | association::Source::File(_) => None,
            },
            _ => None,
        }
    }

    /// For `auditor status`; their names are the flags', which whoever read those knows.
    pub(super) fn status(&self, now: Timestamp) -> crate::status::Sources {
        let [cluster, associations, policy] = self.said.clone();
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
        // A file is looked at before each judgement.
        let is_read_when_needed = !matches!(self.associations, association::Source::Live(_));
        let bindings = self.bindings();
        let bindings_age = bindings
            .filter(|_| !is_read_when_needed)
            .map(|bindings| now.duration_since(bindings.started_at).unsigned_abs());
        crate::status::Sources {
            cluster: SourceState {
                count: self
                    .cluster
                    .is_told()
                    .then(|| self.cluster().pod_count() as u64),
                age_seconds: seconds(self.cluster.age(now)),
                trouble: cluster,
                ..SourceState::default()
            },
            associations: SourceState {
                count: bindings.map(|bindings| bindings.len() as u64),
                age_seconds: seconds(bindings_age),
                hash: bindings.map(|bindings| bindings.hash.clone()),
                trouble: associations.or_else(|| {
                    let is_part = bindings.is_some_and(|bindings| !bindings.complete);
                    is_part.then(|| {
                        "this is not all of them: nothing is concluded from what is missing"
                            .to_owned()
                    })
                }),
                ..SourceState::default()
            },
            policy: SourceState {
                hash: self.policy().hash.clone(),
                trouble: policy,
                ..SourceState::default()
            },
        }
    }

    pub(super) fn measure(&self, metrics: &Metrics) {
        if let Some(bindings) = self.bindings() {
            metrics.set_bindings(&bindings.source, BindingKind::PodIdentity, bindings.len());
            // A part of them is no reading: it would look fresh.
            if bindings.complete {
                metrics.set_bindings_sync(bindings.started_at);
            }
        }
        metrics.set_policy(self.policy().hash.as_deref());
        for (source, trouble) in COMPONENTS.iter().zip(&self.said) {
            metrics.set_source(source, trouble.is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_bindings_is_not_when_they_were_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("associations.json");
        let cluster = directory.path().join("cluster.json");
        std::fs::write(&cluster, r#"{"kind":"List","apiVersion":"v1","items":[]}"#).unwrap();
        for (complete, expected) in [(false, "0.0"), (true, "100.0")] {
            let text = format!(
                r#"{{"startedAt":"1970-01-01T00:01:40Z","complete":{complete},"associations":[]}}"#
            );
            std::fs::write(&path, text).unwrap();
            let associations = association::FileSource::new(path.clone(), None);
            let sources = Sources::read(
                cluster::Source::File(Box::new(cluster::FileSource::new(cluster.clone(), "node"))),
                association::Source::File(Box::new(associations)),
                policy::FileSource::new(None),
            )
            .unwrap();
            // Of nobody's time but the auditor's own.
            for lacking in ["namespaces", "process"] {
                assert!(sources.patience(lacking).is_some(), "{lacking}");
            }
            assert_eq!(sources.patience("owner"), None);
            let metrics = Metrics::default();
            sources.measure(&metrics);
            let text = metrics.encode().unwrap();
            let line = format!("credential_auditor_bindings_sync_timestamp_seconds {expected}\n");
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn a_policy_that_is_refused_shows_in_the_metrics_until_it_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(
            at("cluster.json"),
            r#"{"kind":"List","apiVersion":"v1","items":[]}"#,
        )
        .unwrap();
        std::fs::write(at("policy.yaml"), "version: 1\n").unwrap();
        let mut sources = Sources::read(
            cluster::Source::File(Box::new(cluster::FileSource::new(
                at("cluster.json"),
                "node",
            ))),
            association::Source::None,
            policy::FileSource::new(Some(at("policy.yaml"))),
        )
        .unwrap();
        for (text, expected) in [("version: [", 0), ("version: 1\n\n", 1)] {
            std::fs::write(at("policy.yaml"), text).unwrap();
            sources.refresh(Timestamp::now());
            let metrics = Metrics::default();
            sources.measure(&metrics);
            let encoded = metrics.encode().unwrap();
            let line = format!("credential_auditor_source_ok{{source=\"policy\"}} {expected}\n");
            assert!(encoded.contains(&line), "{encoded}");
        }
    }
}
