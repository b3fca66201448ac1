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
    by_namespace: HashMap<Arc<str>, HashMap<Arc<str>, Told>>,
    /// Of a reading that told of all.
    all_told_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Told {
    /// Null: there is none of that name.
    account: Option<ServiceAccount>,
    /// Null in a reading that told of all.
    at: Option<Timestamp>,
}

impl ServiceAccounts {
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&ServiceAccount> {
        self.told(namespace, name)?.account.as_ref()
    }

    /// Whether anything is known of this one, be it that there is none. A file that leaves it out says nothing.
    #[must_use]
    pub fn tells_of(&self, namespace: &str, name: &str) -> bool {
        self.told(namespace, name).is_some()
    }

    /// When the reading that told of this one, or that there is none, was begun: an annotation that was there by then is known.
    /// Null where nothing was told.
    #[must_use]
    pub fn told_at(&self, namespace: &str, name: &str) -> Option<Timestamp> {
        let alone = self.told(namespace, name).and_then(|told| told.at);
        alone.max(self.all_told_at)
    }

    /// When the last reading that told of all was begun; null where they are read one by one.
    #[must_use]
    pub fn read_at(&self) -> Option<Timestamp> {
        self.all_told_at
    }

    /// Takes over a reading of one, begun at `at`; null where there is none of that name. An older one changes nothing.
    pub(crate) fn learn(
        &mut self,
        namespace: &Arc<str>,
        name: &Arc<str>,
        account: Option<ServiceAccount>,
        at: Timestamp,
    ) {
        if self.told_at(namespace, name).is_some_and(|told| told > at) {
            return;
        }
        let told = Told {
            account,
            at: Some(at),
        };
        self.by_namespace
            .entry(namespace.clone())
            .or_default()
            .insert(name.clone(), told);
    }

    /// Forgets those that no pod uses any longer.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        for (namespace, accounts) in &mut self.by_namespace {
            accounts.retain(|name, _| keep(namespace, name));
        }
        self.by_namespace.retain(|_, accounts| !accounts.is_empty());
    }

    pub(crate) fn replace(&mut self, all: impl IntoIterator<Item = ServiceAccount>) {
        self.by_namespace.clear();
        for account in all {
            let (namespace, name) = (account.namespace.clone(), account.name.clone());
            let told = Told {
                account: Some(account),
                at: None,
            };
            self.by_namespace
                .entry(namespace)
                .or_default()
                .insert(name, told);
        }
    }

    pub(crate) fn confirm(&mut self, read_at: Timestamp) {
        self.all_told_at = Some(read_at);
    }

    fn told(&self, namespace: &str, name: &str) -> Option<&Told> {
        self.by_namespace.get(namespace)?.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_by_one_each_has_its_own_time() {
        let mut accounts = ServiceAccounts::default();
        let (shop, web): (Arc<str>, Arc<str>) = ("shop".into(), "web".into());
        assert_eq!(accounts.told_at("shop", "web"), None);
        accounts.learn(&shop, &web, None, at(5));
        assert_eq!(accounts.get("shop", "web"), None);
        assert_eq!(accounts.told_at("shop", "web"), Some(at(5)));
        assert_eq!(accounts.told_at("shop", "api"), None);
        let account = ServiceAccount {
            namespace: shop.clone(),
            name: web.clone(),
            uid: None,
            role_arn: Some("arn".into()),
            audience: None,
        };
        accounts.learn(&shop, &web, Some(account.clone()), at(4));
        assert_eq!(accounts.get("shop", "web"), None, "an older reading");
        accounts.learn(&shop, &web, Some(account), at(6));
        assert!(accounts.get("shop", "web").is_some());
        accounts.retain(|_, name| name != "web");
        assert_eq!(accounts.told_at("shop", "web"), None);
    }
}
