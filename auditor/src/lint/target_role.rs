//! The second role of an association: the first one assumes it.

use super::{
    arn::RoleArn,
    cluster::{Given, Place},
    condition::{Condition, Fact, Facts},
    finding::{Findings, Id, Remark, Subject},
    pod_identity::{ASSUME, TAG, Tags, denied, explained_by_wildcard},
    request::{Caller, Obstacle, Request},
    role::Role,
    trust_policy::{Statement, TrustPolicy},
    words,
};
use crate::association::Association;

/// What the first role's request will hold.
struct RoleRequest<'a> {
    tags: Tags<'a>,
    first: &'a RoleArn,
}

impl Facts for RoleRequest<'_> {
    fn fact(&self, key: &str) -> Fact {
        let association = self.tags.association;
        match key {
            "aws:principalarn" => Fact::is(self.first.to_string()),
            "aws:principalaccount" => Fact::is(&self.first.account),
            // EKS documents it for associations without session tags.
            "sts:externalid" if association.disable_session_tags => {
                Fact::of(association.external_id.as_deref())
            }
            "aws:tagkeys" | "sts:transitivetagkeys" => self.tags.keys(),
            "sts:rolesessionname" => Fact::Present,
            _ => match key.strip_prefix("aws:requesttag/") {
                Some(tag) => self.tags.fact(tag),
                None => Fact::Unknown,
            },
        }
    }
}

pub fn check(
    association: &Association,
    first: (&RoleArn, Option<&Role>),
    target: (&Role, &TrustPolicy),
    given: &Given,
    findings: &mut Findings,
) {
    let place = Place::of_association(association, given);
    let facts = RoleRequest {
        tags: Tags {
            association,
            place: &place,
        },
        first: first.0,
    };
    let mut check = Check {
        association,
        first: first.0,
        first_id: first.1.and_then(|role| role.id.as_deref()),
        target: target.0,
        facts: &facts,
        subject: Subject::association(&association.namespace, &association.service_account),
        findings,
    };
    check.trust(target.1);
}

struct Check<'a> {
    association: &'a Association,
    first: &'a RoleArn,
    first_id: Option<&'a str>,
    target: &'a Role,
    facts: &'a RoleRequest<'a>,
    subject: Subject,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn request(&self, action: &'static str) -> Request<'_> {
        Request {
            caller: Caller::Role(self.first, self.first_id),
            action,
            facts: self.facts,
        }
    }

    fn add(&mut self, remark: Remark) {
        let role = Some((&*self.target.arn, Some(&*self.target.file)));
        self.findings.add(&self.subject, role, remark);
    }

    fn statement(&self) -> serde_json::Value {
        let external = self.association.external_id.as_deref();
        words::target_statement(
            &self.first.to_string(),
            external.filter(|_| self.association.disable_session_tags),
        )
    }

    fn trust(&mut self, policy: &TrustPolicy) {
        let mut seen = None;
        let first = self.first.to_string();
        match self.request(ASSUME).obstacle(policy) {
            Obstacle::Principal => {
                let trusted = words::trusts(policy.allowing());
                let message = format!(
                    "no statement of the target role allows {first} anything; it trusts {trusted}"
                );
                let remedy = "add the statement to the target role's trust policy";
                let remark = Remark::new(Id::TargetRoleTrustMissing, message, remedy);
                self.add(remark.with(self.statement()));
                return;
            }
            Obstacle::Action(statements) => {
                self.missing(Id::TargetRoleTrustMissingAssumeRole, ASSUME, &statements);
            }
            Obstacle::Denied(statement) => {
                self.add(denied(statement, &first));
                return;
            }
            Obstacle::Conditions(statement, failing) => {
                seen = Some(statement.number);
                self.conditions(statement, &failing);
            }
            Obstacle::Undecided(lacks) => {
                let question = format!("whether {} lets {first} assume it", self.target.arn);
                self.findings.undecided(&self.subject, question, lacks);
                return;
            }
            Obstacle::Nothing => {}
        }
        // Without tags there is nothing to allow.
        if self.association.disable_session_tags {
            return;
        }
        match self.request(TAG).obstacle(policy) {
            Obstacle::Action(statements) => {
                self.missing(Id::TargetRoleTrustMissingTagSession, TAG, &statements);
            }
            Obstacle::Denied(statement) => self.add(denied(statement, &first)),
            Obstacle::Conditions(statement, failing) if seen != Some(statement.number) => {
                self.conditions(statement, &failing);
            }
            Obstacle::Undecided(lacks) => {
                let question = format!("whether {} lets {first} tag its session", self.target.arn);
                self.findings.undecided(&self.subject, question, lacks);
            }
            Obstacle::Conditions(..) | Obstacle::Principal | Obstacle::Nothing => {}
        }
    }

    fn missing(&mut self, id: Id, action: &str, statements: &[&Statement]) {
        let listed: Vec<&String> = statements.iter().flat_map(|s| s.actions()).collect();
        let message = format!(
            "the target role allows {} {}, but not {action}; with session tags it needs both {ASSUME} and {TAG}",
            self.first,
            words::quoted(&listed)
        );
        let remedy = format!("add {action} to the statement's Action");
        let remark = Remark::new(id, message, remedy);
        self.add(remark.with(self.statement()));
    }

    fn conditions(&mut self, statement: &Statement, failing: &[&Condition]) {
        for condition in failing {
            if explained_by_wildcard(condition, self.facts) {
                continue;
            }
            let message = format!("{statement}: {}", words::failed(condition, self.facts));
            let remark = if condition.key() == "sts:externalid" {
                Remark::new(
                    Id::TargetRoleExternalIdMismatch,
                    message,
                    "write the association's own externalId (aws eks describe-pod-identity-association)",
                )
            } else {
                Remark::new(
                    Id::TargetRoleConditionMismatch,
                    message,
                    "write what this association's requests hold, or associate another target role",
                )
            };
            self.add(remark.with(self.statement()));
        }
    }
}
