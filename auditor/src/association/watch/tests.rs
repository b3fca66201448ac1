use super::*;
use crate::{
    association::{Association, Ledger, Reading, config_map::encode, testing::association},
    kube::testing::{End, Reply, Server, fast},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn object(second: i64, trouble: Option<&str>, associations: &[Association]) -> ConfigMap {
    object_of(true, second, trouble, associations)
}

fn object_of(
    complete: bool,
    second: i64,
    trouble: Option<&str>,
    associations: &[Association],
) -> ConfigMap {
    let mut ledger = Ledger::default();
    ledger.take(Reading {
        started_at: at(second),
        associations: associations.to_vec(),
        complete,
        trouble: trouble.map(ToOwned::to_owned),
    });
    let sheet = Sheet {
        ledger,
        interval: Some(Duration::from_secs(60)),
        cluster: Some("prod".into()),
        source: "eks".into(),
    };
    let (data, binary) = encode(&sheet).unwrap();
    let mut object = ConfigMap {
        data: Some(data),
        binary_data: Some(binary),
        ..ConfigMap::default()
    };
    object.metadata.name = Some("associations".to_owned());
    object.metadata.uid = Some("u".to_owned());
    object.metadata.resource_version = Some("5".to_owned());
    object
}

fn state() -> State {
    State {
        object: "kube-system/associations".to_owned(),
        name: "associations".to_owned(),
        cluster: Some("prod".into()),
        sheet: None,
        snapshot: None,
        api: None,
        object_trouble: None,
    }
}

fn listed(items: Vec<ConfigMap>) -> Change<ConfigMap> {
    let begun_at = at(0);
    Change::Listed { items, begun_at }
}

#[test]
fn the_object_is_the_snapshot() {
    let mut state = state();
    state.take(listed(vec![object(
        100,
        None,
        &[association("a-1", "web")],
    )]));
    let Heard { snapshot, trouble } = state.heard(at(110));
    assert_eq!(trouble, None);
    let snapshot = snapshot.unwrap();
    assert_eq!(&*snapshot.source, "kube:kube-system/associations");
    assert_eq!(snapshot.interval, Some(Duration::from_secs(60)));
    assert!(snapshot.tells_of_absence_at(at(95)) && !snapshot.tells_of_absence_at(at(96)));
    assert!(snapshot.get("shop", "web").is_some());
    state.take(Change::Applied(object(160, None, &[])));
    let heard = state.heard(at(170));
    assert!(heard.snapshot.unwrap().get("shop", "web").is_none());
}

#[test]
fn a_reading_of_the_future_is_of_now_and_said() {
    let mut state = state();
    let before = Timestamp::now();
    state.take(listed(vec![object(4_000_000_000, None, &[])]));
    let heard = state.heard(Timestamp::now());
    let snapshot = heard.snapshot.unwrap();
    assert!(snapshot.started_at >= before && snapshot.started_at <= Timestamp::now());
    assert!(!snapshot.tells_of_absence_at(before));
    assert!(heard.trouble.unwrap().contains("in the future"));
}

#[test]
fn what_is_wrong_keeps_what_was_and_says_so() {
    let good = || object(100, None, &[association("a-1", "web")]);
    let mut damaged = good();
    let data = damaged.data.as_mut().unwrap();
    data.insert("hash".to_owned(), "0".to_owned());
    let mut foreign = good();
    let data = foreign.data.as_mut().unwrap();
    data.insert("cluster".to_owned(), "test".to_owned());
    let mut newer = good();
    let data = newer.data.as_mut().unwrap();
    data.insert("format".to_owned(), "2".to_owned());
    for (change, part) in [
        (
            Change::Deleted(good()),
            "keep one `auditor sync-associations --cluster-name prod --to kube:kube-system/associations` running",
        ),
        (
            listed(vec![]),
            "there is no ConfigMap kube-system/associations",
        ),
        (Change::Applied(damaged), "changed by hand"),
        (Change::Applied(foreign), "of cluster test"),
        (Change::Applied(newer), "upgrade the auditors"),
        (
            Change::Trouble(Some("RBAC must allow it".to_owned())),
            "RBAC must allow it",
        ),
    ] {
        for known in [false, true] {
            let mut state = state();
            if known {
                state.take(listed(vec![good()]));
            }
            state.take(change.clone());
            let heard = state.heard(at(110));
            assert_eq!(heard.snapshot.is_some(), known);
            let trouble = heard.trouble.unwrap();
            assert!(trouble.contains(part), "{trouble}\nlacks {part}");
            let is_objects = !trouble.contains("RBAC");
            assert_eq!(trouble.contains("stays in force"), known && is_objects);
            // And it is over when it is over.
            state.take(Change::Trouble(None));
            state.take(Change::Applied(good()));
            assert_eq!(state.heard(at(110)).trouble, None);
        }
    }
}

#[test]
fn a_sync_that_fails_or_stops_is_heard() {
    let mut state = state();
    state.take(listed(vec![object(100, Some("EKS is away"), &[])]));
    let trouble = state.heard(at(110)).trouble.unwrap();
    assert_eq!(trouble, "the sync says: EKS is away");
    state.take(Change::Applied(object(160, None, &[])));
    assert_eq!(state.until_stale(at(170)), Some(Duration::from_secs(170)));
    assert_eq!(state.heard(at(339)).trouble, None);
    assert_eq!(state.until_stale(at(340)), None);
    let stale = state.heard(at(340)).trouble.unwrap();
    assert!(
        stale.contains("is `auditor sync-associations` running?"),
        "{stale}"
    );
    assert_eq!(state.heard(at(400)).trouble, Some(stale), "said once");
    // While the API server is away nobody can know.
    state.take(Change::Trouble(Some("away".to_owned())));
    assert_eq!(state.heard(at(400)).trouble.as_deref(), Some("away"));
}

#[test]
fn what_was_never_read_whole_is_not_called_up_to_date() {
    let mut state = state();
    let part = object_of(false, 100, Some("EKS is away"), &[]);
    state.take(Change::Applied(part.clone()));
    assert_eq!(state.until_stale(at(110)), None);
    for now in [110, 10_000] {
        let heard = state.heard(at(now));
        assert!(!heard.snapshot.unwrap().complete);
        let trouble = heard.trouble.unwrap();
        let begin =
            "the associations in the ConfigMap kube-system/associations were never read whole";
        assert!(trouble.starts_with(begin), "{trouble}");
        assert!(
            trouble.ends_with("; the sync says: EKS is away"),
            "{trouble}"
        );
        assert!(!trouble.contains("up to date"), "{trouble}");
    }
    state.take(Change::Deleted(part));
    let trouble = state.heard(at(110)).trouble.unwrap();
    assert!(
        trouble.ends_with("the part that was read before stays in force"),
        "{trouble}"
    );
    state.take(Change::Applied(object(200, None, &[])));
    assert_eq!(state.heard(at(210)).trouble, None);
}

#[tokio::test]
async fn it_is_watched_by_name_and_not_polled() {
    let object = object(
        Timestamp::now().as_second(),
        None,
        &[association("a-1", "web")],
    );
    let object = serde_json::to_string(&object).unwrap();
    let stream = format!(
        "{{\"type\":\"ADDED\",\"object\":{object}}}\n\
         {{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"9\",\
         \"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
    );
    let reply = Reply::ok(stream).end(End::Hang);
    let server = Server::start(fast(), [reply]).await;
    let mut source = watch_config_map(server.api.clone(), "kube-system", "associations", None);
    for _ in 0..500 {
        source.refresh();
        if source.snapshot().is_some() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let snapshot = source.snapshot().unwrap();
    assert!(snapshot.get("shop", "web").is_some());
    assert_eq!(source.refresh(), None);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    let begin = "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dassociations&watch=true";
    assert!(asked[0].starts_with(begin), "{asked:?}");
}
