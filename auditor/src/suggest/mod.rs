//! `auditor policy suggest`: a policy from what was recorded and learned, to be read before it is used.
//!
//! Whatever was done while lines were recorded is proposed as what is meant. So each entry names how often and in which event
//! it was seen, and what makes a violation is written as a comment: to be looked at first.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use text::render;

use crate::{
    audit::{CredentialUse, Learned, is_from_outside, listable_program, teaches},
    event::{Finding, FindingId, Process, Relation, Severity, TokenKind},
    policy::counts_as_violation,
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

/// A program, by what it did with its pods' own credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Where nothing counts against it.
    pub clear: Sighting,
    /// Where something does, or where it cannot be written as what it is.
    pub doubtful: Option<Sighting>,
    /// Where nothing does, but it was run from outside the container.
    pub outside: Option<Sighting>,
    /// The most that it did where nothing counts against it: null where it did nothing so.
    pub used: Option<CredentialUse>,
}

/// Whether a program is proposed, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Proposed,
    /// Something counts against it; that weighs more than where nothing did.
    Doubtful,
    /// It is one of more than a node learns: the list would lack the others.
    OfTooMany,
    /// The workload itself did not run it.
    OutsideOnly,
    /// It connected, and `allow` would let it open the token, too.
    ConnectedOnly,
}

/// All that was seen. Bounded by what is recorded: one entry for each program of each ServiceAccount.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: u64,
    pub last: Option<Timestamp>,
    pub executables: BTreeMap<Account, BTreeMap<String, Program>>,
    /// ServiceAccounts that ran more programs than a node learns.
    pub full: BTreeSet<Account>,
    pub node_role: BTreeMap<Account, Sighting>,
    /// ServiceAccounts that have a role of their own.
    pub has_own_role: BTreeSet<Account>,
    pub exempt: BTreeMap<Candidate, Sighting>,
}

impl Seen {
    pub fn take(&mut self, line: &Line) {
        let Some(told) = line.verdicts() else { return };
        self.events += 1;
        self.last = self.last.max(Some(line.time));
        if let (Some(account), Some(process), Some(used)) = (
            account_of(line),
            line.process(),
            use_of_own_credential(line),
        ) && let Some(path) = path(process)
        {
            // That it was not listed is what this is to mend.
            let others = told
                .findings
                .iter()
                .filter(|f| f.id != FindingId::UnexpectedExecutable);
            let is_clear = teaches(others, told.undetermined)
                && listable_program(process).is_some()
                && is_exact(path);
            let program = self.program(account, path);
            if !is_clear {
                note(program.doubtful.get_or_insert_default(), line);
            } else if is_from_outside(process) {
                note(program.outside.get_or_insert_default(), line);
            } else {
                note(&mut program.clear, line);
                program.used = program.used.max(Some(used));
            }
        }
        if has_own_role(line)
            && let Some(account) = account_of(line)
        {
            self.has_own_role.insert(account);
        }
        for finding in told.findings.iter().filter(|f| f.exempted_by.is_none()) {
            self.candidate(line, finding);
        }
    }

    /// What becomes of a program of that ServiceAccount.
    #[must_use]
    pub fn standing(&self, account: &Account, program: &Program) -> Standing {
        if program.doubtful.is_some() {
            return Standing::Doubtful;
        }
        match program.used {
            None => Standing::OutsideOnly,
            Some(_) if self.full.contains(account) => Standing::OfTooMany,
            Some(CredentialUse::Connect) => Standing::ConnectedOnly,
            Some(CredentialUse::Open) => Standing::Proposed,
        }
    }

    fn program(&mut self, account: Account, path: &str) -> &mut Program {
        let programs = self.executables.entry(account).or_default();
        programs.entry(path.to_owned()).or_default()
    }

    fn candidate(&mut self, line: &Line, finding: &Finding) {
        let account = account_of(line);
        if finding.id == FindingId::NodeRoleFallback {
            let Some(account) = account else { return };
            // Raised at the connection's end, whose line names no binding.
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
                .and_then(path)
                .filter(|path| is_exact(path))
                .map(str::to_owned),
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
        if learned.full {
            self.full.insert(account.clone());
        }
        for executable in &learned.executables {
            let program = self.program(account.clone(), &executable.path);
            let sighting = if is_exact(&executable.path) {
                program.used = program.used.max(Some(executable.used));
                &mut program.clear
            } else {
                program.doubtful.get_or_insert_default()
            };
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

/// What `unexpected-executable` is asked about; null for what it is not.
fn use_of_own_credential(line: &Line) -> Option<CredentialUse> {
    match &line.body {
        Body::TokenOpen(open) => {
            let is_for_aws = matches!(open.token.kind, TokenKind::Irsa | TokenKind::PodIdentity);
            let is_its_own = open.relation == Relation::Own && open.access.errno.is_none();
            (is_for_aws && is_its_own).then_some(CredentialUse::Open)
        }
        Body::CredentialConnect(connect) => {
            let is_to_agent = connect.connection.endpoint == "pod-identity-agent";
            is_to_agent.then_some(CredentialUse::Connect)
        }
        _ => None,
    }
}

/// Whether the line tells of a role of the acting pod's own, or of its subject's: bound now, or given to the pod when it was made.
fn has_own_role(line: &Line) -> bool {
    let is_about_actor = match &line.body {
        Body::CredentialConnect(_) | Body::Posture(_) => true,
        Body::TokenOpen(open) => open.relation == Relation::Own,
        _ => false,
    };
    let is_given = line.evidence().is_some_and(|evidence| {
        let injected = &evidence.injected;
        injected.irsa_role.is_some() || injected.pod_identity || evidence.sa_role_arn.is_some()
    });
    is_about_actor && (line.binding().is_some() || is_given)
}

fn path(process: &Process) -> Option<&str> {
    process.exe.as_deref().filter(|exe| exe.starts_with('/'))
}

/// As a pattern it stands for itself: one with a star stands for more, and one that was cut for nothing.
fn is_exact(path: &str) -> bool {
    !path.contains(['*', '…'])
}

#[cfg(test)]
mod tests;
