use std::fmt::Write as _;

use super::*;
use crate::kube::testing::{End, Reply, Server, fast};

fn pod(name: &str, version: u32) -> String {
    format!(
        r#"{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"shop","uid":"uid-{name}","resourceVersion":"{version}","managedFields":[{{"manager":"kubelet"}}]}},"spec":{{"serviceAccountName":"{name}","nodeName":"n1","containers":[{{"name":"c","resources":{{}}}}]}},"status":{{"phase":"Running","podIPs":[{{"ip":"10.0.0.{version}"}}]}}}}"#
    )
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

/// A stream that lists these and then goes on with what comes after it.
fn listing(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in (1..).zip(names) {
        let _ = write!(text, "{}", event("ADDED", &pod(name, index)));
    }
    let end = r#"{"metadata":{"resourceVersion":"100","annotations":{"k8s.io/initial-events-end":"true"}}}"#;
    text + &event("BOOKMARK", end)
}

fn account(name: &str, role: &str) -> Reply {
    Reply::ok(format!(
        r#"{{"kind":"ServiceAccount","metadata":{{"name":"{name}","namespace":"shop","uid":"sa-{name}","annotations":{{"eks.amazonaws.com/role-arn":"{role}"}}}}}}"#
    ))
}

fn timing() -> AccountTiming {
    AccountTiming {
        ttl: Duration::from_mins(10),
        again: Duration::from_millis(200),
        concurrent: 2,
        refused: Duration::from_millis(100),
        queue: 3,
    }
}

struct Run {
    server: Server,
    source: KubeSource,
}

impl Run {
    /// The first request is that of the pods.
    async fn start(pods: Reply, timing: AccountTiming) -> Self {
        let server = Server::start(fast(), [pods]).await;
        let mut run = Self {
            source: KubeSource::start(server.api.clone(), &"n1".into(), timing),
            server,
        };
        run.until(|run| run.server.asked().len() == 1).await;
        run
    }

    /// With these pods listed, and the watch going on in silence.
    async fn with_pods(names: &[&str], timing: AccountTiming) -> Self {
        let mut run = Self::start(Reply::ok(listing(names)).end(End::Hang), timing).await;
        run.until(|run| run.source.is_told()).await;
        run
    }

    /// As the daemon does it, a few times a second.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            self.refresh();
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never: {:?} {self:?}", self.server.asked());
    }

    fn refresh(&mut self) -> Option<String> {
        self.source.refresh(Timestamp::now())
    }

    fn want(&mut self, name: &str) {
        self.source.want_service_account("shop", name, None);
    }

    fn role(&self, name: &str) -> Option<&str> {
        let account = self.source.store().service_accounts().get("shop", name)?;
        account.role_arn.as_deref()
    }

    fn told_at(&self, name: &str) -> Option<Timestamp> {
        self.source.store().service_accounts().told_at("shop", name)
    }

    /// Requests for accounts so far.
    fn gets(&self) -> Vec<String> {
        let asked = self.server.asked().into_iter();
        let gets = asked.filter(|path| path.contains("serviceaccounts"));
        gets.map(|path| path.rsplit_once('/').unwrap().1.to_owned())
            .collect()
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}

#[tokio::test]
async fn follows_the_pods_of_this_node() {
    let stream = listing(&["a", "b"])
        + &event("ADDED", &pod("c", 3))
        + &event("DELETED", &pod("a", 104))
        + &event("MODIFIED", &pod("b", 9));
    let mut run = Run::start(Reply::ok(stream).end(End::Hang), timing()).await;
    assert!(run.server.asked()[0].contains("fieldSelector=spec.nodeName%3Dn1"));
    let moved = "10.0.0.9".parse().unwrap();
    run.until(|run| run.source.store().pod_by_ip(moved).is_some())
        .await;
    let store = run.source.store();
    assert_eq!(store.pod_count(), 2);
    assert!(store.pod("uid-a").is_some(), "remembered");
    assert_eq!(&*store.pod("uid-c").unwrap().service_account, "c");
    let age = run.source.age(Timestamp::now()).unwrap();
    assert!(age < Duration::from_secs(5), "{age:?}");
    assert_eq!(run.refresh(), None);
    let news = run.source.take_news().unwrap();
    assert!(news.is_good);
    assert!(
        news.message.ends_with("pods of this node listed"),
        "{}",
        news.message
    );
    assert_eq!(run.source.take_news(), None);
}

#[tokio::test]
async fn what_was_known_stays_in_force_while_the_server_is_away() {
    let mut run = Run::start(Reply::status(500, "etcd"), timing()).await;
    assert!(!run.source.is_told());
    assert_eq!(run.source.age(Timestamp::now()), None);
    run.server.then(Reply::status(500, "etcd"));
    run.server.then(Reply::ok(listing(&["a"])).end(End::Cut));
    run.server.then(Reply::status(503, "away"));
    run.server.then(Reply::status(503, "away"));
    run.until(|run| run.source.is_told()).await;
    let mut said = None;
    for _ in 0..1000 {
        // The cut itself is told too: the tests' patience is none.
        said = run.refresh().filter(|said| said.contains("HTTP 503"));
        if said.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = said.unwrap();
    assert!(said.contains("not heard since"), "{said}");
    assert!(
        said.ends_with("what was known before stays in force"),
        "{said}"
    );
    assert_eq!(run.source.store().pod_count(), 1);
    // The script is at its end: the next watch hangs, which is an answer.
    for _ in 0..1000 {
        if run.refresh().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still in trouble");
}

#[tokio::test]
async fn a_node_without_pods_is_doubtful() {
    let mut run = Run::with_pods(&[], timing()).await;
    let news = run.source.take_news().unwrap();
    assert!(!news.is_good);
    assert!(news.message.contains("node n1"), "{}", news.message);
}

#[tokio::test]
async fn an_account_is_read_once_for_all_who_want_it() {
    let mut run = Run::with_pods(&["web"], timing()).await;
    run.server
        .then(account("web", "arn:1").after(Duration::from_millis(50)));
    for _ in 0..10 {
        run.want("web");
        run.refresh();
    }
    run.until(|run| run.role("web").is_some()).await;
    assert_eq!(run.role("web"), Some("arn:1"));
    for _ in 0..10 {
        run.want("web");
        run.refresh();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(run.gets(), ["web"], "its time is not over");
    assert_eq!(
        run.server.metrics.requests("get", "serviceaccounts", "200"),
        1
    );
}

#[tokio::test]
async fn an_account_is_read_again_once_its_time_is_over_and_it_is_used() {
    let short = AccountTiming {
        ttl: Duration::from_millis(50),
        ..timing()
    };
    let mut run = Run::with_pods(&["web"], short).await;
    run.server.then(account("web", "arn:1"));
    run.server.then(account("web", "arn:2"));
    run.want("web");
    run.until(|run| run.role("web").is_some()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    run.refresh();
    assert_eq!(run.gets().len(), 1, "nobody wanted it");
    run.want("web");
    assert_eq!(run.role("web"), Some("arn:1"), "until the new one is here");
    run.until(|run| run.role("web") == Some("arn:2")).await;
}

#[tokio::test]
async fn one_that_does_not_exist_is_known_not_to() {
    let mut run = Run::with_pods(&["web"], timing()).await;
    run.server.then(Reply::status(404, "not found"));
    let before = Timestamp::now();
    run.want("web");
    run.until(|run| run.told_at("web").is_some()).await;
    assert!(run.told_at("web").unwrap() >= before);
    assert_eq!(run.role("web"), None);
    assert!(
        run.source
            .store()
            .service_accounts()
            .tells_of("shop", "web")
    );
    assert_eq!(run.refresh(), None, "no trouble");
    run.want("web");
    run.refresh();
    assert_eq!(run.gets().len(), 1);
}

#[tokio::test]
async fn one_that_must_be_newer_is_read_again_but_not_at_once() {
    let mut run = Run::with_pods(&["web"], timing()).await;
    run.server.then(account("web", "arn:1"));
    run.server.then(account("web", "arn:2"));
    run.want("web");
    run.until(|run| run.told_at("web").is_some()).await;
    let first = run.told_at("web").unwrap();
    // Known as of then already.
    run.source.want_service_account("shop", "web", Some(first));
    tokio::time::sleep(Duration::from_millis(250)).await;
    run.refresh();
    assert_eq!(run.gets().len(), 1);

    let event = Timestamp::now();
    run.source.want_service_account("shop", "web", Some(event));
    run.until(|run| run.told_at("web") > Some(first)).await;
    assert!(run.told_at("web").unwrap() >= event);
    assert_eq!(run.role("web"), Some("arn:2"));
    // And again: that is too soon.
    let event = Timestamp::now();
    run.source.want_service_account("shop", "web", Some(event));
    run.refresh();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(run.gets().len(), 2);
}

#[tokio::test]
async fn few_are_read_at_a_time_and_few_wait() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut run = Run::with_pods(&names, timing()).await;
    for name in ["a", "b", "c", "d", "e"] {
        run.server
            .then(account(name, "arn:1").after(Duration::from_millis(100)));
    }
    for name in names {
        run.want(name);
    }
    run.until(|run| run.gets().len() == 2).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    run.refresh();
    assert_eq!(run.gets().len(), 2, "two at a time");
    run.until(|run| run.gets().len() == 5).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    run.refresh();
    let mut gets = run.gets();
    gets.sort();
    assert_eq!(
        gets,
        ["a", "b", "c", "d", "e"],
        "three wait; one was too many"
    );
    run.server.then(account("f", "arn:1"));
    run.want("f");
    run.until(|run| run.gets().len() == 6).await;
}

#[tokio::test]
async fn a_server_that_has_enough_to_do_is_asked_later() {
    let mut run = Run::with_pods(&["web"], timing()).await;
    run.server
        .then(Reply::status(429, "busy").header("retry-after: 1"));
    run.server.then(account("web", "arn:1"));
    let begun = std::time::Instant::now();
    run.want("web");
    run.until(|run| run.source.accounts.trouble().is_some())
        .await;
    let trouble = run.refresh().unwrap();
    assert!(
        trouble.contains("patience with serviceaccounts"),
        "{trouble}"
    );
    // Without being wanted once more.
    run.until(|run| run.role("web").is_some()).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(run.refresh(), None);
    assert_eq!(run.gets().len(), 2);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_holds_up_no_other_account() {
    let mut run = Run::with_pods(&["a", "b"], timing()).await;
    run.server
        .then(Reply::status(403, "serviceaccounts \\\"a\\\" is forbidden"));
    run.server.then(account("b", "arn:1"));
    run.want("a");
    run.until(|run| run.source.accounts.trouble().is_some())
        .await;
    run.want("b");
    run.until(|run| run.role("b").is_some()).await;
    let trouble = run.refresh().unwrap();
    assert!(
        trouble.contains("RBAC must allow get on serviceaccounts (a ClusterRole"),
        "{trouble}"
    );
    assert_eq!(run.told_at("a"), None);
    run.server.then(account("a", "arn:2"));
    tokio::time::sleep(Duration::from_millis(110)).await;
    run.want("a");
    run.until(|run| run.role("a").is_some()).await;
    assert_eq!(run.refresh(), None);
}

#[tokio::test]
async fn accounts_that_no_pod_uses_are_forgotten() {
    let mut run = Run::with_pods(&["web"], timing()).await;
    run.server.then(account("web", "arn:1"));
    run.server.then(account("other", "arn:1"));
    run.want("web");
    run.want("other");
    run.until(|run| run.role("web").is_some()).await;
    let later = Timestamp::now() + SignedDuration::from_secs(2);
    run.source.refresh(later);
    run.source.refresh(later + SignedDuration::from_secs(2));
    assert!(run.role("web").is_some());
    assert_eq!(run.told_at("other"), None);
}
