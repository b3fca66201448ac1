//! From a configuration to running stages; every failure here is the environment's, and says what to do.

use std::{net::SocketAddr, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use super::{
    capabilities,
    doubts::{self, Doubt},
};
use crate::{
    association,
    cli::{self, AssociationSource, ClusterSource, Failure, RunConfig},
    cluster, eks,
    event::{BindingKind, EndpointKind},
    kube,
    metrics::Metrics,
    node::{ArgsMode, CgroupError, Cgroups, Kubelet, Volumes, find_cgroup_root},
    pipeline::{Endpoint, Sources},
    policy,
    probe::{self, CanaryError, LoadError, LoadOptions, Probes},
    report::Format,
    text::{ColorChoice, Style, Times},
};

/// include/uapi/linux/magic.h
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
/// Attempts to load where canaries are lost in a crowd.
const LOADS: u32 = 4;
/// How often `--associations eks` lists them.
const EKS_INTERVAL: Duration = Duration::from_secs(60);

/// All endpoints, built-in ones first, in the order of the indices that records carry.
pub fn endpoints(config: &RunConfig) -> Vec<Endpoint> {
    let built_in = cli::BUILT_IN.iter().map(|endpoint| Endpoint {
        name: endpoint.name.into(),
        kind: match endpoint.name {
            "imds" => EndpointKind::Imds,
            _ => EndpointKind::PodIdentityAgent,
        },
        address: endpoint.addr,
    });
    let named = config.endpoints.iter().map(|endpoint| Endpoint {
        name: endpoint.name.as_str().into(),
        kind: EndpointKind::Custom,
        address: endpoint.addr,
    });
    built_in.chain(named).collect()
}

pub async fn sources(config: &RunConfig, metrics: &Metrics) -> Result<Sources, Failure> {
    let timing = timing(config);
    let cluster = cluster_source(config, metrics, &timing).await?;
    let associations = association_source(config, metrics, &timing).await?;
    let policy = policy::FileSource::new(config.policy.clone());
    Sources::read(cluster, associations, policy)
        .map_err(|error| Failure::environment(error).help(FIX_THE_FILE))
}

pub const FIX_THE_FILE: &str =
    "fix the file, or name another; `auditor run --help` shows the formats";

fn timing(config: &RunConfig) -> kube::Timing {
    kube::Timing {
        start_jitter: config.api_start_jitter,
        ..kube::Timing::default()
    }
}

/// Nothing is read from a file yet.
pub async fn cluster_source(
    config: &RunConfig,
    metrics: &Metrics,
    timing: &kube::Timing,
) -> Result<cluster::Source, Failure> {
    Ok(match &config.cluster {
        ClusterSource::File(path) => {
            let file = cluster::FileSource::new(path.clone(), &config.node_name);
            cluster::Source::File(Box::new(file))
        }
        ClusterSource::Kube => {
            let api = api(metrics, timing).await?;
            let timing = cluster::AccountTiming::default();
            let source = cluster::KubeSource::start(api, &config.node_name, timing);
            cluster::Source::Kube(Box::new(source))
        }
    })
}

/// Nothing is read from a file yet.
pub async fn association_source(
    config: &RunConfig,
    metrics: &Metrics,
    timing: &kube::Timing,
) -> Result<association::Source, Failure> {
    let cluster = config.cluster_name.clone();
    Ok(match &config.associations {
        AssociationSource::File(path) => association::Source::File(Box::new(
            association::FileSource::new(path.clone(), cluster),
        )),
        AssociationSource::None => association::Source::None,
        AssociationSource::ConfigMap { namespace, name } => {
            let api = api(metrics, timing).await?;
            expect(metrics, &format!("kube:{namespace}/{name}"));
            association::Source::Live(association::watch_config_map(api, namespace, name, cluster))
        }
        AssociationSource::Ack => {
            let api = api(metrics, timing).await?;
            expect(metrics, "ack");
            association::Source::Live(association::ack::watch_ack(api, cluster))
        }
        AssociationSource::Eks { cluster } => {
            let settings = eks::Settings::load().await.map_err(|error| {
                let help = error.help();
                Failure::environment(error).help(help)
            })?;
            let client = eks::Client::new(settings, cluster.clone(), eks::Pace::default());
            let reader = eks::Reader::new(client, EKS_INTERVAL);
            expect(metrics, "eks");
            association::Source::Live(association::poll_eks(reader, EKS_INTERVAL))
        }
    })
}

/// None is known of a source that has not been read: one that never is shows by its metric.
fn expect(metrics: &Metrics, source: &str) {
    metrics.set_bindings(source, BindingKind::PodIdentity, 0);
}

/// The API server, by the credentials that are here. Nothing is sent yet.
async fn api(metrics: &Metrics, timing: &kube::Timing) -> Result<kube::Api, Failure> {
    let client = kube::connect().await.map_err(|error| {
        let help = error.help();
        Failure::environment(error).help(help)
    })?;
    Ok(kube::Api::new(client, metrics.api(), timing.clone()))
}

pub fn cgroups(config: &RunConfig) -> Result<Cgroups, Failure> {
    let found = match &config.cgroup_root {
        Some(root) => Ok(root.clone()),
        None => find_cgroup_root(&config.host_proc),
    };
    found.and_then(|root| Cgroups::open(&root, &config.host_proc)).map_err(|error| {
        let help = match &error {
            CgroupError::NotMounted(_) | CgroupError::NotV2(_) => {
                "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or name its mount point with --cgroup-root"
            }
            CgroupError::Unreadable { .. } => {
                "mount the host's cgroup filesystem and /proc, and name them with --cgroup-root and --host-proc"
            }
        };
        Failure::environment(error).help(help)
    })
}

pub fn volumes(config: &RunConfig, host_mnt_ns: Option<u32>) -> Result<Volumes, Failure> {
    Volumes::open(&config.kubelet_root, &config.host_proc, host_mnt_ns).map_err(|error| {
        Failure::environment(anyhow::Error::new(error).context("cannot read the host's mounts"))
            .help("mount the host's /proc and name it with --host-proc")
    })
}

/// See [`Doubt`].
pub fn doubts(
    config: &RunConfig,
    sources: &Sources,
    agent: &AgentNetNs,
    cgroups: &Cgroups,
) -> Vec<Doubt> {
    let of_inputs = [
        doubts::of_cluster(config, sources.cluster_source()),
        doubts::of_associations(config, sources.bindings()),
        doubts::of_policy(sources.policy(), config.state_dir.as_deref()),
        doubts::of_kubelet_root(config),
        doubts::of_agent(config, agent),
        doubts::of_kubelet(config, sources.policy(), cgroups),
        doubts::of_cgroups(config, cgroups),
    ];
    let of_inputs = of_inputs.into_iter().flatten();
    capabilities::doubts()
        .into_iter()
        .chain(of_inputs)
        .collect()
}

/// The inode number of the agent's network namespace, or why it is out of sight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentNetNs {
    Known(u32),
    Unknown(String),
}

