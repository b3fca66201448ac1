//! The first role of an association: EKS Pod Identity assumes it for the pod.

use super::{
    cluster::{Given, Place},
    condition::{Condition, Fact, Facts, Truth},
    finding::{Findings, Id, Remark, Subject},
    request::{Caller, Obstacle, Request},
    role::Role,
    trust_policy::{PrincipalKind, Statement, TrustPolicy, clip},
    words,
};
use crate::association::Association;

pub const SERVICE: &str = "pods.eks.amazonaws.com";
pub const ASSUME: &str = "sts:AssumeRole";
pub const TAG: &str = "sts:TagSession";

/// What EKS Pod Identity puts into a session (`AssumeRole` as CloudTrail shows it).
const TAGS: [&str; 6] = [
    "eks-cluster-arn",
    "eks-cluster-name",
    "kubernetes-namespace",
    "kubernetes-service-account",
    "kubernetes-pod-name",
    "kubernetes-pod-uid",
];

/// Whose values nobody knows before the pod is there: the names end at random, so that a pattern is the only way to write them.
const TAGS_OF_THE_POD: [&str; 2] = ["kubernetes-pod-name", "kubernetes-pod-uid"];

/// The session tags of an association.
pub struct Tags<'a> {
    pub association: &'a Association,
    pub place: &'a Place,
}

impl Tags<'_> {
    /// `tag` is in lower case, as all of them are.
    pub fn fact(&self, tag: &str) -> Fact {
        if self.association.disable_session_tags || !TAGS.contains(&tag) {
            return Fact::Absent;
        }
        match tag {
            "eks-cluster-arn" => self.place.arn().map_or(Fact::Present, Fact::is),
            "eks-cluster-name" => match &self.place.cluster {
                Some(cluster) => Fact::is(cluster),
                None => Fact::Present,
            },
            "kubernetes-namespace" => Fact::is(&*self.association.namespace),
            "kubernetes-service-account" => Fact::is(&*self.association.service_account),
            _ => Fact::Present,
        }
    }

    /// `aws:TagKeys`
    pub fn keys(&self) -> Fact {
        if self.association.disable_session_tags {
            Fact::Absent
        } else {
            Fact::Is(TAGS.map(str::to_owned).to_vec())
        }
    }
}

/// What the service's request will hold.
struct ServiceRequest<'a> {
    tags: Tags<'a>,
}

impl Facts for ServiceRequest<'_> {
    fn fact(&self, key: &str) -> Fact {
        let place = self.tags.place;
        match key {
            "aws:sourceaccount" => Fact::of(place.account.as_deref()),
            // The cluster, not the association.
            "aws:sourcearn" => Fact::of(place.arn()),
            "aws:tagkeys" | "sts:transitivetagkeys" => self.tags.keys(),
            "sts:rolesessionname" => Fact::Present,
            _ => match key.strip_prefix("aws:requesttag/") {
                Some(tag) => self.tags.fact(tag),
                None => Fact::Unknown,
            },
        }
    }
}

/// Conditions whose key tells who asks: where they are lax, others come in.
pub fn tells_who(key: &str) -> bool {
    let named = [
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:principalarn",
        "sts:externalid",
    ];
    named.contains(&key)
        || key.starts_with("aws:requesttag/")
        || key.starts_with("aws:principaltag/")
}

pub fn check(
    association: &Association,
    role: &Role,
    policy: &TrustPolicy,
    given: &Given,
    findings: &mut Findings,
) {
    let place = Place::of_association(association, given);
    let facts = ServiceRequest {
        tags: Tags {
            association,
            place: &place,
        },
    };
    let mut check = Check {
        association,
        role,
        policy,
        place: &place,
        facts: &facts,
        subject: Subject::association(&association.namespace, &association.service_account),
        findings,
    };
    check.trust();
    check.laxness();
}

