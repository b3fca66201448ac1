//! From a line back to the case that was judged.

pub use super::knowledge::Given;
use super::{
    Body, Line,
    actor::{self, Who},
    knowledge,
};
use crate::{
    association::Snapshot,
    audit::{
        AcceptCase, Actor, Case, CloseCase, ConnectCase, DeniedCase, Familiarity, Knowledge,
        ListenCase, Listener, MemoryCase, OpenCase, PodHistory, Received, ReceivedCase,
        ReceivedOwner, SocketCase, Target, token_kind,
    },
    cluster::{Pod, ProjectedVolume, ServiceAccounts, TokenSource},
    event::{AccessFlag, EndpointKind, FindingId, OwnerRef, Posture, Process, TokenKind, TokenRef},
    policy::Policy,
};

/// A line's case, and all that it refers to.
#[derive(Debug)]
pub struct Rebuilt<'l> {
    line: &'l Line,
    /// The line that has the process: of a connection's end the connect.
    told: &'l Line,
    who: Who,
    /// Whose the token, the connection or the memory is; of an accept the peer.
    owner: Option<Box<Pod>>,
    listener: Option<Box<Pod>>,
    token: Option<TokenRef>,
    accounts: ServiceAccounts,
    snapshot: Option<Snapshot>,
    taken: Vec<OwnerRef>,
}

