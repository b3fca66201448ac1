//! `credential-memory-access`

use crate::{
    audit::{
        Actor, MemoryCase, Target,
        ruling::{Input, Ruling},
    },
    event::{MemoryVia, Relation, Severity},
};

/// The memory of a process whose pod holds a token for AWS, asked for from outside that pod or from an exec session in it: what
/// an SDK read and was given lies there. The agent's is worth all of theirs. Debuggers and profilers beside it in the pod are the pod's own business.
pub fn credential_memory_access(case: &MemoryCase<'_>) -> Ruling {
    let lacking = match case.target {
        Target::Host => return Ruling::Clear,
        Target::Pod(_) if case.is_worth_it() == Some(false) => return Ruling::Clear,
        Target::Pod(_) | Target::HostAgent => None,
        Target::UnlistedPod { .. } => Some(Input::Pod),
        Target::Unknown => Some(Input::Owner),
    };
    let is_session = match (case.actor, case.relation()) {
        // A finding of its own.
        (Actor::Conflict { .. }, _) => return Ruling::Clear,
        (Actor::Unknown, _) => return Ruling::Lacks(lacking.unwrap_or(Input::Process)),
        (_, Relation::Own) => match is_from_outside(case) {
            Ok(true) => true,
            Ok(false) => return Ruling::Clear,
            Err(input) => return Ruling::Lacks(input),
        },
        (Actor::Pod { .. } | Actor::UnlistedPod { .. } | Actor::Host, _) => false,
    };
    if let Some(input) = lacking {
        return Ruling::Lacks(input);
    }
    let (comm, target) = (&case.process.comm, case.target.describe());
    let actor = if is_session {
        format!("an exec session in {target} ({comm})")
    } else {
        case.actor.describe(case.process)
    };
    let what = match case.via {
        MemoryVia::Ptrace => "to trace a process",
        MemoryVia::ProcessVmWritev => "to write to the memory",
        MemoryVia::PidfdGetfd => "for a descriptor",
        MemoryVia::ProcessVmReadv | MemoryVia::ProcFile | MemoryVia::Other => "for the memory",
    };
    // That the kernel let it is likely, and not known: capabilities and security modules have their say behind the hook.
    let (severity, holds) = if case.is_agent() {
        (
            Severity::Critical,
            "the credentials of all pods with an association",
        )
    } else {
        (Severity::High, "a token for AWS")
    };
    Ruling::finding(
        severity,
        format!("{actor} asked {what} of {target}, which holds {holds}"),
    )
}

