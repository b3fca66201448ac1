mod chaos;

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::*;
use crate::kube::{
    Timing,
    testing::{End, Reply, Server, fast},
};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Thing {
    metadata: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Name {
    name: String,
    resource_version: String,
}

fn thing(name: &str, version: u32) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","uid":"uid-{name}","resourceVersion":"{version}","managedFields":[{{"x":1}}]}},"spec":{{}}}}"#
    )
}

fn event(kind: &str, name: &str, version: u32) -> String {
    format!(
        "{{\"type\":\"{kind}\",\"object\":{}}}\n",
        thing(name, version)
    )
}

fn bookmark(version: u32) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\"}}}}}}\n"
    )
}

fn end_of_listing(version: u32) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"kind\":\"Pod\",\"metadata\":{{\"resourceVersion\":\"{version}\",\
         \"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}},\"spec\":{{\"containers\":null}}}}}}\n"
    )
}

fn error_event(code: u16, message: &str) -> String {
    format!(
        "{{\"type\":\"ERROR\",\"object\":{{\"kind\":\"Status\",\"code\":{code},\"message\":\"{message}\"}}}}\n"
    )
}

fn page(version: u32, next: &str, items: &[String]) -> Reply {
    let items = items.join(",");
    Reply::ok(format!(
        r#"{{"kind":"PodList","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{items}]}}"#
    ))
}

fn no_streaming() -> Reply {
    Reply::status(422, "resourceVersionMatch: Forbidden: for watch")
}

struct Run {
    server: Server,
    changes: mpsc::Receiver<Change<Thing>>,
}

impl Run {
    async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(fast(), script).await
    }

    async fn with(timing: Timing, script: impl IntoIterator<Item = Reply>) -> Self {
        let server = Server::start(timing, script).await;
        let resource = Resource {
            api: "/api/v1",
            plural: "pods",
            namespace: None,
            field_selector: Some("spec.nodeName=n1".into()),
            from_cache: true,
        };
        let (sink, changes) = mpsc::channel(4);
        tokio::spawn(ListWatch::<Thing>::new(server.api.clone(), resource, sink).run());
        Self { server, changes }
    }

    /// The next one, as text: `list a@1 b@2`, `+a@3`, `-a@4`, `heard`, `trouble …`, `fine`.
    async fn next(&mut self) -> String {
        let name = |thing: &Thing| {
            let Name {
                name,
                resource_version,
            } = &thing.metadata;
            format!("{name}@{resource_version}")
        };
        let next = timeout(Duration::from_secs(5), self.changes.recv()).await;
        match next.expect("nothing came").expect("it has ended") {
            Change::Listed { items, begun_at } => {
                assert!(begun_at <= Timestamp::now());
                let mut names: Vec<String> = items.iter().map(name).collect();
                names.sort();
                format!("list {}", names.join(" "))
            }
            Change::Applied(thing) => format!("+{}", name(&thing)),
            Change::Deleted(thing) => format!("-{}", name(&thing)),
            Change::Heard(_) => "heard".to_owned(),
            Change::Trouble(Some(text)) => format!("trouble {text}"),
            Change::Trouble(None) => "fine".to_owned(),
        }
    }

    /// The next `count`, troubles and hearing left out.
    async fn things(&mut self, count: usize) -> Vec<String> {
        let mut things = Vec::new();
        while things.len() < count {
            let next = self.next().await;
            if next.starts_with(['+', '-', 'l']) {
                things.push(next);
            }
        }
        things
    }

    async fn trouble(&mut self) -> String {
        loop {
            if let Some(text) = self.next().await.strip_prefix("trouble ") {
                return text.to_owned();
            }
        }
    }

    /// Waits for that many requests.
    async fn asked(&self, count: usize) -> Vec<String> {
        for _ in 0..500 {
            let asked = self.server.asked();
            if asked.len() >= count {
                return asked;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} and no more", self.server.asked());
    }
}

