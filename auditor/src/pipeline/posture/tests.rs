use super::*;
use crate::{
    cluster::testing::pod,
    event::{Evidence, Finding, FindingId, Injected, Severity},
};

const ALL: usize = usize::MAX;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

fn found(message: &str) -> StateFound {
    StateFound {
        finding: Finding {
            id: FindingId::IdentityNotInjected,
            severity: Severity::Medium,
            message: message.to_owned(),
            exempted_by: None,
        },
        binding: None,
        evidence: Evidence {
            injected: Injected::default(),
            sa_role_arn: None,
            pod_age_ms: None,
            bindings_age_ms: None,
            policy_hash: None,
            observed_since: None,
            token_opened_at: None,
            learned_since: None,
            taken: Vec::new(),
            candidates: Vec::new(),
        },
    }
}

fn holding(names: &[&str], message: &str) -> HashMap<Key, Posture> {
    let each = names.iter().map(|name| {
        let pod = pod("shop", name);
        let key = Key::Pod(pod.uid.clone());
        (key, posture(of_pod(&pod), found(message)))
    });
    each.collect()
}

/// What the lines say, in any order.
fn said(lines: Vec<Posture>) -> Vec<String> {
    let mut said: Vec<String> = lines
        .into_iter()
        .map(|line| format!("{} {:?}", line.subject.name, line.state))
        .collect();
    said.sort();
    said
}

#[test]
fn a_state_is_raised_once_it_has_settled_and_cleared_once() {
    let mut postures = Postures::default();
    let mut look =
        |second, names: &[&str]| said(postures.update(holding(names, ""), at(second), ALL));
    assert!(look(0, &["web"]).is_empty());
    assert!(look(2, &["web", "api"]).is_empty());
    assert_eq!(look(4, &["web", "api"]), ["web Raised"]);
    assert_eq!(look(6, &["web", "api"]), ["api Raised"]);
    assert!(look(8, &["web", "api"]).is_empty());
    assert_eq!(look(10, &["api"]), ["web Cleared"]);
    assert!(look(12, &["api"]).is_empty());
    // It comes back: that is another time.
    assert!(look(14, &["api", "web"]).is_empty());
    assert_eq!(look(18, &["web"]), ["api Cleared", "web Raised"]);
}

#[test]
fn what_does_not_settle_is_never_told() {
    let mut postures = Postures::default();
    assert!(
        postures
            .update(holding(&["web"], ""), at(0), ALL)
            .is_empty()
    );
    assert!(postures.update(holding(&[], ""), at(2), ALL).is_empty());
    assert!(
        postures
            .update(holding(&["web"], ""), at(4), ALL)
            .is_empty()
    );
    assert!(postures.update(holding(&[], ""), at(6), ALL).is_empty());
    assert!(postures.states.is_empty());
}

#[test]
fn a_line_tells_what_holds_when_it_is_raised_and_the_same_when_it_is_cleared() {
    let mut postures = Postures::default();
    postures.update(holding(&["web"], "first"), at(0), ALL);
    let raised = postures.update(holding(&["web"], "then"), at(4), ALL);
    assert_eq!(raised[0].findings[0].message, "then");
    assert!(
        postures
            .update(holding(&["web"], "now"), at(6), ALL)
            .is_empty()
    );
    let cleared = postures.update(HashMap::new(), at(8), ALL);
    assert_eq!(cleared[0].findings, raised[0].findings);
}

#[test]
fn looks_are_apart_and_time_that_was_not_watched_does_not_count() {
    let mut postures = Postures::default();
    let mut due = |second| postures.due(at(second)).map(|elapsed| elapsed.as_secs());
    assert_eq!(due(0), Some(0));
    assert_eq!(due(1), None);
    assert_eq!(due(2), Some(2));
    assert_eq!(due(3602), Some(60));
    assert_eq!(due(100), Some(0), "the clock was set back");
    assert_eq!(due(102), Some(2));
}

