//! Bindings from a real cluster's sources: what was not bound is judged only by what was read after the event.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    expect::Expected,
    node::{CLUSTER_NAME, Pod, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
    service::{
        agent::V4,
        apiserver::{Options, Resource},
        eks::{Association, Eks, Fault, Operation},
        web::Seen,
    },
};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, is_watch},
    support::is_root,
    syncer::{INTERVAL, NAME, NAMESPACE, Syncer},
};

const AGENT: &str = "pod-identity-agent";

/// A node whose pods may ask the Pod Identity agent, reading bindings from `source`.
fn node(source: &str) -> Result<(Stage, Eks)> {
    node_of(source, Options::default())
}

fn node_of(source: &str, behaviour: Options) -> Result<(Stage, Eks)> {
    let mut stage = Stage::new(behaviour)?;
    // Older than the auditor, which must not accuse it before it is told of the agent's pod.
    stage.lab.start_agent()?;
    stage.lab.cluster.associations_source = Some(source.to_owned());
    let eks = Eks::start(CLUSTER_NAME)?;
    eks.put(Association::new(
        "ops",
        "other",
        &format!("{ROLES}/ops-other"),
    ));
    Ok((stage, eks))
}

fn config_map() -> String {
    format!("kube:{NAMESPACE}/{NAME}")
}

fn pod(stage: &mut Stage, app: &str) -> Result<(Pod, String)> {
    let pod = stage
        .lab
        .start(PodSpec::new("shop", app).with_pod_identity())?;
    Ok((pod, format!("{ROLES}/shop-{app}")))
}

fn use_it(stage: &mut Stage, pod: &Pod) -> Result<()> {
    stage.lab.run(pod, &["sdk"]).map(drop)
}

/// Token, connect and close of a pod with an association.
fn bound(pod: &Pod, role: &str) -> Vec<Expected> {
    vec![
        Expected::own_open(pod, POD_IDENTITY)
            .bound("pod-identity", role)
            .with(&[("comm", "sdk")]),
        Expected::connect(pod, AGENT, V4).bound("pod-identity", role),
        Expected::closed(pod, AGENT, V4),
    ]
}

/// The same of one without.
fn unbound(pod: &Pod) -> Vec<Expected> {
    vec![
        Expected::own_open(pod, POD_IDENTITY)
            .with(&[("comm", "sdk")])
            .judged("violation", "unbound-token-open:high"),
        Expected::connect(pod, AGENT, V4).judged("violation", "unassociated-agent-connect:high"),
        Expected::closed(pod, AGENT, V4),
    ]
}

/// The same where nobody knows.
fn undetermined(pod: &Pod) -> Vec<Expected> {
    let unknown = |line: Expected| {
        line.judged("undetermined", "")
            .with(&[("undetermined", "associations")])
    };
    vec![
        unknown(Expected::own_open(pod, POD_IDENTITY).with(&[("comm", "sdk")])),
        unknown(Expected::connect(pod, AGENT, V4)),
        Expected::closed(pod, AGENT, V4),
    ]
}

fn longest_wait(lines: &[Value]) -> u64 {
    let waits = lines
        .iter()
        .map(|line| line["attribution"]["waited_ms"].as_u64());
    waits.max().flatten().unwrap_or(0)
}

fn is_list(seen: &Seen) -> bool {
    seen.path.ends_with("/pod-identity-associations")
}

