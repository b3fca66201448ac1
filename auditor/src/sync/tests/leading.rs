//! Who leads.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use crate::sync::{
    leadership::{Leadership, Timing, held_by_another},
    objects::Objects,
    testing::{FakeApi, LEASES},
};

fn fast() -> Timing {
    Timing {
        duration: Duration::from_secs(1),
        renew_deadline: Duration::from_millis(600),
        retry: Duration::from_millis(40),
    }
}

async fn candidate(api: &FakeApi, identity: &str) -> Leadership {
    let leases = Objects::leases(&api.client().await, "ns");
    Leadership::new(leases, "a".to_owned(), identity.to_owned(), fast())
}

fn holder(api: &FakeApi) -> String {
    let spec = api.state().lease().spec.unwrap();
    spec.holder_identity.unwrap()
}

async fn leads_within(leadership: &mut Leadership, limit: Duration) -> bool {
    timeout(limit, leadership.acquire()).await.is_ok()
}

#[tokio::test]
async fn one_leads_the_other_waits_until_it_is_released() {
    let api = FakeApi::default();
    let (mut one, mut two) = (candidate(&api, "one").await, candidate(&api, "two").await);
    one.acquire().await;
    let spec = api.state().lease().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("one"));
    assert_eq!(spec.lease_duration_seconds, Some(1));
    assert_eq!(spec.lease_transitions, Some(0));
    assert!(spec.acquire_time.is_some() && spec.renew_time.is_some());
    // For longer than its duration, for it is renewed.
    let waited = tokio::select! {
        lost = one.hold() => panic!("{lost}"),
        leads = leads_within(&mut two, Duration::from_millis(1500)) => !leads,
    };
    assert!(waited);
    one.release().await;
    assert_eq!(holder(&api), "");
    assert!(leads_within(&mut two, Duration::from_millis(300)).await);
    assert_eq!(holder(&api), "two");
    let spec = api.state().lease().spec.unwrap();
    assert_eq!(spec.lease_transitions, Some(1));
    // It is not ours to release any longer.
    one.release().await;
    assert_eq!(holder(&api), "two");
}

