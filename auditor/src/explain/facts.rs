//! What was known when the verdict was given, and what a line leaves out.

use crate::{
    event::{Binding, Evidence, PodRef, TokenRef},
    policy::Policy,
    recorded::{Body, Line, owner_name},
};

type Facts = Vec<(&'static str, String)>;

/// In the order in which a responder asks.
pub(super) fn known(line: &Line, connect: Option<&Line>, policy: Option<&Policy>) -> Facts {
    let mut facts = Facts::new();
    // Of a connection's end the connect has the rest.
    let told = connect.unwrap_or(line);
    if let Some(pod) = line.pod() {
        facts.push(("pod", described(pod)));
    }
    if let Some(container) = told.container() {
        let name = container.name.as_deref().unwrap_or("not named");
        let image = container.image.as_deref().unwrap_or("not known");
        facts.push(("container", format!("{name}, image {image}")));
    }
    if let Some(process) = told.process() {
        let exe = process.exe.as_deref().unwrap_or("a kernel thread");
        facts.push((
            "process",
            format!(
                "{exe} ({}), pid {}, uid {}",
                process.comm, process.pid, process.uid
            ),
        ));
        let session = match process.exec_session {
            Some(true) => "came from outside the container",
            Some(false) => "descends from the container's init",
            None => "not known (a shared or host PID namespace, or no container)",
        };
        facts.push(("exec session", session.to_owned()));
        if process.exe_unlinked {
            facts.push(("program", "has no name left".to_owned()));
        } else if process.exe_upper_layer == Some(true) {
            facts.push(("program", "is not as in the image".to_owned()));
        }
    }
    if let Some(relation) = line.relation() {
        facts.push(("relation", crate::event::word(&relation)));
    }
    of_body(&line.body, &mut facts);
    if let Some(attribution) = told.attribution() {
        let mut text = format!("process by {}", attribution.process);
        if let Some(owner) = &attribution.owner {
            text.push_str(&format!(", owner by {owner}"));
        }
        text.push_str(&format!(", {} µs after the event", attribution.latency_us));
        facts.push(("attribution", text));
        if let Some(reason) = &attribution.reason {
            facts.push(("attribution lacked", reason.clone()));
        }
        if let Some(waited) = attribution.waited_ms {
            facts.push((
                "held back",
                format!("{waited} ms, for what was not known yet"),
            ));
        }
        if let Some(age) = attribution.cluster_age_ms {
            facts.push(("API server last heard", format!("{age} ms before")));
        }
    }
    let binding = told.binding();
    facts.push((
        "binding",
        binding.map_or_else(|| "none that is known".to_owned(), bound),
    ));
    if let Some(evidence) = told.evidence() {
        of_evidence(evidence, policy, &mut facts);
    }
    facts
}

fn described(pod: &PodRef) -> String {
    let owner = pod.owner.as_deref().unwrap_or("no controller");
    format!(
        "{}/{}, ServiceAccount {}, {owner}",
        pod.namespace, pod.name, pod.service_account
    )
}

fn of_body(body: &Body, facts: &mut Facts) {
    match body {
        Body::TokenOpen(open) => {
            facts.push(("token", token(&open.token)));
            let backend = &open.access.backend;
            facts.push(("seen by", backend.clone()));
        }
        Body::CredentialConnect(connect) => {
            let c = &connect.connection;
            let outcome = crate::event::word(&c.outcome);
            facts.push((
                "connection",
                format!("{} ({}), {outcome}", c.endpoint, c.dst),
            ));
        }
        Body::ConnectionClosed(closed) => {
            let c = &closed.connection;
            facts.push(("connection", format!("{} ({})", c.endpoint, c.dst)));
            facts.push((
                "bytes",
                format!(
                    "{} sent, {} received",
                    closed.bytes_sent, closed.bytes_received
                ),
            ));
        }
        Body::AgentAccept(accept) => {
            let matched = match &accept.connect_id {
                Some(id) => format!("the connect {id}"),
                None => "no connect that has a line".to_owned(),
            };
            facts.push((
                "accepted",
                format!("{} from {}, {matched}", accept.local, accept.peer),
            ));
            if let Some(listener) = &accept.listener {
                facts.push(("listener", described(listener)));
            }
        }
        Body::Listen(listen) => {
            let whose = match listen.socket.agent_net_ns {
                true => "the agent's network namespace",
                false => "another network namespace than the agent's",
            };
            facts.push(("listens", format!("{} in {whose}", listen.socket.local)));
        }
        Body::TokenReceived(received) => {
            if let Some(of) = &received.token {
                facts.push(("token", token(of)));
            }
            if let Some(c) = &received.connection {
                let owner = c
                    .owner
                    .as_ref()
                    .map_or_else(|| "nobody that is known".to_owned(), owner_name);
                facts.push(("connection", format!("to {}, made by {owner}", c.endpoint)));
            }
        }
        Body::MemoryAccess(access) => {
            let target = access
                .target
                .pod
                .as_ref()
                .map_or_else(|| "no pod that is known".to_owned(), described);
            facts.push(("target", target));
        }
        Body::SocketCreate(create) => {
            let s = &create.socket;
            facts.push((
                "socket",
                format!("{} {}, protocol {}", s.family, s.socket_type, s.protocol),
            ));
        }
        Body::Posture(posture) => {
            let s = &posture.subject;
            facts.push(("subject", format!("{} {}/{}", s.kind, s.namespace, s.name)));
        }
        Body::Summary(_) | Body::Other => {}
    }
}

fn token(token: &TokenRef) -> String {
    let owner = token
        .owner
        .as_ref()
        .map_or_else(|| "an unknown pod".to_owned(), owner_name);
    let kind = crate::event::word(&token.kind);
    let audience = token.audience.as_deref().unwrap_or("the API server's");
    format!("{kind}, of {owner}, audience {audience}")
}

fn bound(binding: &Binding) -> String {
    let kind = crate::event::word(&binding.kind);
    let mut text = format!("{kind} by {}", binding.source);
    for (what, value) in [
        ("association", &binding.association_id),
        ("role", &binding.role_arn),
        ("target role", &binding.target_role_arn),
        ("hash", &binding.hash),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    if let Some(generation) = binding.generation {
        text.push_str(&format!(", generation {generation}"));
    }
    text
}

fn of_evidence(evidence: &Evidence, policy: Option<&Policy>, facts: &mut Facts) {
    let none = || "none that is known".to_owned();
    let role = evidence.injected.irsa_role.clone().unwrap_or_else(none);
    facts.push(("role in the pod's spec", role));
    let identity = if evidence.injected.pod_identity {
        "yes"
    } else {
        "no"
    };
    facts.push(("Pod Identity injected", identity.to_owned()));
    facts.push((
        "role that the ServiceAccount names",
        evidence.sa_role_arn.clone().unwrap_or_else(none),
    ));
    let age = |ms: Option<u64>, none: &str| {
        ms.map_or_else(|| none.to_owned(), |ms| format!("{ms} ms old"))
    };
    facts.push(("pod", age(evidence.pod_age_ms, "its age is not known")));
    facts.push(("bindings", age(evidence.bindings_age_ms, "not read yet")));
    let hash = evidence.policy_hash.as_deref();
    let name = hash.unwrap_or("the built-in rules");
    let given = match policy.map(|policy| policy.hash.as_deref()) {
        Some(given) if given != hash => " (not the one that --policy names)",
        _ => "",
    };
    facts.push(("policy", format!("{name}{given}")));
    for (what, value) in [
        (
            "own opens would have been seen since",
            &evidence.observed_since,
        ),
        ("own token last opened", &evidence.token_opened_at),
        ("programs were learned since", &evidence.learned_since),
    ] {
        if let Some(value) = value {
            facts.push((what, value.clone()));
        }
    }
    for (what, names) in [
        ("took the tokens of", &evidence.taken),
        ("could belong to", &evidence.candidates),
    ] {
        if !names.is_empty() {
            facts.push((what, names.join(", ")));
        }
    }
}

/// What the rules were asked without.
pub(super) fn left_out(line: &Line) -> Vec<&'static str> {
    match &line.body {
        Body::TokenOpen(open) if open.access.errno.is_some() => Vec::new(),
        Body::TokenOpen(_) => vec![
            "exec probes and hooks of the pod's spec",
            "the commands of the process's parents",
            "thefts of the same opener that policy did not let count",
            "when the ServiceAccount was read",
        ],
        Body::CredentialConnect(_) => vec![
            "when the ServiceAccount was read",
            "opens of the pod's token but the last",
        ],
        Body::ConnectionClosed(_) => vec!["when the ServiceAccount was read"],
        Body::MemoryAccess(_) => vec!["the volumes of the target's pod"],
        Body::SocketCreate(_) => vec!["whether the pod has the host's network"],
        Body::AgentAccept(_) | Body::Listen(_) => {
            vec!["the executable that the agent had at first sight"]
        }
        Body::Posture(_) => vec!["the pod's spec"],
        Body::TokenReceived(_) | Body::Summary(_) | Body::Other => Vec::new(),
    }
}
