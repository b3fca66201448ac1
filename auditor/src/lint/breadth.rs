//! Who else gets a role that an annotated ServiceAccount gets: asked as they would ask.

use std::collections::BTreeSet;

use super::{
    arn::RoleArn,
    cluster::Given,
    condition::{STRANGER, Truth, example_of},
    finding::{Id, Remark},
    irsa::{ASSUME, TokenRequest, subject_of},
    provider,
    request::{Caller, Request},
    trust_policy::{Statement, TrustPolicy, clip},
    words,
};
use crate::cluster::ServiceAccount;

/// Of a policy with more patterns these are enough to find one that is too wide.
const PATTERNS: usize = 64;

pub fn check(
    role: &RoleArn,
    policy: &TrustPolicy,
    token: &TokenRequest,
    given: &Given,
    account: &ServiceAccount,
    add: &mut dyn FnMut(Remark),
) {
    let provider = provider::arn(role, &token.issuer);
    let ask = Asking {
        policy,
        provider: &provider,
        token,
    };
    ask.others(account, add);
    if let Some(by) = ask.as_other(|token| token.audience = STRANGER.to_owned()) {
        let message =
            format!("{by} demands no audience: tokens that were made for others than STS pass");
        let remedy = format!(
            "add {}:aud to StringEquals, with {:?}",
            token.issuer, token.audience
        );
        add(Remark::new(Id::IrsaMissingAud, message, remedy));
    }
    foreign(policy, token, given, add);
}

struct Asking<'a> {
    policy: &'a TrustPolicy,
    provider: &'a str,
    token: &'a TokenRequest,
}

impl<'a> Asking<'a> {
    /// The statement that lets somebody else in.
    fn as_other(&self, change: impl FnOnce(&mut TokenRequest)) -> Option<&'a Statement> {
        let mut token = self.token.clone();
        change(&mut token);
        let request = Request {
            caller: Caller::Provider(self.provider),
            action: ASSUME,
            facts: &token,
        };
        if request.verdict(self.policy) != Truth::Yes {
            return None;
        }
        let mut allowing = self.policy.allowing();
        allowing.find(|statement| request.meets(statement) == Truth::Yes)
    }

    fn as_subject(&self, subject: String) -> Option<&'a Statement> {
        self.as_other(|token| token.subject = subject)
    }

    fn others(&self, account: &ServiceAccount, add: &mut dyn FnMut(Remark)) {
        let token = self.token;
        let key = format!("{}:sub", token.issuer.to_ascii_lowercase());
        let exact = words::irsa_statement(
            self.provider,
            &token.issuer,
            &token.audience,
            &token.subject,
        );
        let remedy = "name the ServiceAccounts that are meant, with StringEquals; it takes a list";
        if let Some(by) = self.as_subject(subject_of(STRANGER, STRANGER)) {
            let demands_subject = by.conditions.iter().any(|condition| condition.key() == key);
            let (id, why) = if demands_subject {
                (
                    Id::IrsaSubAnyNamespace,
                    "every ServiceAccount of the cluster gets the role",
                )
            } else {
                (
                    Id::IrsaMissingSub,
                    "no condition on sub: every ServiceAccount of the cluster gets the role",
                )
            };
            add(Remark::new(id, format!("{by}: {why}"), remedy).with(exact));
            return;
        }
        let same_name = subject_of(STRANGER, &account.name);
        let same_namespace = subject_of(&account.namespace, STRANGER);
        let patterns: BTreeSet<String> = self
            .policy
            .allowing()
            .flat_map(|statement| &statement.conditions)
            .filter(|condition| condition.key() == key && !condition.operator.negated)
            .flat_map(|condition| condition.patterns())
            .take(PATTERNS)
            .map(example_of)
            .collect();
        let mut found = BTreeSet::new();
        for subject in patterns.into_iter().chain([same_name, same_namespace]) {
            let Some((namespace, _)) = subject
                .strip_prefix("system:serviceaccount:")
                .and_then(|rest| rest.split_once(':'))
            else {
                continue;
            };
            let id = if namespace.contains(STRANGER) {
                Id::IrsaSubAnyNamespace
            } else {
                Id::IrsaSubAnyServiceAccount
            };
            let Some(by) = self.as_subject(subject) else {
                continue;
            };
            if found.insert((id, by.number)) {
                let who = match id {
                    Id::IrsaSubAnyNamespace => {
                        "ServiceAccounts of namespaces that it does not name"
                    }
                    _ => "ServiceAccounts that it does not name",
                };
                let patterns: Vec<&str> = by
                    .conditions
                    .iter()
                    .filter(|condition| condition.key() == key)
                    .flat_map(|condition| condition.values.iter().map(String::as_str))
                    .collect();
                let message = format!("{by}: sub {} lets in {who}", words::quoted(&patterns));
                add(Remark::new(id, message, remedy).with(exact.clone()));
            }
        }
    }
}

/// Providers of clusters that are neither this one nor declared.
fn foreign(policy: &TrustPolicy, token: &TokenRequest, given: &Given, add: &mut dyn FnMut(Remark)) {
    let others: BTreeSet<&str> = provider::of_policy(policy)
        .map(|provider| provider.url)
        .filter(|url| {
            provider::is_eks(url)
                && *url != token.issuer
                && !given.other_issuers.iter().any(|known| known == url)
        })
        .collect();
    for url in others {
        let message = format!(
            "the policy also trusts {}, which is not this cluster's: who owns that cluster, or has its name again, gets the role",
            clip(url)
        );
        let remedy = "take the statement out if that cluster is gone; if it is yours, name it with --other-issuer";
        add(Remark::new(Id::IrsaForeignProvider, message, remedy));
    }
}
