//! What is allowed in a policy, and was probably not meant.

use jiff::Timestamp;

use super::{Agent, Exemption, Match, Pattern, Policy, check::Remark, document::Step};
use crate::event::{FindingId, Relation, Severity, word};

type Position = Option<(u64, u64)>;

/// `at` tells where a part of the file stands.
pub(super) fn doubts(
    policy: &Policy,
    now: Timestamp,
    at: impl Fn(&[Step<'_>]) -> Position,
) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |position: Position, message: String| {
        remarks.push(Remark { position, message });
    };
    for (n, exemption) in policy.exempt.iter().enumerate() {
        let position = at(&[Step::Key("exempt"), Step::Item(n)]);
        for message in of_exemption(exemption, now) {
            say(position, message);
        }
        let earlier = policy.exempt.iter().take(n);
        if earlier
            .into_iter()
            .any(|earlier| earlier.matches == exemption.matches)
        {
            say(
                position,
                "an earlier exemption matches the same; only the first gives its reason".to_owned(),
            );
        }
    }
    for (n, rule) in policy.executables.iter().enumerate() {
        let position = at(&[Step::Key("executables"), Step::Item(n)]);
        if rule.allow.is_empty() {
            say(
                position,
                "`allow` lists nothing: every program of this ServiceAccount is unexpected"
                    .to_owned(),
            );
        }
        for (m, pattern) in rule.allow.iter().enumerate() {
            let position = at(&[
                Step::Key("executables"),
                Step::Item(n),
                Step::Key("allow"),
                Step::Item(m),
            ]);
            if pattern.is_any_path() {
                say(
                    position,
                    "allows every program: leave the entry out instead".to_owned(),
                );
            } else if !pattern.is_absolute() {
                say(
                    position,
                    "matches no program: paths begin with `/` (or, as a pattern, with `*`)"
                        .to_owned(),
                );
            }
        }
    }
    for (n, agent) in policy.agent.iter().enumerate() {
        if let Some(message) = of_agent(agent) {
            say(at(&[Step::Key("agent"), Step::Item(n)]), message.to_owned());
        }
    }
    for (n, rule) in policy.node_role.iter().enumerate() {
        if rule.service_account.is_anything() {
            let position = at(&[Step::Key("node_role"), Step::Item(n)]);
            let whom = match rule.namespace.is_anything() {
                true => "every pod of the cluster",
                false => "every pod of the namespace",
            };
            say(position, format!("lets {whom} use the node's role"));
        }
    }
    for (id, severity) in &policy.severity {
        let name = word(id);
        if *severity < Severity::High && counts_as_violation(*id) {
            let position = at(&[Step::Key("severity"), Step::Key(&name)]);
            say(
                position,
                format!(
                    "`{name}` is no violation any more, whoever does it; `exempt` names who may"
                ),
            );
        }
    }
    remarks
}

/// Its pods may listen where the agent does, and take what is meant for it.
fn of_agent(agent: &Agent) -> Option<&'static str> {
    match (agent.namespace.is_anything(), agent.daemonset.is_anything()) {
        (true, true) => Some("takes every DaemonSet of the cluster for the Pod Identity agent"),
        (false, true) => Some("takes every DaemonSet of the namespace for the Pod Identity agent"),
        (true, false) => Some(
            "takes a DaemonSet of that name for the Pod Identity agent in any namespace: who may make one anywhere poses as it",
        ),
        (false, false) => None,
    }
}

fn of_exemption(exemption: &Exemption, now: Timestamp) -> Vec<String> {
    let mut messages = Vec::new();
    if let Some(day) = exemption.expires.filter(|_| exemption.is_expired(now)) {
        messages.push(format!("expired on {day}: it exempts nothing any more"));
        return messages;
    }
    let Match {
        namespace,
        service_account,
        image,
        executable,
        relation,
        finding,
    } = &exemption.matches;
    let names_nobody = [namespace, service_account, image]
        .iter()
        .all(|p| p.as_ref().is_none_or(Pattern::is_anything))
        && executable.as_ref().is_none_or(Pattern::is_any_path);
    let is_of_pods = [namespace, service_account, image]
        .iter()
        .any(|p| p.is_some());
    match (names_nobody, relation, finding) {
        (true, None, None) if is_of_pods => {
            messages.push("exempts everything that pods do, whoever does it".to_owned())
        }
        (true, None, None) => messages.push("exempts everything, whoever does it".to_owned()),
        (true, Some(Relation::Host), None) if is_of_pods => {}
        (true, Some(relation), None) => messages.push(format!(
            "exempts everything of relation `{}`, whoever does it",
            word(relation)
        )),
        (true, _, Some(id)) if counts_as_violation(*id) => messages.push(format!(
            "exempts `{}` whoever does it; name a namespace, a ServiceAccount or an executable",
            word(id)
        )),
        _ => {}
    }
    if is_of_pods && *relation == Some(Relation::Host) {
        messages.push("matches nothing: a process of relation `host` has no namespace, ServiceAccount or image".to_owned());
    }
    if let Some(id) = finding.filter(|id| relation.is_some() && !has_relation(*id)) {
        messages.push(format!(
            "matches nothing: `{}` is raised on events that have no relation",
            word(&id)
        ));
    }
    if let Some(pattern) = executable
        .as_ref()
        .filter(|p| !p.is_absolute() && !p.is_anything())
    {
        let is_memfd = pattern.prefix().starts_with("memfd:");
        if !is_memfd {
            messages.push(
                "matches no executable: paths begin with `/` (or, as a pattern, with `*`)"
                    .to_owned(),
            );
        }
    }
    messages
}

/// High or critical by itself, though some of its variants are milder.
pub(crate) fn counts_as_violation(id: FindingId) -> bool {
    match id {
        FindingId::ForeignTokenOpen
        | FindingId::TokenHarvest
        | FindingId::HostTokenOpen
        | FindingId::ForeignTokenReceived
        | FindingId::StealthAgentConnection
        | FindingId::AgentImpersonation
        | FindingId::IdentityMismatch
        | FindingId::CredentialMemoryAccess
        | FindingId::UnassociatedAgentConnect
        | FindingId::UnboundTokenOpen
        | FindingId::RoleDrift
        | FindingId::TokenWrite
        | FindingId::ExecSessionTokenOpen
        | FindingId::ForeignExecutable => true,
        FindingId::UnexpectedExecutable
        | FindingId::RawSocket
        | FindingId::AgentConnectWithoutToken
        | FindingId::NodeRoleFallback
        | FindingId::DeniedTokenOpen
        | FindingId::AgentUnreachable
        | FindingId::IdentityNotInjected
        | FindingId::UnusedCredential => false,
    }
}

/// Whether any event that it is raised on says how the actor is related to an owner.
fn has_relation(id: FindingId) -> bool {
    !matches!(
        id,
        FindingId::StealthAgentConnection
            | FindingId::AgentImpersonation
            | FindingId::UnassociatedAgentConnect
            | FindingId::RawSocket
            | FindingId::AgentConnectWithoutToken
            | FindingId::NodeRoleFallback
            | FindingId::AgentUnreachable
            | FindingId::IdentityNotInjected
            | FindingId::UnusedCredential
    )
}
