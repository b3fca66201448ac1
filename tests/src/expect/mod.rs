//! What a scene must bring forth, and the exact comparison with what the auditor wrote.
//!
//! A line is reduced to the facts that the design fixes; a line that no expectation asks for is a failure like one that
//! is missing.

mod facts;
mod tally;

pub use facts::{Facts, facts};
pub use tally::Tally;

use crate::node::Pod;

/// A line that must come, or may: all these facts, no matter which others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    facts: Facts,
    optional: bool,
}

impl Expected {
    /// `pod` opens the token in its own volume, by a child of its container's init, and may do so.
    pub fn own_open(pod: &Pod, volume: &str) -> Self {
        let mut this = Self::of_pod("token_open", pod).owned_by(pod, volume);
        this.facts.extend([
            ("relation", "own".into()),
            ("via", "open".into()),
            ("errno", "null".into()),
            ("comm", "peek".into()),
        ]);
        this
    }

    /// `opener` opens a token of `owner`.
    pub fn foreign_open(opener: &Pod, owner: &Pod, volume: &str, relation: &str) -> Self {
        let mut this = Self::own_open(opener, volume).owned_by(owner, volume);
        this.facts.insert("relation", relation.into());
        this
    }

    /// A descriptor of a token of `owner` arrives in `receiver`.
    pub fn received(receiver: &Pod, owner: &Pod, volume: &str, relation: &str, via: &str) -> Self {
        Self::foreign_open(receiver, owner, volume, relation).with(&[
            ("event", "token_received"),
            ("via", via),
            ("from", "null"),
        ])
    }

    /// A connection to `endpoint` at `dst` that `owner` made arrives in a message to `receiver`.
    pub fn received_connection(receiver: &Pod, owner: &Pod, endpoint: &str, dst: &str) -> Self {
        Self::of_pod("token_received", receiver).with(&[
            ("relation", "other-pod"),
            ("owner", &owner.key()),
            ("endpoint", endpoint),
            ("dst", dst),
            ("via", "scm_rights"),
            ("from", "null"),
        ])
    }

    /// A process outside every pod opens a token of `owner`.
    pub fn host_open(owner: &Pod, volume: &str) -> Self {
        Self::own_open(owner, volume)
            .with(&[("relation", "host")])
            .of_host()
    }

    /// `actor` looks into the memory of `target`'s init.
    pub fn memory_access(actor: &Pod, target: &Pod, relation: &str, mode: &str) -> Self {
        Self::of_pod("memory_access", actor).with(&[
            ("relation", relation),
            ("mode", mode),
            ("comm", "memory"),
            ("target", &target.key()),
            ("target_pid", &target.init_pid.to_string()),
            ("target_comm", "pause"),
            ("target_container", "main"),
        ])
    }

    /// `pod` asks for a packet socket (`packet`) or a raw TCP socket (`inet`, `inet6`).
    pub fn raw_socket(pod: &Pod, family: &str) -> Self {
        Self::of_pod("socket_create", pod).with(&[
            ("family", family),
            ("type", "raw"),
            ("comm", "rawsocket"),
        ])
    }

    /// By a process outside every pod.
    pub fn of_host(self) -> Self {
        self.with(&[
            ("pod", "null"),
            ("service_account", "null"),
            ("container", "null"),
            ("attribution", "host"),
            ("host_namespaces", "true"),
            ("exec_session", "null"),
        ])
    }

    /// `pod` connects to the agent (or the metadata service), which accepts.
    pub fn connect(pod: &Pod, endpoint: &str, address: &str) -> Self {
        let mut this = Self::of_pod("credential_connect", pod).to(endpoint, address);
        this.facts.insert("comm", "sdk".into());
        this
    }

    /// That connection's end.
    pub fn closed(pod: &Pod, endpoint: &str, address: &str) -> Self {
        let mut this = Self::must(Facts::from([
            ("event", "connection_closed".into()),
            ("verdict", "allowed".into()),
            ("undetermined", String::new()),
            ("findings", String::new()),
            ("pod", pod.key()),
        ]))
        .to(endpoint, address);
        this.facts.insert("outcome", "established".into());
        this
    }

    /// `pod` listens on `local` (`ADDR:PORT`), and is not the agent.
    pub fn impostor(pod: &Pod, endpoint: &str, local: &str) -> Self {
        let mut this = Self::of_pod("listen", pod);
        for unknown in [
            "host_namespaces",
            "candidates",
            "taken",
            "observed_since",
            "repeats",
            "binding",
            "taken",
        ] {
            this = this.whatever(unknown);
        }
        this.with(&[
            ("endpoint", endpoint),
            ("local", local),
            ("comm", "agent"),
            ("agent_net_ns", "true"),
        ])
        .judged("violation", "agent-impersonation:critical")
    }

