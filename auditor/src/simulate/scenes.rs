//! The table of scenes. `manifests/simulate` has a pod for each [`Actor`]; tests hold both against each other, and the alerts against the
//! rules that raise them.

use std::time::Duration;

use serde::Serialize;

use crate::event::{FindingId, Severity};

/// A pod of `manifests/simulate`: its label `app.kubernetes.io/component`, and its ServiceAccount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    Victim,
    Workload,
    Unbound,
    Drifted,
    Thief,
}

impl Actor {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Victim => "victim",
            Self::Workload => "workload",
            Self::Unbound => "unbound",
            Self::Drifted => "drifted",
            Self::Thief => "thief",
        }
    }
}

/// What a scene must raise.
#[derive(Debug)]
pub struct Expected {
    pub finding: FindingId,
    pub severity: Severity,
    pub alert: &'static str,
    /// Whose the credential is, where the finding is about one.
    pub owner: Option<Actor>,
    /// From the deed until the alert fires, where Prometheus reads and judges each 30 s.
    pub within: Duration,
    /// The hook that tells of it, where kernels may be without (`credential_auditor_probe_info`).
    pub hook: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    OwnToken,
    ForeignExecutable,
    RawSocket,
    Impersonation,
    Agent,
    Theft,
    Write,
}

#[derive(Debug)]
pub struct Scene {
    pub name: &'static str,
    pub actor: Actor,
    pub what: &'static str,
    /// Why it hurts nobody.
    pub harmless: &'static str,
    /// Rights of its pod beyond those of any other.
    pub needs: &'static str,
    pub deed: Deed,
    pub expects: &'static [Expected],
}

/// A scrape, an evaluation, and as much again.
const SOON: Duration = Duration::from_mins(2);
/// What is not bound is judged by a look at the bindings after the event: two intervals of the sync more.
const AFTER_SYNC: Duration = Duration::from_mins(4);

const fn raises(finding: FindingId, severity: Severity, alert: &'static str) -> Expected {
    Expected {
        finding,
        severity,
        alert,
        owner: None,
        within: SOON,
        hook: None,
    }
}

