//! What is read and written.

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    association::{
        FileSource,
        config_map::{DOCUMENT, Sheet, decode},
    },
    eks::{
        Reader,
        testing::{FakeEks, Fault, fast},
    },
    metrics::Metrics,
    sync::{
        leadership::{Leadership, Timing},
        objects::Objects,
        origin::Origin,
        target::{ConfigMapTarget, Target},
        testing::{CONFIG_MAPS, FakeApi, LEASES},
        work::Work,
        writer::Writer,
    },
};

const INTERVAL: Duration = Duration::from_secs(60);

async fn eks_origin(eks: &FakeEks) -> Origin {
    Origin::Eks(Box::new(Reader::new(eks.client(fast()).await, INTERVAL)))
}

async fn config_map_target(api: &FakeApi) -> Target {
    let objects = Objects::config_maps(&api.client().await, "ns");
    Target::ConfigMap(Box::new(ConfigMapTarget::new(objects, "a".to_owned())))
}

fn work(origin: Origin, target: Target) -> Work {
    let source = origin.name();
    Work {
        origin,
        writer: Writer::new(target, INTERVAL, Some("prod".into()), source),
        interval: INTERVAL,
        once: true,
        metrics: Arc::new(Metrics::default()),
        said: None,
    }
}

async fn syncing(eks: &FakeEks, api: &FakeApi) -> Work {
    work(eks_origin(eks).await, config_map_target(api).await)
}

fn sheet(api: &FakeApi) -> Sheet {
    decode(&api.state().config_map()).unwrap()
}

fn ids(sheet: &Sheet) -> Vec<String> {
    let associations = sheet.ledger.associations();
    associations.map(|one| one.id.to_string()).collect()
}

fn refused() -> Fault {
    Fault::Status(403, "AccessDeniedException", "no")
}

#[tokio::test]
async fn the_config_map_follows_eks() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().add("a-1", "web");
    let mut work = syncing(&eks, &api).await;
    work.go_on(None).await.unwrap();
    let first = sheet(&api);
    assert_eq!(ids(&first), ["a-1"]);
    assert_eq!((first.ledger.generation, first.ledger.complete), (1, true));
    assert_eq!((&*first.source, first.interval), ("eks", Some(INTERVAL)));
    assert_eq!(first.cluster.as_deref(), Some("prod"));
    assert_eq!(first.ledger.trouble, None);
    // No others: a younger reading all the same.
    work.round().await.unwrap();
    let second = sheet(&api);
    assert_eq!(second.ledger.generation, 1);
    assert_eq!(second.ledger.hash, first.ledger.hash);
    assert!(second.ledger.started_at > first.ledger.started_at);
    eks.state().add("a-2", "api");
    work.round().await.unwrap();
    let third = sheet(&api);
    assert_eq!((third.ledger.generation, ids(&third).len()), (2, 2));
    eks.state().associations.remove("a-1");
    work.round().await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-2"]);
    let metrics = work.metrics.encode().unwrap();
    assert!(
        metrics.contains("credential_auditor_bindings_sync_timestamp_seconds"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_failing_eks_removes_nothing_and_is_told_to_the_nodes() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().add("a-1", "web");
    let mut work = syncing(&eks, &api).await;
    work.go_on(None).await.unwrap();
    let before = sheet(&api);
    eks.state().associations.clear();
    eks.state().list_faults.push_back(refused());
    let failure = work.round().await.unwrap_err().message();
    assert!(
        failure.contains("eks:ListPodIdentityAssociations"),
        "{failure}"
    );
    let after = sheet(&api);
    assert_eq!(ids(&after), ["a-1"]);
    assert_eq!(after.ledger.started_at, before.ledger.started_at);
    assert!(after.ledger.complete);
    let trouble = after.ledger.trouble.unwrap();
    assert!(trouble.contains("cluster/prod"), "{trouble}");
    // The same again is nothing new, and not written.
    let writes = api.state().count("PUT");
    eks.state().list_faults.push_back(refused());
    work.round().await.unwrap_err();
    assert_eq!(api.state().count("PUT"), writes);
    // And when EKS answers, what it does not have is gone.
    work.round().await.unwrap();
    let last = sheet(&api);
    assert!(last.ledger.is_empty() && last.ledger.trouble.is_none());
}

#[tokio::test]
async fn an_eks_that_never_answered_leaves_a_config_map_that_says_so() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().list_faults.push_back(refused());
    syncing(&eks, &api).await.go_on(None).await.unwrap_err();
    let sheet = sheet(&api);
    assert!(!sheet.ledger.complete && sheet.ledger.trouble.is_some());
}

#[tokio::test]
async fn another_process_goes_on_where_the_first_one_ended() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    for index in 0..5 {
        eks.state()
            .add(&format!("a-{index}"), &format!("sa-{index}"));
    }
    syncing(&eks, &api).await.go_on(None).await.unwrap();
    eks.state().list_faults.push_back(refused());
    let mut second = syncing(&eks, &api).await;
    second.go_on(None).await.unwrap_err();
    assert_eq!(ids(&sheet(&api)).len(), 5);
    eks.state().add("a-5", "sa-5");
    second.round().await.unwrap();
    assert_eq!(sheet(&api).ledger.generation, 2);
}

