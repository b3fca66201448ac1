//! OIDC providers, as trust policies name them.

use super::{
    arn::RoleArn,
    trust_policy::{PrincipalKind, TrustPolicy},
};

#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    pub written: &'a str,
    /// Without what stands before `oidc-provider/`.
    pub url: &'a str,
    /// Null where it is no ARN.
    pub account: Option<&'a str>,
}

impl<'a> Provider<'a> {
    /// Null where it is none: a SAML provider, `cognito-identity.amazonaws.com`.
    fn read(written: &'a str) -> Option<Self> {
        let parts: Vec<&str> = written.splitn(6, ':').collect();
        if let ["arn", _, "iam", "", account, resource] = parts[..] {
            return Some(Self {
                written,
                url: resource.strip_prefix("oidc-provider/")?,
                account: Some(account),
            });
        }
        let url = written
            .split_once("oidc-provider/")
            .map_or(written, |(_, url)| url);
        url.contains("/id/").then_some(Self {
            written,
            url,
            account: None,
        })
    }

    pub fn is_arn_of(&self, issuer: &str) -> bool {
        self.account.is_some() && self.url == issuer
    }
}

/// Those that some statement allows something.
pub fn of_policy(policy: &TrustPolicy) -> impl Iterator<Item = Provider<'_>> {
    policy
        .allowing()
        .flat_map(|statement| statement.principals(PrincipalKind::Federated))
        .filter_map(Provider::read)
}

/// The ARN of a cluster's provider in the role's account.
pub fn arn(role: &RoleArn, issuer: &str) -> String {
    format!(
        "arn:{}:iam::{}:oidc-provider/{issuer}",
        role.partition, role.account
    )
}

/// The same but for its scheme, a slash at its end, or its case.
pub fn is_nearly(url: &str, issuer: &str) -> bool {
    let bare = |url: &str| bare(url).to_ascii_lowercase();
    bare(url) == bare(issuer)
}

/// Without `https://` and slashes at the end.
pub fn bare(url: &str) -> &str {
    let url = url.strip_prefix("https://").unwrap_or(url);
    url.trim_end_matches('/')
}

/// The cluster's part of `oidc.eks.REGION.amazonaws.com/id/ID`.
pub fn id(url: &str) -> Option<&str> {
    Some(bare(url).rsplit_once("/id/")?.1)
}

/// An EKS cluster's, not GitHub's or the like.
pub fn is_eks(url: &str) -> bool {
    url.starts_with("oidc.eks.") || url.starts_with("oidc-eks.")
}
