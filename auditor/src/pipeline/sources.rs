//! What the cluster says: pods and ServiceAccounts, associations, policy. Files are looked at before every judgement, so
//! that what is not in them was not there when the event happened either.

use jiff::Timestamp;

use crate::{
    association, cluster,
    event::{BindingKind, Health},
    metrics::Metrics,
    policy::{self, Policy},
    watched_file::SourceError,
};

#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    #[error("--cluster: {0}")]
    Cluster(SourceError),
    #[error("--associations: {0}")]
    Associations(SourceError),
    #[error("--policy: {0}")]
    Policy(SourceError),
}

/// The three sources and which of them is failing.
#[derive(Debug)]
pub struct Sources {
    cluster: cluster::FileSource,
    associations: Option<association::FileSource>,
    policy: policy::FileSource,
    /// What was last said of each, so that a failure is announced once.
    said: [Option<SourceError>; 3],
}

const COMPONENTS: [&str; 3] = ["cluster", "associations", "policy"];

impl Sources {
    /// The first reading must succeed: nothing can be judged by a source that was never read.
    pub fn read(
        mut cluster: cluster::FileSource,
        mut associations: Option<association::FileSource>,
        mut policy: policy::FileSource,
    ) -> Result<Self, SourcesError> {
        let now = Timestamp::now();
        cluster.refresh(now).map_err(SourcesError::Cluster)?;
        if let Some(associations) = &mut associations {
            associations
                .refresh(now)
                .map_err(SourcesError::Associations)?;
        }
        policy.refresh().map_err(SourcesError::Policy)?;
        Ok(Self {
            cluster,
            associations,
            policy,
            said: [None, None, None],
        })
    }

    /// Looks at all of them; `now` is taken before. Returns what changed for better or worse.
    pub fn refresh(&mut self, now: Timestamp) -> Vec<Health> {
        let errors = [
            self.cluster.refresh(now).err(),
            self.associations
                .as_mut()
                .and_then(|source| source.refresh(now).err()),
            self.policy.refresh().err(),
        ];
        let mut changes = Vec::new();
        for ((component, error), said) in COMPONENTS.iter().zip(errors).zip(&mut self.said) {
            if *said == error {
                continue;
            }
            let (state, message) = match &error {
                Some(error) => (
                    "reload-refused",
                    format!("{error}; what was read before stays in force"),
                ),
                None => ("ok", format!("the {component} file can be read again")),
            };
            *said = error;
            changes.push(Health {
                component: (*component).to_owned(),
                state: state.to_owned(),
                message,
            });
        }
        changes
    }

    pub fn cluster(&self) -> &cluster::Store {
        self.cluster.store()
    }

    /// `None` with `--associations none`.
    pub fn bindings(&self) -> Option<&association::Snapshot> {
        self.associations
            .as_ref()
            .and_then(association::FileSource::snapshot)
    }

    pub fn policy(&self) -> &Policy {
        self.policy.policy()
    }

    pub(super) fn measure(&self, metrics: &Metrics) {
        if let Some(bindings) = self.bindings() {
            metrics.set_bindings(&bindings.source, BindingKind::PodIdentity, bindings.len());
            metrics.set_bindings_sync(bindings.started_at);
        }
        metrics.set_policy(self.policy().hash.as_deref());
    }
}
