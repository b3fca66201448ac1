//! An endpoint that speaks the EKS API as far as Pod Identity associations go (rest-json, SigV4), with its throttling and its
//! failures on demand.
//!
//! Shapes: botocore `eks/2017-11-01/service-2.json`: a list's entries have no role, timestamps are seconds since the epoch.

mod association;
mod handler;
mod signature;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;

use super::web::{Seen, Server};

pub use association::Association;
pub use signature::{ACCESS_KEY, REGION, SECRET_KEY};

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 ThrottlingException.
    Throttled,
    /// 403 AccessDeniedException.
    Denied,
    /// 500 ServerException.
    Failed,
    /// The connection ends before an answer.
    NoAnswer,
    /// The answer comes that late.
    Late(Duration),
}

/// Which requests a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    List,
    /// A list's later pages.
    NextPage,
    Describe,
    Any,
}

#[derive(Debug, Default)]
struct State {
    /// By id.
    associations: BTreeMap<String, Association>,
    /// With how often they are yet to come; `None` for ever.
    faults: VecDeque<(Operation, Fault, Option<u32>)>,
    /// Requests a second; the rest is throttled.
    rate: Option<u32>,
    second: Option<(std::time::Instant, u32)>,
}

#[derive(Debug)]
struct Shared {
    cluster: String,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running endpoint of one cluster's associations; ended when dropped.
pub struct Eks {
    shared: Arc<Shared>,
    server: Server,
}

impl Eks {
    /// # Errors
    /// Where no port or thread is to be had.
    pub fn start(cluster: &str) -> Result<Self> {
        let shared = Arc::new(Shared {
            cluster: cluster.to_owned(),
            state: Mutex::default(),
        });
        let server = Server::start("eks", shared.clone())?;
        Ok(Self { shared, server })
    }

    /// The environment that sends an AWS client here.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL_EKS", self.url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Of two for one ServiceAccount, which EKS does not allow, the later stays.
    pub fn put(&self, association: Association) {
        let mut state = self.shared.lock();
        state.associations.retain(|_, known| {
            (&known.namespace, &known.service_account)
                != (&association.namespace, &association.service_account)
        });
        state
            .associations
            .insert(association.id.clone(), association);
    }

    /// Whether there was one.
    pub fn remove(&self, namespace: &str, service_account: &str) -> bool {
        let mut state = self.shared.lock();
        let before = state.associations.len();
        state.associations.retain(|_, known| {
            (known.namespace.as_str(), known.service_account.as_str())
                != (namespace, service_account)
        });
        state.associations.len() < before
    }

    /// The next `times` requests for `operation`, or all; of several the first acts.
    pub fn fail(&self, operation: Operation, fault: Fault, times: Option<u32>) {
        self.shared
            .lock()
            .faults
            .push_back((operation, fault, times));
    }

    /// Nothing goes wrong any longer.
    pub fn mend(&self) {
        let mut state = self.shared.lock();
        state.faults.clear();
        state.rate = None;
    }

    /// Throttles what comes above `rate` requests in a second.
    pub fn limit(&self, rate: u32) {
        self.shared.lock().rate = Some(rate);
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.server.log().all()
    }
}
