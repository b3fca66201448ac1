//! `auditor lint`: bindings, ServiceAccounts and roles' trust policies held against each other, before anything breaks.
//!
//! Pure: what is read comes from [`crate::cli`]. A trust policy is judged by asking it ([`request`]): as the workload
//! would, and as others would who must not get in. What the files do not tell is said as undecided.

mod arn;
mod breadth;
mod cluster;
mod condition;
mod finding;
mod hygiene;
mod irsa;
mod json;
mod names;
mod pod_identity;
mod pods;
mod provider;
mod request;
mod role;
mod service_accounts;
mod target_role;
mod text;
mod trust_policy;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use cluster::Given;
pub use finding::{Checked, Finding, Id, Kind, Report, Severity, Subject, Undecided};
pub use provider::bare as bare_issuer;
pub use role::{Role, parse as parse_roles};
pub use text::render;

use crate::{
    association::{Association, Listing},
    audit::IRSA_AUDIENCE,
    cluster::{Contents, ServiceAccount},
};
use arn::RoleArn;
use cluster::Place;
use finding::{Findings, Remark};
use pods::{Binding, Pods};
use service_accounts::Known;
use trust_policy::TrustPolicy;

/// What is held against each other; what was not given is not judged.
#[derive(Debug, Default)]
pub struct Inputs {
    pub given: Given,
    pub associations: Option<Listing>,
    pub contents: Option<Contents>,
    pub roles: Vec<Role>,
}

#[must_use]
pub fn lint(inputs: &Inputs) -> Report {
    let listing = inputs.associations.as_ref();
    let associations = listing.map_or(&[][..], |listing| &listing.associations);
    let mut lint = Lint {
        given: &inputs.given,
        home: home(&inputs.given, associations),
        roles: Roles::new(&inputs.roles),
        used: BTreeSet::new(),
        findings: Findings::default(),
    };
    let bound: BTreeMap<(&str, &str), &Association> = associations
        .iter()
        .map(|association| {
            let key = (&*association.namespace, &*association.service_account);
            (key, association)
        })
        .collect();
    for association in associations {
        lint.association(association);
    }
    let mut checked = Checked {
        associations: associations.len(),
        ..Checked::default()
    };
    if let Some(contents) = &inputs.contents {
        let known = Known::new(&contents.service_accounts);
        checked.service_accounts = contents.service_accounts.len();
        checked.pods = contents.pods.len();
        if !contents.service_accounts.is_empty() {
            for association in associations {
                service_accounts::of_association(association, &known, &mut lint.findings);
            }
        }
        for account in &contents.service_accounts {
            lint.service_account(account);
            if let Some(association) = bound.get(&(&*account.namespace, &*account.name)) {
                service_accounts::both(association, account, &mut lint.findings);
            }
        }
        let mut pods = Pods::default();
        for pod in &contents.pods {
            let (namespace, account) = (&*pod.namespace, &*pod.service_account);
            let annotated = || {
                let account = known.get(namespace, account)?;
                Some(Binding::Annotation {
                    role: account.role_arn.as_deref()?,
                    audience: account.audience.as_deref().unwrap_or(IRSA_AUDIENCE),
                })
            };
            let binding = match bound.get(&(namespace, account)) {
                Some(association) => Some(Binding::Association(association)),
                None => annotated(),
            };
            if let Some(binding) = binding {
                pods.look(pod, binding);
            }
        }
        pods.tell(&mut lint.findings);
    }
    checked.roles = lint.used.len();
    lint.findings.report(checked)
}

/// The cluster by the flags, and by what its associations tell of it.
fn home(given: &Given, associations: &[Association]) -> Place {
    let mut home = Place::of(given);
    if let Some(association) = associations.iter().find(|a| a.arn.is_some()) {
        let told = Place::of_association(association, given);
        home.partition = home.partition.or(told.partition);
        home.account = home.account.or(told.account);
    }
    home
}

struct Lint<'a> {
    given: &'a Given,
    home: Place,
    roles: Roles<'a>,
    /// ARNs that bindings name.
    used: BTreeSet<String>,
    findings: Findings,
}

