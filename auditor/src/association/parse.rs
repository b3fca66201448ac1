//! `{"associations":[…]}`, each as `aws eks describe-pod-identity-association` prints it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;

use super::Association;

/// What a file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub associations: Vec<Association>,
    /// False where the file has a `nextToken` or says `"complete": false`.
    pub complete: bool,
    /// When the reading that made the file was begun, where the file tells (`auditor sync-associations --to file:PATH`).
    pub started_at: Option<Timestamp>,
    /// How often the file is made anew, where it tells.
    pub interval: Option<Duration>,
}

/// One page of `ListPodIdentityAssociations`: summaries, which have no role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub associations: Vec<Association>,
    pub next_token: Option<String>,
}

/// Why a file is not a list of associations; the message names item and field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("is empty; expected {{\"associations\":[…]}}")]
    Empty,
    #[error("not a list of Pod Identity associations: {0}")]
    Shape(String),
    #[error(
        "ServiceAccount {namespace}/{service_account} has two associations, {first} and {second}; \
         if they are of several clusters, name yours with --cluster-name, else take one out"
    )]
    Ambiguous {
        namespace: Arc<str>,
        service_account: Arc<str>,
        first: Arc<str>,
        second: Arc<str>,
    },
}

/// Reads the associations of one cluster. Those that name another one are left out; with `cluster` null all are taken.
///
/// # Errors
/// On wrong syntax or shape, and on two associations for one ServiceAccount, which EKS does not allow.
pub fn parse(bytes: &[u8], cluster: Option<&str>) -> Result<Listing, ParseError> {
    if bytes.trim_ascii().is_empty() {
        return Err(ParseError::Empty);
    }
    let document: Document = read(bytes)?;
    let mut seen: HashMap<(Arc<str>, Arc<str>), Arc<str>> = HashMap::new();
    let mut associations = Vec::with_capacity(document.associations.len());
    for Entry(raw) in document.associations {
        let named = raw.cluster_name.as_deref();
        if named.zip(cluster).is_some_and(|(one, ours)| one != ours) {
            continue;
        }
        let association = Association::from(raw);
        let account = (
            association.namespace.clone(),
            association.service_account.clone(),
        );
        if let Some(first) = seen.insert(account, association.id.clone())
            && first != association.id
        {
            return Err(ParseError::Ambiguous {
                namespace: association.namespace,
                service_account: association.service_account,
                first,
                second: association.id,
            });
        }
        associations.push(association);
    }
    Ok(Listing {
        associations,
        complete: document.complete.unwrap_or(true) && document.next_token.is_none(),
        started_at: document.started_at.and_then(Time::timestamp),
        interval: document.interval_seconds.map(Duration::from_secs),
    })
}

/// Reads a page of the EKS API's list as it is; two associations for one ServiceAccount are both in it.
///
/// # Errors
/// On wrong syntax or shape.
pub fn parse_page(bytes: &[u8]) -> Result<Page, ParseError> {
    let document: Document = read(bytes)?;
    Ok(Page {
        associations: document
            .associations
            .into_iter()
            .map(|Entry(raw)| Association::from(raw))
            .collect(),
        next_token: document.next_token.filter(|token| !token.is_empty()),
    })
}

/// Reads one association, as `DescribePodIdentityAssociation` answers.
///
/// # Errors
/// On wrong syntax or shape.
pub fn parse_one(bytes: &[u8]) -> Result<Association, ParseError> {
    let Entry(raw) = read(bytes)?;
    Ok(raw.into())
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ParseError> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value =
        serde_path_to_error::deserialize(&mut parser).map_err(|e| ParseError::Shape(located(e)))?;
    parser.end().map_err(|e| ParseError::Shape(e.to_string()))?;
    Ok(value)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    associations: Vec<Entry>,
    next_token: Option<String>,
    complete: Option<bool>,
    started_at: Option<Time>,
    interval_seconds: Option<u64>,
}

/// `associations[3]: missing field …`; the path of the whole document is `.`, which says nothing.
fn located(error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let message = error.into_inner();
    match path.as_str() {
        "." => message.to_string(),
        path => format!("{path}: {message}"),
    }
}

/// The bare object, or as the CLI prints it: `{"association":{…}}`.
struct Entry(Raw);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut value = serde_json::Value::deserialize(deserializer)?;
        let inner = value.get_mut("association").map(serde_json::Value::take);
        serde_path_to_error::deserialize(inner.unwrap_or(value))
            .map(Self)
            .map_err(|e| D::Error::custom(located(e)))
    }
}

/// Field names of the EKS API's `PodIdentityAssociation`; tags and owner are not used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    cluster_name: Option<Arc<str>>,
    namespace: Arc<str>,
    service_account: Arc<str>,
    association_id: Arc<str>,
    association_arn: Option<Arc<str>>,
    role_arn: Option<Arc<str>>,
    target_role_arn: Option<Arc<str>>,
    external_id: Option<Arc<str>>,
    disable_session_tags: Option<bool>,
    policy: Option<Arc<str>>,
    created_at: Option<Time>,
    modified_at: Option<Time>,
}

/// Seconds since the epoch on the wire, ISO 8601 as the CLI prints them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "neither seconds since the epoch nor an ISO 8601 time"
)]
enum Time {
    Seconds(f64),
    Iso(Timestamp),
}

impl Time {
    fn timestamp(self) -> Option<Timestamp> {
        match self {
            Self::Iso(time) => Some(time),
            // To the millisecond, as EKS gives it; out of range is not worth an error.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, then is checked"
            )]
            Self::Seconds(seconds) => {
                Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok()
            }
        }
    }
}

impl From<Raw> for Association {
    fn from(raw: Raw) -> Self {
        Self {
            id: raw.association_id,
            arn: raw.association_arn,
            cluster: raw.cluster_name,
            namespace: raw.namespace,
            service_account: raw.service_account,
            role_arn: raw.role_arn,
            target_role_arn: raw.target_role_arn,
            external_id: raw.external_id,
            disable_session_tags: raw.disable_session_tags.unwrap_or_default(),
            policy: raw.policy,
            created: raw.created_at.and_then(Time::timestamp),
            modified: raw.modified_at.and_then(Time::timestamp),
        }
    }
}

#[cfg(test)]
mod tests;