impl<'l> Rebuilt<'l> {
    /// `connect`: of a connection's end, the line of its beginning; `taken`: whose tokens the opener took before.
    ///
    /// # Errors
    /// Why there is no case to be made of that line.
    pub fn new(
        line: &'l Line,
        connect: Option<&'l Line>,
        taken: Vec<OwnerRef>,
        given: &Given,
        policy: &Policy,
    ) -> Result<Self, &'static str> {
        let told = match (&line.body, connect) {
            (Body::ConnectionClosed(_), Some(connect)) => connect,
            (Body::ConnectionClosed(_), None) => {
                return Err("the line of its connect, which tells of the process and the role");
            }
            (Body::Posture(_), _) => return Err("the state that a posture finding is about"),
            (Body::Summary(_) | Body::Other, _) => return Err("an event that was judged"),
            _ => line,
        };
        let who = actor::who(told, |uid| given.pod(uid).cloned());
        let mut rebuilt = Self {
            line,
            told,
            owner: owner(told, given),
            listener: listener(told, given),
            who,
            token: None,
            accounts: ServiceAccounts::default(),
            snapshot: None,
            taken,
        };
        rebuilt.put_evidence(given);
        if let Some(bound) = rebuilt.bound_pod() {
            let accounts = knowledge::accounts(told, line, bound, given);
            let snapshot = knowledge::snapshot(told, line, bound, given);
            (rebuilt.accounts, rebuilt.snapshot) = (accounts, snapshot);
        }
        rebuilt.token = rebuilt.token_under(given, policy);
        Ok(rebuilt)
    }

    /// The pod whose role the line tells of: the owner, or who connected.
    fn bound_pod(&self) -> Option<&Pod> {
        match (&self.told.body, &self.who) {
            (Body::CredentialConnect(_), Who::Pod(pod)) => Some(pod),
            (Body::CredentialConnect(_), _) => None,
            _ => self.owner.as_deref(),
        }
    }

    /// What the line says of the spec; a pod that is given has its own.
    fn put_evidence(&mut self, given: &Given) {
        let line = self.told;
        let Some(evidence) = line.evidence() else {
            return;
        };
        let acting = line.container().and_then(|c| c.name.as_deref());
        let is_known = |pod: &Pod| given.pod(&pod.uid).is_some();
        let is_connect = matches!(line.body, Body::CredentialConnect(_));
        let (pod, container) = match (&mut self.owner, &mut self.who) {
            (_, Who::Pod(pod)) if is_connect => (Some(pod), acting),
            (Some(owner), Who::Pod(pod)) if owner.uid == pod.uid => (Some(owner), acting),
            (Some(owner), _) => (Some(owner), None),
            (None, _) => (None, None),
        };
        if let Some(pod) = pod.filter(|pod| !is_known(pod)) {
            actor::with_evidence(pod, evidence, line.binding(), container, line.time);
        }
        let is_memory = matches!(line.body, Body::MemoryAccess(_));
        if let Some(owner) = self
            .owner
            .as_mut()
            .filter(|pod| is_memory && !is_known(pod))
        {
            // It was written, so the target's pod has one.
            owner.volumes.push(ProjectedVolume {
                tokens: vec![TokenSource {
                    path: "token".into(),
                    audience: Some(crate::cluster::POD_IDENTITY_AUDIENCE.into()),
                    expiration_seconds: None,
                }],
                ..ProjectedVolume::default()
            });
        }
    }

    /// Policy and ServiceAccounts may make a token one of IRSA.
    fn token_under(&self, given: &Given, policy: &Policy) -> Option<TokenRef> {
        let Body::TokenOpen(open) = &self.line.body else {
            return None;
        };
        let mut token = open.token.clone();
        let spec = token
            .owner
            .as_ref()
            .and_then(|owner| given.pod(&owner.uid))
            .zip(token.volume.as_deref());
        if let Some((pod, volume)) = spec {
            let account = self.accounts.get(&pod.namespace, &pod.service_account);
            let told = token_kind(pod, volume, &token.file, account, policy).kind;
            if told != TokenKind::Unknown {
                token.kind = told;
            }
        } else if matches!(token.kind, TokenKind::Other | TokenKind::ServiceAccount)
            && let Some(audience) = &token.audience
            && policy.irsa_audiences.contains(audience)
        {
            token.kind = TokenKind::Irsa;
        }
        Some(token)
    }

    fn actor(&self) -> Actor<'_> {
        match &self.who {
            Who::Pod(pod) => Actor::Pod {
                pod,
                container: self.told.container(),
            },
            Who::Unlisted(uid) => Actor::UnlistedPod { uid },
            Who::Host => Actor::Host,
            Who::Conflict(candidates) => Actor::Conflict { candidates },
            Who::Unknown => Actor::Unknown,
        }
    }

    /// Under a policy.
    ///
    /// # Errors
    /// What the line lacks.
    pub fn case<'a>(&'a self, policy: &'a Policy) -> Result<Case<'a>, &'static str> {
        let line = self.line;
        let (time, actor) = (line.time, self.actor());
        let knowledge = Knowledge {
            service_accounts: &self.accounts,
            bindings: self.snapshot.as_ref(),
            policy,
            cluster_name: line.cluster.as_deref(),
            now: time,
        };
        let process: Option<&Process> = self.told.process();
        let owner_pod = self.owner.as_deref();
        if let Body::AgentAccept(accept) = &line.body {
            return Ok(Case::Accept(AcceptCase {
                time,
                endpoint: endpoint(&accept.endpoint),
                listener: self.listener(),
                in_agent_net_ns: true,
                is_matched: line.finding(FindingId::StealthAgentConnection).is_none()
                    && !line.lacked("connects"),
                may_have_missed: line.lacked("connects"),
                peer: &accept.peer,
                peer_pod: owner_pod,
                knowledge,
            }));
        }
        let process = process.ok_or("the process")?;
        Ok(match &line.body {
            Body::TokenOpen(open) => {
                let token = self.token.as_ref().ok_or("the token")?;
                match open.access.errno {
                    Some(errno) => Case::Denied(DeniedCase {
                        time,
                        actor,
                        process,
                        token,
                        owner_pod,
                        errno,
                        knowledge,
                    }),
                    None => Case::Open(OpenCase {
                        time,
                        actor,
                        process,
                        ancestors_args: &[],
                        token,
                        owner_pod,
                        for_write: open
                            .access
                            .flags
                            .iter()
                            .any(|f| matches!(f, AccessFlag::OWronly | AccessFlag::ORdwr)),
                        taken: &self.taken,
                        familiarity: self.familiarity(policy),
                        knowledge,
                    }),
                }
            }
            Body::CredentialConnect(connect) => Case::Connect(ConnectCase {
                time,
                actor,
                process,
                endpoint: endpoint(&connect.connection.endpoint),
                outcome: connect.connection.outcome,
                duration_us: connect.connection.duration_us,
                history: actor.pod().map(|_| self.history()),
                familiarity: self.familiarity(policy),
                knowledge,
            }),
            Body::ConnectionClosed(closed) => Case::Close(CloseCase {
                time,
                actor,
                process,
                endpoint: endpoint(&closed.connection.endpoint),
                bytes_received: closed.bytes_received,
                knowledge,
            }),
            Body::TokenReceived(received) => Case::Received(ReceivedCase {
                time,
                actor,
                process,
                what: match (&received.token, &received.connection) {
                    (Some(token), _) => Received::Token(token.kind),
                    (None, Some(c)) => Received::Connection(&c.endpoint, endpoint(&c.endpoint)),
                    (None, None) => return Err("what was received"),
                },
                owner: match actor::owner_of_received(received) {
                    Some(owner) => ReceivedOwner::Pod {
                        owner,
                        pod: owner_pod,
                    },
                    None if received.token.is_some() || line.lacked("owner") => {
                        ReceivedOwner::Unknown
                    }
                    None => ReceivedOwner::Host,
                },
                via: received.access.via,
                knowledge,
            }),
            Body::MemoryAccess(access) => Case::Memory(MemoryCase {
                time,
                actor,
                process,
                target: match (owner_pod, access.attribution.owner.as_deref()) {
                    (Some(pod), _) => Target::Pod(pod),
                    (None, Some("host")) => Target::HostAgent,
                    (None, Some("cgroup")) => match &self.who {
                        Who::Unlisted(uid) if access.relation == crate::event::Relation::Own => {
                            Target::UnlistedPod { uid }
                        }
                        _ => Target::UnlistedPod { uid: "the target" },
                    },
                    (None, _) => Target::Unknown,
                },
                via: access.via,
                knowledge,
            }),
            Body::SocketCreate(create) => Case::Socket(SocketCase {
                time,
                actor,
                process,
                family: &create.socket.family,
                knowledge,
            }),
            Body::Listen(listen) => Case::Listen(ListenCase {
                time,
                actor,
                process,
                listener: self.listener(),
                endpoint: endpoint(&listen.socket.endpoint),
                in_agent_net_ns: listen.socket.agent_net_ns,
                knowledge,
            }),
            Body::AgentAccept(_) | Body::Posture(_) | Body::Summary(_) | Body::Other => {
                return Err("an event that was judged");
            }
        })
    }

    /// Who the agent is rests on its executable at first sight, which no line tells: as it was judged.
    fn listener(&self) -> Listener<'_> {
        let line = self.line;
        let is_impostor = line.finding(FindingId::AgentImpersonation).is_some();
        match (&self.listener, &self.who) {
            (_, Who::Conflict(_)) => Listener::Conflict,
            (Some(pod), _) if is_impostor => Listener::Pod(pod),
            (None, _) if is_impostor => Listener::Host,
            _ if line.lacked("pod") => Listener::UnlistedPod {
                uid: "the listener",
            },
            _ if line.lacked("process") => Listener::Unknown,
            _ => Listener::Agent,
        }
    }

    /// Whether it opened its token as far as seen, and since when that would have been seen.
    fn history(&self) -> PodHistory {
        let line = self.line;
        let time = |text: Option<&String>| text.and_then(|text| text.parse().ok());
        let evidence = line.evidence();
        let opened = time(evidence.and_then(|e| e.token_opened_at.as_ref()));
        let since = time(evidence.and_then(|e| e.observed_since.as_ref()));
        let is_without = line.finding(FindingId::AgentConnectWithoutToken).is_some();
        let observed = since.unwrap_or(line.time);
        if is_without || line.lacked("outcome") {
            PodHistory::recorded(None, observed, since.is_none())
        } else {
            // Not counted against it: it had one.
            PodHistory::recorded(opened.or(Some(line.time)), observed, true)
        }
    }

    fn familiarity(&self, policy: &Policy) -> Familiarity {
        let since = self.line.evidence().and_then(|e| e.learned_since.as_ref());
        match since.and_then(|since| since.parse().ok()) {
            Some(learned_since) if policy.learn.is_some() => Familiarity::New { learned_since },
            _ => Familiarity::Unjudged,
        }
    }

    /// Its kind is the one that the line names.
    #[must_use]
    pub fn is_token_as_recorded(&self) -> bool {
        match (&self.line.body, &self.token) {
            (Body::TokenOpen(open), Some(token)) => open.token.kind == token.kind,
            _ => true,
        }
    }

    /// The pod that a posture finding is about, and what is known of its role; null where it is about a ServiceAccount.
    #[must_use]
    pub fn posture(line: &Line, posture: &Posture, given: &Given) -> Option<(Pod, Known)> {
        let subject = &posture.subject;
        let uid = subject.uid.as_ref().filter(|_| subject.kind == "pod")?;
        let pod = given.pod(uid).cloned().or_else(|| {
            let mut pod = actor::pod_of_owner(&OwnerRef {
                namespace: Some(subject.namespace.clone()),
                name: Some(subject.name.clone()),
                uid: uid.clone(),
                service_account: Some(subject.service_account.clone()),
            })?;
            let (evidence, binding) = (&posture.evidence, posture.binding.as_ref());
            actor::with_evidence(&mut pod, evidence, binding, None, line.time);
            Some(pod)
        })?;
        let known = Known {
            accounts: knowledge::accounts(line, line, &pod, given),
            snapshot: knowledge::snapshot(line, line, &pod, given),
        };
        Some((pod, known))
    }
}

