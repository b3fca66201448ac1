//! What was known of roles when a line was judged, or is now said to be.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::{Body, Line};
use crate::{
    association::{Association, Listing, Snapshot},
    cluster::{Contents, Pod, ServiceAccount, ServiceAccounts},
    event::{Binding, BindingKind, FindingId, Relation, TokenKind},
};

/// By namespace and name.
type Accounts = HashMap<(Arc<str>, Arc<str>), ServiceAccount>;

/// Pods, ServiceAccounts and associations to judge by in place of what was known then. They count as read right after each event.
#[derive(Debug, Default)]
pub struct Given {
    pods: HashMap<Arc<str>, Pod>,
    /// Null: what the lines tell.
    accounts: Option<Accounts>,
    /// Null: what the lines tell.
    associations: Option<Listing>,
}

impl Given {
    #[must_use]
    pub fn new(cluster: Option<Contents>, associations: Option<Listing>) -> Self {
        let mut given = Self {
            associations,
            ..Self::default()
        };
        if let Some(Contents {
            pods,
            service_accounts,
        }) = cluster
        {
            given.pods = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
            let key = |a: &ServiceAccount| (a.namespace.clone(), a.name.clone());
            let accounts = service_accounts.into_iter().map(|a| (key(&a), a));
            given.accounts = Some(accounts.collect());
        }
        given
    }

    /// Neither pods nor associations.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.accounts.is_none() && self.associations.is_none()
    }

    pub(super) fn pod(&self, uid: &str) -> Option<&Pod> {
        self.pods.get(uid)
    }
}

/// What is known of the ServiceAccount of `pod`; `line` has the evidence, `judged` the verdict: the same but for a connection's end.
pub(super) fn accounts(line: &Line, judged: &Line, pod: &Pod, given: &Given) -> ServiceAccounts {
    let mut accounts = ServiceAccounts::default();
    let (namespace, name) = (&pod.namespace, &pod.service_account);
    if let Some(all) = &given.accounts {
        if let Some(account) = all.get(&(namespace.clone(), name.clone())) {
            accounts.learn(namespace, name, Some(account.clone()), judged.time);
        }
        return accounts;
    }
    let role = line.evidence().and_then(|e| e.sa_role_arn.as_deref());
    let told_at = match (is_account_untold(judged), role) {
        (false, _) => judged.time,
        (true, Some(_)) => before(judged.time),
        (true, None) => return accounts,
    };
    let account = ServiceAccount {
        namespace: namespace.clone(),
        name: name.clone(),
        uid: line.pod().and_then(|pod| pod.service_account_uid.clone()),
        role_arn: role.map(Into::into),
        audience: None,
    };
    accounts.learn(namespace, name, Some(account), told_at);
    accounts
}

/// The ServiceAccount was not read after the event: the line says so, or a rule would have spoken, had it been. (What policy
/// exempts lacks nothing.)
fn is_account_untold(line: &Line) -> bool {
    if line.lacked("serviceaccount") {
        return true;
    }
    let Body::TokenOpen(open) = &line.body else {
        return false;
    };
    let uses_own = matches!(open.relation, Relation::Own | Relation::SameServiceAccount);
    if !uses_own || open.token.kind != TokenKind::Irsa || open.access.errno.is_some() {
        return false;
    }
    let is_unbound = open.binding.is_none() && line.finding(FindingId::UnboundTokenOpen).is_none();
    let evidence = &open.evidence;
    let has_drifted = match (&evidence.injected.irsa_role, &evidence.sa_role_arn) {
        (Some(stamped), Some(named)) => named.starts_with("arn:") && stamped != named,
        _ => false,
    };
    is_unbound || has_drifted && line.finding(FindingId::RoleDrift).is_none()
}

/// See [`accounts`].
pub(super) fn snapshot(line: &Line, judged: &Line, pod: &Pod, given: &Given) -> Option<Snapshot> {
    if let Some(listing) = &given.associations {
        let is_its = |a: &&Association| {
            a.namespace == pod.namespace && a.service_account == pod.service_account
        };
        let own = listing.associations.iter().find(is_its).cloned();
        return Some(Snapshot::new(
            "given".into(),
            1,
            String::new(),
            judged.time,
            listing.complete,
            own,
        ));
    }
    // Of a connection's end the connect tells, and that may have been judged before the first reading.
    let was_read = line.evidence().is_some_and(|e| e.bindings_age_ms.is_some());
    let told_since = !std::ptr::eq(line, judged) && !judged.lacked("associations");
    if !was_read && !told_since {
        return None;
    }
    let binding = line
        .binding()
        .filter(|binding| binding.kind == BindingKind::PodIdentity);
    let started_at = match tells_of_absence(judged) {
        true => judged.time,
        false => before(judged.time),
    };
    let source = binding.map_or("the line", |binding| &binding.source);
    Some(Snapshot::new(
        source.into(),
        binding.and_then(|b| b.generation).unwrap_or_default(),
        binding.and_then(|b| b.hash.clone()).unwrap_or_default(),
        started_at,
        true,
        binding.map(|binding| association(binding, pod)),
    ))
}

/// What was not in the snapshot was not bound: a finding says so, or the verdict lacked something that is asked for only then.
fn tells_of_absence(line: &Line) -> bool {
    if line.lacked("associations") {
        return false;
    }
    match &line.body {
        Body::TokenOpen(_) => line.finding(FindingId::UnboundTokenOpen).is_some(),
        Body::CredentialConnect(_) => {
            line.finding(FindingId::UnassociatedAgentConnect).is_some() || line.lacked("outcome")
        }
        _ => true,
    }
}

fn association(binding: &Binding, pod: &Pod) -> Association {
    let text = |text: &Option<String>| text.as_deref().map(Arc::<str>::from);
    Association {
        id: text(&binding.association_id).unwrap_or_else(|| "unknown".into()),
        arn: text(&binding.association_arn),
        cluster: None,
        namespace: pod.namespace.clone(),
        service_account: pod.service_account.clone(),
        role_arn: text(&binding.role_arn),
        target_role_arn: text(&binding.target_role_arn),
        external_id: text(&binding.external_id),
        disable_session_tags: binding.session_tags == Some(false),
        policy: None,
        created: None,
        modified: None,
    }
}

fn before(time: Timestamp) -> Timestamp {
    time.checked_sub(SignedDuration::from_secs(1))
        .unwrap_or(time)
}
