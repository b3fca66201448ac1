//! Who else gets a role that an annotated ServiceAccount gets, or may get: asked as they would ask.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    arn::RoleArn,
    cluster::Given,
    condition::{Condition, STRANGER, Truth, example_of},
    finding::{Id, Remark},
    irsa::{ASSUME, TokenRequest, is_of_a_provider, subject_of},
    provider,
    request::{Caller, Doubt, Obstacle, Request},
    trust_policy::{Statement, TrustPolicy, clip},
    words,
};
use crate::cluster::ServiceAccount;

/// Of a policy with more patterns these are enough to find one that is too wide.
const PATTERNS: usize = 64;

/// What keeps in doubt whether others get in; nothing where that is known.
pub fn check(
    role: &RoleArn,
    policy: &TrustPolicy,
    token: &TokenRequest,
    given: &Given,
    account: &ServiceAccount,
    add: &mut dyn FnMut(Remark),
) -> BTreeSet<String> {
    let provider = provider::arn(role, &token.issuer);
    let mut ask = Asking {
        policy,
        provider: &provider,
        token,
        lacks: BTreeSet::new(),
    };
    ask.others(account, add);
    if let Some(Entry { by, .. }) = ask.as_other(|token| token.audience = STRANGER.to_owned()) {
        // STS refuses an audience that IAM's provider does not list, whatever the policy says: docs/lint.md has the sources.
        let message = format!(
            "{by} demands no audience: what IAM's OIDC provider lists (ClientIDList) is the only bound, and where that is more than {:?}, \
             tokens that were made for somebody else pass",
            token.audience
        );
        let remedy = format!(
            "add {}:aud to StringEquals, with {:?}; what is listed is told by aws iam get-open-id-connect-provider",
            token.issuer, token.audience
        );
        add(Remark::new(Id::IrsaMissingAud, message, remedy));
    }
    foreign(policy, token, given, add);
    ask.undecided()
}

struct Asking<'a> {
    policy: &'a TrustPolicy,
    provider: &'a str,
    token: &'a TokenRequest,
    lacks: BTreeSet<String>,
}

/// How somebody else gets in.
struct Entry<'a> {
    by: &'a Statement,
    /// What must hold besides, and says nothing of who asks.
    besides: Vec<&'a Condition>,
}

/// Keys by which a policy may tell one ServiceAccount from another. The others tell where a request is from, when, and how.
fn tells_accounts(key: &str) -> bool {
    let named = [
        "aws:principalarn",
        "aws:userid",
        "aws:username",
        "sts:sourceidentity",
    ];
    is_of_a_provider(key)
        || named.contains(&key)
        || key.starts_with("aws:principaltag/")
        || key.starts_with("aws:requesttag/")
}

/// The conditions among the doubts, if none of them is about who asks.
fn besides<'a>(doubts: &[Doubt<'a>]) -> Option<Vec<&'a Condition>> {
    let conditions = doubts.iter().filter_map(|doubt| match doubt {
        Doubt::Condition(_, condition) => Some(*condition),
        Doubt::Principal(_) | Doubt::Action(_) => None,
    });
    conditions
        .map(|condition| (!tells_accounts(&condition.key())).then_some(condition))
        .collect()
}

impl<'a> Asking<'a> {
    fn request<'r>(&'r self, token: &'r TokenRequest) -> Request<'r> {
        Request {
            caller: Caller::Provider(self.provider),
            action: ASSUME,
            facts: token,
        }
    }

    /// What is in doubt of others, but for what was told of the workload itself.
    fn undecided(mut self) -> BTreeSet<String> {
        let own = self.request(self.token).obstacle(self.policy);
        if let Obstacle::Undecided(told) = own {
            self.lacks.retain(|lack| !told.contains(lack));
        }
        self.lacks
    }

