//! `agent-connect-without-token`

use super::{Connector, connector, is_reached};
use crate::{
    audit::{
        ConnectCase,
        ruling::{Input, Ruling},
    },
    event::{EndpointKind, Severity},
};

/// A pod reaches the agent though no process of it opened its own token within the token's life: a replayed one, perhaps.
///
/// Where an open could have gone unseen, before the auditor's start or in a loss, that is told and does not count.
pub fn agent_connect_without_token(case: &ConnectCase<'_>) -> Ruling {
    let reached = is_reached(case.outcome);
    if case.endpoint != EndpointKind::PodIdentityAgent || reached == Some(false) {
        return Ruling::Clear;
    }
    let pod = match connector(&case.actor, case.knowledge.policy) {
        Connector::Pod(pod) => pod,
        Connector::Exempt => return Ruling::Clear,
        Connector::Lacks(input) => return Ruling::Lacks(input),
    };
    let Some(history) = case.history else {
        return Ruling::Clear;
    };
    if history.had_token_at(case.time) {
        return Ruling::Clear;
    }
    let name = pod.full_name();
    let what = format!(
        "{name} reached the Pod Identity agent, but none of its processes was seen to open its token"
    );
    match (history.would_have_seen(), reached) {
        (true, Some(true)) => Ruling::finding(Severity::Medium, what),
        (true, _) => Ruling::Lacks(Input::Outcome),
        (false, Some(true)) => Ruling::finding(
            Severity::Info,
            format!("{what} since {}", history.observed_since),
        ),
        (false, _) => Ruling::Clear,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        audit::{
            History, PodHistory,
            testing::{Said, Scene, Who, Whose, ids, seconds_later},
        },
        event::{FindingId, Outcome, Relation, TokenKind, TokenRef},
    };

    const AGENT: EndpointKind = EndpointKind::PodIdentityAgent;
    const MEDIUM: Said = Said::Finds(Severity::Medium);

    /// Of a pod that was made 86 s before the event: when the auditor started, and when the pod opened its token, in seconds before it.
    fn history(started: i64, opened: Option<i64>) -> PodHistory {
        let scene = Scene::new();
        let web = scene.pod("web");
        let mut history = History::new(seconds_later(-started));
        if let Some(opened) = opened {
            let token = TokenRef {
                kind: TokenKind::PodIdentity,
                volume: None,
                file: "eks-pod-identity-token".into(),
                audience: None,
                expiration_seconds: Some(600),
                owner: Some(web.owner_ref()),
            };
            history.note_open(&token, Relation::Own, seconds_later(-opened));
        }
        history.of(&web.uid, web.created)
    }

    #[test]
    fn by_what_was_seen() {
        for (what, history, expected) in [
            ("opened just now", Some(history(1000, Some(1))), Said::Clear),
            (
                "opened before the auditor saw the pod start",
                Some(history(10, Some(1))),
                Said::Clear,
            ),
            (
                "opened after the connect",
                Some(history(1000, Some(-1))),
                MEDIUM,
            ),
            (
                "opened, and expired since",
                Some(history(1000, Some(601))),
                MEDIUM,
            ),
            (
                "never, watched from the start",
                Some(history(1000, None)),
                MEDIUM,
            ),
            (
                "never, watched later",
                Some(history(10, None)),
                Said::Finds(Severity::Info),
            ),
            ("no history", None, Said::Clear),
        ] {
            let scene = Scene::new().edit(|s| s.history = history);
            let who = Who::Pod("web");
            let said = scene.connect(
                who,
                AGENT,
                Outcome::Established,
                agent_connect_without_token,
            );
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn by_who_connects_where_and_how_it_ends() {
        let watched = Scene::new().edit(|s| s.history = Some(history(1000, None)));
        let late = Scene::new().edit(|s| s.history = Some(history(10, None)));
        for (scene, who, endpoint, outcome, expected) in [
            (
                &watched,
                Who::Pod("web"),
                AGENT,
                Outcome::Established,
                MEDIUM,
            ),
            (
                &watched,
                Who::Pod("web"),
                AGENT,
                Outcome::Refused,
                Said::Clear,
            ),
            (
                &watched,
                Who::Pod("web"),
                AGENT,
                Outcome::Timeout,
                Said::Clear,
            ),
            (
                &watched,
                Who::Pod("web"),
                AGENT,
                Outcome::Pending,
                Said::Lacks(Input::Outcome),
            ),
            (&late, Who::Pod("web"), AGENT, Outcome::Pending, Said::Clear),
            (
                &watched,
                Who::Pod("web"),
                EndpointKind::Imds,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &watched,
                Who::Pod("agent"),
                AGENT,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &watched,
                Who::Host,
                AGENT,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &watched,
                Who::Conflict,
                AGENT,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &watched,
                Who::Unlisted("u"),
                AGENT,
                Outcome::Established,
                Said::Lacks(Input::Pod),
            ),
            (
                &watched,
                Who::Unknown,
                AGENT,
                Outcome::Established,
                Said::Lacks(Input::Process),
            ),
        ] {
            let said = scene.connect(who, endpoint, outcome, agent_connect_without_token);
            assert_eq!(said, expected, "{who:?} {endpoint:?} {outcome:?}");
        }
    }

    #[test]
    fn says_since_when_an_open_would_have_been_seen() {
        let scene = Scene::new().associate("web");
        let scene = scene.edit(|s| s.history = Some(history(10, None)));
        let judgement = scene.judge_connect(Who::Pod("web"), AGENT, Outcome::Established);
        assert_eq!(
            ids(&judgement.findings),
            [FindingId::AgentConnectWithoutToken]
        );
        let since: Timestamp = judgement.evidence.observed_since.unwrap().parse().unwrap();
        assert_eq!(since, seconds_later(-10));

        let seen = scene.edit(|s| s.history = Some(history(1000, Some(1))));
        let judgement = seen.judge_connect(Who::Pod("web"), AGENT, Outcome::Established);
        assert_eq!(judgement.evidence.observed_since, None);
        let open = seen.judge_open(Who::Pod("web"), Whose::Pod("web"), TokenKind::PodIdentity);
        assert_eq!(open.evidence.observed_since, None);
    }
}
