//! Lines to test with.

#![allow(
    clippy::unwrap_used,
    reason = "for tests and fuzz targets alone; clippy sees the first only"
)]

use std::{collections::BTreeMap, sync::Arc};

use crate::event::*;

#[cfg(test)]
pub fn envelope() -> super::Envelope {
    super::Envelope::new(
        uuid::Uuid::now_v7(),
        Arc::from("node-1"),
        Some(Arc::from("prod")),
        None,
        Some(Arc::from("us-east-1")),
    )
}

/// A theft, with `text` wherever text may stand, `many` times where there may be several.
pub fn token_open(text: &str, many: usize) -> TokenOpen {
    let (own, shared) = (|| text.to_owned(), || Arc::<str>::from(text));
    TokenOpen {
        verdict: Verdict::Violation,
        undetermined: vec![own(); many],
        relation: Relation::OtherPod,
        findings: vec![
            Finding {
                id: FindingId::ForeignTokenOpen,
                severity: Severity::Critical,
                message: own(),
                exempted_by: Some(own()),
            };
            many.min(22)
        ],
        process: process(text, many),
        container: Some(Container {
            id: own(),
            name: Some(own()),
            image: Some(own()),
        }),
        pod: Some(PodRef {
            namespace: shared(),
            name: shared(),
            uid: shared(),
            service_account: shared(),
            service_account_uid: Some(shared()),
            owner: Some(own()),
            labels: (0..many).map(|n| (format!("{n}{text}"), own())).collect(),
        }),
        token: TokenRef {
            kind: TokenKind::Irsa,
            volume: Some(own()),
            file: own(),
            audience: Some(own()),
            expiration_seconds: Some(u64::MAX),
            owner: Some(OwnerRef {
                namespace: Some(shared()),
                name: Some(shared()),
                uid: shared(),
                service_account: Some(shared()),
            }),
        },
        access: Access {
            via: Via::Open,
            flags: vec![AccessFlag::ONofollow; 10],
            backend: own(),
            errno: Some(i32::MIN),
        },
        binding: Some(Binding {
            source: own(),
            generation: Some(u64::MAX),
            hash: Some(own()),
            kind: BindingKind::PodIdentity,
            association_id: Some(own()),
            association_arn: Some(own()),
            role_arn: Some(own()),
            target_role_arn: Some(own()),
            external_id: Some(own()),
            session_tags: Some(false),
            session_name_prefix: Some(own()),
        }),
        evidence: Evidence {
            injected: Injected {
                irsa_role: Some(own()),
                pod_identity: true,
                region: Some(own()),
            },
            sa_role_arn: Some(own()),
            pod_age_ms: Some(u64::MAX),
            bindings_age_ms: Some(u64::MAX),
            policy_hash: Some(own()),
            observed_since: Some(own()),
            token_opened_at: Some(own()),
            learned_since: Some(own()),
            taken: vec![own(); many],
            candidates: vec![own(); many],
        },
        attribution: Attribution {
            process: own(),
            owner: Some(own()),
            latency_us: u64::MAX,
            cluster_age_ms: Some(u64::MAX),
            waited_ms: Some(u64::MAX),
            reason: Some(own()),
        },
        repeats: u64::MAX,
    }
}

fn process(text: &str, many: usize) -> Process {
    let own = || text.to_owned();
    Process {
        pid: u32::MAX,
        tid: u32::MAX,
        start_time: "2026-11-22T12:00:00.123456789Z".parse().unwrap(),
        comm: own(),
        exe: Some(own()),
        exe_inode: Some(InodeId {
            major: u32::MAX,
            minor: u32::MAX,
            ino: u64::MAX,
        }),
        exe_upper_layer: Some(false),
        exe_unlinked: false,
        args: vec![own(); many],
        uid: u32::MAX,
        gid: u32::MAX,
        capabilities: vec![own(); many],
        exec_session: Some(false),
        tty: Some(own()),
        login_uid: Some(u32::MAX),
        parents: vec![
            Parent {
                pid: u32::MAX,
                comm: own()
            };
            many.min(6)
        ],
        namespaces: Namespaces {
            pid: u32::MAX,
            mnt: u32::MAX,
            net: u32::MAX,
        },
        host_namespaces: false,
    }
}

pub fn connection(text: &str) -> Connection {
    Connection {
        endpoint: text.to_owned(),
        src: Some(text.to_owned()),
        dst: text.to_owned(),
        outcome: Outcome::Unreachable,
        errno: Some(i32::MIN),
        duration_us: Some(u64::MAX),
    }
}

