use super::*;
use crate::association::testing::association;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn whole(second: i64, associations: &[Association]) -> Reading {
    Reading {
        started_at: at(second),
        associations: associations.to_vec(),
        complete: true,
        trouble: None,
    }
}

fn part(second: i64, associations: &[Association]) -> Reading {
    Reading {
        complete: false,
        trouble: Some("EKS is away".to_owned()),
        ..whole(second, associations)
    }
}

fn undescribed(id: &str, account: &str) -> Association {
    Association {
        role_arn: None,
        ..association(id, account)
    }
}

fn ids(ledger: &Ledger) -> Vec<&str> {
    ledger.associations().map(|one| &*one.id).collect()
}

#[test]
fn only_other_contents_make_a_generation_but_each_reading_makes_it_younger() {
    let mut ledger = Ledger::default();
    let (web, api) = (association("a-1", "web"), association("a-2", "api"));
    assert!(ledger.take(whole(10, std::slice::from_ref(&web))));
    assert_eq!((ledger.generation, ledger.started_at), (1, at(10)));
    let first = ledger.hash.clone();
    assert!(!ledger.take(whole(20, std::slice::from_ref(&web))));
    assert_eq!((ledger.generation, ledger.started_at), (1, at(20)));
    assert_eq!(ledger.hash, first);
    assert!(ledger.take(whole(30, &[web.clone(), api.clone()])));
    assert_eq!((ledger.generation, ledger.len()), (2, 2));
    // Whatever the order.
    assert!(!ledger.take(whole(40, &[api, web.clone()])));
    // What a complete reading does not have is gone.
    assert!(ledger.take(whole(50, &[web])));
    assert_eq!((ledger.generation, ids(&ledger)), (3, vec!["a-1"]));
    assert_eq!(ledger.hash, first);
}

#[test]
fn an_empty_cluster_is_a_first_generation_too() {
    let mut ledger = Ledger::default();
    assert!(ledger.take(whole(10, &[])));
    assert_eq!(ledger.generation, 1);
    assert!(ledger.complete && ledger.is_empty());
}

#[test]
fn a_failed_reading_takes_nothing_away_and_makes_it_no_younger() {
    let mut ledger = Ledger::default();
    let (web, api) = (association("a-1", "web"), association("a-2", "api"));
    ledger.take(whole(10, &[web, api]));
    assert!(!ledger.take(part(20, &[])));
    assert_eq!(ledger.trouble.as_deref(), Some("EKS is away"));
    // A part of it: what is new is added, also in the place of another.
    assert!(ledger.take(part(
        30,
        &[association("a-3", "web"), association("a-4", "db")]
    )));
    assert_eq!(ids(&ledger), ["a-2", "a-4", "a-3"]);
    assert_eq!((ledger.started_at, ledger.complete), (at(10), true));
    let snapshot = ledger.snapshot("eks".into(), None);
    assert!(snapshot.tells_of_absence_at(at(10)) && !snapshot.tells_of_absence_at(at(11)));
    ledger.take(whole(40, &[]));
    assert_eq!((ledger.trouble.as_deref(), ledger.len()), (None, 0));
}

#[test]
fn before_the_first_complete_reading_nothing_tells_of_absence() {
    let mut ledger = Ledger::default();
    assert!(ledger.take(part(10, &[association("a-1", "web")])));
    assert!(!ledger.take(part(20, &[])));
    assert_eq!((ledger.started_at, ledger.complete), (at(10), false));
    let snapshot = ledger.snapshot("eks".into(), Some(Duration::from_secs(60)));
    assert!(!snapshot.tells_of_absence_at(at(5)));
    assert_eq!(snapshot.interval, Some(Duration::from_secs(60)));
    assert!(snapshot.get("shop", "web").is_some());
}

#[test]
fn a_role_that_is_known_stays_where_it_cannot_be_read_again() {
    let mut ledger = Ledger::default();
    let web = association("a-1", "web");
    ledger.take(whole(10, std::slice::from_ref(&web)));
    for reading in [whole, part] {
        assert!(!ledger.take(reading(20, &[undescribed("a-1", "web")])));
        assert_eq!(ledger.associations().next(), Some(&web));
    }
    // Another association for the same account: nothing is known of it.
    assert!(ledger.take(whole(30, &[undescribed("a-9", "web")])));
    assert_eq!(ledger.associations().next().unwrap().role_arn, None);
}

#[test]
fn of_two_for_one_account_the_younger_counts() {
    let old = Association {
        created: Some(at(1)),
        ..association("a-1", "web")
    };
    let new = Association {
        created: Some(at(2)),
        ..association("a-2", "web")
    };
    for order in [[&old, &new], [&new, &old]] {
        let mut ledger = Ledger::default();
        ledger.take(whole(10, &order.map(Clone::clone)));
        assert_eq!(ids(&ledger), ["a-2"]);
    }
}

#[test]
fn restored_it_is_the_same() {
    let mut ledger = Ledger::default();
    ledger.take(whole(10, &[association("a-1", "web")]));
    ledger.take(part(20, &[association("a-2", "api")]));
    let restored = Ledger::restore(
        ledger.associations().cloned(),
        ledger.generation,
        ledger.started_at,
        ledger.complete,
        ledger.trouble.clone(),
    );
    assert_eq!(restored, ledger);
}