#[tokio::test]
async fn a_streamed_listing_goes_on_as_a_watch() {
    let stream = [
        event("ADDED", "a", 1),
        event("ADDED", "b", 2),
        event("ADDED", "c", 3),
        event("MODIFIED", "b", 5),
        event("DELETED", "c", 6),
        end_of_listing(10),
        event("MODIFIED", "a", 11),
        "\n".to_owned(),
        bookmark(20),
    ];
    let mut run = Run::start([Reply::ok(stream.concat())]).await;
    assert_eq!(run.next().await, "list a@1 b@5");
    assert_eq!(run.next().await, "heard");
    assert_eq!(run.next().await, "+a@11");
    assert_eq!(run.next().await, "heard", "once for all that came together");
    let asked = run.asked(2).await;
    assert!(asked[0].contains("sendInitialEvents=true&resourceVersionMatch=NotOlderThan"));
    assert!(!asked[0].contains("resourceVersion="), "{}", asked[0]);
    assert!(asked[1].ends_with("&resourceVersion=20"), "{}", asked[1]);
    assert_eq!(run.server.metrics.requests("watch", "pods", "200"), 2);
    assert_eq!(
        run.server.metrics.received("pods"),
        stream.concat().len() as u64
    );
}

#[tokio::test]
async fn without_streaming_lists_it_lists_in_pages_for_good() {
    let mut run = Run::start([
        no_streaming(),
        page(7, "next/1", &[thing("a", 1), thing("b", 2)]),
        page(7, "", &[thing("c", 3)]),
        Reply::ok(event("DELETED", "a", 8)),
        Reply::status(410, "too old resource version: 8 (900)"),
        page(900, "", &[thing("b", 2)]),
    ])
    .await;
    let all = run.things(3).await;
    assert_eq!(all, ["list a@1 b@2 c@3", "-a@8", "list b@2"]);
    let asked = run.asked(7).await;
    assert!(asked[0].contains("sendInitialEvents"));
    assert!(
        asked[1].ends_with("&limit=2&resourceVersion=0"),
        "{}",
        asked[1]
    );
    assert!(
        asked[2].ends_with("&limit=2&continue=next%2F1"),
        "{}",
        asked[2]
    );
    assert!(asked[3].ends_with("&resourceVersion=7"), "{}", asked[3]);
    assert!(asked[4].ends_with("&resourceVersion=8"), "{}", asked[4]);
    assert!(
        asked[5].ends_with("&limit=2"),
        "no cache, no streaming: {}",
        asked[5]
    );
    assert!(asked[6].ends_with("&resourceVersion=900"), "{}", asked[6]);
}

#[tokio::test]
async fn a_page_that_expires_begins_the_listing_anew() {
    let mut run = Run::start([
        no_streaming(),
        page(7, "p2", &[thing("a", 1)]),
        Reply::status(410, "The provided continue parameter is too old"),
        page(9, "p2", &[thing("b", 8)]),
        page(9, "", &[thing("c", 9)]),
    ])
    .await;
    assert_eq!(run.things(1).await, ["list b@8 c@9"]);
}

#[tokio::test]
async fn a_version_that_is_too_old_or_of_the_future_lists_again() {
    for gone in [
        Reply::ok(event("ADDED", "b", 11) + &error_event(410, "too old resource version")),
        Reply::status(504, "Too large resource version: 10, current: 3")
            .after(Duration::from_millis(100)),
    ] {
        let in_stream = gone.code == 200;
        let mut run = Run::start([
            Reply::ok(event("ADDED", "a", 1) + &end_of_listing(10)),
            gone,
            Reply::ok(event("ADDED", "c", 2) + &end_of_listing(3)).end(End::Hang),
        ])
        .await;
        let expected: &[&str] = match in_stream {
            true => &["list a@1", "+b@11", "list c@2"],
            false => &["list a@1", "list c@2"],
        };
        assert_eq!(run.things(expected.len()).await, expected);
    }
}

#[tokio::test]
async fn what_is_cut_or_garbage_is_asked_for_again_from_the_last_whole_event() {
    let listed = Reply::ok(event("ADDED", "a", 1) + &end_of_listing(10));
    let half = &event("ADDED", "c", 12)[..40];
    let mut run = Run::start([
        listed.end(End::Cut),
        Reply::ok(event("ADDED", "b", 11) + half).end(End::Cut),
        Reply::ok(event("ADDED", "c", 12) + half),
        Reply::ok("<html>\n"),
        Reply::ok(event("ADDED", "d", 13)).end(End::Hang),
    ])
    .await;
    let all = run.things(4).await;
    assert_eq!(all, ["list a@1", "+b@11", "+c@12", "+d@13"]);
    let versions: Vec<String> = run.asked(5).await[1..]
        .iter()
        .map(|asked| asked.rsplit_once('=').unwrap().1.to_owned())
        .collect();
    assert_eq!(versions, ["10", "11", "12", "12"]);
}

