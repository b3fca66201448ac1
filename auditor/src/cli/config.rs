//! What the flags of `auditor run` mean.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::ValueEnum;

use super::{
    AssociationSource, ClusterSource, Endpoint, NodeFacts, OutputFormat, RunArgs, duration,
    endpoint, log,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The best one that works, hook by hook
    #[default]
    Auto,
    /// BPF trampolines at kernel functions: cheapest, and see the most; `auditor check` tells what each hook misses
    Fentry,
    /// Kernel probes at the same functions: see as much
    Kprobe,
    /// Exits of system calls: opens by 32-bit programs, io_uring, fanotify and below overlayfs go unseen, and the hooks
    /// memory_access, descriptor_received, socket_create and connect_attempt are not there at all
    Syscall,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ArgsMode {
    /// Leave them out
    None,
    /// Mask what looks like a secret
    #[default]
    Redacted,
    /// As they are
    Full,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsListen {
    pub addr: SocketAddr,
    /// The address is our default: where there is no IPv6, 0.0.0.0 will do.
    pub fallback_to_v4: bool,
}

/// A validated `auditor run`: every field has a meaning, and this version can do it.
#[derive(Clone, Debug)]
pub struct RunConfig {
    pub node_name: Arc<str>,
    pub cluster_name: Option<Arc<str>>,
    pub instance_id: Option<Arc<str>>,
    pub region: Option<Arc<str>>,
    pub cluster: ClusterSource,
    /// The first request to the API server is made within this time.
    pub api_start_jitter: Duration,
    pub associations: AssociationSource,
    pub policy: Option<PathBuf>,
    pub kubelet_root: PathBuf,
    pub host_proc: PathBuf,
    /// To be found in `host_proc`'s mountinfo when none.
    pub cgroup_root: Option<PathBuf>,
    pub agent_netns: PathBuf,
    pub backend: Backend,
    pub watch_denied: bool,
    pub no_flood_control: bool,
    /// Besides [`super::BUILT_IN`].
    pub endpoints: Vec<Endpoint>,
    pub output: OutputFormat,
    /// Stdout when none.
    pub output_file: Option<PathBuf>,
    pub args: ArgsMode,
    pub state_dir: Option<PathBuf>,
    pub metrics_listen: MetricsListen,
    /// At least a second.
    pub self_test_interval: Duration,
    /// Known to be valid for [`super::init_logging`].
    pub log_filter: String,
}

/// What was wrong with the command line, and what to type instead. Exit code 2.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("{flag} is required: {allowed}")]
    Missing {
        flag: &'static str,
        allowed: &'static str,
        example: &'static str,
    },
    #[error("{flag} {value:?} is not allowed: expected {allowed}")]
    Value {
        flag: &'static str,
        value: String,
        allowed: String,
        example: &'static str,
    },
    #[error("no name for this node: the machine has no host name")]
    NodeName,
}

impl UsageError {
    pub(super) fn value(
        flag: &'static str,
        value: &str,
        allowed: impl Into<String>,
        example: &'static str,
    ) -> Self {
        Self::Value {
            flag,
            value: value.to_owned(),
            allowed: allowed.into(),
            example,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Missing { example, .. } | Self::Value { example, .. } => {
                format!("for example {example}")
            }
            Self::NodeName => "pass --node-name NAME, or set NODE_NAME".to_owned(),
        }
    }
}

impl RunConfig {
    /// Gives the flags a meaning; `facts` fill in what was left out.
    ///
    /// # Errors
    /// On the first value without a meaning.
    pub fn new(args: RunArgs, facts: NodeFacts) -> Result<Self, UsageError> {
        let RunArgs {
            node_name,
            cluster_name,
            instance_id,
            cluster,
            api_start_jitter,
            associations,
            policy,
            kubelet_root,
            host_proc,
            cgroup_root,
            agent_netns,
            backend,
            endpoint: endpoints,
            watch_denied,
            no_flood_control,
            output,
            output_file,
            args,
            state_dir,
            metrics_listen,
            self_test_interval,
            log_level,
        } = args;
        let cluster = ClusterSource::parse(cluster.as_deref())?;
        // A value that a manifest left out: lines of every such cluster would look alike.
        if cluster == ClusterSource::Kube && cluster_name.as_deref() == Some("") {
            let allowed = "the cluster's name, or neither the flag nor CLUSTER_NAME";
            return Err(UsageError::value(
                "--cluster-name",
                "",
                allowed,
                "--cluster-name prod",
            ));
        }
        let cluster_name = given(cluster_name);
        let associations = AssociationSource::parse(&associations, cluster_name.as_ref())?;
        let output = OutputFormat::parse(output.as_deref())?;
        Ok(Self {
            node_name: given(node_name)
                .or(facts.host_name)
                .ok_or(UsageError::NodeName)?,
            cluster_name,
            instance_id: given(instance_id).or(facts.instance_id),
            region: facts.region,
            cluster,
            api_start_jitter: duration::parse("--api-start-jitter", &api_start_jitter)?,
            associations,
            policy,
            kubelet_root,
            agent_netns: agent_netns.unwrap_or_else(|| host_proc.join("1/ns/net")),
            host_proc,
            cgroup_root,
            backend,
            watch_denied,
            no_flood_control,
            endpoints: endpoint::parse_all(&endpoints)?,
            output,
            output_file,
            args,
            state_dir,
            metrics_listen: parse_listen(metrics_listen.as_deref())?,
            self_test_interval: duration::parse("--self-test-interval", &self_test_interval)?
                .max(Duration::from_secs(1)),
            log_filter: checked_log_level(log_level)?,
        })
    }
}

/// Empty means left out: that is how a manifest's unset variable arrives.
pub(super) fn given(value: Option<String>) -> Option<Arc<str>> {
    value.filter(|v| !v.is_empty()).map(Arc::from)
}

pub(super) fn checked_log_level(level: String) -> Result<String, UsageError> {
    let Err(why) = log::parse_filter(&level) else {
        return Ok(level);
    };
    let allowed = format!("error, warn, info, debug, trace, or tracing's `target=level,…` ({why})");
    let example = "--log-level debug";
    Err(UsageError::value("--log-level", &level, allowed, example))
}

pub(super) fn parse_listen(value: Option<&str>) -> Result<MetricsListen, UsageError> {
    const DEFAULT_PORT: u16 = 9756;
    let Some(value) = value else {
        let addr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);
        return Ok(MetricsListen {
            addr,
            fallback_to_v4: true,
        });
    };
    match value.parse() {
        Ok(addr) => Ok(MetricsListen {
            addr,
            fallback_to_v4: false,
        }),
        Err(_) => Err(UsageError::value(
            "--metrics-listen",
            value,
            "an IP address and a port, IPv6 in brackets",
            "--metrics-listen 127.0.0.1:9756 or --metrics-listen '[::]:9756'",
        )),
    }
}
