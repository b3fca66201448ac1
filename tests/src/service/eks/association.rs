//! Pod Identity associations as the wire has them.

use serde_json::{Value, json};

use super::REGION;

const ACCOUNT: &str = "111122223333";

#[derive(Clone, Debug, PartialEq)]
pub struct Association {
    pub id: String,
    pub namespace: String,
    pub service_account: String,
    pub role_arn: String,
    pub target_role_arn: Option<String>,
    pub disable_session_tags: bool,
    /// Seconds since the epoch.
    pub created: f64,
    pub modified: f64,
}

impl Association {
    /// With an id of its own.
    #[must_use]
    pub fn new(namespace: &str, service_account: &str, role_arn: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            id: format!("a-{}", id.get(..17).unwrap_or(&id)),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            role_arn: role_arn.to_owned(),
            target_role_arn: None,
            disable_session_tags: false,
            created: 1_790_000_000.123,
            modified: 1_790_000_100.5,
        }
    }

    /// `PodIdentityAssociationSummary`
    pub(super) fn summary(&self, cluster: &str) -> Value {
        let arn = format!(
            "arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{cluster}/{}",
            self.id
        );
        json!({
            "associationArn": arn, "associationId": self.id, "clusterName": cluster, "namespace": self.namespace,
            "ownerArn": null, "serviceAccount": self.service_account,
        })
    }

    /// `PodIdentityAssociation`
    pub(super) fn whole(&self, cluster: &str) -> Value {
        let mut whole = self.summary(cluster);
        whole["roleArn"] = self.role_arn.as_str().into();
        whole["tags"] = json!({});
        whole["createdAt"] = self.created.into();
        whole["modifiedAt"] = self.modified.into();
        whole["disableSessionTags"] = self.disable_session_tags.into();
        if let Some(target) = &self.target_role_arn {
            whole["targetRoleArn"] = target.as_str().into();
            let id = format!(
                "{REGION}/{ACCOUNT}/{cluster}/{}/{}",
                self.namespace, self.service_account
            );
            whole["externalId"] = id.into();
        }
        whole
    }
}
