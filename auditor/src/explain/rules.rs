//! What each rule said.

use serde::Serialize;

use super::question::question;
use crate::{
    audit::Ruling,
    event::{Finding, FindingId, Severity},
    policy::Policy,
    recorded::{Given, Line, Rebuilt},
};

/// What came of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It counts.
    Fired {
        severity: Severity,
        message: String,
    },
    /// It fired, and policy says that it does not count.
    Exempted {
        severity: Severity,
        message: String,
        by: String,
    },
    /// It could have decided, had it known that.
    Lacked {
        input: &'static str,
    },
    /// The same, but policy exempts the finding or makes it info: the verdict did not wait for it.
    LackedNeedlessly {
        input: &'static str,
    },
    DidNotFire,
    /// It did not fire, and by what the line tells it would have.
    DecidedByMore {
        would_say: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSaid {
    pub rule: FindingId,
    /// When it fires.
    pub asks: &'static str,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All rules that are asked about such an event, and what is missing to ask them.
#[must_use]
pub fn explain_rules(
    line: &Line,
    connect: Option<&Line>,
    policy: Option<&Policy>,
) -> (Vec<RuleSaid>, Vec<&'static str>) {
    let default = Policy::default();
    let rules = policy.unwrap_or(&default);
    let taken = line.evidence().map_or_else(Vec::new, |e| {
        e.taken
            .iter()
            .map(|name| crate::recorded::owner_named(name))
            .collect()
    });
    let mut missing = Vec::new();
    let rulings = match Rebuilt::new(line, connect, taken, &Given::default(), rules) {
        Ok(rebuilt) => match rebuilt.case(rules) {
            Ok(case) => case.rulings(),
            Err(lacking) => {
                missing.push(lacking);
                Vec::new()
            }
        },
        Err(lacking) => {
            missing.push(lacking);
            Vec::new()
        }
    };
    let told = line.verdicts().map_or(&[][..], |told| told.findings);
    let mut said: Vec<RuleSaid> = rulings
        .into_iter()
        .map(|(id, ruling)| {
            let finding = told.iter().find(|finding| finding.id == id);
            rule(id, outcome(line, finding, ruling))
        })
        .collect();
    // What stands on the line and cannot be asked again.
    for finding in told {
        if said.iter().all(|said| said.rule != finding.id) {
            said.push(rule(finding.id, recorded(finding)));
        }
    }
    (said, missing)
}

fn rule(id: FindingId, outcome: Outcome) -> RuleSaid {
    RuleSaid {
        rule: id,
        asks: question(id),
        outcome,
    }
}

/// The record decides; what the rule says of the rebuilt case tells the rest.
fn outcome(line: &Line, finding: Option<&Finding>, ruling: Ruling) -> Outcome {
    match (finding, ruling) {
        (Some(finding), _) => recorded(finding),
        (None, Ruling::Clear) => Outcome::DidNotFire,
        (None, Ruling::Lacks(input)) if line.lacked(input.name()) => Outcome::Lacked {
            input: input.name(),
        },
        (None, Ruling::Lacks(input)) => Outcome::LackedNeedlessly {
            input: input.name(),
        },
        (None, Ruling::Finding { message, .. }) => Outcome::DecidedByMore { would_say: message },
    }
}

fn recorded(finding: &Finding) -> Outcome {
    let (severity, message) = (finding.severity, finding.message.clone());
    match &finding.exempted_by {
        Some(by) => Outcome::Exempted {
            severity,
            message,
            by: by.clone(),
        },
        None => Outcome::Fired { severity, message },
    }
}
