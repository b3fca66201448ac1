//! Associations for tests.

use super::Association;

/// Of namespace `shop`, described.
pub(crate) fn association(id: &str, service_account: &str) -> Association {
    Association {
        id: id.into(),
        arn: Some(
            format!("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/{id}").into(),
        ),
        cluster: Some("prod".into()),
        namespace: "shop".into(),
        service_account: service_account.into(),
        role_arn: Some(format!("arn:aws:iam::111122223333:role/{service_account}").into()),
        target_role_arn: None,
        external_id: None,
        disable_session_tags: false,
        policy: None,
        created: None,
        modified: None,
    }
}
