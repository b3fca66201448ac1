//! `identity-mismatch`

use crate::{
    audit::{Actor, ruling::Ruling},
    event::Severity,
};

/// Cgroup and namespaces disagree on whose process it is: one that moved itself into another pod's cgroup, or joined its namespaces.
pub fn identity_mismatch(actor: &Actor<'_>) -> Ruling {
    match actor {
        Actor::Conflict { candidates } => Ruling::finding(
            Severity::Critical,
            format!(
                "the process claims more than one identity: {}",
                candidates.join(" or ")
            ),
        ),
        Actor::Pod { .. } | Actor::UnlistedPod { .. } | Actor::Host | Actor::Unknown => {
            Ruling::Clear
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        audit::testing::{Scene, Who, Whose, ids},
        event::{EndpointKind, FindingId, Outcome, Relation, TokenKind, Verdict},
    };

    #[test]
    fn cases() {
        let scene = Scene::new();
        for (who, expected) in [
            (Who::Conflict, true),
            (Who::Pod("web"), false),
            (Who::Unlisted("uid-web"), false),
            (Who::Host, false),
            (Who::Unknown, false),
        ] {
            let open = scene.judge_open(who, Whose::Pod("web"), TokenKind::Irsa);
            let endpoint = EndpointKind::PodIdentityAgent;
            let connect = scene.judge_connect(who, endpoint, Outcome::Refused);
            for judgement in [open, connect] {
                let found = ids(&judgement.findings).contains(&FindingId::IdentityMismatch);
                assert_eq!(found, expected, "{who:?}");
            }
        }
    }

    #[test]
    fn neither_identity_is_trusted() {
        let open = Scene::new().judge_open(Who::Conflict, Whose::Pod("web"), TokenKind::Irsa);
        assert_eq!(ids(&open.findings), [FindingId::IdentityMismatch]);
        assert_eq!(open.verdict, Verdict::Violation);
        assert_eq!(open.relation, Some(Relation::Unknown));
        assert_eq!(open.evidence.candidates, ["shop/web", "payments/api"]);
        assert_eq!(
            open.findings[0].message,
            "the process claims more than one identity: shop/web or payments/api"
        );
    }
}
