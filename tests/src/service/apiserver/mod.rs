//! A Kubernetes API server for the resources that the auditor uses: the real protocol, with what goes wrong with real ones on
//! demand.
//!
//! Sources: kubernetes `staging/src/k8s.io/apiserver/pkg/endpoints/handlers/{get,watch}.go`, `pkg/storage/cacher`, and the
//! API concepts page (resourceVersion, bookmarks, streaming lists, 410).

mod encode;
mod fat;
mod faults;
mod fields;
mod handler;
mod list;
mod resource;
mod rights;
mod selector;
mod status;
mod store;
mod watch;
mod write;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::web::{Ending, Seen, Server};

pub use fat::{clothe, node_of_pods};
pub use faults::{Action, Fault, Faults};
pub use resource::{Resource, Verb, decode};
pub use rights::Role;
pub use status::Status;
pub use store::{Key, Store};
pub use watch::{End, StreamingLists};

/// How the server behaves while nothing goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub streaming_lists: StreamingLists,
    /// Between two bookmarks; a real one sends them about once a minute.
    pub bookmarks: Duration,
    /// Of a watch that asks for none; a real one takes 30 to 60 minutes.
    pub watch_timeout: Duration,
    /// A watch from a version that is gone is answered with HTTP 410, not with an ERROR event.
    pub gone_by_status: bool,
    /// ACK's CustomResourceDefinitions are there.
    pub ack: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            streaming_lists: StreamingLists::On,
            bookmarks: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(1_800),
            gone_by_status: false,
            ack: true,
        }
    }
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    faults: Faults,
    options: Mutex<Options>,
    ends: broadcast::Sender<End>,
}

impl Shared {
    fn options(&self) -> Options {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running API server; ended when dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    server: Server,
}

impl ApiServer {
    /// # Errors
    /// Where no port or thread is to be had.
    pub fn start(options: Options) -> Result<Self> {
        let shared = Arc::new(Shared {
            store: Arc::default(),
            faults: Faults::default(),
            options: Mutex::new(options),
            ends: broadcast::Sender::new(16),
        });
        let server = Server::start("apiserver", shared.clone())?;
        Ok(Self { shared, server })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// For requests from now on.
    pub fn set(&self, change: impl FnOnce(&mut Options)) {
        change(
            &mut self
                .shared
                .options
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Ends all open watches.
    pub fn end_watches(&self, end: End) {
        // Fails only where there is none.
        let _ = self.shared.ends.send(end);
    }

    /// # Errors
    /// See [`Server::go_away`].
    pub fn go_away(&self, ending: Ending) -> Result<()> {
        self.server.go_away(ending)
    }

    /// # Errors
    /// See [`Server::come_back`].
    pub fn come_back(&self) -> Result<()> {
        self.server.come_back()
    }

    /// # Errors
    /// See [`Server::end_connections`].
    pub fn end_connections(&self, ending: Ending) -> Result<()> {
        self.server.end_connections(ending)
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.server.log().all()
    }

    /// Writes a kubeconfig with `role`'s token into `dir` and returns its path.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn kubeconfig(&self, dir: &Path, role: Role) -> Result<PathBuf> {
        let path = dir.join(format!("kubeconfig-{}", format!("{role:?}").to_lowercase()));
        // JSON is YAML.
        let config: Value = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": self.url()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "kube-system"}}],
            "users": [{"name": "lab", "user": {"token": role.token()}}],
        });
        fs::write(&path, format!("{config:#}\n"))
            .with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