/// In the order in which a pod plays its own.
pub const SCENES: &[Scene] = &[
    Scene {
        name: "own-token",
        actor: Actor::Workload,
        what: "opens its own IRSA token, whose role its spec names, and closes it: nothing must fire",
        harmless: "it is its own; no byte of it is read",
        needs: "nothing",
        deed: Deed::OwnToken,
        expects: &[],
    },
    Scene {
        name: "foreign-executable",
        actor: Actor::Workload,
        what: "copies this program into memory (memfd) and lets the copy open the pod's own token",
        harmless: "the copy is this program, plays `own-token`, and is gone when it ends",
        needs: "nothing; refused where vm.memfd_noexec is 2",
        deed: Deed::ForeignExecutable,
        expects: &[Expected {
            owner: Some(Actor::Workload),
            ..raises(
                FindingId::ForeignExecutable,
                Severity::High,
                "CredentialForeignProgram",
            )
        }],
    },
    Scene {
        name: "raw-socket",
        actor: Actor::Workload,
        what: "asks the kernel for a packet socket",
        harmless: "without CAP_NET_RAW it is refused; a socket that is given is closed at once, nothing is sent or received",
        needs: "nothing: to ask is what is told of",
        deed: Deed::RawSocket,
        expects: &[Expected {
            hook: Some("socket_create"),
            ..raises(
                FindingId::RawSocket,
                Severity::Medium,
                "CredentialSuspicious",
            )
        }],
    },
    Scene {
        name: "impersonation",
        actor: Actor::Workload,
        what: "listens on 169.254.170.23:80, the address of the Pod Identity agent, in its own network namespace, and stops",
        harmless: "the address is not its own (IP_FREEBIND), so nothing reaches it, and it accepts nobody",
        needs: "CAP_NET_BIND_SERVICE, which runtimes give by default",
        deed: Deed::Impersonation,
        expects: &[raises(
            FindingId::AgentImpersonation,
            Severity::Critical,
            "CredentialAgentImpersonation",
        )],
    },
    Scene {
        name: "unbound-token",
        actor: Actor::Unbound,
        what: "opens its own token for AWS STS, which neither an annotation nor its spec binds to a role",
        harmless: "no byte of it is read; its ServiceAccount has no rights anywhere",
        needs: "nothing",
        deed: Deed::OwnToken,
        expects: &[Expected {
            owner: Some(Actor::Unbound),
            ..raises(
                FindingId::UnboundTokenOpen,
                Severity::High,
                "CredentialUnassociatedAccess",
            )
        }],
    },
    Scene {
        name: "unassociated-agent",
        actor: Actor::Unbound,
        what: "connects to the Pod Identity agent, without an association and without having opened a token for it, and closes",
        harmless: "a TCP handshake: nothing is asked",
        needs: "nothing; refused where no agent runs on the node",
        deed: Deed::Agent,
        expects: &[
            Expected {
                within: AFTER_SYNC,
                ..raises(
                    FindingId::UnassociatedAgentConnect,
                    Severity::High,
                    "CredentialUnassociatedAccess",
                )
            },
            Expected {
                within: AFTER_SYNC,
                ..raises(
                    FindingId::AgentConnectWithoutToken,
                    Severity::Medium,
                    "CredentialSuspicious",
                )
            },
        ],
    },
    Scene {
        name: "role-drift",
        actor: Actor::Drifted,
        what: "opens its own IRSA token, while its spec names one role and its ServiceAccount another",
        harmless: "no byte of it is read; neither role exists",
        needs: "nothing",
        deed: Deed::OwnToken,
        expects: &[Expected {
            owner: Some(Actor::Drifted),
            ..raises(FindingId::RoleDrift, Severity::High, "CredentialRoleDrift")
        }],
    },
    Scene {
        name: "theft",
        actor: Actor::Thief,
        what: "opens the victim's IRSA token through a hostPath of the kubelet's directory",
        harmless: "the victim is of this simulation; no byte of its token is read",
        needs: "a hostPath of /var/lib/kubelet/pods: Pod Security `privileged`",
        deed: Deed::Theft,
        expects: &[Expected {
            owner: Some(Actor::Victim),
            ..raises(
                FindingId::ForeignTokenOpen,
                Severity::Critical,
                "CredentialTheft",
            )
        }],
    },
    Scene {
        name: "token-write",
        actor: Actor::Thief,
        what: "opens its own IRSA token for writing, through the same hostPath, and closes it",
        harmless: "nothing is written, and the file is not truncated; it is its own",
        needs: "as `theft`: a pod's own mount of it is read-only",
        deed: Deed::Write,
        expects: &[Expected {
            owner: Some(Actor::Thief),
            ..raises(
                FindingId::TokenWrite,
                Severity::High,
                "CredentialTokenTampering",
            )
        }],
    },
];

/// Alerts of findings that no scene raises, and why.
pub const NOT_SIMULATED: &[(&str, &str)] = &[
    (
        "CredentialHostAccess",
        "takes a process outside every pod: root on the node. By hand, there: `sudo sh -c ': < TOKEN'` on the victim's token",
    ),
    (
        "CredentialStealthConnection",
        "takes a TCP stack on raw sockets that speaks to the agent",
    ),
    (
        "CredentialIdentityMismatch",
        "takes a process that moves into another pod's cgroup or namespaces: root on the node",
    ),
    (
        "CredentialMemoryAccess",
        "takes the node's PID namespace and CAP_SYS_PTRACE, and with them every process of the node",
    ),
    (
        "CredentialNodeRoleFallback",
        "takes more than a region look-up from the metadata service: the node's own credentials",
    ),
    (
        "CredentialAgentUnreachable",
        "takes an agent that fails for six minutes",
    ),
];

/// The scene of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scene> {
    SCENES.iter().find(|scene| scene.name == name)
}