impl<'a> Lint<'a> {
    fn association(&mut self, association: &Association) {
        let subject = Subject::association(&association.namespace, &association.service_account);
        let Some(written) = association.role_arn.as_deref() else {
            let lacks = "its roleArn: `list-pod-identity-associations` leaves it out, `describe-pod-identity-association` and `auditor sync-associations` have it";
            self.findings
                .undecided(&subject, "which role it binds", [lacks.to_owned()]);
            return;
        };
        let place = Place::of_association(association, self.given);
        let first = self.name(&subject, written, place.partition.as_deref());
        if let Some(arn) = &first {
            if let Some(account) = place.account.as_deref().filter(|own| **own != *arn.account) {
                let message = format!(
                    "{arn} is of account {}, the cluster of {account}: the first role must be of the cluster's account",
                    arn.account
                );
                let remedy = "associate a role of the cluster's account, and name the other one as targetRoleArn";
                let remark = Remark::new(Id::PodIdentityRoleOtherAccount, message, remedy);
                self.findings.add(&subject, Some((written, None)), remark);
            } else if let Some((role, policy)) = self.policy(&subject, arn) {
                pod_identity::check(association, role, policy, self.given, &mut self.findings);
            }
        }
        let Some(target) = association.target_role_arn.as_deref() else {
            return;
        };
        let target = self.name(&subject, target, place.partition.as_deref());
        if let Some((first, target)) = first.zip(target)
            && let Some((role, policy)) = self.policy(&subject, &target)
        {
            let known = self.roles.get(&first);
            let first = (&first, known);
            target_role::check(
                association,
                first,
                (role, policy),
                self.given,
                &mut self.findings,
            );
        }
    }

    fn service_account(&mut self, account: &ServiceAccount) {
        let Some(written) = account.role_arn.as_deref() else {
            return;
        };
        let subject = Subject::service_account(&account.namespace, &account.name);
        let Place {
            partition,
            account: own,
            ..
        } = self.home.clone();
        let Some(arn) = self.name(&subject, written, partition.as_deref()) else {
            return;
        };
        if let Some((role, policy)) = self.policy(&subject, &arn) {
            irsa::check(account, &arn, role, policy, self.given, &mut self.findings);
        } else if self.roles.get(&arn).is_none()
            && let Some(own) = own.filter(|own| *own != arn.account)
        {
            let message = format!(
                "{arn} is of account {}, not of {own}: that works only if that account has an OIDC provider for this cluster and the role trusts it",
                arn.account
            );
            let remedy =
                "give the role with --role to have it checked, or name the role of this account";
            let remark = Remark::new(Id::IrsaRoleOtherAccount, message, remedy);
            self.findings.add(&subject, Some((written, None)), remark);
        }
    }

    /// What a binding names, if it is a role's ARN and one of this partition.
    fn name(
        &mut self,
        subject: &Subject,
        written: &str,
        partition: Option<&str>,
    ) -> Option<RoleArn> {
        match names::read(written, partition) {
            Ok(arn) => {
                self.used.insert(arn.to_string());
                Some(arn)
            }
            Err(remark) => {
                self.findings.add(subject, Some((written, None)), remark);
                None
            }
        }
    }

    /// The role and its trust policy, if they are given and make sense.
    fn policy(&mut self, subject: &Subject, arn: &RoleArn) -> Option<(&'a Role, &'a TrustPolicy)> {
        let Some(role) = self.roles.get(arn) else {
            match self.roles.nearly(arn) {
                Some(remark) => {
                    let written = arn.to_string();
                    self.findings.add(subject, Some((&written, None)), remark);
                }
                None => {
                    let question = format!("whether {arn} trusts it");
                    let lacks = "the role (--role, as `aws iam get-role` prints it)".to_owned();
                    self.findings.undecided(subject, question, [lacks]);
                }
            }
            return None;
        };
        let about = Subject::role(&role.arn);
        match &role.policy {
            Ok(policy) => {
                hygiene::check(role, policy, &mut self.findings);
                Some((role, policy))
            }
            Err(why) => {
                let message = format!("the trust policy {why}");
                let remedy =
                    "write it anew; IAM takes no such policy, so the file is not what is in force";
                let remark = Remark::new(Id::TrustPolicyMalformed, message, remedy);
                self.findings
                    .add(&about, Some((&role.arn, Some(&role.file))), remark);
                None
            }
        }
    }
}

/// Roles by ARN, and by what IAM takes for the same name.
struct Roles<'a> {
    by_arn: BTreeMap<&'a str, &'a Role>,
    by_name: BTreeMap<(String, String), &'a Role>,
}

impl<'a> Roles<'a> {
    fn new(roles: &'a [Role]) -> Self {
        let name = |role: &Role| {
            let arn = RoleArn::parse(&role.arn).ok()?;
            Some((arn.account, arn.name.to_ascii_lowercase()))
        };
        Self {
            by_arn: roles.iter().map(|role| (&*role.arn, role)).collect(),
            by_name: roles
                .iter()
                .filter_map(|role| Some((name(role)?, role)))
                .collect(),
        }
    }

    fn get(&self, arn: &RoleArn) -> Option<&'a Role> {
        self.by_arn.get(&*arn.to_string()).copied()
    }

    /// Within an account a name is one role's, whatever its path and case: then another one cannot be meant.
    fn nearly(&self, arn: &RoleArn) -> Option<Remark> {
        let name = (arn.account.clone(), arn.name.to_ascii_lowercase());
        let role = self.by_name.get(&name)?;
        names::another(arn, &RoleArn::parse(&role.arn).ok()?)
    }
}

#[cfg(test)]
mod tests;
