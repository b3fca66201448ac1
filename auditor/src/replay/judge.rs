//! One line after the other, in the order of the files.

use crate::{
    audit::{Conclusion, Ruling, conclude, judge_pod},
    event::{FindingId, PostureState, Relation, Severity, Verdict},
    policy::{Policy, Subject},
    recorded::{Body, Closes, Given, Line, Rebuilt, Skipped},
};

use super::{
    difference::{Change, Difference, Judged, KEPT},
    harvest::Thefts,
};

/// What neither policy nor bindings change: where the rebuilt case says otherwise, the line lacks something.
const OF_THE_EVENT: [FindingId; 11] = [
    FindingId::ForeignTokenOpen,
    FindingId::HostTokenOpen,
    FindingId::ForeignTokenReceived,
    FindingId::StealthAgentConnection,
    FindingId::AgentImpersonation,
    FindingId::IdentityMismatch,
    FindingId::TokenWrite,
    FindingId::ExecSessionTokenOpen,
    FindingId::ForeignExecutable,
    FindingId::RawSocket,
    FindingId::DeniedTokenOpen,
];
/// What bindings change, and of a policy only what makes the token another kind.
const OF_BINDINGS: [FindingId; 2] = [FindingId::UnboundTokenOpen, FindingId::RoleDrift];

/// A replay in progress.
#[derive(Debug)]
pub struct Replay {
    policy: Policy,
    given: Given,
    closes: Closes,
    thefts: Thefts,
    difference: Difference,
}

impl Replay {
    #[must_use]
    pub fn new(policy: Policy, given: Given) -> Self {
        Self {
            difference: Difference {
                policy_hash: policy.hash.clone(),
                ..Difference::default()
            },
            policy,
            given,
            closes: Closes::default(),
            thefts: Thefts::default(),
        }
    }

    /// Judges the line anew, and notes what that changes.
    pub fn take(&mut self, line: Line) {
        self.closes.note(&line);
        let Some(told) = line.verdicts() else { return };
        let before = Judged {
            verdict: told.verdict,
            undetermined: told.undetermined.to_vec(),
            findings: told.findings.to_vec(),
        };
        let after = match &line.body {
            Body::Posture(posture) if posture.state == PostureState::Cleared => {
                self.difference.other_lines += 1;
                return;
            }
            Body::Posture(_) => Ok(self.posture(&line, &before)),
            _ => self.judge(&line),
        };
        match after {
            Ok(mut after) => {
                for finding in &mut after.findings {
                    if let Some(told) = before.findings.iter().find(|f| f.id == finding.id) {
                        finding.message.clone_from(&told.message);
                    }
                }
                self.note_kept(&line);
                self.note_left_open(&line, &after);
                self.difference.count(&before, &after);
                if !before.is_like(&after) {
                    self.difference.changed += 1;
                    if self.difference.changes.len() < KEPT {
                        self.difference.changes.push(change(&line, before, after));
                    }
                }
            }
            Err(lacking) => {
                let lacking = self.difference.not_judged_again.entry(lacking).or_default();
                *lacking += 1;
            }
        }
    }

    /// All lines are in.
    #[must_use]
    pub fn finish(self, skipped: Skipped) -> Difference {
        let mut difference = self.difference;
        difference.unreadable = skipped.unreadable;
        difference.other_lines += skipped.other;
        difference.folded = skipped.folded;
        difference
    }

    fn judge(&mut self, line: &Line) -> Result<Judged, String> {
        let connect = self.closes.connect_of(line);
        let taken = self.thefts.taken(line);
        let rebuilt = Rebuilt::new(line, connect, taken, &self.given, &self.policy)?;
        let case = rebuilt.case(&self.policy)?;
        let rulings = case.rulings();
        if let Some(id) = contradiction(
            line,
            &rulings,
            self.given.is_nothing() && rebuilt.is_token_as_recorded(),
        ) {
            return Err(format!("what `{}` was judged by", crate::event::word(&id)));
        }
        let subject = case.subject();
        let Conclusion {
            mut verdict,
            mut undetermined,
            findings,
        } = conclude(rulings, &subject, &self.policy, line.time);
        // As the pipeline has it of somebody who may be another than his cgroup says.
        if line
            .attribution()
            .is_some_and(|a| a.process == "cgroup-only")
        {
            undetermined.push("namespaces".to_owned());
            if verdict != Verdict::Violation {
                verdict = Verdict::Undetermined;
            }
        }
        let relation = line.relation().unwrap_or(Relation::Unknown);
        self.thefts.note(line, relation, &findings);
        Ok(Judged {
            verdict: Some(verdict),
            undetermined,
            findings,
        })
    }

