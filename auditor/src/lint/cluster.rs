//! What is known of the cluster itself.

use crate::{association::Association, eks::partition_of};

/// By flags; each is null where it is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Without `https://`.
    pub issuer: Option<String>,
    /// Of clusters that may share roles with this one; without `https://`.
    pub other_issuers: Vec<String>,
    pub account: Option<String>,
    pub cluster: Option<String>,
}

/// Of the cluster that a request comes from; each is null where nothing tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub partition: Option<String>,
    pub region: Option<String>,
    pub account: Option<String>,
    pub cluster: Option<String>,
}

impl Place {
    /// By what is given alone.
    pub fn of(given: &Given) -> Self {
        let region = given.issuer.as_deref().and_then(region_of_issuer);
        Self {
            partition: region.map(|region| partition_of(region).to_owned()),
            region: region.map(str::to_owned),
            account: given.account.clone(),
            cluster: given.cluster.clone(),
        }
    }

    /// By the association's own ARN first: `arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`.
    pub fn of_association(association: &Association, given: &Given) -> Self {
        let mut place = Self::of(given);
        if let Some(named) = &association.cluster {
            place.cluster = Some(named.to_string());
        }
        let parts: Vec<&str> = association
            .arn
            .as_deref()
            .map(|arn| arn.splitn(6, ':').collect())
            .unwrap_or_default();
        if let ["arn", partition, "eks", region, account, resource] = parts[..] {
            place.partition = Some(partition.to_owned());
            place.region = Some(region.to_owned());
            place.account = Some(account.to_owned());
            let mut resource = resource.split('/');
            if let (Some("podidentityassociation"), Some(cluster)) =
                (resource.next(), resource.next())
            {
                place.cluster = Some(cluster.to_owned());
            }
        }
        place
    }

    /// `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`
    pub fn arn(&self) -> Option<String> {
        let Self {
            partition: Some(partition),
            region: Some(region),
            account: Some(account),
            cluster: Some(cluster),
        } = self
        else {
            return None;
        };
        Some(format!(
            "arn:{partition}:eks:{region}:{account}:cluster/{cluster}"
        ))
    }
}

/// Of `oidc.eks.REGION.amazonaws.com/id/ID`; a host of another shape tells of none.
fn region_of_issuer(issuer: &str) -> Option<&str> {
    let host = issuer.split('/').next()?;
    let region = match host.strip_prefix("oidc.eks.") {
        Some(rest) => rest,
        None => host.strip_prefix("oidc-eks.")?,
    };
    let region = region.split('.').next()?;
    region.contains('-').then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuers_host_tells_region_and_partition() {
        for (issuer, region, partition) in [
            ("oidc.eks.eu-west-1.amazonaws.com/id/A", "eu-west-1", "aws"),
            (
                "oidc.eks.cn-north-1.amazonaws.com.cn/id/A",
                "cn-north-1",
                "aws-cn",
            ),
            (
                "oidc.eks.us-gov-west-1.amazonaws.com/id/A",
                "us-gov-west-1",
                "aws-us-gov",
            ),
        ] {
            let given = Given {
                issuer: Some(issuer.to_owned()),
                ..Given::default()
            };
            let place = Place::of(&given);
            assert_eq!(place.region.as_deref(), Some(region));
            assert_eq!(place.partition.as_deref(), Some(partition));
            assert_eq!(place.arn(), None);
        }
        assert_eq!(region_of_issuer("issuer.example.com/a"), None);
        assert_eq!(region_of_issuer("oidc.eks.REGION.amazonaws.com/id/A"), None);
    }
}
