//! `auditor policy suggest`: a policy from what was recorded and learned, to be read before it is used.
//!
//! Whatever was done while lines were recorded is proposed as what is meant. So each entry names how often and in which event
//! it was seen, and what makes a violation is written as a comment: to be looked at first.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use text::render;

use crate::{
    audit::{Learned, teaches},
    event::{Finding, FindingId, Process, Relation, Severity, TokenKind},
    policy::doubts::counts_as_violation,
    recorded::{Body, Line},
};

/// A ServiceAccount by namespace and name.
type Account = (String, String);

/// How often, and where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    pub count: u64,
    /// Of the first event.
    pub event: Option<String>,
    /// What only a node's state told of.
    pub learned_from: Option<String>,
}

/// Whom an exemption would name, and of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub finding: FindingId,
    pub severity: Severity,
    /// Null: outside every pod, or not known.
    pub account: Option<Account>,
    /// Of a process outside every pod; of a pod's the ServiceAccount is enough.
    pub executable: Option<String>,
    pub relation: Option<Relation>,
}

impl Candidate {
    /// An exemption of it would exempt violations of the same rule, too: of this one, or of a milder variant of it.
    fn covers_worse(&self) -> bool {
        // Two pods of one ServiceAccount have the same rights: that relation has the milder variants alone.
        counts_as_violation(self.finding) && self.relation != Some(Relation::SameServiceAccount)
    }
}

/// All that was seen. Bounded by what is recorded: one entry for each program of each ServiceAccount.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: u64,
    pub last: Option<Timestamp>,
    pub executables: BTreeMap<Account, BTreeMap<String, Sighting>>,
    /// Programs that something counts against.
    pub doubtful: BTreeMap<Account, BTreeMap<String, Sighting>>,
    pub node_role: BTreeMap<Account, Sighting>,
    /// ServiceAccounts that took the node's role though they have one of their own.
    pub has_own_role: BTreeSet<Account>,
    pub exempt: BTreeMap<Candidate, Sighting>,
}

impl Seen {
    pub fn take(&mut self, line: &Line) {
        let Some(told) = line.verdicts() else { return };
        self.events += 1;
        self.last = self.last.max(Some(line.time));
        if let (Some(account), Some(process)) = (account_of(line), line.process())
            && uses_own_credential(line)
            && let Some(exe) = program(process)
        {
            let is_clear = teaches(told.findings, told.undetermined)
                || told
                    .findings
                    .iter()
                    .all(|f| f.id == FindingId::UnexpectedExecutable);
            // A pattern stands for more than a path with a star, and a path that was cut for nothing.
            let is_exact = !exe.contains(['*', '…']);
            let of = match is_clear && is_exact && process.exec_session != Some(true) {
                true => &mut self.executables,
                false => &mut self.doubtful,
            };
            note(of.entry(account).or_default().entry(exe).or_default(), line);
        }
        for finding in told.findings.iter().filter(|f| f.exempted_by.is_none()) {
            self.candidate(line, finding);
        }
    }

    fn candidate(&mut self, line: &Line, finding: &Finding) {
        let account = account_of(line);
        if finding.id == FindingId::NodeRoleFallback {
            let Some(account) = account else { return };
            if finding.severity > Severity::Info {
                self.has_own_role.insert(account.clone());
            }
            note(self.node_role.entry(account).or_default(), line);
            return;
        }
        // Each says on its own what to do about it, and none of it is to exempt.
        let is_to_mend = matches!(
            finding.id,
            FindingId::UnexpectedExecutable
                | FindingId::AgentUnreachable
                | FindingId::IdentityNotInjected
                | FindingId::UnusedCredential
        );
        if finding.severity == Severity::Info || is_to_mend {
            return;
        }
        let executable = match account {
            Some(_) => None,
            None => line
                .process()
                .and_then(program)
                .filter(|exe| !exe.contains(['*', '…'])),
        };
        let candidate = Candidate {
            finding: finding.id,
            severity: finding.severity,
            account,
            executable,
            relation: line.relation(),
        };
        note(self.exempt.entry(candidate).or_default(), line);
    }

    /// What a node's auditor has learned of one ServiceAccount.
    pub fn learned(&mut self, learned: &Learned) {
        let account = (
            learned.namespace.to_string(),
            learned.service_account.to_string(),
        );
        let known = self.executables.entry(account).or_default();
        for executable in &learned.executables {
            let sighting = known.entry(executable.path.to_string()).or_default();
            sighting.learned_from = Some(format!(
                "learned {:.0} from pod {}",
                executable.first_seen, executable.pod
            ));
        }
    }
}

fn note(sighting: &mut Sighting, line: &Line) {
    sighting.count += 1;
    sighting.event.get_or_insert_with(|| line.id.clone());
}

fn account_of(line: &Line) -> Option<Account> {
    if let Body::Posture(posture) = &line.body {
        let subject = &posture.subject;
        return Some((
            subject.namespace.to_string(),
            subject.service_account.to_string(),
        ));
    }
    let pod = line.pod()?;
    Some((pod.namespace.to_string(), pod.service_account.to_string()))
}

/// What `unexpected-executable` is asked about.
fn uses_own_credential(line: &Line) -> bool {
    match &line.body {
        Body::TokenOpen(open) => {
            let is_for_aws = matches!(open.token.kind, TokenKind::Irsa | TokenKind::PodIdentity);
            open.relation == Relation::Own && is_for_aws && open.access.errno.is_none()
        }
        Body::CredentialConnect(connect) => connect.connection.endpoint == "pod-identity-agent",
        _ => false,
    }
}

fn program(process: &Process) -> Option<String> {
    process.exe.clone().filter(|exe| exe.starts_with('/'))
}

#[cfg(test)]
mod tests;
