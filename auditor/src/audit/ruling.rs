//! What one rule says, and what all rules of an event add up to.

use jiff::Timestamp;

use crate::{
    event::{Finding, FindingId, Severity, Verdict},
    policy::{Policy, Subject},
};

/// What a rule says of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    Clear,
    Finding {
        severity: Severity,
        message: String,
    },
    /// The rule could have decided, had it known this.
    Lacks(Input),
}

/// What a rule may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A complete snapshot that was begun after the event.
    Associations,
    /// The ServiceAccount, as it was read after the event.
    ServiceAccount,
    /// The spec of the acting pod, or of the owner.
    Pod,
    /// Whose the token is.
    Owner,
    /// To what the process belongs.
    Process,
    /// Whether the connection came to be.
    Outcome,
    /// All connects of the last minutes.
    Connects,
}

/// What rules add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
}

impl Ruling {
    pub fn finding(severity: Severity, message: String) -> Self {
        Self::Finding { severity, message }
    }
}

impl Input {
    /// As a line's `undetermined` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Associations => "associations",
            Self::ServiceAccount => "serviceaccount",
            Self::Pod => "pod",
            Self::Owner => "owner",
            Self::Process => "process",
            Self::Outcome => "outcome",
            Self::Connects => "connects",
        }
    }
}

/// Applies the policy to what the rules say, in their order.
pub fn conclude(
    rulings: impl IntoIterator<Item = (FindingId, Ruling)>,
    subject: &Subject<'_>,
    policy: &Policy,
    time: Timestamp,
) -> Conclusion {
    let mut findings = Vec::new();
    let mut undetermined: Vec<String> = Vec::new();
    for (id, ruling) in rulings {
        let exemption = || policy.exemption(id, subject, time);
        let severity = policy.severity.get(&id).copied();
        match ruling {
            Ruling::Clear => {}
            Ruling::Finding {
                severity: by_rule,
                message,
            } => findings.push(Finding {
                id,
                severity: severity.unwrap_or(by_rule),
                message,
                exempted_by: exemption().map(|e| e.reason.clone()),
            }),
            // The finding would not count, whichever way it went.
            Ruling::Lacks(_) if severity == Some(Severity::Info) || exemption().is_some() => {}
            Ruling::Lacks(input) => {
                if !undetermined.iter().any(|named| named == input.name()) {
                    undetermined.push(input.name().to_owned());
                }
            }
        }
    }
    Conclusion {
        verdict: verdict(&findings, !undetermined.is_empty()),
        undetermined,
        findings,
    }
}

fn verdict(findings: &[Finding], lacks_input: bool) -> Verdict {
    let counted = findings.iter().filter(|f| f.exempted_by.is_none());
    match counted.map(|f| f.severity).max() {
        Some(Severity::High | Severity::Critical) => Verdict::Violation,
        _ if lacks_input => Verdict::Undetermined,
        Some(Severity::Medium) => Verdict::Suspicious,
        Some(Severity::Info) | None => Verdict::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Severity::{Critical, High, Info, Medium};

    fn found(severity: Severity) -> Ruling {
        Ruling::finding(severity, String::new())
    }

    fn judge(policy: &str, rulings: Vec<(FindingId, Ruling)>) -> Conclusion {
        let policy = Policy::parse(format!("version: 1\n{policy}").as_bytes()).unwrap();
        let subject = Subject {
            namespace: Some("shop"),
            ..Subject::default()
        };
        let time = "2026-11-22T12:00:00Z".parse().unwrap();
        conclude(rulings, &subject, &policy, time)
    }

    #[test]
    fn the_worst_finding_decides_and_missing_input_comes_between() {
        let lacks = || Ruling::Lacks(Input::Associations);
        for (rulings, expected) in [
            (vec![], Verdict::Allowed),
            (vec![Ruling::Clear], Verdict::Allowed),
            (vec![found(Info)], Verdict::Allowed),
            (vec![found(Info), found(Medium)], Verdict::Suspicious),
            (vec![found(Medium), lacks()], Verdict::Undetermined),
            (vec![lacks()], Verdict::Undetermined),
            (vec![lacks(), found(High)], Verdict::Violation),
            (vec![found(Critical), found(Medium)], Verdict::Violation),
        ] {
            let rulings = rulings.into_iter().map(|r| (FindingId::RoleDrift, r));
            let conclusion = judge("", rulings.clone().collect());
            assert_eq!(
                conclusion.verdict,
                expected,
                "{:?}",
                rulings.collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn an_exempted_finding_stays_and_does_not_count() {
        let id = FindingId::ForeignTokenOpen;
        let exempt =
            "exempt: [{match: {namespace: shop, finding: foreign-token-open}, reason: backup}]";
        let other = "exempt: [{match: {namespace: payments}, reason: backup}]";
        let expired = "exempt: [{match: {namespace: shop}, reason: backup, expires: 2026-11-21}]";
        for (policy, reason, expected) in [
            (exempt, Some("backup"), Verdict::Allowed),
            (other, None, Verdict::Violation),
            (expired, None, Verdict::Violation),
        ] {
            let conclusion = judge(policy, vec![(id, found(Critical))]);
            assert_eq!(conclusion.findings[0].exempted_by.as_deref(), reason);
            assert_eq!(conclusion.findings[0].severity, Critical);
            assert_eq!(conclusion.verdict, expected, "{policy}");
        }
        let second = (FindingId::TokenWrite, found(High));
        let conclusion = judge(exempt, vec![(id, found(Critical)), second]);
        assert_eq!(conclusion.verdict, Verdict::Violation, "the other counts");
    }

    #[test]
    fn policy_sets_severities() {
        let id = FindingId::NodeRoleFallback;
        for (policy, severity, expected) in [
            ("", Info, Verdict::Allowed),
            (
                "severity: {node-role-fallback: high}",
                High,
                Verdict::Violation,
            ),
            (
                "severity: {node-role-fallback: medium}",
                Medium,
                Verdict::Suspicious,
            ),
            ("severity: {role-drift: high}", Info, Verdict::Allowed),
        ] {
            let conclusion = judge(policy, vec![(id, found(Info))]);
            assert_eq!(conclusion.findings[0].severity, severity);
            assert_eq!(conclusion.verdict, expected, "{policy}");
        }
    }

    #[test]
    fn names_each_missing_input_once_and_only_where_it_matters() {
        let rulings = || {
            vec![
                (FindingId::ForeignTokenOpen, Ruling::Lacks(Input::Process)),
                (FindingId::HostTokenOpen, Ruling::Lacks(Input::Process)),
                (
                    FindingId::UnboundTokenOpen,
                    Ruling::Lacks(Input::Associations),
                ),
            ]
        };
        assert_eq!(
            judge("", rulings()).undetermined,
            ["process", "associations"]
        );
        let policy = "severity: {unbound-token-open: info}";
        assert_eq!(judge(policy, rulings()).undetermined, ["process"]);
        let policy = "exempt: [{match: {namespace: shop}, reason: x}]";
        let conclusion = judge(policy, rulings());
        assert!(conclusion.undetermined.is_empty());
        assert_eq!(conclusion.verdict, Verdict::Allowed);
    }
}