/// What is known of one pod's role.
#[derive(Debug)]
pub struct Known {
    accounts: ServiceAccounts,
    snapshot: Option<Snapshot>,
}

impl Known {
    #[must_use]
    pub fn under<'a>(&'a self, policy: &'a Policy, line: &'a Line) -> Knowledge<'a> {
        Knowledge {
            service_accounts: &self.accounts,
            bindings: self.snapshot.as_ref(),
            policy,
            cluster_name: line.cluster.as_deref(),
            now: line.time,
        }
    }
}

fn owner(line: &Line, given: &Given) -> Option<Box<Pod>> {
    let known = |uid: &str| given.pod(uid).cloned();
    let of = |owner: &OwnerRef| known(&owner.uid).or_else(|| actor::pod_of_owner(owner));
    let told = |pod: &crate::event::PodRef| known(&pod.uid).unwrap_or_else(|| actor::pod(pod));
    let pod = match &line.body {
        // Its owner is on it only where it is the opener's own.
        Body::TokenOpen(open) => {
            let owner = open.token.owner.as_ref()?;
            let opener = open.pod.as_ref().filter(|pod| pod.uid == owner.uid);
            opener.map(told).or_else(|| of(owner))
        }
        Body::TokenReceived(received) => of(actor::owner_of_received(received)?),
        Body::MemoryAccess(access) => access.target.pod.as_ref().map(told),
        Body::AgentAccept(accept) => accept.pod.as_ref().map(told),
        _ => None,
    };
    pod.map(Box::new)
}

fn listener(line: &Line, given: &Given) -> Option<Box<Pod>> {
    let told = match &line.body {
        Body::AgentAccept(accept) => accept.listener.as_ref(),
        Body::Listen(listen) => listen.pod.as_ref(),
        _ => None,
    };
    told.map(|pod| {
        Box::new(
            given
                .pod(&pod.uid)
                .cloned()
                .unwrap_or_else(|| actor::pod(pod)),
        )
    })
}

fn endpoint(name: &str) -> EndpointKind {
    match name {
        "pod-identity-agent" => EndpointKind::PodIdentityAgent,
        "imds" => EndpointKind::Imds,
        _ => EndpointKind::Custom,
    }
}