    /// The state is as it was, but for who is bound now.
    fn posture(&self, line: &Line, before: &Judged) -> Judged {
        let Body::Posture(posture) = &line.body else {
            return before.clone();
        };
        let subject = Subject {
            namespace: Some(&posture.subject.namespace),
            service_account: Some(&posture.subject.service_account),
            ..Subject::default()
        };
        let rulings = before.findings.iter().map(|finding| {
            let severity = match finding.id {
                FindingId::UnusedCredential => Severity::Info,
                FindingId::IdentityNotInjected => Severity::Medium,
                _ => finding.severity,
            };
            let is_gone = finding.id == FindingId::IdentityNotInjected
                && !self.given.is_nothing()
                && Rebuilt::posture(line, posture, &self.given).is_some_and(|(pod, known)| {
                    judge_pod(&pod, &known.under(&self.policy, line)).is_none()
                });
            let ruling = match is_gone {
                true => Ruling::Clear,
                false => Ruling::finding(severity, finding.message.clone()),
            };
            (finding.id, ruling)
        });
        let conclusion = conclude(rulings, &subject, &self.policy, line.time);
        Judged {
            verdict: None,
            undetermined: Vec::new(),
            findings: conclusion.findings,
        }
    }

    fn note_kept(&mut self, line: &Line) {
        let kept = match &line.body {
            Body::AgentAccept(_) | Body::Listen(_) => "who the agent is (policy's `agent`)",
            Body::Posture(_) if line.finding(FindingId::UnusedCredential).is_some() => {
                "for how long a binding is unused (policy's `unused_after`)"
            }
            Body::MemoryAccess(_) if self.given.is_nothing() => {
                "that the target's pod has a token for AWS"
            }
            _ if line.finding(FindingId::UnexpectedExecutable).is_some()
                && line.evidence().is_some_and(|e| e.learned_since.is_some()) =>
            {
                "what the node had learned (policy's `learn.for`)"
            }
            _ => return,
        };
        let count = self.difference.kept_as_recorded.entry(kept.to_owned());
        *count.or_default() += 1;
    }

    /// A program that was not expected, under a policy that does not list it and leaves its ServiceAccount to what a node learns: the
    /// node may have learned it, or be about to tell of it again.
    fn note_left_open(&mut self, line: &Line, after: &Judged) {
        let Some(pod) = line.pod() else { return };
        let id = FindingId::UnexpectedExecutable;
        let is_gone = line.finding(id).is_some() && after.findings.iter().all(|f| f.id != id);
        let is_left_to_learning = self.policy.learn.is_some()
            && !self
                .policy
                .lists_executables(&pod.namespace, &pod.service_account);
        if is_gone && is_left_to_learning {
            let why = "`unexpected-executable`, where only what a node learns would decide (policy's `learn.for`)";
            let count = self.difference.left_open.entry(why.to_owned());
            *count.or_default() += 1;
        }
    }
}

/// A rule that the rebuilt case answers otherwise than the line does, though nothing that it rests on has changed.
fn contradiction(
    line: &Line,
    rulings: &[(FindingId, Ruling)],
    same_bindings: bool,
) -> Option<FindingId> {
    let rests_on_the_same =
        |id: &FindingId| OF_THE_EVENT.contains(id) || same_bindings && OF_BINDINGS.contains(id);
    let is_other = |(id, ruling): &&(FindingId, Ruling)| {
        let is_raised = matches!(ruling, Ruling::Finding { .. });
        rests_on_the_same(id) && is_raised != line.finding(*id).is_some()
    };
    let other = rulings.iter().find(is_other).map(|(id, _)| *id);
    // A finding of a rule that is not asked any more.
    let unasked = || {
        let findings = line.verdicts()?.findings.iter();
        let mut unasked = findings.filter(|f| rulings.iter().all(|(id, _)| *id != f.id));
        unasked.next().map(|finding| finding.id)
    };
    other.or_else(unasked)
}

fn change(line: &Line, before: Judged, after: Judged) -> Change {
    let pod = line
        .pod()
        .map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let subject = match &line.body {
        Body::Posture(posture) => Some(format!(
            "{}/{}",
            posture.subject.namespace, posture.subject.name
        )),
        _ => None,
    };
    Change {
        id: line.id.clone(),
        run_id: line.run_id.clone(),
        time: line.time.to_string(),
        event: line.event(),
        pod: pod.or(subject),
        executable: line.process().and_then(|process| process.exe.clone()),
        before,
        after,
    }
}
