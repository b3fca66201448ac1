//! `--cluster` and `--associations`.

use std::{path::PathBuf, sync::Arc};

use super::UsageError;

/// Where pods and ServiceAccounts are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterSource {
    Kube,
    File(PathBuf),
}

/// Where Pod Identity associations are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssociationSource {
    ConfigMap {
        namespace: String,
        name: String,
    },
    /// Of this cluster.
    Eks {
        cluster: Arc<str>,
    },
    Ack,
    File(PathBuf),
    None,
}

const CLUSTER: &str = "--cluster";
const CLUSTER_ALLOWED: &str = "`kube` or `file:PATH`";
const CLUSTER_EXAMPLE: &str = "--cluster file:cluster.json";
const ASSOCIATIONS: &str = "--associations";
const ASSOCIATIONS_ALLOWED: &str =
    "`kube:NAMESPACE/CONFIGMAP`, `eks`, `ack`, `file:PATH` or `none`";
const ASSOCIATIONS_EXAMPLE: &str = "--associations file:associations.json";

impl ClusterSource {
    /// # Errors
    /// When the flag is missing or says something else.
    pub fn parse(value: Option<&str>) -> Result<Self, UsageError> {
        let Some(value) = value else {
            return Err(UsageError::Missing {
                flag: CLUSTER,
                allowed: CLUSTER_ALLOWED,
                example: CLUSTER_EXAMPLE,
            });
        };
        match value.split_once(':') {
            None if value == "kube" => Ok(Self::Kube),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(UsageError::value(
                CLUSTER,
                value,
                CLUSTER_ALLOWED,
                CLUSTER_EXAMPLE,
            )),
        }
    }
}

impl AssociationSource {
    /// `cluster` is `--cluster-name`.
    ///
    /// # Errors
    /// When the flag says something else, and on `eks` without a cluster.
    pub fn parse(value: &str, cluster: Option<&Arc<str>>) -> Result<Self, UsageError> {
        match value.split_once(':') {
            None => match value {
                "eks" => {
                    let cluster = required_cluster(cluster)?;
                    return Ok(Self::Eks { cluster });
                }
                "ack" => return Ok(Self::Ack),
                "none" => return Ok(Self::None),
                _ => {}
            },
            Some(("file", path)) if !path.is_empty() => return Ok(Self::File(path.into())),
            Some(("kube", object)) => {
                if let Some((namespace, name)) = object_name(object) {
                    return Ok(Self::ConfigMap { namespace, name });
                }
            }
            Some(_) => {}
        }
        Err(UsageError::value(
            ASSOCIATIONS,
            value,
            ASSOCIATIONS_ALLOWED,
            ASSOCIATIONS_EXAMPLE,
        ))
    }
}

/// EKS lists the associations of one cluster at a time.
pub(super) fn required_cluster(cluster: Option<&Arc<str>>) -> Result<Arc<str>, UsageError> {
    cluster.cloned().ok_or(UsageError::Missing {
        flag: "--cluster-name",
        allowed: "the name of the EKS cluster whose associations are read",
        example: "--cluster-name prod",
    })
}

/// `NAMESPACE/NAME`
pub(super) fn object_name(object: &str) -> Option<(String, String)> {
    let (namespace, name) = object.split_once('/')?;
    [namespace, name]
        .into_iter()
        .all(is_object_name)
        .then(|| (namespace.to_owned(), name.to_owned()))
}

/// A DNS subdomain as Kubernetes names objects (RFC 1123).
fn is_object_name(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name
            .chars()
            .all(|c| alphanumeric(c) || c == '-' || c == '.')
}
