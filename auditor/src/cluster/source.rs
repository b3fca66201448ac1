//! `--cluster`: where pods and ServiceAccounts are read.

use jiff::Timestamp;

use super::{FileSource, Store};

#[derive(Debug)]
pub enum Source {
    File(FileSource),
}

impl Source {
    /// Takes in what came; `now` is taken before the call. Returns what is wrong, if anything.
    pub fn refresh(&mut self, now: Timestamp) -> Option<String> {
        match self {
            Self::File(file) => file
                .refresh(now)
                .err()
                .map(|error| format!("{error}; what was read before stays in force")),
        }
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        match self {
            Self::File(file) => file.store(),
        }
    }

    /// How long ago the API server was last heard; null for a file, which is looked at before each judgement.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<std::time::Duration> {
        let _ = now;
        match self {
            Self::File(_) => None,
        }
    }

    /// Whether all pods of the node have been told of once.
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self {
            Self::File(_) => true,
        }
    }

    /// Whether ServiceAccounts are read when they are wanted, so that a wanted one may come.
    #[must_use]
    pub fn reads_one_by_one(&self) -> bool {
        match self {
            Self::File(_) => false,
        }
    }

    /// A judgement needs this ServiceAccount, and where `after` is given, as it is after that time: read it again if what is
    /// known is older.
    pub fn want_service_account(&mut self, namespace: &str, name: &str, after: Option<Timestamp>) {
        let _ = (namespace, name, after);
        match self {
            // It tells of all, each time.
            Self::File(_) => {}
        }
    }
}
