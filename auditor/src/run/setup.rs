//! From a configuration to running stages; every failure here is the environment's, and says what to do.

use std::{net::SocketAddr, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use crate::{
    association,
    cli::{self, AssociationSource, ClusterSource, Failure, RunConfig},
    cluster, eks,
    event::{EndpointKind, Health},
    kube,
    metrics::Metrics,
    node::{ArgsMode, CgroupError, Cgroups, Kubelet, Volumes, find_cgroup_root},
    pipeline::{Endpoint, Sources},
    policy,
    probe::{self, LoadOptions, Probes},
};

/// include/uapi/linux/magic.h
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
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
    let cluster = match &config.cluster {
        ClusterSource::File(path) => {
            let file = cluster::FileSource::new(path.clone(), &config.node_name);
            cluster::Source::File(Box::new(file))
        }
        ClusterSource::Kube => {
            let api = api(config, metrics).await?;
            let timing = cluster::AccountTiming::default();
            let source = cluster::KubeSource::start(api, &config.node_name, timing);
            cluster::Source::Kube(Box::new(source))
        }
    };
    let associations = match &config.associations {
        AssociationSource::File(path) => association::Source::File(Box::new(
            association::FileSource::new(path.clone(), config.cluster_name.clone()),
        )),
        AssociationSource::None => association::Source::None,
        AssociationSource::ConfigMap { namespace, name } => {
            let api = api(config, metrics).await?;
            let cluster = config.cluster_name.clone();
            association::Source::Live(association::watch_config_map(api, namespace, name, cluster))
        }
        AssociationSource::Ack => {
            let api = api(config, metrics).await?;
            let cluster = config.cluster_name.clone();
            association::Source::Live(association::ack::watch_ack(api, cluster))
        }
        AssociationSource::Eks { cluster } => {
            let settings = eks::Settings::load().await.map_err(|error| {
                let help = error.help();
                Failure::environment(error).help(help)
            })?;
            let client = eks::Client::new(settings, cluster.clone(), eks::Pace::default());
            let reader = eks::Reader::new(client, EKS_INTERVAL);
            association::Source::Live(association::poll_eks(reader, EKS_INTERVAL))
        }
    };
    let policy = policy::FileSource::new(config.policy.clone());
    let sources = Sources::read(cluster, associations, policy).map_err(|error| {
        Failure::environment(error)
            .help("fix the file, or name another; `auditor run --help` shows the formats")
    })?;
    Ok(sources)
}

/// The API server, by the credentials that are here. Nothing is sent yet.
async fn api(config: &RunConfig, metrics: &Metrics) -> Result<kube::Api, Failure> {
    let client = kube::connect().await.map_err(|error| {
        let help = error.help();
        Failure::environment(error).help(help)
    })?;
    let timing = kube::Timing {
        start_jitter: config.api_start_jitter,
        ..kube::Timing::default()
    };
    Ok(kube::Api::new(client, metrics.api(), timing))
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

/// What will not work as it was probably meant: said on stderr and in the stream, since it would silence or redden
/// everything.
pub fn doubts(config: &RunConfig, sources: &Sources) -> Vec<Health> {
    let mut doubts = Vec::new();
    let mut doubt = |component: &str, message: String| {
        tracing::warn!("{message}");
        let (component, state) = (component.to_owned(), "degraded".to_owned());
        doubts.push(Health {
            component,
            state,
            message,
        });
    };
    if sources.cluster_source().is_told() && sources.cluster().pod_count() == 0 {
        let node = &config.node_name;
        doubt(
            "cluster",
            format!("--cluster names no pod of node {node}: is --node-name right?"),
        );
    }
    if sources
        .bindings()
        .is_some_and(association::Snapshot::is_empty)
    {
        let cluster = config.cluster_name.as_deref().unwrap_or("any cluster");
        doubt(
            "associations",
            format!("--associations holds none for {cluster}: is --cluster-name right?"),
        );
    }
    if !config.kubelet_root.is_dir() {
        let path = config.kubelet_root.display();
        doubt(
            "probe",
            format!("--kubelet-root {path} is no directory here"),
        );
    }
    if !sources.policy().executables.is_empty() {
        doubt(
            "policy",
            "`executables` comes with a later version and is not applied".to_owned(),
        );
    }
    doubts
}

/// The inode number of the agent's network namespace. Named, it must be one; the default may be out of sight.
pub fn agent_net_ns(config: &RunConfig) -> Result<Option<u32>, Failure> {
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
        Ok(net_ns) => Ok(Some(net_ns)),
        Err(error) if is_default => {
            tracing::warn!(%error, path = %path.display(), "cannot tell the agent's network namespace");
            Ok(None)
        }
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

/// Our own tgid as the kernel's helpers tell it: the host's /proc names it whatever pid namespace this is.
pub fn own_tgid(host_proc: &Path) -> u32 {
    std::fs::read_link(host_proc.join("self"))
        .ok()
        .and_then(|link| link.to_str()?.parse().ok())
        .unwrap_or_else(std::process::id)
}

pub fn probes(
    config: &RunConfig,
    endpoints: &[Endpoint],
    own_tgid: u32,
) -> Result<Probes, Failure> {
    Probes::load(&load_options(config, endpoints, own_tgid)).map_err(|error| {
        let help = error.remedy();
        Failure::environment(error).help(help)
    })
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
    }
}

/// `6.12.115+deb12-cloud-amd64`
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// Gives back what loading took: the kernel's BTF and the object's, some 40 MB.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's malloc_trim takes no pointers and is thread-safe.
    unsafe {
        libc::malloc_trim(0);
    }
}
