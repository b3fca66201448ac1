//! What was known when the verdict was given.

use jiff::Timestamp;

use super::{Knowledge, binding::annotated_role};
use crate::{
    cluster::Pod,
    event::{Evidence, Injected},
};

/// About `pod`, whose binding counts; `container` names the one that acted, where it is that pod's.
pub fn evidence(
    pod: Option<&Pod>,
    container: Option<&str>,
    time: Timestamp,
    knowledge: &Knowledge<'_>,
) -> Evidence {
    let injected = pod.map(|pod| Injected {
        irsa_role: pod.env_role(container).map(ToOwned::to_owned),
        pod_identity: pod.has_pod_identity(),
        region: pod.env_region().map(ToOwned::to_owned),
    });
    let annotated = pod.and_then(|pod| annotated_role(pod, knowledge));
    let begun = knowledge.bindings.map(|snapshot| snapshot.started_at);
    Evidence {
        injected: injected.unwrap_or_default(),
        sa_role_arn: annotated.map(ToOwned::to_owned),
        pod_age_ms: pod
            .and_then(|pod| pod.created)
            .map(|created| milliseconds(created, time)),
        bindings_age_ms: begun.map(|begun| milliseconds(begun, knowledge.now)),
        policy_hash: knowledge.policy.hash.clone(),
        observed_since: None,
        token_opened_at: None,
        learned_since: None,
        taken: Vec::new(),
        candidates: Vec::new(),
    }
}

/// 0 where the clocks of API server and node disagree.
fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or_default()
}
