//! What is wrong with a trust policy, whoever asks.

use super::{
    condition::{Fact, Facts, SetOperator, Truth, glob, of_every_caller},
    finding::{Findings, Id, Remark, Subject},
    irsa::is_of_a_provider,
    pod_identity::tells_who,
    role::Role,
    trust_policy::{Principal, PrincipalKind, Statement, TrustPolicy},
    words,
};

pub fn check(role: &Role, policy: &TrustPolicy, findings: &mut Findings) {
    let subject = Subject::role(&role.arn);
    let mut add = |remark: Remark| {
        findings.add(&subject, Some((&role.arn, Some(&role.file))), remark);
    };
    for statement in policy.allowing() {
        if is_open(statement) {
            add(Remark::new(
                Id::TrustOpenToAnyone,
                format!("{statement} lets every principal of every AWS account assume the role"),
                "name who may, or add a condition such as aws:PrincipalOrgID",
            ));
        }
        for condition in &statement.conditions {
            let key = condition.key();
            if !tells_who(&key) && !is_of_a_provider(&key) {
                continue;
            }
            if condition.has_literal_wildcard() {
                let message = format!(
                    "{statement}: {} on {} wants {}; there a wildcard stands for itself, and no name has one",
                    condition.written,
                    condition.key,
                    words::quoted(&condition.values)
                );
                let remedy = format!(
                    "name them one by one (the value may be a list), or use {}",
                    condition
                        .written
                        .replace("EqualsIgnoreCase", "Equals")
                        .replace("StringEquals", "StringLike")
                );
                add(Remark::new(Id::StringEqualsWildcard, message, remedy));
            }
            if condition.operator.set == Some(SetOperator::ForAllValues) {
                let message = format!(
                    "{statement}: {} on {}, which has one value: a request without the key passes",
                    condition.written, condition.key
                );
                let remedy = "drop ForAllValues: from the operator; a list of values needs none";
                add(Remark::new(Id::ForAllValuesOnOneValue, message, remedy));
            }
        }
    }
}

/// What all have in common who may ask.
struct Anyone;

impl Facts for Anyone {
    fn fact(&self, key: &str) -> Fact {
        of_every_caller(key)
    }
}

/// A condition that everyone meets keeps nobody out.
fn is_open(statement: &Statement) -> bool {
    let is_anyone = statement.principal == Principal::Anyone
        || statement
            .principals(PrincipalKind::Aws)
            .any(|name| name == "*");
    let assumes = |action: &String| glob(&action.to_ascii_lowercase(), "sts:assumerole");
    let mut conditions = statement.conditions.iter();
    is_anyone
        && conditions.all(|condition| condition.holds(&Anyone) == Truth::Yes)
        && statement.actions().iter().any(assumes)
}