/// Waits for the beginning of another round of reading.
fn next_round(eks: &Eks) {
    let before = eks.requests().iter().filter(|seen| is_list(seen)).count();
    for _ in 0..2_000 {
        if eks.requests().iter().filter(|seen| is_list(seen)).count() > before {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn count(data: &Value) -> Option<u64> {
    data["count"].as_str()?.parse().ok()
}

#[test]
fn associated_a_second_before_the_connect_is_no_alarm_and_dissociated_is_one() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, eks) = node(&config_map())?;
    let mut syncer = Syncer::start(&stage, &eks)?;
    syncer.written(&stage, |data| data["complete"] == "true")?;
    stage.begin()?;
    let (cart, role) = pod(&mut stage, "cart")?;
    next_round(&eks);
    thread::sleep(Duration::from_millis(500));
    eks.put(Association::new("shop", "cart", &role));
    thread::sleep(Duration::from_secs(1));
    use_it(&mut stage, &cart)?;
    let lines = stage.lines(bound(&cart, &role))?;
    // Nothing that was known by then could have said so.
    let waited = longest_wait(&lines);
    println!("the line waited for {waited} ms");
    ensure!((1_000..12_000).contains(&waited), "{waited} ms");

    // Known: it does not wait again.
    use_it(&mut stage, &cart)?;
    let lines = stage.lines(bound(&cart, &role))?;
    ensure!(longest_wait(&lines) < 1_000, "{lines:?}");

    ensure!(eks.remove("shop", "cart"));
    syncer.written(&stage, |data| count(data) == Some(1))?;
    use_it(&mut stage, &cart)?;
    stage.lines(unbound(&cart))?;
    ensure!(syncer.stop()?, "{}", syncer.log());
    stage.end()?;
    Ok(())
}

#[test]
fn a_reading_that_failed_takes_nobodys_binding_away() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, eks) = node(&config_map())?;
    // Two pages.
    for index in 0..120 {
        eks.put(Association::new(
            "batch",
            &format!("job-{index}"),
            &format!("{ROLES}/batch"),
        ));
    }
    let role = format!("{ROLES}/shop-cart");
    eks.put(Association::new("shop", "cart", &role));
    let mut syncer = Syncer::start(&stage, &eks)?;
    let all = |data: &Value| data["trouble"].is_null() && count(data) == Some(122);
    syncer.written_within(Duration::from_secs(60), &stage, all)?;
    stage.begin()?;
    let (cart, role) = pod(&mut stage, "cart")?;
    let (stray, _) = pod(&mut stage, "stray")?;
    for (operation, fault) in [
        (Operation::List, Fault::Failed),
        (Operation::NextPage, Fault::Failed),
        (Operation::List, Fault::Denied),
        (Operation::Any, Fault::NoAnswer),
    ] {
        eks.fail(operation, fault.clone(), None);
        next_round(&eks);
        use_it(&mut stage, &cart)?;
        stage
            .lines(bound(&cart, &role))
            .with_context(|| format!("{operation:?} {fault:?}"))?;
        let data = syncer.written_within(Duration::from_secs(60), &stage, |data| {
            !data["trouble"].is_null()
        })?;
        ensure!(count(&data) == Some(122), "{data}");
        eks.mend();
        syncer.written_within(Duration::from_secs(60), &stage, all)?;
    }
    // While it fails, nobody knows of one that was not bound before.
    eks.fail(Operation::NextPage, Fault::Failed, None);
    next_round(&eks);
    use_it(&mut stage, &stray)?;
    stage.lines_within(4 * INTERVAL + Duration::from_secs(20), undetermined(&stray))?;
    eks.mend();
    syncer.written_within(Duration::from_secs(60), &stage, all)?;
    use_it(&mut stage, &stray)?;
    stage.lines(unbound(&stray))?;
    stage.end()?;
    Ok(())
}

#[test]
fn when_the_leader_is_killed_the_other_takes_over() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, eks) = node(&config_map())?;
    let mut leader = Syncer::start(&stage, &eks)?;
    leader.written(&stage, |data| data["complete"] == "true")?;
    let lease = |stage: &Stage| -> Result<Value> {
        let key = (Resource::Leases, NAMESPACE.to_owned(), NAME.to_owned());
        let lease = stage.api.store().get(&key).context("no Lease")?;
        Ok(lease["spec"].clone())
    };
    let first = lease(&stage)?;
    let mut other = Syncer::start(&stage, &eks)?;
    stage.begin()?;
    // The second one leaves the first its place.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(lease(&stage)?["holderIdentity"], first["holderIdentity"]);
    leader.kill()?;
    let (cart, role) = pod(&mut stage, "cart")?;
    eks.put(Association::new("shop", "cart", &role));
    other.written_within(Duration::from_secs(40), &stage, |data| {
        count(data) == Some(2)
    })?;
    let second = lease(&stage)?;
    assert_ne!(second["holderIdentity"], first["holderIdentity"]);
    assert_eq!(
        second["leaseTransitions"].as_u64(),
        Some(first["leaseTransitions"].as_u64().unwrap_or(0) + 1)
    );
    use_it(&mut stage, &cart)?;
    stage.lines(bound(&cart, &role))?;
    stage.end()?;
    Ok(())
}

