//! `token-harvest`

use crate::{
    audit::{Actor, OpenCase, ruling::Ruling},
    event::{OwnerRef, Relation, Severity},
};

/// One opener takes the tokens of two or more other pods within ten minutes. It stands on the second theft and on each further one.
///
/// Ask only about a theft that counts, see [`is_counted_theft`](crate::audit::is_counted_theft).
pub fn token_harvest(case: &OpenCase<'_>) -> Ruling {
    let taken = victims(case);
    if taken.len() < 2 {
        return Ruling::Clear;
    }
    Ruling::finding(
        Severity::Critical,
        format!(
            "{} took the tokens of {} pods within ten minutes: {}",
            case.describe_actor(),
            taken.len(),
            named(&taken)
        ),
    )
}

/// Whose tokens were taken, this one's owner last. Empty where this open is no theft.
pub fn victims<'a>(case: &OpenCase<'a>) -> Vec<&'a OwnerRef> {
    let is_theft = matches!(
        (case.relation(), case.actor),
        (Relation::OtherPod | Relation::Host, _) | (Relation::Unknown, Actor::Conflict { .. })
    );
    let Some(owner) = &case.token.owner else {
        return Vec::new();
    };
    if !is_theft || !is_others(&case.actor, owner) {
        return Vec::new();
    }
    let before = case
        .taken
        .iter()
        .filter(|taken| taken.uid != owner.uid && is_others(&case.actor, taken));
    before.chain([owner]).collect()
}

/// The opener may have been told of, or told apart, since it took that one's.
fn is_others(actor: &Actor<'_>, owner: &OwnerRef) -> bool {
    match actor {
        Actor::Pod { .. } | Actor::UnlistedPod { .. } => {
            crate::audit::relation(actor, Some(owner)) == Relation::OtherPod
        }
        Actor::Conflict { candidates } => {
            let name = name(owner);
            !candidates.contains(&name)
        }
        Actor::Host | Actor::Unknown => true,
    }
}

/// As `evidence.taken` and messages name an owner.
pub fn name(owner: &OwnerRef) -> String {
    match (&owner.namespace, &owner.name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => format!("pod {}", owner.uid),
    }
}

/// The last three, the newest first.
fn named(taken: &[&OwnerRef]) -> String {
    let mut text = taken
        .iter()
        .rev()
        .take(3)
        .map(|owner| name(owner))
        .collect::<Vec<_>>()
        .join(", ");
    if taken.len() > 3 {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose, ids},
        event::{FindingId, TokenKind},
    };

    const CRITICAL: Said = Said::Finds(Severity::Critical);

    fn after(taken: &[&str]) -> Scene {
        let scene = Scene::new();
        let owners: Vec<_> = taken.iter().map(|name| scene.owner(name)).collect();
        scene.edit(|s| s.taken = owners)
    }

    #[test]
    fn cases() {
        let api = Whose::Pod("api");
        for (what, taken, who, whose, expected) in [
            (
                "the first theft",
                &[][..],
                Who::Pod("web"),
                api,
                Said::Clear,
            ),
            ("the second", &["agent"], Who::Pod("web"), api, CRITICAL),
            (
                "the same owner's again",
                &["api"],
                Who::Pod("web"),
                api,
                Said::Clear,
            ),
            (
                "a sibling's before",
                &["web-2"],
                Who::Pod("web"),
                api,
                Said::Clear,
            ),
            (
                "its own before, when the cluster had not told of it",
                &["web"],
                Who::Pod("web"),
                api,
                Said::Clear,
            ),
            (
                "a sibling's now",
                &["api", "agent"],
                Who::Pod("web"),
                Whose::Pod("web-2"),
                Said::Clear,
            ),
            (
                "its own now",
                &["api", "agent"],
                Who::Pod("web"),
                Whose::Pod("web"),
                Said::Clear,
            ),
            ("by the host", &["agent"], Who::Host, api, CRITICAL),
            ("by the host, once", &[], Who::Host, api, Said::Clear),
            (
                "by a pod that nothing told of",
                &["agent"],
                Who::Unlisted("u"),
                api,
                CRITICAL,
            ),
            (
                "of one that nothing told of",
                &["api"],
                Who::Pod("web"),
                Whose::Untold("u"),
                CRITICAL,
            ),
            (
                "of nobody known",
                &["api"],
                Who::Host,
                Whose::Nobody,
                Said::Clear,
            ),
            (
                "by one with two identities, of a third and a fourth",
                &["agent"],
                Who::Conflict,
                Whose::Pod("web-2"),
                CRITICAL,
            ),
            (
                "by one with two identities, of one of these",
                &["agent"],
                Who::Conflict,
                api,
                Said::Clear,
            ),
            (
                "by nobody known",
                &["agent"],
                Who::Unknown,
                api,
                Said::Clear,
            ),
        ] {
            let said = after(taken).open(who, whose, TokenKind::ServiceAccount, token_harvest);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn it_comes_with_the_theft_and_names_whose() {
        let judgement =
            after(&["agent"]).judge_open(Who::Pod("web"), Whose::Pod("api"), TokenKind::Irsa);
        assert_eq!(
            ids(&judgement.findings),
            [FindingId::ForeignTokenOpen, FindingId::TokenHarvest]
        );
        assert_eq!(
            judgement.evidence.taken,
            ["kube-system/agent", "payments/api"]
        );
        assert_eq!(
            judgement.findings[1].message,
            "shop/web took the tokens of 2 pods within ten minutes: payments/api, kube-system/agent"
        );
        let first = after(&[]).judge_open(Who::Pod("web"), Whose::Pod("api"), TokenKind::Irsa);
        assert!(first.evidence.taken.is_empty());
    }

    #[test]
    fn an_exempted_theft_is_no_part_of_a_harvest() {
        let scan = "exempt: [{match: {finding: foreign-token-open}, reason: scan}]";
        let mild = "severity: {foreign-token-open: info}";
        let harvest = "exempt: [{match: {finding: token-harvest}, reason: scan}]";
        for (policy, expected, exempted) in [
            (scan, &[FindingId::ForeignTokenOpen][..], None),
            (mild, &[FindingId::ForeignTokenOpen], None),
            (
                harvest,
                &[FindingId::ForeignTokenOpen, FindingId::TokenHarvest],
                Some("scan"),
            ),
        ] {
            let scene = after(&["agent"]).policy(policy);
            let judgement = scene.judge_open(Who::Pod("web"), Whose::Pod("api"), TokenKind::Irsa);
            assert_eq!(ids(&judgement.findings), expected, "{policy}");
            let last = judgement.findings.last().unwrap();
            if last.id == FindingId::TokenHarvest {
                assert_eq!(last.exempted_by.as_deref(), exempted);
                // The theft itself still counts.
                assert_eq!(judgement.verdict, crate::event::Verdict::Violation);
            }
        }
    }

    #[test]
    fn many_victims_are_named_in_part() {
        let scene = after(&["agent", "api", "web-2"]);
        let judgement = scene.judge_open(Who::Host, Whose::Pod("web"), TokenKind::Irsa);
        assert_eq!(judgement.evidence.taken.len(), 4);
        let harvest = &judgement.findings[0];
        assert_eq!(harvest.id, FindingId::TokenHarvest);
        assert_eq!(
            harvest.message,
            "a host process (cat) took the tokens of 4 pods within ten minutes: shop/web, shop/web-2, payments/api, …"
        );
    }
}
