//! ServiceAccounts and associations held against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    finding::{Findings, Id, Remark, Subject},
    trust_policy::clip,
};
use crate::{association::Association, cluster::ServiceAccount};

/// ServiceAccounts by namespace and name.
pub struct Known<'a> {
    by_name: BTreeMap<(&'a str, &'a str), &'a ServiceAccount>,
    namespaces: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    pub fn new(accounts: &'a [ServiceAccount]) -> Self {
        let key = |account: &'a ServiceAccount| (&*account.namespace, &*account.name);
        Self {
            by_name: accounts
                .iter()
                .map(|account| (key(account), account))
                .collect(),
            namespaces: accounts.iter().map(|account| &*account.namespace).collect(),
        }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<&'a ServiceAccount> {
        self.by_name.get(&(namespace, name)).copied()
    }

    /// Kubernetes makes a ServiceAccount `default` in each namespace: where it is in the list, all of them are.
    fn covers(&self, namespace: &str) -> bool {
        self.get(namespace, "default").is_some()
    }
}

/// A binding for nobody.
pub fn of_association(association: &Association, known: &Known<'_>, findings: &mut Findings) {
    let (namespace, name) = (&*association.namespace, &*association.service_account);
    if known.get(namespace, name).is_some() {
        return;
    }
    let subject = Subject::association(namespace, name);
    let remedy = "create it, or delete the association: whoever may create it later gets the role";
    if known.covers(namespace) {
        let near = known
            .by_name
            .keys()
            .find(|(of, other)| *of == namespace && other.eq_ignore_ascii_case(name));
        let hint = near.map_or(String::new(), |(_, other)| {
            format!("; there is {:?}", clip(other))
        });
        let message = format!(
            "there is no ServiceAccount {}/{}{hint}",
            clip(namespace),
            clip(name)
        );
        let remark = Remark::new(Id::AssociationServiceAccountMissing, message, remedy);
        findings.add(&subject, None, remark);
    } else if known.covers("kube-system") && !known.namespaces.contains(namespace) {
        let message = format!("there is no namespace {}", clip(namespace));
        let remark = Remark::new(Id::AssociationNamespaceMissing, message, remedy);
        findings.add(&subject, None, remark);
    } else {
        let lacks = format!(
            "the ServiceAccounts of namespace {} (kubectl get serviceaccounts -A)",
            clip(namespace)
        );
        findings.undecided(&subject, "whether its ServiceAccount exists", [lacks]);
    }
}

/// Bound twice. What is stamped into a pod is decided when it is made: the association comes first. Of a pod that has
/// both, the SDK takes the annotation's role.
pub fn both(association: &Association, account: &ServiceAccount, findings: &mut Findings) {
    let Some(annotated) = account.role_arn.as_deref() else {
        return;
    };
    let same = association.role_arn.as_deref() == Some(annotated);
    let (associated, roles) = match (&association.role_arn, same) {
        (_, true) => ("the same role".to_owned(), "the same role"),
        (Some(role), false) => (clip(role), "different roles"),
        (None, false) => ("a role that the file does not tell".to_owned(), "roles"),
    };
    let message = format!(
        "annotation eks.amazonaws.com/role-arn names {}, association {} {associated}: {roles} by two ways. New pods get the \
         association alone (EKS's webhook puts it first), pods from before it stay with the annotation, and a pod that has both \
         sets of variables takes the annotation (SDKs try web identity first)",
        clip(annotated),
        association.id
    );
    let remedy = "take the annotation away and restart the pods, or delete the association";
    findings.add(
        &Subject::service_account(&account.namespace, &account.name),
        None,
        Remark::new(Id::ServiceAccountBothMechanisms, message, remedy),
    );
}