impl AgentNetNs {
    pub fn known(&self) -> Option<u32> {
        match self {
            Self::Known(net_ns) => Some(*net_ns),
            Self::Unknown(_) => None,
        }
    }
}

/// Named, it must be one; the default may be out of sight.
pub fn agent_net_ns(config: &RunConfig) -> Result<AgentNetNs, Failure> {
    let path = &config.agent_netns;
    let is_default = *path == config.host_proc.join("1/ns/net");
    let found = std::fs::metadata(path)
        .map_err(|error| error.to_string())
        .and_then(|metadata| {
            // A namespace's number fits (include/uapi/linux/nsfs.h), a file's may not.
            match rustix::fs::statfs(path).map(|statfs| statfs.f_type) {
                Ok(NSFS_MAGIC) => u32::try_from(metadata.ino()).map_err(|error| error.to_string()),
                Ok(_) => Err("it is no namespace".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
    match found {
        Ok(net_ns) => Ok(AgentNetNs::Known(net_ns)),
        Err(error) if is_default => Ok(AgentNetNs::Unknown(error)),
        Err(error) => Err(Failure::environment(anyhow::anyhow!(
            "--agent-netns {}: {error}",
            path.display()
        ))
        .help("name the agent's network namespace, such as /proc/PID/ns/net or /run/netns/NAME")),
    }
}

pub fn kubelet(config: &RunConfig, policy: &policy::Policy) -> Kubelet {
    let executable = policy.kubelet.executable.as_deref().map(Path::new);
    Kubelet::new(
        policy.kubelet.cgroup.as_deref(),
        executable,
        &config.host_proc,
    )
}

pub fn args_mode(config: &RunConfig) -> ArgsMode {
    match config.args {
        cli::ArgsMode::None => ArgsMode::None,
        cli::ArgsMode::Redacted => ArgsMode::Redacted,
        cli::ArgsMode::Full => ArgsMode::Full,
    }
}

/// How lines are written; painted only on a terminal.
pub fn format(config: &RunConfig) -> Format {
    match config.output {
        cli::OutputFormat::Json => Format::Json,
        cli::OutputFormat::Ocsf => Format::Ocsf,
        cli::OutputFormat::Text if config.output_file.is_some() => Format::Text(Style::default()),
        // It runs for days, and the terminal's width changes.
        cli::OutputFormat::Text => Format::Text(Style {
            times: Times::Whole,
            width: None,
            ..Style::of_stdout(ColorChoice::Auto)
        }),
    }
}

pub fn probes(
    config: &RunConfig,
    endpoints: &[Endpoint],
    own_tgid: u32,
) -> Result<Probes, Failure> {
    let options = load_options(config, endpoints, own_tgid);
    uncrowded(|| Probes::load(&options)).map_err(|error| not_loaded(config, error))
}

/// Loads again where other events were too many to find a canary among: nothing counts as watched yet, and none of them is lost.
fn uncrowded<T>(mut load: impl FnMut() -> Result<T, LoadError>) -> Result<T, LoadError> {
    for _ in 1..LOADS {
        match load() {
            Err(error) if is_crowded(&error) => tracing::warn!(%error, "trying once more"),
            loaded => return loaded,
        }
    }
    load()
}

fn is_crowded(error: &LoadError) -> bool {
    matches!(error, LoadError::Hook { reasons, .. } if reasons.contains(&CanaryError::Crowded.to_string()))
}

/// With what to do about it: another backend only where one was forced.
pub fn not_loaded(config: &RunConfig, error: LoadError) -> Failure {
    let mut help = error.remedy().to_owned();
    if config.backend != cli::Backend::Auto && matches!(error, LoadError::Hook { .. }) {
        help = format!("try `--backend auto`; {help}");
    }
    Failure::environment(error).help(help)
}

pub fn load_options(config: &RunConfig, endpoints: &[Endpoint], own_tgid: u32) -> LoadOptions {
    LoadOptions {
        backend: match config.backend {
            cli::Backend::Auto => None,
            cli::Backend::Fentry => Some(probe::Backend::Fentry),
            cli::Backend::Kprobe => Some(probe::Backend::Kprobe),
            cli::Backend::Syscall => Some(probe::Backend::Syscall),
        },
        endpoints: endpoints
            .iter()
            .map(|endpoint| endpoint.address)
            .collect::<Vec<SocketAddr>>(),
        own_tgid,
        watch_denied: config.watch_denied,
        no_flood_control: config.no_flood_control,
    }
}

/// `6.12.115+deb12-cloud-amd64`
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reasons: String) -> Result<(), LoadError> {
        Err(LoadError::Hook {
            hook: "connect_outcome",
            reasons,
        })
    }

    #[test]
    fn what_a_crowd_hides_is_loaded_again_and_nothing_else() {
        let tries = |crowds: u32, reason: &str| {
            let mut tries = 0;
            let loaded = uncrowded(|| {
                tries += 1;
                if tries > crowds {
                    return Ok(());
                }
                failed(format!("tracepoint: {reason}"))
            });
            (tries, loaded.is_ok())
        };
        let crowded = CanaryError::Crowded.to_string();
        assert_eq!(tries(0, &crowded), (1, true));
        assert_eq!(tries(LOADS - 1, &crowded), (LOADS, true));
        assert_eq!(tries(100, &crowded), (LOADS, false));
        assert_eq!(tries(1, &CanaryError::Silent.to_string()), (1, false));
    }

    #[test]
    fn another_backend_is_advised_only_where_one_was_forced() {
        let remedy = |backend| {
            let args = cli::RunArgs {
                cluster: Some("file:/nonexistent".into()),
                associations: "none".into(),
                api_start_jitter: "0".into(),
                self_test_interval: "5m".into(),
                log_level: "info".into(),
                node_name: Some("n1".into()),
                backend,
                ..cli::RunArgs::default()
            };
            let config = RunConfig::new(args, cli::NodeFacts::default()).unwrap();
            let error = failed("EPERM".into()).unwrap_err();
            not_loaded(&config, error).remedy().unwrap().to_owned()
        };
        assert!(!remedy(cli::Backend::Auto).contains("--backend"));
        assert!(remedy(cli::Backend::Fentry).contains("--backend auto"));
    }
}