pub fn bodies(text: &str, many: usize) -> Vec<Body> {
    let open = token_open(text, many);
    let TokenOpen {
        verdict,
        undetermined,
        findings,
        process,
        container,
        pod,
        token,
        access,
        binding,
        evidence,
        attribution,
        ..
    } = open.clone();
    let other = OtherProcess {
        pid: u32::MAX,
        start_time: process.start_time,
        comm: text.to_owned(),
        container: container.clone(),
        pod: pod.clone(),
    };
    let hook = HookStatus {
        backend: text.to_owned(),
        state: text.to_owned(),
        misses: vec![text.to_owned(); many],
        refused: (0..many)
            .map(|n| (format!("{n}{text}"), text.to_owned()))
            .collect(),
        programs: (0..many)
            .map(|n| (format!("{n}{text}"), u32::MAX))
            .collect(),
    };
    let hooks = [
        "file_open",
        "connect",
        "connect_outcome",
        "cgroup_lifecycle",
    ];
    let (summary_pod, summary_owner) = (pod.clone(), token.owner.clone());
    vec![
        Body::TokenOpen(Box::new(open)),
        Body::ConnectionClosed(Box::new(ConnectionClosed {
            connect_id: text.to_owned(),
            bytes_sent: u64::MAX,
            bytes_received: u64::MAX,
            duration_us: u64::MAX,
            verdict,
            undetermined: undetermined.clone(),
            findings: findings.clone(),
            pod: pod.clone(),
            connection: connection(text),
        })),
        Body::AgentAccept(Box::new(AgentAccept {
            verdict,
            undetermined: undetermined.clone(),
            findings: findings.clone(),
            endpoint: text.to_owned(),
            peer: text.to_owned(),
            local: text.to_owned(),
            net_ns: u32::MAX,
            pod: pod.clone(),
            listener: pod.clone(),
            connect_id: Some(text.to_owned()),
            binding: binding.clone(),
            evidence: evidence.clone(),
            attribution: attribution.clone(),
        })),
        Body::Listen(Box::new(Listen {
            verdict,
            undetermined: undetermined.clone(),
            findings: findings.clone(),
            process: process.clone(),
            container: container.clone(),
            pod: pod.clone(),
            socket: ListenSocket {
                endpoint: text.to_owned(),
                local: text.to_owned(),
                net_ns: u32::MAX,
                agent_net_ns: true,
            },
            attribution: attribution.clone(),
        })),
        Body::TokenReceived(Box::new(TokenReceived {
            verdict,
            undetermined: undetermined.clone(),
            relation: Relation::OtherPod,
            findings: findings.clone(),
            process: process.clone(),
            container: container.clone(),
            pod: pod.clone(),
            connection: Some(ReceivedConnection {
                endpoint: text.to_owned(),
                src: Some(text.to_owned()),
                dst: text.to_owned(),
                connect_id: Some(text.to_owned()),
                owner: token.owner.clone(),
            }),
            token: Some(token),
            access,
            from: Some(other.clone()),
            binding: binding.clone(),
            evidence: evidence.clone(),
            attribution: attribution.clone(),
            repeats: u64::MAX,
        })),
        Body::MemoryAccess(Box::new(MemoryAccess {
            verdict,
            undetermined: undetermined.clone(),
            relation: Relation::OtherPod,
            findings: findings.clone(),
            process: process.clone(),
            container: container.clone(),
            pod: pod.clone(),
            target: other,
            mode: MemoryMode::AttachRealCreds,
            via: MemoryVia::ProcessVmReadv,
            backend: text.to_owned(),
            binding: binding.clone(),
            evidence: evidence.clone(),
            attribution: attribution.clone(),
            repeats: u64::MAX,
        })),
        Body::SocketCreate(Box::new(SocketCreate {
            verdict,
            undetermined: undetermined.clone(),
            findings: findings.clone(),
            process: process.clone(),
            container: container.clone(),
            pod: pod.clone(),
            socket: RawSocket {
                family: text.to_owned(),
                socket_type: text.to_owned(),
                protocol: u32::MAX,
                net_ns: u32::MAX,
                backend: text.to_owned(),
            },
            evidence: evidence.clone(),
            attribution: attribution.clone(),
            repeats: u64::MAX,
        })),
        Body::Posture(Box::new(Posture {
            state: PostureState::Raised,
            subject: PostureSubject {
                kind: text.to_owned(),
                namespace: text.into(),
                name: text.into(),
                uid: Some(text.into()),
                service_account: text.into(),
            },
            findings: findings.clone(),
            binding: binding.clone(),
            evidence: evidence.clone(),
        })),
        Body::CredentialConnect(Box::new(CredentialConnect {
            verdict,
            undetermined,
            relation: None,
            findings,
            process,
            container,
            pod,
            connection: connection(text),
            binding,
            evidence,
            attribution,
            repeats: 0,
        })),
        Body::Ready(Box::new(Ready {
            version: "0.1.0",
            kernel: text.to_owned(),
            backends: hooks
                .iter()
                .map(|h| ((*h).to_owned(), hook.clone()))
                .collect::<BTreeMap<_, _>>(),
            coverage: crate::probe::coverage(&BTreeMap::new()),
            state: text.to_owned(),
            policy_hash: Some(text.to_owned()),
            pods: Some(u64::MAX),
            associations: Some(u64::MAX),
            metrics: Some(text.to_owned()),
        })),
        health(text),
        Body::Stopped(Stopped {
            reason: text.to_owned(),
            ..Stopped::default()
        }),
        Body::Summary(Box::new(Summary {
            of: Some(text.to_owned()),
            count: u64::MAX,
            total: u64::MAX,
            first: "2026-11-22T12:00:00Z".parse().unwrap(),
            last: "2026-11-22T12:00:01Z".parse().unwrap(),
            stranger: true,
            relation: Some(Relation::OtherPod),
            cgroup_id: Some(u64::MAX),
            pod: summary_pod,
            exec_session: Some(false),
            exe_inode: None,
            token: Some(SummaryToken {
                volume: Some(text.to_owned()),
                owner: summary_owner,
            }),
            endpoint: Some(text.to_owned()),
        })),
        Body::Loss(Loss {
            reason: text.to_owned(),
            ring: Some(text.to_owned()),
            count: u64::MAX,
            from: "2026-11-22T12:00:00Z".parse().unwrap(),
            to: "2026-11-22T12:00:01Z".parse().unwrap(),
        }),
    ]
}

pub fn health(text: &str) -> Body {
    Body::Health(Health {
        component: "auditor".to_owned(),
        state: "ok".to_owned(),
        message: text.to_owned(),
    })
}