#[tokio::test]
async fn one_that_died_is_followed_after_the_leases_duration() {
    let api = FakeApi::default();
    let mut one = candidate(&api, "one").await;
    one.acquire().await;
    drop(one);
    let mut two = candidate(&api, "two").await;
    let begun = Instant::now();
    assert!(leads_within(&mut two, Duration::from_secs(3)).await);
    assert!(
        begun.elapsed() > Duration::from_millis(950),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_stands_in_the_way_is_named() {
    let hour = Duration::from_hours(1);
    for (begin, code, part) in [
        ("GET", 403, "RBAC must allow get on leases in namespace ns"),
        (
            "POST",
            403,
            "RBAC must allow create on leases in namespace ns",
        ),
        (
            "GET",
            401,
            "it answers 401 to get on leases in namespace ns",
        ),
        ("POST", 404, "refuses it with 404"),
    ] {
        let api = FakeApi::default();
        api.state().fail = Some((begin, code));
        let mut one = candidate(&api, "one").await;
        let failed = timeout(Duration::from_secs(5), one.acquire_within(hour)).await;
        let why = failed.expect("at once").unwrap_err();
        assert!(why.starts_with("cannot take the Lease ns/a: "), "{why}");
        assert!(why.contains(part), "{why}");
        // Who has time waits until it is allowed.
        assert!(!leads_within(&mut one, Duration::from_millis(200)).await);
        api.state().fail = None;
        assert!(leads_within(&mut one, Duration::from_secs(2)).await);
    }
    let api = FakeApi::default();
    candidate(&api, "one").await.acquire().await;
    let limit = Duration::from_millis(200);
    let mut two = candidate(&api, "two").await;
    let why = two.acquire_within(limit).await.unwrap_err();
    assert_eq!(
        why,
        "the Lease ns/a was not ours within 200ms: one leads; waiting"
    );
    api.state().fail = Some(("GET", 503));
    let mut three = candidate(&api, "three").await;
    let why = three.acquire_within(limit).await.unwrap_err();
    assert!(why.contains("it answers 503"), "{why}");
}

#[tokio::test]
async fn of_many_exactly_one_leads() {
    let api = FakeApi::default();
    let mut tasks = Vec::new();
    for index in 0..8 {
        let mut one = candidate(&api, &format!("c{index}")).await;
        tasks.push(tokio::spawn(async move {
            leads_within(&mut one, Duration::from_millis(500)).await
        }));
    }
    let mut leaders = 0;
    for task in tasks {
        leaders += usize::from(task.await.unwrap());
    }
    assert_eq!(leaders, 1);
}

#[tokio::test]
async fn who_cannot_renew_leaves_before_another_may_begin() {
    for hang in [false, true] {
        let api = FakeApi::default();
        let mut one = candidate(&api, "one").await;
        one.acquire().await;
        {
            let mut state = api.state();
            state.hang = hang;
            state.fail = Some(("", 500));
        }
        let begun = Instant::now();
        let lost = timeout(Duration::from_secs(2), one.hold()).await.unwrap();
        assert!(lost.contains("could not be renewed"), "{lost}");
        assert!(begun.elapsed() < fast().duration, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_short_outage_is_outlived() {
    let api = FakeApi::default();
    let mut one = candidate(&api, "one").await;
    one.acquire().await;
    api.state().fail = Some(("", 503));
    let other = async {
        sleep(Duration::from_millis(300)).await;
        api.state().fail = None;
        sleep(Duration::from_millis(700)).await;
    };
    tokio::select! {
        lost = one.hold() => panic!("{lost}"),
        () = other => {}
    }
    assert_eq!(holder(&api), "one");
}

#[tokio::test]
async fn whose_lease_is_taken_leaves_and_whose_is_deleted_makes_it_anew() {
    let api = FakeApi::default();
    let mut one = candidate(&api, "one").await;
    one.acquire().await;
    let path = format!("{LEASES}/a");
    api.state().objects.remove(&path);
    let until = async {
        while !api.state().objects.contains_key(&path) {
            sleep(Duration::from_millis(10)).await;
        }
        // As somebody may do by hand.
        {
            let mut state = api.state();
            let mut taken = state.objects[&path].clone();
            taken["spec"]["holderIdentity"] = "two".into();
            state.put(&path, taken);
        }
        std::future::pending::<()>().await;
    };
    let lost = tokio::select! {
        lost = timeout(Duration::from_secs(2), one.hold()) => lost.unwrap(),
        () = until => unreachable!("it pends"),
    };
    assert_eq!(lost, "two has taken the Lease");
}

#[test]
fn who_holds_it() {
    let lease = |holder: Option<&str>, seconds: Option<i32>| {
        let mut lease = k8s_openapi::api::coordination::v1::Lease::default();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = holder.map(ToOwned::to_owned);
        spec.lease_duration_seconds = seconds;
        // Their clock may be wrong by years.
        spec.renew_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(
            Timestamp::UNIX_EPOCH,
        ));
        lease
    };
    let second = Duration::from_secs(1);
    for (holder, seconds, unchanged, expected) in [
        (None, Some(15), second, None),
        (Some(""), Some(15), second, None),
        (Some("us"), Some(15), second, None),
        (Some("them"), Some(15), second, Some("them")),
        (Some("them"), Some(15), 15 * second, Some("them")),
        (Some("them"), Some(15), 16 * second, None),
        (Some("them"), Some(-1), second, None),
        (Some("them"), None, second, None),
    ] {
        let lease = lease(holder, seconds);
        let held = held_by_another(&lease, "us", unchanged);
        assert_eq!(held, expected, "{holder:?} {seconds:?} {unchanged:?}");
    }
    let bare = k8s_openapi::api::coordination::v1::Lease::default();
    assert_eq!(held_by_another(&bare, "us", second), None);
}
