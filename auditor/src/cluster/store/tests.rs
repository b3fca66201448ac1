use super::*;
use crate::cluster::{ServiceAccount, testing::pod};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pods(pods: Vec<Pod>) -> Contents {
    Contents {
        pods,
        service_accounts: Vec::new(),
    }
}

#[test]
fn keeps_only_pods_of_this_node() {
    let mut store = Store::new("n1");
    let (mut here, mut there, nowhere) = (pod("a", "1"), pod("a", "2"), pod("a", "3"));
    here.node_name = Some("n1".into());
    there.node_name = Some("n2".into());
    store.replace(pods(vec![here, there, nowhere]), at(0));
    assert!(store.pod("uid-1").is_some());
    assert!(store.pod("uid-2").is_none());
    assert!(store.pod("uid-3").is_some());
}

#[test]
fn remembers_a_gone_pod_for_a_quarter_of_an_hour() {
    let mut store = Store::new("n1");
    store.replace(pods(vec![pod("a", "1")]), at(0));
    store.replace(pods(vec![]), at(10));
    store.replace(pods(vec![]), at(20));
    assert_eq!(store.pod_count(), 0);
    store.confirm(at(10 + 15 * 60 - 1));
    assert!(store.pod("uid-1").is_some());
    store.confirm(at(10 + 15 * 60));
    assert!(store.pod("uid-1").is_none());
}

#[test]
fn a_pod_that_comes_back_is_not_forgotten() {
    let mut store = Store::new("n1");
    store.replace(pods(vec![pod("a", "1")]), at(0));
    store.replace(pods(vec![]), at(10));
    store.replace(pods(vec![pod("a", "1")]), at(20));
    store.confirm(at(100_000));
    assert!(store.pod("uid-1").is_some());
}

#[test]
fn a_claimed_hash_stands_before_no_pod() {
    let mut store = Store::new("n1");
    let mut fake = pod("shop", "fake");
    fake.mirror_hash = Some("uid-web".into());
    store.replace(pods(vec![fake.clone(), pod("shop", "web")]), at(0));
    assert_eq!(&*store.pod("uid-web").unwrap().name, "web");
    let mut first = pod("kube-system", "proxy");
    let hash: Arc<str> = "1db680c2883dc532f70b6887258b2aa2".into();
    first.mirror_hash = Some(hash.clone());
    fake.mirror_hash = Some(hash.clone());
    store.replace(pods(vec![first, fake]), at(1));
    assert_eq!(&*store.pod(&hash).unwrap().name, "proxy");
}

#[test]
fn finds_a_static_pod_by_its_hash_until_it_is_forgotten() {
    let mut store = Store::new("n1");
    let mut proxy = pod("kube-system", "proxy");
    proxy.mirror_hash = Some("1db680c2883dc532f70b6887258b2aa2".into());
    store.replace(pods(vec![proxy]), at(0));
    let found = store.pod("1db680c2883dc532f70b6887258b2aa2").unwrap();
    assert_eq!(&*found.uid, "uid-proxy");
    store.replace(pods(vec![]), at(1));
    store.confirm(at(100_000));
    assert!(store.by_mirror_hash.is_empty());
}

#[test]
fn names_the_service_accounts_uid() {
    let mut store = Store::new("n1");
    let account = ServiceAccount {
        namespace: "shop".into(),
        name: "default".into(),
        uid: Some("sa-uid".into()),
        role_arn: None,
        audience: None,
    };
    let contents = Contents {
        pods: vec![pod("shop", "web")],
        service_accounts: vec![account],
    };
    assert_eq!(store.read_at(), None);
    store.replace(contents, at(7));
    assert_eq!(store.read_at(), Some(at(7)));
    let line = store.pod_ref(store.pod("uid-web").unwrap());
    assert_eq!(line.service_account_uid.as_deref(), Some("sa-uid"));
}

#[test]
fn takes_in_one_change_after_the_other() {
    let mut store = Store::new("n1");
    store.list(vec![pod("a", "1"), pod("a", "2")], at(0));
    store.apply(pod("a", "3"));
    let mut elsewhere = pod("a", "4");
    elsewhere.node_name = Some("n2".into());
    store.apply(elsewhere);
    assert_eq!(store.pod_count(), 3);

    let mut last = pod("a", "1");
    last.active = false;
    store.delete(last, at(10));
    assert_eq!(store.pod_count(), 2);
    assert!(!store.pod("uid-1").unwrap().active, "as it was last");
    // Not known before: it came and went while nobody could tell.
    store.delete(pod("a", "5"), at(11));
    assert!(store.pod("uid-5").is_some());
    store.list(vec![pod("a", "3")], at(20));
    assert_eq!(store.pod_count(), 1);

    store.expire(at(10 + 15 * 60));
    let known = |name: &str| store.pod(&format!("uid-{name}")).is_some();
    assert_eq!(["1", "2", "3", "5"].map(known), [false, true, true, true]);
    assert_eq!(store.read_at(), None, "nothing was said of ServiceAccounts");
}

#[test]
fn finds_a_pod_by_its_address_and_never_guesses() {
    let address: IpAddr = "10.0.0.7".parse().unwrap();
    let with_address = |name: &str| Pod {
        ips: vec![address, "fd00::7".parse().unwrap()],
        ..pod("a", name)
    };
    let mut store = Store::new("n1");
    let found = |store: &Store| store.pod_by_ip(address).map(|pod| pod.name.to_string());
    store.apply(Pod {
        host_network: true,
        ..with_address("host")
    });
    assert_eq!(found(&store), None);

    store.apply(with_address("first"));
    assert_eq!(found(&store).as_deref(), Some("first"));
    let mapped = "::ffff:10.0.0.7".parse().unwrap();
    assert!(store.pod_by_ip(mapped).is_some());
    assert!(store.pod_by_ip("fd00::7".parse().unwrap()).is_some());
    store.delete(with_address("first"), at(1));
    assert_eq!(found(&store).as_deref(), Some("first"), "remembered");

    store.apply(with_address("second"));
    assert_eq!(found(&store).as_deref(), Some("second"), "present");
    store.apply(with_address("third"));
    assert_eq!(found(&store), None, "two have it");
    store.apply(Pod {
        active: false,
        ..with_address("second")
    });
    assert_eq!(
        found(&store).as_deref(),
        Some("third"),
        "the other has ended"
    );
    store.delete(with_address("third"), at(2));
    assert_eq!(found(&store), None, "of three that are gone");
}
