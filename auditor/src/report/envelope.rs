//! What every line carries besides its body.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::trim::cut_shared;
use crate::event::{Binding, Body, Line, SCHEMA};

/// Who this auditor is.
#[derive(Clone, Debug)]
pub struct Envelope {
    run_id: Arc<str>,
    cluster: Option<Arc<str>>,
    node: Arc<str>,
    instance_id: Option<Arc<str>>,
    region: Option<Arc<str>>,
}

/// Names of nodes and clusters have 253 characters at most; what is longer is none.
const MAX_NAME: usize = 256;

impl Envelope {
    /// `run_id` is a UUIDv7, new in each run.
    #[must_use]
    pub fn new(
        run_id: Uuid,
        node: Arc<str>,
        cluster: Option<Arc<str>>,
        instance_id: Option<Arc<str>>,
        region: Option<Arc<str>>,
    ) -> Self {
        Self {
            run_id: Arc::from(run_id.to_string()),
            cluster: cluster.map(bounded),
            node: bounded(node),
            instance_id: instance_id.map(bounded),
            region: region.map(bounded),
        }
    }

    #[must_use]
    pub fn run_id(&self) -> &Arc<str> {
        &self.run_id
    }

    pub(crate) fn line(&self, seq: u64, time: Timestamp, id: Uuid, body: Body) -> Line {
        Line {
            schema: SCHEMA,
            id: id.to_string(),
            run_id: self.run_id.clone(),
            seq,
            time,
            cluster: self.cluster.clone(),
            account: binding(&body)
                .and_then(|b| b.role_arn.as_deref())
                .and_then(account)
                .map(str::to_owned),
            region: self
                .region
                .as_deref()
                .or_else(|| {
                    binding(&body)
                        .and_then(|b| b.association_arn.as_deref())
                        .and_then(region)
                })
                .or_else(|| pod_region(&body).filter(|name| is_region(name)))
                .map(str::to_owned),
            node: self.node.clone(),
            instance_id: self.instance_id.clone(),
            body,
        }
    }
}

fn binding(body: &Body) -> Option<&Binding> {
    match body {
        Body::TokenOpen(open) => open.binding.as_ref(),
        Body::CredentialConnect(connect) => connect.binding.as_ref(),
        Body::AgentAccept(accept) => accept.binding.as_ref(),
        Body::Posture(posture) => posture.binding.as_ref(),
        Body::TokenReceived(received) => received.binding.as_ref(),
        Body::MemoryAccess(access) => access.binding.as_ref(),
        Body::ConnectionClosed(_)
        | Body::Listen(_)
        | Body::SocketCreate(_)
        | Body::Ready(_)
        | Body::Stopped(_)
        | Body::Summary(_)
        | Body::Loss(_)
        | Body::Health(_) => None,
    }
}

/// The account of `arn:PARTITION:iam::ACCOUNT:role/…`: 12 digits.
fn account(role_arn: &str) -> Option<&str> {
    let mut parts = role_arn.splitn(6, ':');
    let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (arn == "arn" && service == "iam" && digits && resource.starts_with("role/")).then_some(account)
}

/// Of the pod whose binding counts: STS is regional, and its SDKs call it there.
fn pod_region(body: &Body) -> Option<&str> {
    let evidence = match body {
        Body::TokenOpen(open) => &open.evidence,
        Body::CredentialConnect(connect) => &connect.evidence,
        Body::AgentAccept(accept) => &accept.evidence,
        Body::Posture(posture) => &posture.evidence,
        Body::TokenReceived(received) => &received.evidence,
        Body::MemoryAccess(access) => &access.evidence,
        Body::SocketCreate(create) => &create.evidence,
        Body::ConnectionClosed(_)
        | Body::Listen(_)
        | Body::Ready(_)
        | Body::Stopped(_)
        | Body::Summary(_)
        | Body::Loss(_)
        | Body::Health(_) => return None,
    };
    evidence.injected.region.as_deref()
}

fn is_region(name: &str) -> bool {
    let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !name.is_empty() && name.len() <= 32 && name.bytes().all(is_name)
}

/// The region of `arn:PARTITION:eks:REGION:ACCOUNT:podidentityassociation/…`: the cluster's, and so the node's.
fn region(association_arn: &str) -> Option<&str> {
    let mut parts = association_arn.splitn(6, ':');
    let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, _account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let of_association = resource.starts_with("podidentityassociation/");
    (arn == "arn" && service == "eks" && is_region(region) && of_association).then_some(region)
}

fn bounded(mut name: Arc<str>) -> Arc<str> {
    cut_shared(&mut name, MAX_NAME);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_an_association_and_of_nothing_else() {
        let association = "111122223333:podidentityassociation/prod/a-1";
        for (arn, want) in [
            (
                format!("arn:aws:eks:eu-west-1:{association}"),
                Some("eu-west-1"),
            ),
            (
                format!("arn:aws-cn:eks:cn-north-1:{association}"),
                Some("cn-north-1"),
            ),
            (format!("arn:aws:eks::{association}"), None),
            (format!("arn:aws:eks:\u{1b}[31m:{association}"), None),
            (
                format!("arn:aws:eks:{}:{association}", "x".repeat(33)),
                None,
            ),
            (
                "arn:aws:eks:eu-west-1:111122223333:cluster/prod".to_owned(),
                None,
            ),
            ("arn:aws:iam::111122223333:role/api".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(region(&arn), want, "{arn}");
        }
    }

    #[test]
    fn the_account_is_that_of_a_role_and_of_nothing_else() {
        for (arn, want) in [
            ("arn:aws:iam::111122223333:role/api", Some("111122223333")),
            (
                "arn:aws-us-gov:iam::111122223333:role/path/to/api",
                Some("111122223333"),
            ),
            ("arn:aws:sts::111122223333:assumed-role/api/x", None),
            ("arn:aws:iam::111122223333:user/bob", None),
            ("arn:aws:iam::11112222333:role/api", None),
            ("arn:aws:iam::11112222333\u{663}:role/api", None),
            ("", None),
        ] {
            assert_eq!(account(arn), want, "{arn}");
        }
    }
}