struct Check<'a> {
    association: &'a Association,
    role: &'a Role,
    policy: &'a TrustPolicy,
    place: &'a Place,
    facts: &'a ServiceRequest<'a>,
    subject: Subject,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn request(&self, action: &'static str) -> Request<'_> {
        Request {
            caller: Caller::Service(SERVICE),
            action,
            facts: self.facts,
        }
    }

    fn add(&mut self, remark: Remark) {
        let role = Some((&*self.role.arn, Some(&*self.role.file)));
        self.findings.add(&self.subject, role, remark);
    }

    fn trust(&mut self) {
        let policy = self.policy;
        let (assume, tag) = (
            self.request(ASSUME).obstacle(policy),
            self.request(TAG).obstacle(policy),
        );
        let mut seen = None;
        match assume {
            Obstacle::Principal => {
                let trusted = words::trusts(policy.allowing());
                self.add(
                    Remark::new(
                        Id::PodIdentityTrustMissing,
                        format!("no statement allows Service {SERVICE} anything; the policy trusts {trusted}"),
                        "add the statement to the role's trust policy",
                    )
                    .with(words::pod_identity_statement()),
                );
                return;
            }
            Obstacle::Action(statements) => {
                self.missing(Id::PodIdentityTrustMissingAssumeRole, ASSUME, &statements)
            }
            Obstacle::Denied(statement) => {
                self.denied(statement);
                return;
            }
            Obstacle::Conditions(statement, failing) => {
                seen = Some(statement.number);
                self.conditions(statement, &failing);
            }
            Obstacle::Undecided(lacks) => {
                let question = format!("whether {} lets EKS Pod Identity assume it", self.role.arn);
                self.findings.undecided(&self.subject, question, lacks);
                return;
            }
            Obstacle::Nothing => {}
        }
        match tag {
            Obstacle::Action(statements) => {
                self.missing(Id::PodIdentityTrustMissingTagSession, TAG, &statements);
            }
            Obstacle::Denied(statement) => self.denied(statement),
            Obstacle::Conditions(statement, failing) if seen != Some(statement.number) => {
                self.conditions(statement, &failing);
            }
            Obstacle::Undecided(lacks) => {
                let question = format!(
                    "whether {} lets EKS Pod Identity tag its session",
                    self.role.arn
                );
                self.findings.undecided(&self.subject, question, lacks);
            }
            Obstacle::Conditions(..) | Obstacle::Principal | Obstacle::Nothing => {}
        }
    }

    fn missing(&mut self, id: Id, action: &str, statements: &[&Statement]) {
        let listed: Vec<&String> = statements.iter().flat_map(|s| s.actions()).collect();
        let message = format!(
            "{SERVICE} is allowed {}, but not {action}; EKS Pod Identity needs both {ASSUME} and {TAG}",
            words::quoted(&listed)
        );
        let remedy = format!("add {action} to the statement's Action");
        self.add(Remark::new(id, message, remedy).with(words::pod_identity_statement()));
    }

    fn denied(&mut self, statement: &Statement) {
        self.add(denied(statement, SERVICE));
    }

    /// What is to be done alike is told together.
    fn conditions(&mut self, statement: &Statement, failing: &[&Condition]) {
        let mut problems: Vec<(Id, String, Vec<String>)> = Vec::new();
        for condition in failing {
            if explained_by_wildcard(condition, self.facts) {
                continue;
            }
            let (id, remedy) = self.condition_problem(&condition.key());
            let message = words::failed(condition, self.facts);
            match problems
                .iter_mut()
                .find(|(of, to, _)| *of == id && *to == remedy)
            {
                Some((.., messages)) => messages.push(message),
                None => problems.push((id, remedy, vec![message])),
            }
        }
        let cluster = self.place.arn();
        for (id, remedy, messages) in problems {
            let message = format!("{statement}: {}", messages.join("; "));
            let proposed = words::pod_identity_statement_for(self.association, cluster.as_deref());
            self.add(Remark::new(id, message, remedy).with(proposed));
        }
    }

    fn condition_problem(&self, key: &str) -> (Id, String) {
        let mismatch = |remedy: String| (Id::PodIdentityConditionMismatch, remedy);
        match key.strip_prefix("aws:requesttag/") {
            Some(tag) if !TAGS.contains(&tag) => mismatch(format!(
                "EKS Pod Identity sets no tag {:?}; it sets {}",
                clip(tag),
                TAGS.join(", ")
            )),
            Some(_) if self.association.disable_session_tags => (
                Id::PodIdentityConditionWithoutTags,
                "this association has session tags disabled: enable them, or use aws:SourceArn with the cluster's ARN".to_owned(),
            ),
            None if key == "aws:sourcearn" => mismatch(
                "aws:SourceArn is the cluster's ARN (arn:aws:eks:REGION:ACCOUNT:cluster/NAME), not the association's; write that".to_owned(),
            ),
            _ => mismatch(
                "write what this association's requests hold, as in the statement, or associate another role".to_owned(),
            ),
        }
    }

    /// What lets in others, where this association comes in.
    fn laxness(&mut self) {
        let policy = self.policy;
        for statement in policy.allowing() {
            let request = self.request(ASSUME);
            let is_for_service = statement
                .principals(PrincipalKind::Service)
                .any(|name| name == SERVICE);
            if !is_for_service || request.meets(statement) == Truth::No {
                continue;
            }
            for condition in &statement.conditions {
                let key = condition.key();
                if condition.operator.negated {
                    continue;
                }
                let Some(tag) = key.strip_prefix("aws:requesttag/") else {
                    continue;
                };
                if condition.operator.if_exists {
                    let message = format!(
                        "{statement}: {} on {} holds for every request without that tag, and an association with session tags disabled has none",
                        condition.written, condition.key
                    );
                    let remedy = "drop IfExists from the operator";
                    self.add(Remark::new(
                        Id::PodIdentityConditionIfExists,
                        message,
                        remedy,
                    ));
                } else if !TAGS_OF_THE_POD.contains(&tag) && condition.patterns().next().is_some() {
                    let patterns: Vec<&str> = condition.patterns().collect();
                    let message = format!(
                        "{statement}: {} on {} lets in every one that {} stands for",
                        condition.written,
                        condition.key,
                        words::quoted(&patterns)
                    );
                    let remedy = "name them, with StringEquals, if not all of them are meant";
                    self.add(Remark::new(Id::PodIdentityTagWildcard, message, remedy));
                }
            }
        }
    }
}

/// A Deny statement is met.
pub fn denied(statement: &Statement, caller: &str) -> Remark {
    Remark::new(
        Id::TrustDenied,
        format!("{statement} denies {caller}, and a Deny stands above every Allow"),
        "take the statement out, or give it a condition that leaves this caller alone",
    )
}

/// It fails only since a wildcard stands for itself; that is told of the role, once.
pub fn explained_by_wildcard(condition: &Condition, facts: &dyn Facts) -> bool {
    condition.has_literal_wildcard() && condition.with_wildcards().holds(facts) != Truth::No
}