    /// How somebody else gets in, as surely as the workload itself or whenever the same holds that may keep it out.
    fn as_other(&mut self, change: impl FnOnce(&mut TokenRequest)) -> Option<Entry<'a>> {
        let (policy, mut other) = (self.policy, self.token.clone());
        change(&mut other);
        let (own, request) = (self.request(self.token), self.request(&other));
        if request.verdict(policy) == Truth::No {
            return None;
        }
        let mut lacks = BTreeSet::new();
        let mut is_undecided = |doubts: &[Doubt<'_>]| {
            lacks.extend(doubts.iter().map(Doubt::to_string));
        };
        let mut denials = Vec::new();
        let mut may_be_denied = false;
        for statement in policy.denying() {
            let doubts = request.doubts_of(statement);
            if doubts.is_empty() {
                continue;
            }
            // A Deny that leaves the workload alone may be there to keep others out.
            match besides(&doubts) {
                Some(conditions) if doubts == own.doubts_of(statement) => {
                    denials.extend(conditions)
                }
                _ => {
                    may_be_denied = true;
                    is_undecided(&doubts);
                }
            }
        }
        let mut entry: Option<Entry<'a>> = None;
        for by in policy
            .allowing()
            .filter(|by| request.meets(by) != Truth::No)
        {
            let doubts = request.doubts_of(by);
            // Of an Allow for another principal, or of other actions, nobody knows whether it lets in tokens at all.
            let is_for_tokens =
                request.principal(by) == Truth::Yes && request.action(by) == Truth::Yes;
            match besides(&doubts) {
                // The fewer conditions, the wider.
                Some(besides) if is_for_tokens => {
                    if entry
                        .as_ref()
                        .is_none_or(|known| besides.len() < known.besides.len())
                    {
                        entry = Some(Entry { by, besides });
                    }
                }
                _ => is_undecided(&doubts),
            }
        }
        match entry {
            Some(Entry { by, mut besides }) if !may_be_denied => {
                besides.extend(denials);
                Some(Entry { by, besides })
            }
            _ => {
                self.lacks.extend(lacks);
                None
            }
        }
    }

    fn as_subject(&mut self, subject: String) -> Option<Entry<'a>> {
        self.as_other(|token| token.subject = subject)
    }

    /// The statement that would do, with the conditions of `by` that it does not replace.
    fn exact(&self, by: &Statement) -> Value {
        let token = self.token;
        let mut statement = words::irsa_statement(
            self.provider,
            &token.issuer,
            &token.audience,
            &token.subject,
        );
        for condition in &by.conditions {
            if !is_of_a_provider(&condition.key()) {
                let values = match condition.values.as_slice() {
                    [one] => Value::from(one.as_str()),
                    several => Value::from(several),
                };
                statement["Condition"][&condition.written][&condition.key] = values;
            }
        }
        statement
    }

    fn others(&mut self, account: &ServiceAccount, add: &mut dyn FnMut(Remark)) {
        let key = format!("{}:sub", self.token.issuer.to_ascii_lowercase());
        let remedy = "name the ServiceAccounts that are meant, with StringEquals; it takes a list";
        if let Some(Entry { by, besides }) = self.as_subject(subject_of(STRANGER, STRANGER)) {
            let demands_subject = by.conditions.iter().any(|condition| condition.key() == key);
            let (id, why) = if demands_subject {
                (Id::IrsaSubAnyNamespace, "")
            } else {
                (Id::IrsaMissingSub, "no condition on sub: ")
            };
            let message = format!(
                "{by}: {why}every ServiceAccount of the cluster gets the role{}",
                provided(&besides)
            );
            add(Remark::new(id, message, remedy).with(self.exact(by)));
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
            let Some(Entry { by, besides }) = self.as_subject(subject) else {
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
                let message = format!(
                    "{by}: sub {} lets in {who}{}",
                    words::quoted(&patterns),
                    provided(&besides)
                );
                add(Remark::new(id, message, remedy).with(self.exact(by)));
            }
        }
    }
}

/// What must hold besides; that of several statements may be the same.
fn provided(besides: &[&Condition]) -> String {
    const SHOWN: usize = 3;
    let names: BTreeSet<String> = besides
        .iter()
        .map(|condition| format!("{} on {}", clip(&condition.written), clip(&condition.key)))
        .collect();
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => return String::new(),
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        ", as long as it passes {}{more}, where no ServiceAccount is named",
        shown.join(", ")
    )
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
