use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::kube::testing::{End, Reply, Server, fast};

fn resource(account: &str) -> Value {
    json!({
        "apiVersion": "eks.services.k8s.aws/v1alpha1", "kind": "PodIdentityAssociation",
        "metadata": {"name": account, "namespace": "infra", "uid": format!("uid-{account}"), "resourceVersion": "3"},
        "spec": {"clusterName": "prod", "namespace": "shop", "serviceAccount": account,
            "roleARN": "arn:aws:iam::111122223333:role/web", "targetRoleARN": "arn:aws:iam::444455556666:role/b",
            "disableSessionTags": true, "policy": "{}"},
        "status": {"ackResourceMetadata": {"ownerAccountID": "111122223333", "region": "eu-west-1",
                "arn": format!("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-{account}")},
            "associationID": format!("a-{account}"), "externalID": "x", "createdAt": "2026-09-21T14:13:20Z",
            "modifiedAt": "2026-09-21T14:15:00Z", "conditions": [{"type": "ACK.ResourceSynced", "status": "True"}]},
    })
}

fn object(value: Value) -> Object {
    serde_json::from_value(value).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn the_resources_names_are_understood() {
    let association = object(resource("web")).association().unwrap();
    assert_eq!(
        association,
        Association {
            id: "a-web".into(),
            arn: Some(
                "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-web".into()
            ),
            cluster: Some("prod".into()),
            namespace: "shop".into(),
            service_account: "web".into(),
            role_arn: Some("arn:aws:iam::111122223333:role/web".into()),
            target_role_arn: Some("arn:aws:iam::444455556666:role/b".into()),
            external_id: Some("x".into()),
            disable_session_tags: true,
            policy: Some("{}".into()),
            created: Some("2026-09-21T14:13:20Z".parse().unwrap()),
            modified: Some("2026-09-21T14:15:00Z".parse().unwrap()),
        }
    );
}

#[test]
fn what_is_not_synced_does_not_exist() {
    let mut value = resource("web");
    value["status"] = json!({"ackResourceMetadata": {"region": "eu-west-1"}});
    assert_eq!(object(value.clone()).association(), None);
    value.as_object_mut().unwrap().remove("status");
    assert_eq!(object(value).association(), None);
}

#[test]
fn a_reference_leaves_the_cluster_to_the_arn() {
    let mut value = resource("web");
    let spec = value["spec"].as_object_mut().unwrap();
    spec.remove("clusterName");
    spec.remove("roleARN");
    spec.insert("clusterRef".into(), json!({"from": {"name": "my-cluster"}}));
    spec.insert("roleRef".into(), json!({"from": {"name": "my-role"}}));
    let association = object(value.clone()).association().unwrap();
    assert_eq!(association.cluster.as_deref(), Some("prod"));
    assert_eq!(association.role_arn, None);
    assert!(is_of(&association, Some("prod")) && is_of(&association, None));
    assert!(!is_of(&association, Some("test")));
    value["status"]["ackResourceMetadata"] = json!({});
    let association = object(value).association().unwrap();
    assert!(association.cluster.is_none() && is_of(&association, Some("test")));
}

#[test]
fn absence_is_told_as_of_when_it_was_last_heard() {
    let mut state = State::new(Some("prod".into()));
    state.take(Change::Heard(at(50)));
    assert!(state.heard().snapshot.is_none());
    let mut foreign = resource("other");
    foreign["spec"]["clusterName"] = "test".into();
    state.take(Change::Listed {
        items: vec![object(resource("web")), object(foreign)],
        begun_at: at(100),
    });
    let snapshot = state.heard().snapshot.unwrap();
    assert_eq!((snapshot.len(), snapshot.generation), (1, 1));
    assert!(snapshot.tells_of_absence_at(at(85)) && !snapshot.tells_of_absence_at(at(86)));
    state.take(Change::Heard(at(160)));
    let snapshot = state.heard().snapshot.unwrap();
    assert!(snapshot.tells_of_absence_at(at(145)));
    assert_eq!(snapshot.generation, 1);
    state.take(Change::Applied(object(resource("api"))));
    state.take(Change::Deleted(object(resource("web"))));
    let snapshot = state.heard().snapshot.unwrap();
    assert_eq!((snapshot.len(), snapshot.generation), (1, 2));
    assert!(snapshot.get("shop", "api").is_some());
    // Out of reach: what was heard stays, and grows old.
    state.take(Change::Trouble(Some("away".to_owned())));
    let heard = state.heard();
    assert_eq!(heard.trouble.as_deref(), Some("away"));
    assert_eq!(heard.snapshot.unwrap().started_at, at(150));
}

async fn trouble_or_snapshot(source: &mut LiveSource) -> Option<String> {
    for _ in 0..500 {
        let trouble = source.refresh();
        if trouble.is_some() || source.snapshot().is_some() {
            return trouble;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing was heard");
}

#[tokio::test]
async fn without_the_crd_it_says_so() {
    let replies = vec![Reply::status(404, ""); 50];
    let server = Server::start(fast(), replies).await;
    let mut source = watch_ack(server.api.clone(), None);
    let trouble = trouble_or_snapshot(&mut source).await.unwrap();
    let part = "the ACK EKS controller's CRD is not installed";
    assert!(trouble.contains(part), "{trouble}");
    assert!(source.snapshot().is_none());
}

#[tokio::test]
async fn all_namespaces_are_watched() {
    let stream = format!(
        "{}\n{}\n",
        json!({"type": "ADDED", "object": resource("web")}),
        json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9",
            "annotations": {"k8s.io/initial-events-end": "true"}}}})
    );
    let server = Server::start(fast(), [Reply::ok(stream).end(End::Hang)]).await;
    let mut source = watch_ack(server.api.clone(), Some("prod".into()));
    assert_eq!(trouble_or_snapshot(&mut source).await, None);
    let snapshot = source.snapshot().unwrap();
    assert_eq!(&*snapshot.source, "ack");
    assert!(snapshot.get("shop", "web").is_some());
    let asked = server.asked();
    let begin = "/apis/eks.services.k8s.aws/v1alpha1/podidentityassociations?watch=true";
    assert!(asked[0].starts_with(begin), "{asked:?}");
}
