//! The role of an annotated ServiceAccount: the pod's SDK assumes it by its token.

use super::{
    arn::RoleArn,
    breadth,
    cluster::Given,
    condition::{Condition, Fact, Facts, of_every_caller},
    finding::{Findings, Id, Remark, Subject},
    pod_identity::{denied, explained_by_wildcard},
    provider::{self, Provider},
    request::{Caller, Obstacle, Request},
    role::Role,
    trust_policy::{Statement, TrustPolicy, clip},
    words,
};
use crate::{audit::IRSA_AUDIENCE, cluster::ServiceAccount};

pub const ASSUME: &str = "sts:AssumeRoleWithWebIdentity";

/// What a request with a token of a cluster will hold.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Of the cluster, without `https://`.
    pub issuer: String,
    pub audience: String,
    pub subject: String,
}

impl Facts for TokenRequest {
    fn fact(&self, key: &str) -> Fact {
        let own = key
            .strip_prefix(&self.issuer.to_ascii_lowercase())
            .and_then(|rest| rest.strip_prefix(':'));
        match (own, key) {
            (Some("aud"), _) => Fact::is(&self.audience),
            (Some("sub"), _) => Fact::is(&self.subject),
            (Some(_), _) => Fact::Unknown,
            (None, "sts:rolesessionname") => Fact::Present,
            // A token of Kubernetes has no tags for STS.
            (None, "aws:tagkeys" | "sts:transitivetagkeys") => Fact::Absent,
            (None, key) if key.starts_with("aws:requesttag/") => Fact::Absent,
            (None, key) if is_of_a_provider(key) => Fact::Absent,
            (None, key) => of_every_caller(key),
        }
    }
}

/// `PROVIDER:claim`: the keys of the provider that issued the token are there, and no other's.
pub fn is_of_a_provider(key: &str) -> bool {
    let provider = key.rsplit_once(':').map_or(key, |(provider, _)| provider);
    !key.starts_with("aws:") && !key.starts_with("sts:") && provider.contains('.')
}

