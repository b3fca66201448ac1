use super::*;
use crate::audit::testing::{event_time, seconds_later};

fn owner(uid: &str) -> OwnerRef {
    OwnerRef {
        namespace: Some("payments".into()),
        name: Some(uid.into()),
        uid: uid.into(),
        service_account: Some(uid.into()),
    }
}

fn pod(uid: &str) -> OpenerKey {
    OpenerKey::Pod(uid.into())
}

fn uids(taken: &[OwnerRef]) -> Vec<&str> {
    taken.iter().map(|owner| &*owner.uid).collect()
}

#[test]
fn ten_minutes_and_each_opener_for_itself() {
    let mut harvests = Harvests::default();
    harvests.note(pod("thief"), &owner("a"), event_time());
    harvests.note(pod("thief"), &owner("b"), seconds_later(60));
    let at = |key, seconds| uids(&harvests.taken(&key, seconds_later(seconds))).join(" ");
    assert_eq!(at(pod("thief"), 60), "a b");
    assert_eq!(at(pod("thief"), 600), "a b");
    assert_eq!(at(pod("thief"), 601), "b");
    assert_eq!(at(pod("thief"), 661), "");
    assert_eq!(at(pod("other"), 60), "");
    // An event that was held back is judged late.
    assert_eq!(at(pod("thief"), -10), "a b");
}

#[test]
fn hosts_are_told_apart_by_cgroup_and_program_and_not_by_process() {
    let program = |ino| InodeId {
        major: 8,
        minor: 1,
        ino,
    };
    let host = |cgroup_id, ino| OpenerKey::Host {
        cgroup_id,
        executable: Some(program(ino)),
    };
    let mut harvests = Harvests::default();
    harvests.note(host(7, 1), &owner("a"), event_time());
    for (key, expected) in [
        (host(7, 1), 1),
        (host(7, 2), 0),
        (host(8, 1), 0),
        (OpenerKey::Conflict { cgroup_id: 7 }, 0),
    ] {
        let taken = harvests.taken(&key, event_time());
        assert_eq!(taken.len(), expected, "{key:?}");
    }
}

#[test]
fn the_same_owner_again_is_one_victim_and_the_latest_theft_counts() {
    let mut harvests = Harvests::default();
    for (uid, seconds) in [("a", 0), ("b", 1), ("a", 300), ("a", 200)] {
        harvests.note(pod("thief"), &owner(uid), seconds_later(seconds));
    }
    let taken = harvests.taken(&pod("thief"), seconds_later(300));
    assert_eq!(uids(&taken), ["b", "a"]);
    let taken = harvests.taken(&pod("thief"), seconds_later(900));
    assert_eq!(uids(&taken), ["a"]);
}

#[test]
fn it_is_bounded() {
    let mut harvests = Harvests::default();
    for victim in 0..2 * VICTIMS {
        harvests.note(pod("thief"), &owner(&victim.to_string()), event_time());
    }
    assert_eq!(harvests.taken(&pod("thief"), event_time()).len(), VICTIMS);
    for opener in 0..2 * OPENERS {
        let second = i64::try_from(opener / 100).unwrap();
        harvests.note(
            pod(&opener.to_string()),
            &owner("a"),
            seconds_later(1 + second),
        );
    }
    assert_eq!(harvests.openers.len(), OPENERS);
    assert!(harvests.taken(&pod("thief"), event_time()).is_empty());
    let last = (2 * OPENERS - 1).to_string();
    assert_eq!(harvests.taken(&pod(&last), seconds_later(20)).len(), 1);
}

#[test]
fn which_findings_are_thefts_that_count() {
    let found = |id, severity, exempted: Option<&str>| Finding {
        id,
        severity,
        message: String::new(),
        exempted_by: exempted.map(str::to_owned),
    };
    let foreign = FindingId::ForeignTokenOpen;
    let host = FindingId::HostTokenOpen;
    let mismatch = FindingId::IdentityMismatch;
    let critical = Severity::Critical;
    for (finding, relation, expected) in [
        (found(foreign, critical, None), Relation::OtherPod, true),
        (
            found(foreign, critical, Some("scan")),
            Relation::OtherPod,
            false,
        ),
        (
            found(foreign, Severity::Info, None),
            Relation::OtherPod,
            false,
        ),
        (
            found(foreign, Severity::Medium, None),
            Relation::SameServiceAccount,
            false,
        ),
        (found(host, critical, None), Relation::Host, true),
        (found(host, critical, Some("backup")), Relation::Host, false),
        (found(mismatch, critical, None), Relation::Unknown, true),
        (
            found(FindingId::TokenWrite, critical, None),
            Relation::Host,
            false,
        ),
        (
            found(FindingId::TokenWrite, critical, None),
            Relation::Own,
            false,
        ),
    ] {
        let counted = is_counted_theft(std::slice::from_ref(&finding), relation);
        assert_eq!(counted, expected, "{finding:?} {relation:?}");
    }
}