#[test]
fn what_finds_no_room_is_told_at_the_next_look() {
    let mut postures = Postures::default();
    let mut look =
        |second, names: &[&str], most| postures.update(holding(names, ""), at(second), most).len();
    let three = ["a", "b", "c"];
    assert_eq!(look(0, &three, 2), 0);
    assert_eq!(look(4, &three, 2), 2);
    assert_eq!(look(6, &three, 2), 1);
    assert_eq!(look(8, &three, 2), 0);
    assert_eq!(look(10, &[], 2), 2);
    assert_eq!(look(12, &[], 2), 1);
    assert!(postures.states.is_empty());
}

#[test]
fn it_is_bounded() {
    let mut postures = Postures::default();
    let names: Vec<String> = (0..CAPACITY + 10).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    postures.update(holding(&names, ""), at(0), ALL);
    let raised = postures.update(holding(&names, ""), at(10), ALL);
    assert_eq!(raised.len(), CAPACITY);
}

#[test]
fn only_an_own_open_of_a_bound_token_is_a_use() {
    let web = pod("shop", "web");
    let binding = Binding {
        source: "serviceaccount".into(),
        generation: None,
        hash: None,
        kind: crate::event::BindingKind::Irsa,
        association_id: None,
        association_arn: None,
        role_arn: Some("arn".into()),
        target_role_arn: None,
        external_id: None,
        session_tags: None,
        session_name_prefix: None,
    };
    let token = |kind| TokenRef {
        kind,
        volume: None,
        file: "token".into(),
        audience: None,
        expiration_seconds: None,
        owner: Some(web.owner_ref()),
    };
    let irsa = token(TokenKind::Irsa);
    let api = token(TokenKind::ServiceAccount);
    for (token, relation, binding, expected) in [
        (&irsa, Relation::Own, Some(&binding), 1),
        (&irsa, Relation::SameServiceAccount, Some(&binding), 0),
        (&irsa, Relation::OtherPod, Some(&binding), 0),
        (&irsa, Relation::Own, None, 0),
        (&api, Relation::Own, None, 0),
    ] {
        let mut postures = Postures::default();
        postures.note_open(&web, token, relation, binding, at(0));
        let used: Vec<_> = postures.uses.iter().map(|usage| usage.last_used).collect();
        assert_eq!(used.len(), expected, "{relation:?} {:?}", token.kind);
        assert!(used.iter().all(|last| *last == Some(at(0))));
    }
}

/// A pod for each ServiceAccount, of that name.
fn of_accounts(names: &[&str]) -> Vec<Arc<Pod>> {
    let each = names.iter().map(|name| {
        let mut pod = pod("shop", name);
        pod.service_account = (*name).into();
        Arc::new(pod)
    });
    each.collect()
}

#[test]
fn each_account_is_asked_for_until_it_is_told_of_and_then_no_more() {
    let pods = of_accounts(&["c", "a", "", "b", "a"]);
    let mut accounts = ServiceAccounts::default();
    let asked = |accounts: &ServiceAccounts, turns: std::ops::Range<usize>| -> Vec<String> {
        let each = turns.filter_map(|turn| next_untold(&pods, accounts, turn));
        each.map(|pod| pod.service_account.to_string()).collect()
    };
    assert_eq!(asked(&accounts, 0..4), ["a", "b", "c", "a"]);
    // There is none of that name: that is an answer, too.
    accounts.learn(&"shop".into(), &"a".into(), None, at(0));
    assert_eq!(asked(&accounts, 4..8), ["b", "c", "b", "c"]);
    accounts.learn(&"shop".into(), &"b".into(), None, at(1));
    accounts.learn(&"shop".into(), &"c".into(), None, at(2));
    assert!(asked(&accounts, 8..1000).is_empty(), "for ever");
}

#[test]
fn of_what_has_ended_nothing_is_asked() {
    let mut ended = pod("shop", "web");
    ended.active = false;
    assert!(next_untold(&[Arc::new(ended)], &ServiceAccounts::default(), 0).is_none());
}
