//! `--cluster`: where pods and ServiceAccounts are read.

use jiff::Timestamp;

use super::{FileSource, KubeSource, News, Store};

#[derive(Debug)]
pub enum Source {
    File(Box<FileSource>),
    Kube(Box<KubeSource>),
}

impl Source {
    /// Takes in what came; `now` is taken before the call. Returns what is wrong, if anything.
    pub fn refresh(&mut self, now: Timestamp) -> Option<String> {
        match self {
            Self::File(file) => file
                .refresh(now)
                .err()
                .map(|error| format!("{error}; what was read before stays in force")),
            Self::Kube(kube) => kube.refresh(now),
        }
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        match self {
            Self::File(file) => file.store(),
            Self::Kube(kube) => kube.store(),
        }
    }

    /// How long ago the API server was last heard; null for a file, which is looked at before each judgement.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<std::time::Duration> {
        match self {
            Self::File(_) => None,
            Self::Kube(kube) => kube.age(now),
        }
    }

    /// Whether all pods of the node have been told of once.
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Kube(kube) => kube.is_told(),
        }
    }

    /// How long the first listing may still be held back on purpose (`--api-start-jitter`).
    #[must_use]
    pub fn start_delay(&self) -> std::time::Duration {
        match self {
            Self::File(_) => std::time::Duration::ZERO,
            Self::Kube(kube) => kube.start_delay(),
        }
    }

    /// What is worth a line of its own, once: that all pods of the node have been told of, where `ready` came before.
    pub fn take_news(&mut self) -> Option<News> {
        match self {
            Self::File(_) => None,
            Self::Kube(kube) => kube.take_news(),
        }
    }

    /// Whether ServiceAccounts are read when they are wanted, so that a wanted one may come.
    #[must_use]
    pub fn reads_one_by_one(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Kube(_) => true,
        }
    }

    /// A judgement needs this ServiceAccount, and where `after` is given, as it is after that time: read it again if what is
    /// known is older.
    pub fn want_service_account(&mut self, namespace: &str, name: &str, after: Option<Timestamp>) {
        match self {
            // It tells of all, each time.
            Self::File(_) => {}
            Self::Kube(kube) => kube.want_service_account(namespace, name, after),
        }
    }
}