/// Whether the process, which is in the target's pod, came there from outside.
fn is_from_outside(case: &MemoryCase<'_>) -> Result<bool, Input> {
    if let Some(is_session) = case.process.exec_session {
        return Ok(is_session);
    }
    match case.actor {
        Actor::UnlistedPod { .. } => Err(Input::Pod),
        // Not known in shared and host pid namespaces, where debuggers live, and mostly no session. Elsewhere the way up to the
        // init was too long, which nobody needs who has nothing to hide.
        Actor::Pod { pod, .. } => {
            if pod.share_process_namespace || pod.host_pid || case.process.host_namespaces {
                Ok(false)
            } else {
                Err(Input::Process)
            }
        }
        Actor::Host | Actor::Conflict { .. } | Actor::Unknown => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{Said, Scene, Who, Whose, with_identity};

    const HIGH: Said = Said::Finds(Severity::High);

    fn scene() -> Scene {
        let scene = with_identity(Scene::new(), "web");
        with_identity(scene, "web-2")
    }

    #[test]
    fn from_outside_the_pod() {
        let scene = scene();
        for (who, whose, expected) in [
            (Who::Pod("api"), Whose::Pod("web"), HIGH),
            // Memory is no file that both have a right to.
            (Who::Pod("web"), Whose::Pod("web-2"), HIGH),
            (Who::Pod("web"), Whose::Pod("web"), Said::Clear),
            (Who::Host, Whose::Pod("web"), HIGH),
            (Who::Unlisted("uid-x"), Whose::Pod("web"), HIGH),
            (Who::Unlisted("uid-web"), Whose::Pod("web"), Said::Clear),
            (Who::Conflict, Whose::Pod("web"), Said::Clear),
            (Who::Unknown, Whose::Pod("web"), Said::Lacks(Input::Process)),
            // That pod holds none.
            (Who::Pod("web"), Whose::Pod("api"), Said::Clear),
            (Who::Host, Whose::Pod("api"), Said::Clear),
            (Who::Unknown, Whose::Pod("api"), Said::Clear),
            // Whether it holds one will be told.
            (
                Who::Pod("web"),
                Whose::Untold("uid-x"),
                Said::Lacks(Input::Pod),
            ),
            (Who::Host, Whose::Untold("uid-x"), Said::Lacks(Input::Pod)),
            (
                Who::Unknown,
                Whose::Untold("uid-x"),
                Said::Lacks(Input::Pod),
            ),
            (Who::Unlisted("uid-x"), Whose::Untold("uid-x"), Said::Clear),
            (Who::Pod("web"), Whose::Nobody, Said::Lacks(Input::Owner)),
        ] {
            let said = scene.memory(who, whose, credential_memory_access);
            assert_eq!(said, expected, "{who:?} {whose:?}");
        }
    }

    #[test]
    fn from_an_exec_session() {
        let own = (Who::Pod("web"), Whose::Pod("web"));
        for (exec_session, shared, expected) in [
            (Some(true), false, HIGH),
            (Some(true), true, HIGH),
            (Some(false), false, Said::Clear),
            (None, true, Said::Clear),
            (None, false, Said::Lacks(Input::Process)),
        ] {
            let scene = scene()
                .edit(|s| s.process.exec_session = exec_session)
                .edit_pod("web", |pod| pod.share_process_namespace = shared);
            let said = scene.memory(own.0, own.1, credential_memory_access);
            assert_eq!(said, expected, "{exec_session:?} {shared}");
        }
        let session = scene().edit(|s| s.process.exec_session = Some(true));
        let in_one_without =
            session.memory(Who::Pod("api"), Whose::Pod("api"), credential_memory_access);
        assert_eq!(in_one_without, Said::Clear);
        let untold = session.memory(
            Who::Unlisted("uid-x"),
            Whose::Untold("uid-x"),
            credential_memory_access,
        );
        assert_eq!(untold, Said::Lacks(Input::Pod));
    }

    #[test]
    fn tokens_for_the_api_server_are_not_meant() {
        use crate::cluster::{ProjectedVolume, TokenSource};
        for (audience, expected) in [
            (None, Said::Clear),
            (Some("vault"), Said::Clear),
            (Some("sts.amazonaws.com"), HIGH),
            (Some("pods.eks.amazonaws.com"), HIGH),
        ] {
            let scene = Scene::new().edit_pod("web", |pod| {
                pod.volumes = vec![ProjectedVolume {
                    name: "volume".into(),
                    tokens: vec![TokenSource {
                        path: "token".into(),
                        audience: audience.map(Into::into),
                        expiration_seconds: None,
                    }],
                    ..ProjectedVolume::default()
                }];
            });
            let said = scene.memory(Who::Host, Whose::Pod("web"), credential_memory_access);
            assert_eq!(said, expected, "{audience:?}");
        }
    }

    #[test]
    fn the_agents_memory_is_worth_all_of_theirs() {
        let critical = Said::Finds(Severity::Critical);
        for who in [Who::Pod("web"), Who::Host, Who::Unlisted("u")] {
            let said = Scene::new().memory(who, Whose::Pod("agent"), credential_memory_access);
            assert_eq!(said, critical, "{who:?}");
        }
        let scene = Scene::new();
        let own = scene.memory(
            Who::Pod("agent"),
            Whose::Pod("agent"),
            credential_memory_access,
        );
        assert_eq!(own, Said::Clear);
        let judgement = scene.judge_memory(Who::Pod("web"), Whose::Pod("agent"));
        assert!(
            judgement.findings[0]
                .message
                .ends_with("the credentials of all pods with an association"),
            "{}",
            judgement.findings[0].message
        );
    }

    #[test]
    fn messages_name_both() {
        let message =
            |scene: &Scene, who, whose| scene.judge_memory(who, whose).findings[0].message.clone();
        let scene = scene();
        assert_eq!(
            message(&scene, Who::Pod("api"), Whose::Pod("web")),
            "payments/api asked for the memory of shop/web, which holds a token for AWS"
        );
        let session = scene.edit(|s| s.process.exec_session = Some(true));
        assert_eq!(
            message(&session, Who::Pod("web"), Whose::Pod("web")),
            "an exec session in shop/web (cat) asked for the memory of shop/web, which holds a token for AWS"
        );
    }
}
