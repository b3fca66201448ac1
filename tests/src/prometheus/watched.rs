//! Which alerts each scene must raise, and for whom.

/// An alert that must be raised: its name, and labels that it must have.
pub struct Raised {
    pub alert: &'static str,
    /// `firing`, or `pending` of what fires only where it lasts: how long, the rule tests hold.
    pub state: &'static str,
    pub labels: &'static [(&'static str, &'static str)],
    /// The hook that tells of it, where kernels may be without.
    pub hook: Option<&'static str>,
}

pub struct Watched {
    /// By its name in `lab list`.
    pub scene: &'static str,
    pub raised: &'static [Raised],
}

const fn of(alert: &'static str, labels: &'static [(&'static str, &'static str)]) -> Raised {
    Raised {
        alert,
        state: FIRING,
        labels,
        hook: None,
    }
}

pub const FIRING: &str = "firing";

/// In the order in which they are played. What policy and bindings allow comes first: it raises nothing.
pub const WATCHED: &[Watched] = &[
    Watched {
        scene: "own-irsa",
        raised: &[],
    },
    Watched {
        scene: "kubelet-sync",
        raised: &[],
    },
    Watched {
        scene: "theft-through-host-path",
        raised: &[of(
            "CredentialTheft",
            &[
                ("finding", "foreign-token-open"),
                ("workload_namespace", "shop"),
                ("workload_service_account", "web"),
                ("owner_namespace", "payments"),
                ("owner_service_account", "ledger"),
            ],
        )],
    },
    Watched {
        scene: "same-service-account",
        raised: &[of(
            "CredentialSuspicious",
            &[
                ("finding", "foreign-token-open"),
                ("finding_severity", "medium"),
                ("workload_namespace", "batch"),
                ("workload_service_account", "worker"),
                ("owner_service_account", "worker"),
            ],
        )],
    },
    Watched {
        scene: "host-process",
        raised: &[of(
            "CredentialHostAccess",
            &[
                ("owner_namespace", "payments"),
                ("owner_service_account", "books"),
            ],
        )],
    },
    Watched {
        scene: "kubectl-exec",
        raised: &[of(
            "CredentialForeignProgram",
            &[
                ("finding", "exec-session-token-open"),
                ("workload_namespace", "payments"),
                ("workload_service_account", "api-v2"),
            ],
        )],
    },
    Watched {
        scene: "moved-into-victims-cgroup",
        raised: &[of(
            "CredentialIdentityMismatch",
            &[
                ("owner_namespace", "payments"),
                ("owner_service_account", "wire"),
            ],
        )],
    },
    Watched {
        scene: "role-drift",
        raised: &[of(
            "CredentialRoleDrift",
            &[
                ("workload_namespace", "payments"),
                ("workload_service_account", "audit"),
            ],
        )],
    },
    Watched {
        scene: "imds-fallback",
        raised: &[of(
            "CredentialNodeRoleFallback",
            &[
                ("workload_namespace", "shop"),
                ("workload_service_account", "report"),
            ],
        )],
    },
    Watched {
        scene: "unassociated-pod-at-agent",
        raised: &[
            of(
                "CredentialUnassociatedAccess",
                &[
                    ("workload_namespace", "shop"),
                    ("workload_service_account", "banner"),
                ],
            ),
            of(
                "CredentialSuspicious",
                &[
                    ("finding", "agent-connect-without-token"),
                    ("workload_service_account", "banner"),
                ],
            ),
        ],
    },
    Watched {
        scene: "agent-refuses",
        raised: &[Raised {
            state: "pending",
            ..of(
                "CredentialAgentUnreachable",
                &[
                    ("workload_namespace", "shop"),
                    ("workload_service_account", "alone"),
                ],
            )
        }],
    },
    Watched {
        scene: "impostor-in-own-network",
        raised: &[of(
            "CredentialAgentImpersonation",
            &[
                ("workload_namespace", "shop"),
                ("workload_service_account", "decoy"),
            ],
        )],
    },
    Watched {
        scene: "raw-tcp-to-agent",
        raised: &[
            of(
                "CredentialStealthConnection",
                &[
                    ("workload_namespace", "shop"),
                    ("workload_service_account", "tunnel"),
                ],
            ),
            Raised {
                hook: Some("socket_create"),
                ..of(
                    "CredentialSuspicious",
                    &[
                        ("finding", "raw-socket"),
                        ("workload_service_account", "tunnel"),
                    ],
                )
            },
        ],
    },
    Watched {
        scene: "memory-from-another-pod",
        raised: &[of(
            "CredentialMemoryAccess",
            &[
                ("workload_namespace", "ops"),
                ("owner_namespace", "payments"),
                ("owner_service_account", "coins"),
            ],
        )],
    },
];

#[test]
fn each_scene_is_one_of_the_lab_and_is_played_once() {
    let scenes: Vec<&str> = crate::scene::all().iter().map(|scene| scene.name).collect();
    for (at, watched) in WATCHED.iter().enumerate() {
        assert!(scenes.contains(&watched.scene), "{}", watched.scene);
        let before = WATCHED[..at].iter();
        assert!(
            before
                .map(|other| other.scene)
                .all(|name| name != watched.scene)
        );
    }
}