#[tokio::test]
async fn garbage_without_end_is_got_over_by_a_listing() {
    let mut run = Run::start([
        Reply::ok(end_of_listing(10)),
        Reply::ok("garbage\n"),
        Reply::ok("garbage\n"),
        Reply::ok("garbage\n"),
        Reply::ok(event("ADDED", "a", 11) + &end_of_listing(12)).end(End::Hang),
    ])
    .await;
    assert_eq!(run.things(2).await, ["list ", "list a@11"]);
}

#[tokio::test]
async fn an_object_of_another_shape_holds_up_nothing() {
    let odd = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":5,\"uid\":\"u\",\"resourceVersion\":\"11\"}}}\n";
    let stream = end_of_listing(10) + odd + &event("ADDED", "b", 12);
    let mut run = Run::start([Reply::ok(stream).end(End::Hang)]).await;
    assert_eq!(run.things(2).await, ["list ", "+b@12"]);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_waited_for() {
    let forbidden = Reply::status(403, "pods is forbidden");
    let mut run = Run::start([
        forbidden.clone(),
        forbidden,
        Reply::ok(event("ADDED", "a", 1) + &end_of_listing(2)).end(End::Hang),
    ])
    .await;
    assert_eq!(
        run.next().await,
        "trouble the API server forbids it: RBAC must allow list and watch on pods (a ClusterRole rule with apiGroups \
         [\"\"], resources [\"pods\"]) (pods is forbidden); never heard yet"
    );
    // The second one says nothing new.
    assert_eq!(run.next().await, "list a@1");
    assert_eq!(run.next().await, "fine");
    assert_eq!(run.server.metrics.requests("watch", "pods", "403"), 2);
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_given_it() {
    let listed = Reply::ok(event("ADDED", "a", 1) + &end_of_listing(2)).end(End::Hang);
    let busy = Reply::status(429, "too many requests").header("retry-after: 1");
    let mut run = Run::start([busy, listed]).await;
    let begun = Instant::now();
    assert!(run.trouble().await.contains("asks for patience"));
    assert_eq!(run.things(1).await, ["list a@1"]);
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_until_it_is_back() {
    let mut run = Run::start([
        Reply::ok(event("ADDED", "a", 1) + &end_of_listing(2)),
        Reply::ok("").end(End::Cut),
        Reply::status(503, ""),
        Reply::ok(""),
        Reply::ok(""),
        Reply::ok(event("MODIFIED", "a", 3)).end(End::Hang),
    ])
    .await;
    assert_eq!(run.things(1).await, ["list a@1"]);
    let trouble = run.trouble().await;
    assert!(trouble.contains("not heard since"), "{trouble}");
    assert_eq!(run.things(1).await, ["+a@3"]);
    let asked = run.asked(6).await;
    assert_eq!(asked.len(), 6);
    for asked in &asked[1..] {
        assert!(asked.ends_with("&resourceVersion=2"), "{asked}");
    }
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_begun_again() {
    let timing = Timing {
        bookmark_silence: Duration::from_millis(100),
        ..fast()
    };
    let listed = Reply::ok(end_of_listing(2) + &bookmark(5)).end(End::Hang);
    // Something must flush the head.
    let silent = || Reply::ok("{").end(End::Hang);
    let mut run = Run::with(timing, [listed.clone(), silent(), silent(), listed]).await;
    assert_eq!(run.things(2).await, ["list ", "list "]);
    let asked = run.asked(4).await;
    assert!(asked[1].ends_with("&resourceVersion=5"));
    assert!(asked[2].ends_with("&resourceVersion=5"));
    // Perhaps the server has never been there: its etcd was restored.
    assert!(asked[3].contains("sendInitialEvents=true"), "{}", asked[3]);
}

#[tokio::test]
async fn a_server_that_never_ends_a_streamed_listing_is_listed_in_pages() {
    let endless = Reply::ok(event("ADDED", "a", 1));
    let mut run = Run::start([endless.clone(), endless, page(3, "", &[thing("a", 1)])]).await;
    assert_eq!(run.things(1).await, ["list a@1"]);
    assert!(run.asked(3).await[2].contains("limit=2"));
}

#[tokio::test]
async fn ends_when_nobody_listens() {
    let server = Server::start(fast(), [Reply::status(500, "")]).await;
    let resource = Resource {
        api: "/api/v1",
        plural: "pods",
        namespace: None,
        field_selector: None,
        from_cache: false,
    };
    let (sink, changes) = mpsc::channel(4);
    drop(changes);
    let run = ListWatch::<Thing>::new(server.api.clone(), resource, sink).run();
    timeout(Duration::from_secs(5), run).await.unwrap();
}
