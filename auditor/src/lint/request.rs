//! Whether a trust policy lets a request pass, and what stands in its way.

use std::{collections::BTreeSet, fmt};

use super::{
    arn::RoleArn,
    condition::{Condition, Facts, Truth, glob},
    trust_policy::{Action, Principal, PrincipalKind, Statement, TrustPolicy, clip},
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    Service(&'a str),
    /// An OIDC provider, by its ARN.
    Provider(&'a str),
    /// Another role, and its id where it is known.
    Role(&'a RoleArn, Option<&'a str>),
}

#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub caller: Caller<'a>,
    pub action: &'a str,
    pub facts: &'a dyn Facts,
}

/// What stands in a request's way.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle<'a> {
    Nothing,
    Denied(&'a Statement),
    /// No statement allows this caller anything.
    Principal,
    /// These allow the caller something else.
    Action(Vec<&'a Statement>),
    /// The statement that comes nearest, and its conditions that do not hold.
    Conditions(&'a Statement, Vec<&'a Condition>),
    /// What it depends on.
    Undecided(BTreeSet<String>),
}

/// A part of a statement of which the files do not tell whether it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt<'a> {
    Principal(&'a Statement),
    Action(&'a Statement),
    Condition(&'a Statement, &'a Condition),
}

impl Request<'_> {
    /// All Deny statements and all Allow statements count: one that denies is enough, and one that allows.
    pub fn verdict(&self, policy: &TrustPolicy) -> Truth {
        let denied = Truth::any(policy.denying().map(|statement| self.meets(statement)));
        let allowed = Truth::any(policy.allowing().map(|statement| self.meets(statement)));
        allowed.and(denied.negated_if(true))
    }

    pub fn obstacle<'p>(&self, policy: &'p TrustPolicy) -> Obstacle<'p> {
        if let Some(denying) = policy
            .denying()
            .find(|statement| self.meets(statement) == Truth::Yes)
        {
            return Obstacle::Denied(denying);
        }
        match self.verdict(policy) {
            Truth::Yes => return Obstacle::Nothing,
            Truth::Unknown => return Obstacle::Undecided(self.doubts(policy)),
            Truth::No => {}
        }
        let named: Vec<&Statement> = policy
            .allowing()
            .filter(|statement| self.principal(statement) != Truth::No)
            .collect();
        if named.is_empty() {
            return Obstacle::Principal;
        }
        let nearest = named
            .iter()
            .filter(|statement| self.action(statement) != Truth::No)
            .map(|statement| (*statement, self.failing(statement)))
            .min_by_key(|(statement, failing)| {
                (self.principal(statement) != Truth::Yes, failing.len())
            });
        match nearest {
            None => Obstacle::Action(named),
            Some((statement, failing)) => Obstacle::Conditions(statement, failing),
        }
    }

    /// Whether the statement speaks of this request.
    pub fn meets(&self, statement: &Statement) -> Truth {
        let conditions = statement
            .conditions
            .iter()
            .map(|condition| condition.holds(self.facts));
        self.principal(statement)
            .and(self.action(statement))
            .and(Truth::all(conditions))
    }

    fn failing<'p>(&self, statement: &'p Statement) -> Vec<&'p Condition> {
        statement
            .conditions
            .iter()
            .filter(|condition| condition.holds(self.facts) == Truth::No)
            .collect()
    }

    pub fn principal(&self, statement: &Statement) -> Truth {
        match &statement.principal {
            Principal::Not => Truth::Unknown,
            Principal::Anyone => self.caller.is_anyone(),
            Principal::Listed(listed) => Truth::any(
                listed
                    .iter()
                    .map(|(kind, name)| self.caller.is(*kind, name)),
            ),
        }
    }

    pub fn action(&self, statement: &Statement) -> Truth {
        match &statement.action {
            Action::Not => Truth::Unknown,
            Action::Listed(actions) => {
                let asked = self.action.to_ascii_lowercase();
                let mut actions = actions.iter();
                // The names of actions are not case-sensitive.
                Truth::of(actions.any(|action| glob(&action.to_ascii_lowercase(), &asked)))
            }
        }
    }

    /// Why it cannot be said, of the statements that it hangs on.
    fn doubts(&self, policy: &TrustPolicy) -> BTreeSet<String> {
        let doubts = policy.statements.iter().flat_map(|s| self.doubts_of(s));
        doubts.map(|doubt| doubt.to_string()).collect()
    }

    /// Why it cannot be said whether the statement speaks of this request; nothing where it can.
    pub fn doubts_of<'p>(&self, statement: &'p Statement) -> Vec<Doubt<'p>> {
        if self.meets(statement) != Truth::Unknown {
            return Vec::new();
        }
        let principal =
            (self.principal(statement) == Truth::Unknown).then_some(Doubt::Principal(statement));
        let action = (self.action(statement) == Truth::Unknown).then_some(Doubt::Action(statement));
        let conditions = statement
            .conditions
            .iter()
            .filter(|condition| condition.holds(self.facts) == Truth::Unknown)
            .map(|condition| Doubt::Condition(statement, condition));
        principal
            .into_iter()
            .chain(action)
            .chain(conditions)
            .collect()
    }
}

impl fmt::Display for Doubt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(statement) => match &statement.principal {
                Principal::Not => write!(f, "{statement} has NotPrincipal"),
                Principal::Anyone => write!(
                    f,
                    "{statement} is for Principal \"*\", which may or may not mean this caller"
                ),
                Principal::Listed(_) => {
                    write!(f, "{statement} names a principal that cannot be told")
                }
            },
            Self::Action(statement) => write!(f, "{statement} has NotAction"),
            Self::Condition(statement, condition) => write!(
                f,
                "{statement} has a condition {} on {}",
                clip(&condition.written),
                clip(&condition.key)
            ),
        }
    }
}

impl Caller<'_> {
    /// `"Principal": "*"`, and `{"AWS": "*"}`, which is the same.
    fn is_anyone(self) -> Truth {
        match self {
            Self::Role(..) => Truth::Yes,
            // IAM's documents do not say whether services and providers are "everyone".
            Self::Service(_) | Self::Provider(_) => Truth::Unknown,
        }
    }

    fn is(self, kind: PrincipalKind, name: &str) -> Truth {
        match (self, kind) {
            (_, PrincipalKind::Aws) if name == "*" => self.is_anyone(),
            (Self::Service(service), PrincipalKind::Service) => Truth::of(service == name),
            (Self::Provider(_), PrincipalKind::Federated) if name == "*" => Truth::Unknown,
            (Self::Provider(provider), PrincipalKind::Federated) => Truth::of(provider == name),
            (Self::Role(arn, id), PrincipalKind::Aws) => role_is(arn, id, name),
            _ => Truth::No,
        }
    }
}

fn role_is(arn: &RoleArn, id: Option<&str>, name: &str) -> Truth {
    let account = format!("arn:{}:iam::{}:root", arn.partition, arn.account);
    // The account: whoever in it may assume the role by its own policy.
    if name == arn.to_string() || name == arn.account || name == account {
        return Truth::Yes;
    }
    if name.starts_with("AROA") {
        return match id {
            Some(id) => Truth::of(id == name),
            None => Truth::Unknown,
        };
    }
    Truth::No
}

#[cfg(test)]
mod tests;