    /// `listener` accepted a connection from `peer`'s address on `local`.
    pub fn accepted(peer: &Pod, listener: &Pod, endpoint: &str, local: &str) -> Self {
        Self::must(Facts::from([
            ("event", "agent_accept".into()),
            ("undetermined", String::new()),
            ("exempted", String::new()),
            ("pod", peer.key()),
            ("listener", listener.key()),
            ("attribution", "address".into()),
            ("endpoint", endpoint.into()),
            ("local", local.into()),
            ("binding", "null".into()),
        ]))
    }

    /// A state of `subject` (`pod NAMESPACE/NAME`, `service-account NAMESPACE/NAME`) is told.
    pub fn posture(state: &str, subject: &str, findings: &str) -> Self {
        Self::must(Facts::from([
            ("event", "finding".into()),
            ("state", state.into()),
            ("subject", subject.into()),
            ("findings", findings.into()),
            ("exempted", String::new()),
            ("binding", "null".into()),
        ]))
    }

    /// A line with these facts.
    pub fn line(facts: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self::must(facts.into_iter().collect())
    }

    /// The kind of line.
    pub fn event(&self) -> &str {
        self.facts.get("event").map_or("", String::as_str)
    }

    /// It may come, and need not.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    fn must(facts: Facts) -> Self {
        Self {
            facts,
            optional: false,
        }
    }

    fn of_pod(event: &str, pod: &Pod) -> Self {
        let account = if pod.spec.service_account.is_empty() {
            ""
        } else {
            &pod.spec.service_account
        };
        let unknown = pod.spec.host_pid;
        Self::must(Facts::from([
            ("event", event.into()),
            ("verdict", "allowed".into()),
            ("undetermined", String::new()),
            ("findings", String::new()),
            ("exempted", String::new()),
            ("pod", pod.key()),
            ("service_account", account.into()),
            ("container", "main".into()),
            (
                "exec_session",
                if unknown { "null" } else { "false" }.into(),
            ),
            ("host_namespaces", unknown.to_string()),
            ("attribution", "cgroup".into()),
            ("candidates", String::new()),
            ("taken", String::new()),
            ("observed_since", "false".into()),
            ("repeats", "0".into()),
            ("binding", "null".into()),
        ]))
    }

    fn owned_by(mut self, owner: &Pod, volume: &str) -> Self {
        self.facts
            .extend([("owner", owner.key()), ("volume", volume.into())]);
        if let Some(token) = owner.spec.token(volume) {
            self.facts.extend([
                ("kind", token.kind.into()),
                ("file", token.file.clone()),
                ("audience", token.audience.clone().unwrap_or("null".into())),
            ]);
        }
        self
    }

    fn to(self, endpoint: &str, address: &str) -> Self {
        let dst = if address.contains(':') {
            format!("[{address}]:80")
        } else {
            format!("{address}:80")
        };
        self.with(&[
            ("endpoint", endpoint),
            ("dst", &dst),
            ("outcome", "established"),
        ])
    }

    /// Other facts than the usual.
    pub fn with(mut self, facts: &[(&'static str, &str)]) -> Self {
        self.facts
            .extend(facts.iter().map(|(k, v)| (*k, (*v).to_owned())));
        self
    }

    /// Bound by `kind` (`irsa`, `pod-identity`) to `role`.
    pub fn bound(self, kind: &str, role: &str) -> Self {
        self.with(&[("binding", &format!("{kind} {role}"))])
    }

    /// `findings` as `id:severity`, by blanks, in alphabetical order.
    pub fn judged(self, verdict: &str, findings: &str) -> Self {
        self.with(&[("verdict", verdict), ("findings", findings)])
    }

    /// A fact that the design does not fix here.
    pub fn whatever(mut self, fact: &'static str) -> Self {
        self.facts.remove(fact);
        self
    }

    /// At least one such line, and `most` at most.
    pub fn one_to(self, most: usize) -> Vec<Self> {
        let optional = Self {
            optional: true,
            ..self.clone()
        };
        let mut all = vec![optional; most];
        if let Some(first) = all.first_mut() {
            *first = self;
        }
        all
    }

    /// The facts that `line` has otherwise: fact, expected, found.
    fn differences(&self, line: &Facts) -> Vec<(&'static str, String, String)> {
        self.facts
            .iter()
            .filter(|(fact, want)| line.get(*fact) != Some(want))
            .map(|(fact, want)| {
                (
                    *fact,
                    want.clone(),
                    line.get(fact).cloned().unwrap_or("(absent)".into()),
                )
            })
            .collect()
    }

    fn matches(&self, line: &Facts) -> bool {
        self.differences(line).is_empty()
    }
}
