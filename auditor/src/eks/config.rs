//! Region, endpoint and credentials, from the environment and the profile.

use std::env;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::SharedCredentialsProvider;

use super::{http, roots};

/// Where EKS is, and as whom we talk to it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub region: String,
    /// `https://eks.eu-west-1.amazonaws.com`, without a slash at its end.
    pub endpoint: String,
    pub credentials: SharedCredentialsProvider,
}

/// What the environment lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("no AWS region is known")]
    NoRegion,
    #[error("the endpoint {0:?} is no URL such as https://eks.eu-west-1.amazonaws.com")]
    Endpoint(String),
    #[error("no provider of AWS credentials is configured")]
    NoProvider,
    /// `named`: variables and their values.
    #[error("no certificate authority can be read from {named}: {why}")]
    NoAuthorities { named: String, why: String },
}

impl ConfigError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoRegion => "set AWS_REGION, or AWS_PROFILE with a profile that has a region",
            Self::Endpoint(_) => "set AWS_ENDPOINT_URL_EKS to one, or unset it",
            Self::NoProvider => {
                "give the auditor's ServiceAccount a role by EKS Pod Identity or IRSA, or set AWS_PROFILE"
            }
            Self::NoAuthorities { .. } => {
                "no TLS connection would come about: mount the file or directory there, certificates in PEM, or unset the variable"
            }
        }
    }
}

impl Settings {
    /// Reads environment and profile; may ask instance metadata for the region. Credentials are fetched later.
    ///
    /// # Errors
    /// When there is no region, the endpoint is no URL, or it takes TLS and no certificate authority that is named can be read.
    pub async fn load() -> Result<Self, ConfigError> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client_for_credentials())
            .load()
            .await;
        let region = config.region().map(ToString::to_string);
        let region = region
            .filter(|region| !region.is_empty())
            .ok_or(ConfigError::NoRegion)?;
        let ignore = env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let own = env::var("AWS_ENDPOINT_URL_EKS")
            .ok()
            .filter(|value| !value.is_empty() && !ignore);
        let endpoint = match own.as_deref().or(config.endpoint_url()) {
            Some(url) => custom_endpoint(url)?,
            None => regional_endpoint(
                &region,
                config.use_fips().unwrap_or_default(),
                config.use_dual_stack().unwrap_or_default(),
            ),
        };
        if endpoint.starts_with("https:") {
            roots::check()?;
        }
        let credentials = config.credentials_provider();
        Ok(Self {
            region,
            endpoint,
            credentials: credentials.ok_or(ConfigError::NoProvider)?,
        })
    }
}

fn custom_endpoint(url: &str) -> Result<String, ConfigError> {
    let wrong = || ConfigError::Endpoint(url.to_owned());
    let uri: ::http::Uri = url.parse().map_err(|_| wrong())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_web || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err(wrong());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// As EKS's endpoint rules have it (botocore, eks/2017-11-01/endpoint-rule-set-1.json).
fn regional_endpoint(region: &str, fips: bool, dual_stack: bool) -> String {
    let Partition {
        suffix,
        dual_stack_suffix,
        ..
    } = partition(region);
    match (fips, dual_stack) {
        (false, false) => format!("https://eks.{region}.{suffix}"),
        (false, true) => format!("https://eks.{region}.{dual_stack_suffix}"),
        // In GovCloud all of them are.
        (true, false) if region.starts_with("us-gov-") => format!("https://eks.{region}.{suffix}"),
        (true, false) if suffix == "amazonaws.com" => format!("https://fips.eks.{region}.{suffix}"),
        (true, false) => format!("https://eks-fips.{region}.{suffix}"),
        (true, true) => format!("https://eks-fips.{region}.{dual_stack_suffix}"),
    }
}

/// A part of AWS with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// As in `arn:aws:…`.
    pub name: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

/// As in `arn:aws:…`.
pub(crate) fn partition_of(region: &str) -> &'static str {
    partition(region).name
}

/// By the regular expressions of botocore's partitions.json.
pub(super) fn partition(region: &str) -> Partition {
    const OTHERS: [(&str, &str, &str, &str); 7] = [
        (
            "cn-",
            "aws-cn",
            "amazonaws.com.cn",
            "api.amazonwebservices.com.cn",
        ),
        ("us-gov-", "aws-us-gov", "amazonaws.com", "api.aws"),
        ("us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"),
        (
            "us-isof-",
            "aws-iso-f",
            "csp.hci.ic.gov",
            "api.aws.hci.ic.gov",
        ),
        ("us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov"),
        (
            "eu-isoe-",
            "aws-iso-e",
            "cloud.adc-e.uk",
            "api.cloud-aws.adc-e.uk",
        ),
        (
            "eusc-",
            "aws-eusc",
            "amazonaws.eu",
            "api.amazonwebservices.eu",
        ),
    ];
    let found = OTHERS
        .iter()
        .find(|(prefix, ..)| region.starts_with(prefix));
    let &(_, name, suffix, dual_stack_suffix) =
        found.unwrap_or(&("", "aws", "amazonaws.com", "api.aws"));
    Partition {
        name,
        suffix,
        dual_stack_suffix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_the_rules() {
        for (region, fips, dual_stack, endpoint) in [
            (
                "eu-west-1",
                false,
                false,
                "https://eks.eu-west-1.amazonaws.com",
            ),
            ("eu-west-1", false, true, "https://eks.eu-west-1.api.aws"),
            (
                "us-east-1",
                true,
                false,
                "https://fips.eks.us-east-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                true,
                false,
                "https://eks.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-east-1",
                true,
                true,
                "https://eks-fips.us-east-1.api.aws",
            ),
            (
                "cn-north-1",
                false,
                false,
                "https://eks.cn-north-1.amazonaws.com.cn",
            ),
            (
                "us-isob-east-1",
                false,
                false,
                "https://eks.us-isob-east-1.sc2s.sgov.gov",
            ),
        ] {
            assert_eq!(regional_endpoint(region, fips, dual_stack), endpoint);
        }
        assert_eq!(partition("eu-west-1").name, "aws");
        assert_eq!(partition("us-gov-east-1").name, "aws-us-gov");
    }

    #[test]
    fn an_endpoint_is_a_url_of_the_web() {
        for (url, endpoint) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            (
                "https://eks.example.com/base/",
                "https://eks.example.com/base",
            ),
        ] {
            assert_eq!(custom_endpoint(url).as_deref(), Ok(endpoint));
        }
        for url in [
            "127.0.0.1:8080",
            "ftp://a",
            "https://a?b=c",
            "/a",
            "http://",
            "a b",
        ] {
            assert!(custom_endpoint(url).is_err(), "{url}");
        }
    }
}