#[tokio::test]
async fn what_others_did_to_the_object_is_respected_or_undone() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().add("a-1", "web");
    // Made by whoever deploys it, empty and with labels.
    let path = format!("{CONFIG_MAPS}/a");
    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "ns", "labels": {"team": "sec"}}});
    api.state().put(&path, empty);
    let mut work = syncing(&eks, &api).await;
    work.go_on(None).await.unwrap();
    let labels = api.state().config_map().metadata.labels.unwrap();
    assert_eq!(labels["team"], "sec");
    // Edited meanwhile: the version is another one.
    {
        let mut state = api.state();
        let mut edited = state.objects[&path].clone();
        edited["data"]["hash"] = "0".into();
        edited["metadata"]["labels"]["team"] = "other".into();
        state.put(&path, edited);
    }
    work.round().await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-1"]);
    let labels = api.state().config_map().metadata.labels.unwrap();
    assert_eq!(labels["team"], "other");
    // Deleted meanwhile.
    api.state().objects.remove(&path);
    work.round().await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-1"]);
}

#[tokio::test]
async fn an_api_server_that_is_away_for_a_moment_is_asked_again() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    let mut work = syncing(&eks, &api).await;
    api.state().fail = Some(("POST", 503));
    let server = api.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        server.state().fail = None;
    });
    work.go_on(None).await.unwrap();
    assert!(sheet(&api).ledger.complete);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    for (begin, verb) in [("GET", "get"), ("POST", "create")] {
        api.state().fail = Some((begin, 403));
        let failure = syncing(&eks, &api).await.go_on(None).await.unwrap_err();
        let message = failure.message();
        let part = format!("RBAC must allow {verb} on configmaps in namespace ns");
        assert!(message.contains(&part), "{message}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_not_written() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    syncing(&eks, &api).await.go_on(None).await.unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let before = api.state().objects[&path].clone();
    for (key, value, part) in [
        ("format", "2", "upgrade the auditors"),
        ("cluster", "test", "of cluster test, and these are of prod"),
    ] {
        let mut other = before.clone();
        other["data"][key] = value.into();
        api.state().put(&path, other);
        let writes = api.state().count("PUT");
        let mut work = syncing(&eks, &api).await;
        // Not only with --once: it does not go away.
        work.once = false;
        let ended = timeout(Duration::from_secs(2), work.go_on(None)).await;
        let message = ended.unwrap().unwrap_err().message();
        assert!(message.contains(part), "{message}");
        assert_eq!(api.state().count("PUT"), writes);
    }
}

#[tokio::test]
async fn only_all_associations_take_the_place_of_what_cannot_be_read() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().add("a-1", "web");
    let mut work = syncing(&eks, &api).await;
    work.go_on(None).await.unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    let mut damaged = api.state().objects[&path].clone();
    damaged["data"]["generation"] = "x".into();
    api.state().put(&path, damaged);
    eks.state().list_faults.push_back(refused());
    let mut second = syncing(&eks, &api).await;
    let failure = second.go_on(None).await.unwrap_err().message();
    assert!(failure.contains("left as it is"), "{failure}");
    assert_eq!(api.state().config_map().data.unwrap()["generation"], "x");
    second.round().await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-1"]);
}

#[tokio::test]
async fn more_than_a_config_map_holds_leaves_what_it_held_and_says_so() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    eks.state().add("a-1", "web");
    let mut work = syncing(&eks, &api).await;
    work.go_on(None).await.unwrap();
    let before = sheet(&api);
    let mut number = 1_u64;
    for index in 0..600 {
        let (id, account) = (format!("a-x{index}"), format!("sa-{index}"));
        // Text that nothing compresses to less than half.
        let mut policy = String::new();
        while policy.len() < 4000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            policy.push_str(&format!("{:08x}", number >> 32));
        }
        let mut state = eks.state();
        state.add(&id, &account);
        state.associations.get_mut(&id).unwrap()["policy"] = policy.into();
    }
    let failure = work.round().await.unwrap_err().message();
    assert!(failure.contains("601 associations"), "{failure}");
    let after = sheet(&api);
    assert_eq!(ids(&after), ["a-1"]);
    assert_eq!(after.ledger.started_at, before.ledger.started_at);
    let trouble = after.ledger.trouble.unwrap();
    assert!(trouble.contains("what it held before stays"), "{trouble}");
    let object: ConfigMap = api.state().config_map();
    assert!(object.binary_data.unwrap()[DOCUMENT].0.len() < 1000);
}

