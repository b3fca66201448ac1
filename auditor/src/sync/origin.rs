//! Where associations are read.

use std::{path::PathBuf, sync::Arc};

use ::kube::Client;
use http::Request;
use jiff::Timestamp;
use serde::Deserialize;

use super::objects::chain;
use crate::{
    association::{Association, Reading, ack, parse},
    eks::Reader,
};

const PAGE: u32 = 500;
/// Half a million; a server that goes on giving tokens is not believed for ever.
const MAX_PAGES: u32 = 1000;

pub enum Origin {
    Eks(Box<Reader>),
    Ack {
        client: Client,
        cluster: Option<Arc<str>>,
    },
    File {
        path: PathBuf,
        cluster: Option<Arc<str>>,
    },
}

impl Origin {
    /// `eks`, `ack` or `file:PATH`.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        match self {
            Self::Eks(_) => "eks".into(),
            Self::Ack { .. } => "ack".into(),
            Self::File { path, .. } => format!("file:{}", path.display()).into(),
        }
    }

    /// What was written before us need not be read again at once.
    pub fn seed<'a>(&mut self, associations: impl IntoIterator<Item = &'a Association>) {
        if let Self::Eks(reader) = self {
            reader.seed(associations);
        }
    }

    /// Reads once. Never fails: what went wrong is in the reading. Where it takes long, `interim` is told what is known.
    pub async fn read(&mut self, interim: impl FnMut(Reading)) -> Reading {
        let now = Timestamp::now();
        let read = match self {
            Self::Eks(reader) => return reader.read(interim).await,
            Self::Ack { client, cluster } => read_ack(client, cluster.as_deref(), now).await,
            Self::File { path, cluster } => read_file(path, cluster.as_deref(), now).await,
        };
        read.unwrap_or_else(|trouble| Reading {
            started_at: now,
            associations: Vec::new(),
            complete: false,
            trouble: Some(trouble),
        })
    }
}

async fn read_file(
    path: &PathBuf,
    cluster: Option<&str>,
    now: Timestamp,
) -> Result<Reading, String> {
    let name = path.display();
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let listing = parse(&bytes, cluster).map_err(|error| format!("{name}: {error}"))?;
    Ok(Reading {
        started_at: listing.started_at.unwrap_or(now),
        associations: listing.associations,
        complete: listing.complete,
        trouble: (!listing.complete).then(|| format!("{name} says that there are more")),
    })
}

/// A list a minute, and not a watch: one replica does it.
async fn read_ack(
    client: &Client,
    cluster: Option<&str>,
    now: Timestamp,
) -> Result<Reading, String> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        metadata: Metadata,
        items: Vec<ack::Object>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        r#continue: Option<String>,
    }
    let path = ack::resource().path();
    let mut associations = Vec::new();
    let mut next = String::new();
    for _ in 0..MAX_PAGES {
        let request = Request::get(format!("{path}?limit={PAGE}{next}"))
            .body(Vec::new())
            .map_err(|error| chain(&error))?;
        let list: List = client.request(request).await.map_err(|error| match &error {
            ::kube::Error::Api(status) if status.code == 404 => {
                "the ACK EKS controller's CRD is not installed in this cluster".to_owned()
            }
            ::kube::Error::Api(status) if status.code == 403 => format!(
                "the API server forbids it: RBAC must allow list on podidentityassociations (a ClusterRole rule with \
                 apiGroups [\"eks.services.k8s.aws\"]) ({})",
                status.message
            ),
            _ => format!("cannot list ACK's associations: {}", chain(&error)),
        })?;
        let listed = list.items.iter().filter_map(ack::Object::association);
        associations.extend(listed.filter(|one| ack::is_of(one, cluster)));
        match list.metadata.r#continue.filter(|token| !token.is_empty()) {
            // base64url, as etcd3's continue tokens are.
            Some(token) => next = format!("&continue={}", token.replace('=', "%3D")),
            None => {
                return Ok(Reading {
                    started_at: ack::true_at(now),
                    associations,
                    complete: true,
                    trouble: None,
                });
            }
        }
    }
    Err(format!("there is no end after {MAX_PAGES} pages"))
}
