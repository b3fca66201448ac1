//! All associations of the cluster, as of a moment.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

/// As `aws eks describe-pod-identity-association` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    pub id: Arc<str>,
    /// `arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`; null where the file leaves it out.
    pub arn: Option<Arc<str>>,
    /// The name of the cluster that it is of; null where the file leaves it out.
    pub cluster: Option<Arc<str>>,
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    /// Null where the file was made by `list-…`, which leaves it out.
    pub role_arn: Option<Arc<str>>,
    /// The role that the first one assumes in turn, of any account.
    pub target_role_arn: Option<Arc<str>>,
    pub external_id: Option<Arc<str>>,
    pub disable_session_tags: bool,
    /// Inline session policy, JSON.
    pub policy: Option<Arc<str>>,
    pub created: Option<Timestamp>,
    pub modified: Option<Timestamp>,
}

/// How much older than its beginning a reading by others is taken to be: EKS is eventually consistent ("may take several
/// seconds"), and the reader's clock is not ours.
pub const ABSENCE_MARGIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `file:PATH`
    pub source: Arc<str>,
    /// Counts the snapshots that differed, from 1.
    pub generation: u64,
    /// The beginning of the SHA-256 of the contents: 16 hex digits.
    pub hash: String,
    /// When it was begun: every association that was there by then is in it, if it is complete.
    pub started_at: Timestamp,
    /// False where the source says that there are more: then nothing can be said of what is missing.
    pub complete: bool,
    /// How often the source makes a new one; null where it is looked at when needed.
    pub interval: Option<Duration>,
    by_service_account: HashMap<Arc<str>, HashMap<Arc<str>, Association>>,
}

impl Snapshot {
    /// Of two associations for one ServiceAccount, which EKS does not allow, the later stays.
    #[must_use]
    pub fn new(
        source: Arc<str>,
        generation: u64,
        hash: String,
        started_at: Timestamp,
        complete: bool,
        associations: impl IntoIterator<Item = Association>,
    ) -> Self {
        let mut by_service_account: HashMap<_, HashMap<_, _>> = HashMap::new();
        for association in associations {
            by_service_account
                .entry(association.namespace.clone())
                .or_default()
                .insert(association.service_account.clone(), association);
        }
        Self {
            source,
            generation,
            hash,
            started_at,
            complete,
            interval: None,
            by_service_account,
        }
    }

    #[must_use]
    pub fn get(&self, namespace: &str, service_account: &str) -> Option<&Association> {
        self.by_service_account.get(namespace)?.get(service_account)
    }

    /// Whether what is not in it was not bound at `time`.
    #[must_use]
    pub fn tells_of_absence_at(&self, time: Timestamp) -> bool {
        // A file that was looked at is of this moment.
        let margin = self.interval.map_or(Duration::ZERO, |_| ABSENCE_MARGIN);
        let told = self.started_at.checked_sub(margin);
        self.complete && told.is_ok_and(|told| told >= time)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_service_account.values().map(HashMap::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
