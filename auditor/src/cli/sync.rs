//! `auditor sync-associations`: its flags and what they mean.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{
    MetricsListen, UsageError,
    config::{checked_log_level, given, parse_listen},
    duration,
    source::{object_name, required_cluster},
};

/// Sooner would be a poll of all nodes' API server, for a list that is minutes old in EKS's own caches.
const LEAST_INTERVAL: Duration = Duration::from_secs(5);

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  In the cluster, one Deployment for all nodes, which read it by
  `auditor run --associations kube:credential-auditor/pod-identity-associations`:
    auditor sync-associations --cluster-name prod \
      --to kube:credential-auditor/pod-identity-associations

  From the resources of the AWS controller for EKS (ACK):
    auditor sync-associations --from ack --cluster-name prod \
      --to kube:credential-auditor/pod-identity-associations

  By hand, with your own AWS profile, into a file for `--associations file:PATH`:
    AWS_PROFILE=audit auditor sync-associations --cluster-name prod \
      --to file:associations.json --once

It needs eks:ListPodIdentityAssociations and eks:DescribePodIdentityAssociation, or with `--from ack` list on
podidentityassociations (eks.services.k8s.aws) in all namespaces; and with `--to kube:` in the namespace of the
ConfigMap get, create and update on configmaps and on leases (coordination.k8s.io).

EXIT STATUS:
  0  stopped by SIGTERM or SIGINT; with --once, all was read and written
  1  the environment: no credentials, no region; with --once, not all could be read or written
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug, Default)]
pub struct SyncArgs {
    /// Where they are written: a ConfigMap, of which one replica at a time is the writer (by a Lease of the same name),
    /// or a file, replaced by renaming
    #[arg(long, value_name = "kube:NAMESPACE/NAME|file:PATH")]
    pub to: String,

    /// Where they are read: the EKS API, ACK's PodIdentityAssociation resources, or a file
    #[arg(long, value_name = "eks|ack|file:PATH", default_value = "eks")]
    pub from: String,

    /// The cluster whose associations are read. Required with `--from eks`
    #[arg(long, env = "CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,

    /// How often they are read; nodes judge what is not bound by readings that are younger than the event
    #[arg(long, value_name = "SECONDS", default_value = "60s")]
    pub interval: String,

    /// Read and write once, then leave
    #[arg(long)]
    pub once: bool,

    /// The Lease that says who writes [default: the ConfigMap's name]
    #[arg(long, value_name = "NAME")]
    pub lease_name: Option<String>,

    /// Serve /metrics, /healthz and /readyz here [default: not at all]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<String>,

    /// The log on stderr: error, warn, info, debug, trace, or tracing's `target=level,…`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Where associations are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncFrom {
    /// Of this cluster.
    Eks {
        cluster: Arc<str>,
    },
    Ack,
    File(PathBuf),
}

/// Where they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncTo {
    ConfigMap {
        namespace: String,
        name: String,
        lease: String,
    },
    File(PathBuf),
}

/// A validated `auditor sync-associations`.
#[derive(Clone, Debug)]
pub struct SyncConfig {
    pub from: SyncFrom,
    pub to: SyncTo,
    pub cluster_name: Option<Arc<str>>,
    pub interval: Duration,
    pub once: bool,
    pub metrics_listen: Option<MetricsListen>,
    /// Known to be valid for [`super::init_logging`].
    pub log_filter: String,
}

impl SyncConfig {
    /// # Errors
    /// On the first value without a meaning.
    pub fn new(args: SyncArgs) -> Result<Self, UsageError> {
        let SyncArgs {
            to,
            from,
            cluster_name,
            interval,
            once,
            lease_name,
            metrics_listen,
            log_level,
        } = args;
        let cluster_name = given(cluster_name);
        let interval_text = interval;
        let interval = duration::parse("--interval", &interval_text)?;
        if interval < LEAST_INTERVAL {
            let allowed = format!("at least {} seconds", LEAST_INTERVAL.as_secs());
            return Err(UsageError::value(
                "--interval",
                &interval_text,
                allowed,
                "--interval 60s",
            ));
        }
        Ok(Self {
            from: parse_from(&from, cluster_name.as_ref())?,
            to: parse_to(&to, lease_name)?,
            cluster_name,
            interval,
            once,
            metrics_listen: metrics_listen
                .map(|listen| parse_listen(Some(&listen)))
                .transpose()?,
            log_filter: checked_log_level(log_level)?,
        })
    }
}

fn parse_from(value: &str, cluster: Option<&Arc<str>>) -> Result<SyncFrom, UsageError> {
    match value.split_once(':') {
        None if value == "eks" => Ok(SyncFrom::Eks {
            cluster: required_cluster(cluster)?,
        }),
        None if value == "ack" => Ok(SyncFrom::Ack),
        Some(("file", path)) if !path.is_empty() => Ok(SyncFrom::File(path.into())),
        _ => Err(UsageError::value(
            "--from",
            value,
            "`eks`, `ack` or `file:PATH`",
            "--from eks",
        )),
    }
}

fn parse_to(value: &str, lease: Option<String>) -> Result<SyncTo, UsageError> {
    match value.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(SyncTo::File(path.into())),
        Some(("kube", object)) if object_name(object).is_some() => {
            let (namespace, name) = object_name(object).unwrap_or_default();
            let lease = lease.unwrap_or_else(|| name.clone());
            if object_name(&format!("{namespace}/{lease}")).is_none() {
                let allowed = "the name of a Kubernetes object";
                let example = "--lease-name associations";
                return Err(UsageError::value("--lease-name", &lease, allowed, example));
            }
            Ok(SyncTo::ConfigMap {
                namespace,
                name,
                lease,
            })
        }
        _ => Err(UsageError::value(
            "--to",
            value,
            "`kube:NAMESPACE/NAME` or `file:PATH`",
            "--to kube:credential-auditor/pod-identity-associations",
        )),
    }
}

#[cfg(test)]
mod tests;