/// `system:serviceaccount:NAMESPACE:NAME`
pub fn subject_of(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

pub fn check(
    account: &ServiceAccount,
    arn: &RoleArn,
    role: &Role,
    policy: &TrustPolicy,
    given: &Given,
    findings: &mut Findings,
) {
    let subject = Subject::service_account(&account.namespace, &account.name);
    let mut check = Check {
        arn,
        role,
        policy,
        subject,
        findings,
    };
    let Some(issuer) = check.issuer(given) else {
        return;
    };
    let request = TokenRequest {
        issuer,
        audience: account
            .audience
            .as_deref()
            .unwrap_or(IRSA_AUDIENCE)
            .to_owned(),
        subject: subject_of(&account.namespace, &account.name),
    };
    if !check.trust(&request) {
        return;
    }
    let role_subject = Subject::role(&role.arn);
    let mut add = |remark: Remark| {
        let role = Some((&*role.arn, Some(&*role.file)));
        findings.add(&role_subject, role, remark);
    };
    let lacks = breadth::check(arn, policy, &request, given, account, &mut add);
    if !lacks.is_empty() {
        let question = "whether others than those it names may assume it";
        findings.undecided(&role_subject, question, lacks);
    }
}

struct Check<'a> {
    arn: &'a RoleArn,
    role: &'a Role,
    policy: &'a TrustPolicy,
    subject: Subject,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn add(&mut self, remark: Remark) {
        let role = Some((&*self.role.arn, Some(&*self.role.file)));
        self.findings.add(&self.subject, role, remark);
    }

    /// This cluster's; where it is not given, the only one that the policy names.
    fn issuer(&mut self, given: &Given) -> Option<String> {
        if let Some(issuer) = &given.issuer {
            return Some(issuer.clone());
        }
        let mut named: Vec<String> = provider::of_policy(self.policy)
            .map(|provider| provider::bare(provider.url).to_owned())
            .collect();
        named.sort_unstable();
        named.dedup();
        let lacks = ["this cluster's OIDC issuer (--oidc-issuer)".to_owned()];
        match named.as_slice() {
            [] => {
                self.add(trust_missing(self.policy));
                None
            }
            [one] => {
                let question = format!("whether {} is this cluster's", clip(one));
                self.findings.undecided(&self.subject, question, lacks);
                Some(one.clone())
            }
            _ => {
                let question = "which of the role's OIDC providers is this cluster's";
                self.findings.undecided(&self.subject, question, lacks);
                None
            }
        }
    }

    /// Whether the ServiceAccount gets the role, or may.
    fn trust(&mut self, token: &TokenRequest) -> bool {
        let provider = provider::arn(self.arn, &token.issuer);
        let request = Request {
            caller: Caller::Provider(&provider),
            action: ASSUME,
            facts: token,
        };
        let statement =
            words::irsa_statement(&provider, &token.issuer, &token.audience, &token.subject);
        match request.obstacle(self.policy) {
            Obstacle::Nothing => return true,
            Obstacle::Denied(by) => self.add(denied(by, &token.subject)),
            Obstacle::Principal => {
                let remark = self.provider_problem(&provider, &token.issuer);
                self.add(remark.with(statement));
            }
            Obstacle::Action(statements) => {
                let listed: Vec<&String> = statements.iter().flat_map(|s| s.actions()).collect();
                let message = format!(
                    "this cluster's provider is allowed {}, but not {ASSUME}, which is what SDKs call with a token",
                    words::quoted(&listed)
                );
                let remedy = format!("write {ASSUME} as the statement's Action");
                let remark = Remark::new(Id::IrsaTrustWrongAction, message, remedy);
                self.add(remark.with(statement));
            }
            Obstacle::Conditions(by, failing) => {
                for condition in failing {
                    if !explained_by_wildcard(condition, token) {
                        self.add(condition_problem(by, condition, token).with(statement.clone()));
                    }
                }
            }
            Obstacle::Undecided(lacks) => {
                let question =
                    format!("whether {} lets {} assume it", self.role.arn, token.subject);
                self.findings.undecided(&self.subject, question, lacks);
                // What keeps it in doubt need not keep others out.
                return true;
            }
        }
        false
    }

    /// No statement names this cluster's provider.
    fn provider_problem(&self, expected: &str, issuer: &str) -> Remark {
        let remedy = "add the statement; the provider must exist in the role's account (aws iam list-open-id-connect-providers)";
        let named: Vec<Provider<'_>> = provider::of_policy(self.policy).collect();
        let first = |is: &dyn Fn(&&Provider<'_>) -> bool| named.iter().find(is);
        if let Some(other) =
            first(&|p| p.is_arn_of(issuer) && p.account != Some(&*self.arn.account))
        {
            let message = format!(
                "the policy trusts {}, a provider in another account than the role's ({}); a role trusts providers of its own account",
                clip(other.written),
                self.arn.account
            );
            return Remark::new(Id::IrsaProviderOtherAccount, message, remedy);
        }
        if let Some(near) = first(&|p| provider::is_nearly(p.url, issuer)) {
            let message = format!(
                "the policy trusts {}, which is this cluster's provider misspelt: it is {expected}",
                clip(near.written)
            );
            return Remark::new(Id::IrsaProviderMalformed, message, remedy);
        }
        if let Some(other) = named.first() {
            let hint = if provider::id(other.url) == provider::id(issuer) {
                ": the same id under another host"
            } else {
                ": another cluster's, or none's"
            };
            let names: Vec<&str> = named.iter().map(|p| p.written).collect();
            let message = format!(
                "the policy trusts {}, this cluster's provider is {expected}{hint}",
                words::quoted(&names)
            );
            return Remark::new(Id::IrsaProviderMismatch, message, remedy);
        }
        trust_missing(self.policy)
    }
}

fn trust_missing(policy: &TrustPolicy) -> Remark {
    let trusted = words::trusts(policy.allowing());
    let hint = if trusted.contains(super::pod_identity::SERVICE) {
        "; it is made for EKS Pod Identity: associate it (aws eks create-pod-identity-association), or add the statement"
    } else {
        ""
    };
    Remark::new(
        Id::IrsaTrustMissing,
        format!("no statement trusts an OIDC provider; the policy trusts {trusted}{hint}"),
        "add a statement for the cluster's OIDC provider, with aud and sub",
    )
}

fn condition_problem(by: &Statement, condition: &Condition, token: &TokenRequest) -> Remark {
    let message = format!("{by}: {}", words::failed(condition, token));
    let key = condition.key();
    let issuer = token.issuer.to_ascii_lowercase();
    let claim = key
        .strip_prefix(&issuer)
        .and_then(|rest| rest.strip_prefix(':'));
    match claim {
        Some("aud") => Remark::new(
            Id::IrsaAudMismatch,
            message,
            "the token's audience is the ServiceAccount's annotation eks.amazonaws.com/audience, or sts.amazonaws.com in every partition; write that",
        ),
        Some("sub") => Remark::new(
            Id::IrsaSubMismatch,
            message,
            "write system:serviceaccount:NAMESPACE:NAME as in the statement, letter for letter, or annotate another ServiceAccount",
        ),
        None if is_of_a_provider(&key) => Remark::new(
            Id::IrsaConditionKeyMismatch,
            message,
            format!(
                "the key must be {}:aud or {}:sub: the provider's URL without https://, and the claim",
                token.issuer, token.issuer
            ),
        ),
        _ => Remark::new(
            Id::IrsaConditionMismatch,
            message,
            "take the condition out, or write what the request holds",
        ),
    }
}