#[test]
fn of_250_associations_under_throttling_none_is_missing() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, eks) = node(&config_map())?;
    for index in 0..249 {
        let app = format!("app-{index}");
        eks.put(Association::new(
            "shop",
            &app,
            &format!("{ROLES}/shop-{app}"),
        ));
    }
    eks.limit(9);
    eks.fail(Operation::Any, Fault::Throttled, Some(5));
    let mut syncer = Syncer::start(&stage, &eks)?;
    stage.begin()?;
    // All are known to be there before all their roles are.
    syncer.written_within(Duration::from_secs(60), &stage, |data| {
        count(data) == Some(250)
    })?;
    let all = |data: &Value| data["trouble"].is_null() && count(data) == Some(250);
    syncer.written_within(Duration::from_secs(180), &stage, all)?;
    let seen = eks.requests();
    let throttled = seen.iter().filter(|seen| seen.status == 429).count();
    println!("{} requests, {throttled} of them throttled", seen.len());
    ensure!(throttled >= 5, "{throttled} throttled");
    for app in ["app-0", "app-137", "app-248"] {
        let (pod, role) = pod(&mut stage, app)?;
        use_it(&mut stage, &pod)?;
        stage.lines(bound(&pod, &role))?;
    }
    // The node: one watch more, and nothing of EKS.
    let maps = stage.asked(1, |seen| is_watch(seen, "/configmaps"))?;
    ensure!(maps.len() == 1, "{maps:#?}");
    stage.end()?;
    Ok(())
}

#[test]
fn a_node_may_ask_eks_itself() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, eks) = node("eks")?;
    let (cart, role) = pod(&mut stage, "cart")?;
    eks.put(Association::new("shop", "cart", &role));
    eks.fail(Operation::Any, Fault::Throttled, Some(2));
    stage.environment(eks.environment());
    stage.begin()?;
    use_it(&mut stage, &cart)?;
    stage.lines(bound(&cart, &role))?;
    stage.end()?;
    Ok(())
}

#[test]
fn acks_resources_bind() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    // An absence is known by a bookmark from after it: a real API server's comes within a minute.
    let behaviour = Options {
        bookmarks: Duration::from_secs(1),
        ..Options::default()
    };
    let (mut stage, _eks) = node_of("ack", behaviour)?;
    stage.begin()?;
    let (cart, role) = pod(&mut stage, "cart")?;
    thread::sleep(Duration::from_secs(1));
    let arn = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-abcdefghijklmnop1";
    stage.api.store().put(
        Resource::PodIdentityAssociations,
        json!({
            "metadata": {"namespace": "shop", "name": "cart", "finalizers": ["finalizers.eks.services.k8s.aws/PodIdentityAssociation"]},
            "spec": {"clusterName": CLUSTER_NAME, "namespace": "shop", "serviceAccount": "cart", "roleARN": role},
            "status": {
                "ackResourceMetadata": {"arn": arn, "ownerAccountID": "111122223333", "region": "eu-west-1"},
                "associationARN": arn, "associationID": "a-abcdefghijklmnop1",
                "conditions": [{"status": "True", "type": "ACK.ResourceSynced"}],
            },
        }),
    );
    use_it(&mut stage, &cart)?;
    stage.lines(bound(&cart, &role))?;
    let key = (
        Resource::PodIdentityAssociations,
        "shop".to_owned(),
        "cart".to_owned(),
    );
    ensure!(stage.api.store().delete(&key));
    thread::sleep(Duration::from_secs(1));
    use_it(&mut stage, &cart)?;
    stage.lines_within(Duration::from_secs(180), unbound(&cart))?;
    stage.end()?;
    Ok(())
}
