//! `node-role-fallback`

use super::{Connector, connector, is_reached};
use crate::{
    audit::{
        CloseCase, ConnectCase, Knowledge,
        binding::{annotated_role, association},
        ruling::{Input, Ruling},
    },
    cluster::Pod,
    event::{EndpointKind, Severity},
};

/// More than an IMDSv2 session token and a region or zone come to; the credentials of a role take more.
const REGION_LOOKUP_BYTES: u64 = 1024;

/// A pod that policy does not name reached the instance metadata service, and so perhaps the node's role.
pub fn node_role_fallback(case: &ConnectCase<'_>) -> Ruling {
    if case.endpoint != EndpointKind::Imds || is_reached(case.outcome) != Some(true) {
        return Ruling::Clear;
    }
    let knowledge = &case.knowledge;
    let pod = match connector(&case.actor, knowledge.policy) {
        Connector::Pod(pod) if knowledge.policy.may_use_node_role(pod) => return Ruling::Clear,
        Connector::Pod(pod) => pod,
        Connector::Exempt => return Ruling::Clear,
        Connector::Lacks(input) => return Ruling::Lacks(input),
    };
    let name = pod.full_name();
    let message = if has_own_role(pod, knowledge) {
        format!("{name} reached the instance metadata service, though it has a role of its own")
    } else {
        format!("{name} reached the instance metadata service, and policy does not name it")
    };
    Ruling::finding(Severity::Info, message)
}

/// A pod that has a role of its own took more from the instance metadata service than a region look-up does: the node's credentials.
pub fn node_role_fallback_at_close(case: &CloseCase<'_>) -> Ruling {
    if case.endpoint != EndpointKind::Imds || case.bytes_received <= REGION_LOOKUP_BYTES {
        return Ruling::Clear;
    }
    let knowledge = &case.knowledge;
    let pod = match connector(&case.actor, knowledge.policy) {
        Connector::Pod(pod) if knowledge.policy.may_use_node_role(pod) => return Ruling::Clear,
        Connector::Pod(pod) => pod,
        Connector::Exempt => return Ruling::Clear,
        Connector::Lacks(input) => return Ruling::Lacks(input),
    };
    if has_own_role(pod, knowledge) {
        return Ruling::finding(
            Severity::Medium,
            format!(
                "{} took {} bytes from the instance metadata service, though it has a role of its own",
                pod.full_name(),
                case.bytes_received
            ),
        );
    }
    if !knowledge.associations_tell_of_absence_at(case.time) {
        return Ruling::Lacks(Input::Associations);
    }
    if !knowledge.annotations_tell_of_absence_at(pod, case.time) {
        return Ruling::Lacks(Input::ServiceAccount);
    }
    Ruling::Clear
}

/// Bound to one now, or given one when it was made.
fn has_own_role(pod: &Pod, knowledge: &Knowledge<'_>) -> bool {
    association(pod, knowledge).is_some()
        || annotated_role(pod, knowledge).is_some()
        || pod.env_role(None).is_some()
        || pod.has_pod_identity()
}

#[cfg(test)]
mod tests;