#[tokio::test]
async fn a_file_is_what_associations_file_reads() {
    let eks = FakeEks::default();
    eks.state().add("a-1", "web");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("associations.json");
    let target = || Target::File(path.clone());
    // Nothing at all is no file.
    eks.state().list_faults.push_back(refused());
    let mut failing = work(eks_origin(&eks).await, target());
    failing.go_on(None).await.unwrap_err();
    assert!(!path.exists());
    let mut first = work(eks_origin(&eks).await, target());
    first.go_on(None).await.unwrap();
    let mut source = FileSource::new(path.clone(), Some("prod".into()));
    source.refresh(jiff::Timestamp::now()).unwrap();
    let snapshot = source.snapshot().unwrap().clone();
    assert!(snapshot.complete && snapshot.get("shop", "web").is_some());
    assert_eq!(snapshot.interval, Some(INTERVAL));
    // A part of it: what there was stays, and grows old.
    eks.state().associations.clear();
    eks.state().list_faults.push_back(refused());
    let mut second = work(eks_origin(&eks).await, target());
    second.go_on(None).await.unwrap_err();
    source.refresh(jiff::Timestamp::now()).unwrap();
    let stale = source.snapshot().unwrap();
    assert_eq!(stale.started_at, snapshot.started_at);
    assert!(stale.get("shop", "web").is_some());
    // Nothing is left lying about.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = Target::File(PathBuf::from("/nonexistent/a.json"));
    let failure = work(eks_origin(&eks).await, nowhere).go_on(None).await;
    let message = failure.unwrap_err().message();
    assert!(message.contains("/nonexistent/a.json"), "{message}");
}

#[tokio::test]
async fn from_a_file_and_from_ack() {
    let api = FakeApi::default();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.json");
    let text =
        r#"{"associations":[{"namespace":"shop","serviceAccount":"web","associationId":"a-1"}]}"#;
    std::fs::write(&path, text).unwrap();
    let cluster: Option<Arc<str>> = Some("prod".into());
    let file = Origin::File {
        path,
        cluster: cluster.clone(),
    };
    let mut from_file = work(file, config_map_target(&api).await);
    from_file.go_on(None).await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-1"]);

    let base = "/apis/eks.services.k8s.aws/v1alpha1/podidentityassociations?limit=500";
    let item = |id: &str| {
        json!({"metadata": {"uid": id},
            "spec": {"clusterName": "prod", "namespace": "shop", "serviceAccount": id, "roleARN": "arn:r"},
            "status": {"associationID": id}})
    };
    let page = |next: &str, items: Vec<serde_json::Value>| {
        (200, json!({"metadata": {"continue": next}, "items": items}))
    };
    let mut unsynced = item("a-9");
    unsynced["status"] = json!({});
    {
        let mut state = api.state();
        let canned = &mut state.canned;
        canned.insert(base.to_owned(), page("next==", vec![item("a-2"), unsynced]));
        canned.insert(
            format!("{base}&continue=next%3D%3D"),
            page("", vec![item("a-3")]),
        );
    }
    let client = api.client().await;
    let ack = || Origin::Ack {
        client: client.clone(),
        cluster: cluster.clone(),
    };
    let mut from_ack = work(ack(), config_map_target(&api).await);
    from_ack.go_on(None).await.unwrap();
    assert_eq!(ids(&sheet(&api)), ["a-2", "a-3"]);
    api.state().canned.clear();
    let mut without = work(ack(), config_map_target(&api).await);
    let message = without.go_on(None).await.unwrap_err().message();
    assert!(message.contains("CRD is not installed"), "{message}");
    assert_eq!(ids(&sheet(&api)), ["a-2", "a-3"]);
}

#[tokio::test]
async fn who_leads_no_longer_writes_no_longer() {
    let (eks, api) = (FakeEks::default(), FakeApi::default());
    let timing = Timing {
        duration: Duration::from_secs(10),
        renew_deadline: Duration::from_secs(5),
        retry: Duration::from_millis(30),
    };
    let leases = Objects::leases(&api.client().await, "ns");
    let mut leadership = Leadership::new(leases, "a".into(), "one".into(), timing);
    let mut work = syncing(&eks, &api).await;
    work.once = false;
    work.interval = Duration::from_millis(20);
    let writing = tokio::spawn(async move { work.go_on(Some(&mut leadership)).await });
    let writes = || api.state().count(&format!("PUT {CONFIG_MAPS}"));
    for _ in 0..500 {
        if writes() > 2 {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(writes() > 2);
    {
        let path = format!("{LEASES}/a");
        let mut state = api.state();
        let mut taken = state.objects[&path].clone();
        assert_eq!(taken["spec"]["holderIdentity"], "one");
        taken["spec"]["holderIdentity"] = "two".into();
        state.put(&path, taken);
    }
    sleep(Duration::from_millis(200)).await;
    let (written, read) = (writes(), eks.state().lists());
    sleep(Duration::from_millis(300)).await;
    assert_eq!((writes(), eks.state().lists()), (written, read));
    assert!(!writing.is_finished(), "it waits for the Lease");
    // The other one gives it back: it goes on.
    {
        let path = format!("{LEASES}/a");
        let mut state = api.state();
        let mut free = state.objects[&path].clone();
        free["spec"]["holderIdentity"] = "".into();
        state.put(&path, free);
    }
    sleep(Duration::from_millis(500)).await;
    assert!(writes() > written);
    writing.abort();
}
