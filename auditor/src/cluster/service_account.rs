//! ServiceAccounts and what their annotations bind.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Option<Arc<str>>,
    /// Annotation `eks.amazonaws.com/role-arn`.
    pub role_arn: Option<Arc<str>>,
    /// Annotation `eks.amazonaws.com/audience`.
    pub audience: Option<Arc<str>>,
}

/// Every ServiceAccount known, and as of when.
#[derive(Clone, Debug, Default)]
pub struct ServiceAccounts {
    by_namespace: HashMap<Arc<str>, HashMap<Arc<str>, ServiceAccount>>,
    read_at: Option<Timestamp>,
}

impl ServiceAccounts {
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&ServiceAccount> {
        self.by_namespace.get(namespace)?.get(name)
    }

    /// When the reading that told all this was begun: annotations that were there by then are known. Null before the first.
    #[must_use]
    pub fn read_at(&self) -> Option<Timestamp> {
        self.read_at
    }

    pub(crate) fn replace(&mut self, all: impl IntoIterator<Item = ServiceAccount>) {
        self.by_namespace.clear();
        for account in all {
            self.by_namespace
                .entry(account.namespace.clone())
                .or_default()
                .insert(account.name.clone(), account);
        }
    }

    pub(crate) fn confirm(&mut self, read_at: Timestamp) {
        self.read_at = Some(read_at);
    }
}
