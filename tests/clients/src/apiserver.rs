//! The lab's API server against kube-rs, which knows nothing of it.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod, ServiceAccount},
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use lab::service::{
    apiserver::{
        Action, ApiServer, End, Fault, Options, Resource, Role, Status, StreamingLists, Verb,
        node_of_pods,
    },
    web::Ending,
};
use serde_json::{Value, from_value, json};

const NODE: &str = "n1";

async fn client(server: &ApiServer, role: Role) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let path = server.kubeconfig(dir.path(), role).unwrap();
    let file = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn with_pods(count: usize, options: Options) -> (ApiServer, Api<Pod>) {
    let server = ApiServer::start(options).unwrap();
    for pod in node_of_pods(NODE, count) {
        server.store().put(Resource::Pods, pod);
    }
    let pods = Api::all(client(&server, Role::Node).await);
    (server, pods)
}

fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"nodeName": node, "containers": []}})
}

fn on_node() -> WatchParams {
    WatchParams::default().fields(&format!("spec.nodeName={NODE}"))
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other:?}"),
    }
}

/// A list as it came.
async fn raw_list(pods: &Api<Pod>, query: &str) -> Value {
    let request = http::Request::get(format!("/api/v1/pods{query}"))
        .body(Vec::new())
        .unwrap();
    let client = pods.clone().into_client();
    let body = client.request_text(request).await.unwrap();
    assert!(body.starts_with(r#"{"kind":"PodList","apiVersion":"v1","metadata":{"#));
    serde_json::from_str(&body).unwrap()
}

/// What a watch tells, one word an event.
fn word(event: WatchEvent<Pod>) -> String {
    let of = |pod: Pod| pod.metadata.name.unwrap();
    match event {
        WatchEvent::Added(pod) => format!("+{}", of(pod)),
        WatchEvent::Modified(pod) => format!("={}", of(pod)),
        WatchEvent::Deleted(pod) => format!("-{}", of(pod)),
        WatchEvent::Bookmark(bookmark) => match bookmark.metadata.annotations.is_empty() {
            true => "bookmark".to_owned(),
            false => "end".to_owned(),
        },
        WatchEvent::Error(status) => format!("error {} {}", status.code, status.reason),
    }
}

async fn words(pods: &Api<Pod>, params: &WatchParams, version: &str, count: usize) -> Vec<String> {
    let stream = pods.watch(params, version).await.unwrap();
    let words = stream.map(|event| event.map_or_else(|_| "cut".to_owned(), word));
    words.take(count).collect().await
}

#[tokio::test]
async fn pages_are_of_one_version_and_a_continue_token_expires() {
    let (server, pods) = with_pods(25, Options::default()).await;
    let first = pods.list(&ListParams::default().limit(10)).await.unwrap();
    assert_eq!(first.items.len(), 10);
    assert_eq!(first.metadata.remaining_item_count, Some(15));
    let token = first.metadata.continue_.unwrap();
    // What comes later is not in it; what goes is.
    server.store().put(Resource::Pods, pod("late", NODE));
    let next = ListParams::default().limit(20).continue_token(&token);
    let second = pods.list(&next).await.unwrap();
    assert_eq!(second.items.len(), 15);
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
    assert_eq!(second.metadata.continue_, None);
    server.store().compact();
    assert_eq!(code(pods.list(&next).await.unwrap_err()), 410);
    // A watch cache knows no pages.
    assert_eq!(
        raw_list(&pods, "?limit=10&resourceVersion=0").await["items"]
            .as_array()
            .unwrap()
            .len(),
        26
    );
}

#[tokio::test]
async fn lists_are_selected_and_their_items_bare() {
    let (server, pods) = with_pods(3, Options::default()).await;
    server.store().put(Resource::Pods, pod("elsewhere", "n2"));
    let here = ListParams::default().fields("spec.nodeName=n1,metadata.name!=x");
    assert_eq!(pods.list(&here).await.unwrap().items.len(), 3);
    assert_eq!(
        code(
            pods.list(&ListParams::default().fields("spec.hostname=a"))
                .await
                .unwrap_err()
        ),
        400
    );
    let body = raw_list(&pods, "").await;
    assert_eq!(body["items"][0].get("kind"), None);
    assert!(body["items"][0]["metadata"]["managedFields"].is_array());
    assert!(
        server
            .requests()
            .iter()
            .any(|seen| seen.bytes > 50_000 && seen.status == 200)
    );
}

#[tokio::test]
async fn a_watch_tells_what_begins_and_ceases_to_fit() {
    let (server, pods) = with_pods(1, Options::default()).await;
    let version = server.store().version().to_string();
    let store = server.store();
    store.put(Resource::Pods, pod("a", ""));
    store.put(Resource::Pods, pod("a", NODE));
    let mut changed = pod("a", NODE);
    changed["metadata"]["labels"] = json!({"x": "y"});
    store.put(Resource::Pods, changed);
    store.put(Resource::Pods, pod("a", "n2"));
    store.put(Resource::Pods, pod("b", NODE));
    store.delete(&(Resource::Pods, "shop".to_owned(), "b".to_owned()));
    assert_eq!(
        words(&pods, &on_node(), &version, 5).await,
        ["+a", "=a", "-a", "+b", "-b"]
    );
    let soon = Options {
        bookmarks: Duration::from_millis(50),
        ..Options::default()
    };
    server.set(|options| *options = soon);
    let now = store.version().to_string();
    assert_eq!(
        words(&pods, &on_node(), &now, 2).await,
        ["bookmark", "bookmark"]
    );
    let start = Instant::now();
    let short = on_node().timeout(1).disable_bookmarks();
    assert_eq!(words(&pods, &short, &now, 9).await, Vec::<String>::new());
    assert!((900..2_000).contains(&start.elapsed().as_millis()));
}

#[tokio::test]
async fn streaming_lists_and_their_refusals() {
    let (server, pods) = with_pods(2, Options::default()).await;
    let streaming = on_node().initial_events();
    let all = words(&pods, &streaming, "", 3).await;
    assert!(
        all[0].starts_with('+') && all[1].starts_with('+'),
        "{all:?}"
    );
    assert_eq!(all[2], "end");
    let refused = async |lists| {
        server.set(|options| options.streaming_lists = lists);
        match pods.watch(&streaming, "").await.map(|_| ()).unwrap_err() {
            kube::Error::Api(status) => (status.code, status.message),
            other => panic!("{other:?}"),
        }
    };
    let (code, message) = refused(StreamingLists::Off).await;
    assert_eq!(code, 422);
    assert!(message.ends_with(
        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    ));
    let (code, message) = refused(StreamingLists::Unknown).await;
    assert_eq!(code, 422);
    assert!(message.ends_with("resourceVersionMatch is forbidden for watch"));
}

#[tokio::test]
async fn a_version_that_is_gone_is_an_event_or_a_status() {
    let (server, pods) = with_pods(2, Options::default()).await;
    let old = (server.store().version() - 1).to_string();
    server.store().compact();
    assert_eq!(
        words(&pods, &on_node(), &old, 9).await,
        ["error 410 Expired"]
    );
    server.set(|options| options.gone_by_status = true);
    assert_eq!(
        code(pods.watch(&on_node(), &old).await.map(|_| ()).unwrap_err()),
        410
    );
    let now = server.store().version().to_string();
    let params = on_node();
    let mut watch = pin!(pods.watch(&params, &now).await.unwrap());
    server.store().put(Resource::Pods, pod("a", NODE));
    assert_eq!(word(watch.try_next().await.unwrap().unwrap()), "+a");
    server.end_watches(End::Gone);
    assert_eq!(
        word(watch.try_next().await.unwrap().unwrap()),
        "error 410 Expired"
    );
    assert!(watch.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn watches_are_cut_in_a_line_reset_and_fed_garbage() {
    let (server, pods) = with_pods(3, Options::default()).await;
    let on = |action| Fault::new(action).on(Verb::Watch, Resource::Pods).times(1);
    server.faults().add(on(Action::CutInLine(1)));
    let streaming = on_node().initial_events();
    let told = words(&pods, &streaming, "", 9).await;
    // The client takes the connection's end in mid-line for the watch's.
    assert!(told.len() == 1 && told[0].starts_with('+'), "{told:?}");

    let now = server.store().version().to_string();
    let params = on_node();
    for end in [Some(End::Garbage), Some(End::InLine), None] {
        let mut watch = pin!(pods.watch(&params, &now).await.unwrap());
        match end {
            Some(end) => server.end_watches(end),
            None => server.end_connections(Ending::Reset).unwrap(),
        }
        assert!(!matches!(watch.next().await, Some(Ok(_))), "{end:?}");
    }
    // Nothing is left of it.
    assert_eq!(words(&pods, &streaming, "", 4).await[3], "end");
}

#[tokio::test]
async fn faults_befall_what_they_name_as_often_as_they_say() {
    let (server, pods) = with_pods(1, Options::default()).await;
    let params = ListParams::default();
    let list = || pods.list(&params);
    let on = |action| Fault::new(action).on(Verb::List, Resource::Pods).times(1);
    server
        .faults()
        .add(on(Action::Status(Status::too_many_requests(7))));
    assert_eq!(code(list().await.unwrap_err()), 429);
    server.faults().add(on(Action::Forbidden));
    match list().await.unwrap_err() {
        kube::Error::Api(status) => assert_eq!(
            (status.code, status.message.as_str()),
            (
                403,
                "pods is forbidden: User \"system:serviceaccount:kube-system:auditor\" cannot list resource \"pods\" in API \
                 group \"\" at the cluster scope"
            )
        ),
        other => panic!("{other:?}"),
    }
    for action in [
        Action::NoAnswer,
        Action::Reset,
        Action::Half,
        Action::Garbage("<html>"),
    ] {
        server.faults().add(on(action.clone()));
        assert!(list().await.is_err(), "{action:?}");
        assert!(list().await.is_ok(), "{action:?}");
    }
    server.go_away(Ending::Close).unwrap();
    assert!(list().await.is_err());
    server.come_back().unwrap();
    assert!(list().await.is_ok());
}

#[tokio::test]
async fn writes_conflict_and_rights_end_where_the_design_says() {
    let (server, pods) = with_pods(1, Options::default()).await;
    let sync = client(&server, Role::Sync).await;
    let maps: Api<ConfigMap> = Api::namespaced(sync.clone(), "kube-system");
    let map = |data: usize| -> ConfigMap {
        from_value(json!({"metadata": {"name": "m"}, "data": {"k": "x".repeat(data)}})).unwrap()
    };
    let made = maps.create(&PostParams::default(), &map(1)).await.unwrap();
    let again = maps.create(&PostParams::default(), &map(1)).await;
    assert_eq!(code(again.unwrap_err()), 409);
    let mut newer = made.clone();
    newer.data = map(2).data;
    let newer = maps
        .replace("m", &PostParams::default(), &newer)
        .await
        .unwrap();
    assert_ne!(
        newer.metadata.resource_version,
        made.metadata.resource_version
    );
    let stale = maps.replace("m", &PostParams::default(), &made).await;
    assert_eq!(code(stale.unwrap_err()), 409);
    let big = maps
        .replace("m", &PostParams::default(), &map(1 << 21))
        .await;
    assert_eq!(code(big.unwrap_err()), 422);

    let leases: Api<Lease> = Api::namespaced(sync.clone(), "kube-system");
    assert_eq!(code(leases.get("l").await.unwrap_err()), 404);
    let lease: Lease =
        from_value(json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(
        leases
            .get("l")
            .await
            .unwrap()
            .spec
            .unwrap()
            .holder_identity
            .unwrap(),
        "a"
    );

    // Neither may do the other's.
    assert_eq!(
        code(
            Api::<Pod>::all(sync)
                .list(&ListParams::default())
                .await
                .unwrap_err()
        ),
        403
    );
    let node = pods.into_client();
    let accounts: Api<ServiceAccount> = Api::namespaced(node.clone(), "shop");
    assert_eq!(code(accounts.get("web").await.unwrap_err()), 404);
    assert_eq!(
        code(accounts.list(&ListParams::default()).await.unwrap_err()),
        403
    );
    let maps: Api<ConfigMap> = Api::namespaced(node, "kube-system");
    assert_eq!(
        code(maps.list(&ListParams::default()).await.unwrap_err()),
        403
    );
    let named = ListParams::default().fields("metadata.name=m");
    assert_eq!(maps.list(&named).await.unwrap().items.len(), 1);
    assert_eq!(
        code(
            maps.delete("m", &DeleteParams::default())
                .await
                .unwrap_err()
        ),
        403
    );
}
