//! Writing what [`super::parse`] reads.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::Association;

/// What a file says besides the associations themselves; all of it may be left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heading {
    pub complete: Option<bool>,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
}

/// `{"associations":[…]}`, one association a line, so that `diff` and `git` show what changed.
///
/// The same associations in the same order give the same bytes.
#[must_use]
pub fn encode<'a>(
    heading: Heading,
    associations: impl IntoIterator<Item = &'a Association>,
) -> Vec<u8> {
    let heading = RawHeading {
        complete: heading.complete,
        started_at: heading.started_at,
        interval_seconds: heading.interval.map(|interval| interval.as_secs()),
    };
    let mut text = json(&heading);
    // `{…` without its brace: the list is the last member.
    text.pop();
    if text.len() > 1 {
        text.push(b',');
    }
    text.extend_from_slice(b"\"associations\":[");
    for (index, association) in associations.into_iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        text.extend(json(&Raw::from(association)));
    }
    text.extend_from_slice(b"\n]}\n");
    text
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and options of them: nothing in them can fail.
    serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawHeading {
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_seconds: Option<u64>,
}

/// Field names of the EKS API's `PodIdentityAssociation`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'a str>,
    namespace: &'a str,
    service_account: &'a str,
    association_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_role_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_session_tags: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<Timestamp>,
}

impl<'a> From<&'a Association> for Raw<'a> {
    fn from(association: &'a Association) -> Self {
        // All of them: a new field breaks this until it is written too.
        let Association {
            id,
            arn,
            cluster,
            namespace,
            service_account,
            role_arn,
            target_role_arn,
            external_id,
            disable_session_tags,
            policy,
            created,
            modified,
        } = association;
        Self {
            cluster_name: cluster.as_deref(),
            namespace,
            service_account,
            association_id: id,
            association_arn: arn.as_deref(),
            role_arn: role_arn.as_deref(),
            target_role_arn: target_role_arn.as_deref(),
            external_id: external_id.as_deref(),
            disable_session_tags: *disable_session_tags,
            policy: policy.as_deref(),
            created_at: *created,
            modified_at: *modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::parse;

    const FULL: &str = r#"{"associations":[{"clusterName":"prod","namespace":"payments","serviceAccount":"api",
        "roleArn":"arn:aws:iam::111122223333:role/payments-api","associationId":"a-1",
        "associationArn":"arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-1",
        "createdAt":1790000000.123,"modifiedAt":1790000100.5,"disableSessionTags":true,
        "targetRoleArn":"arn:aws:iam::444455556666:role/bucket-reader","externalId":"x",
        "policy":"{\"Version\":\"2012-10-17\"}"},
        {"namespace":"a","serviceAccount":"b","associationId":"a-2"}]}"#;

    #[test]
    fn what_is_written_is_read_again() {
        let read = parse(FULL.as_bytes(), None).unwrap();
        let text = encode(Heading::default(), &read.associations);
        assert_eq!(parse(&text, None).unwrap(), read);
        assert_eq!(text, encode(Heading::default(), &read.associations));
        // The braces of the list, and one line each.
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 4);
    }

    #[test]
    fn the_heading_arrives() {
        let heading = Heading {
            complete: Some(false),
            started_at: Some(Timestamp::from_second(100).unwrap()),
            interval: Some(Duration::from_secs(60)),
        };
        let listing = parse(&encode(heading, []), None).unwrap();
        assert!(!listing.complete);
        assert_eq!(listing.started_at, heading.started_at);
        assert_eq!(listing.interval, heading.interval);
        let bare = parse(&encode(Heading::default(), []), None).unwrap();
        assert!(bare.complete && bare.started_at.is_none() && bare.interval.is_none());
    }
}
