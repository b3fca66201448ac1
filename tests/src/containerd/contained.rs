//! The auditor as its DaemonSet runs it: the image, in a pod, by containerd and runc, with the manifest's own security context and
//! mounts.
//!
//! What stands in for what the lab has not: the lab's kubelet root and cgroup root are mounted and named where the manifest has the
//! node's, its network namespace is the node's, and where the manifest mounts a ConfigMap, there is the lab's directory, with the
//! policy and what the API server would say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::CapabilitySet;
use serde_json::Value;

use super::{
    daemonset::{CONTAINER, Container, PodTemplate, SecurityContext, VolumeMount, with_flags},
    node::{Node, Slot},
    pod::ContainerSpec,
    runtime::{Launch, Mount, VOLUME, new_id},
};
use crate::{
    auditor::{self, Auditor},
    node::{NODE_NAME, PodSpec},
    sys::capabilities,
    volume::Plugin,
};

/// Where users install it.
const NAMESPACE: &str = "credential-auditor";
/// The image's entrypoint; `cargo xtask image` checks it.
const PROGRAM: &str = "/auditor";
/// As the manifest has it by default.
const KUBELET_ROOT: &str = "/var/lib/kubelet";
const STATE_DIR: &str = "/var/lib/credential-auditor";
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// The lab's network namespace of the node, in the container. On a node it is that of the host's process 1.
const NODE_NETWORK: &str = "/run/node-network";

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// An OCI archive, as `cargo xtask image` writes it.
    pub archive: PathBuf,
    /// YAML with the DaemonSet.
    pub manifest: PathBuf,
}

/// Its pod on the node.
#[derive(Debug)]
pub struct Deployed {
    /// The container's.
    pub id: String,
    pub security: SecurityContext,
}

/// The name by which the runtime has the archive's image: the annotation of its index.
fn image_name(archive: &Path) -> Result<String> {
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--to-stdout").arg("--file");
    let index = super::runtime::output(tar.arg(archive).arg("index.json"))?;
    let index: Value = serde_json::from_str(&index)?;
    let name = index["manifests"][0]["annotations"]["io.containerd.image.name"].as_str();
    name.map(str::to_owned)
        .with_context(|| format!("{} names no image", archive.display()))
}

/// Starts it, and returns its `ready`.
///
/// # Errors
/// The manifest asks for what this suite cannot do, or the auditor is not ready.
pub fn start(
    node: &mut Node,
    options: &auditor::Options,
    shipped: &Shipped,
) -> Result<(Auditor, Value, Deployed)> {
    let pod = PodTemplate::read(&shipped.manifest)?;
    ensure!(
        !pod.host_pid && !pod.host_network,
        "the pod shares the node's processes or network: this suite runs it without"
    );
    let container = pod.auditor()?.clone();
    let image = image_name(&shipped.archive)?;
    node.runtime
        .import(&node.lab, &shipped.archive)
        .context("import the auditor's image")?;
    let mut spec = PodSpec::daemon(NAMESPACE, "credential-auditor");
    spec.host_network = false;
    let slot = node.admit(spec, vec![ContainerSpec::main(CONTAINER)])?;
    let id = new_id();
    let launch = launch(node, slot, &pod, &container)?;
    let cgroup = node.cgroup_of_container(slot, &id);
    let launch = Launch {
        id: &id,
        image: &image,
        cgroup: &cgroup,
        argv: arguments(node, options, &container)?,
        ..launch
    };
    let command = node.runtime.run(&node.lab, &launch)?;
    node.note_instance(slot, CONTAINER, &id);
    let (auditor, ready) =
        Auditor::start_command(&node.lab, options, command, || node.runtime.pid_of(&id))?;
    node.report(slot)?;
    let security = container.security_context;
    Ok((auditor, ready, Deployed { id, security }))
}

/// Everything but its name, image, cgroup and command line.
fn launch(
    node: &mut Node,
    slot: Slot,
    pod: &PodTemplate,
    container: &Container,
) -> Result<Launch<'static>> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        mounts.push(Mount {
            source: source(node, pod, mount)?,
            target: on_the_lab(node, &mount.mount_path),
            options: match pod.volume(mount)?.host_path {
                Some(_) => mount.options()?.into(),
                // Not what is mounted in the lab's directory: that is the node's.
                None => "bind:rprivate:ro".into(),
            },
        });
    }
    mounts.push(Mount {
        source: node.lab.network.node(),
        target: NODE_NETWORK.into(),
        options: "bind:ro".into(),
    });
    // The auditor finds the kubelet's executable through process 1's root. Where nobody may look there (the sandboxes of some CI
    // services), it is put where the policy names it.
    if fs::metadata("/proc/1/root/").is_err() {
        let kubelet = node.lab.helpers().join("kubelet");
        mounts.push(Mount {
            target: kubelet.display().to_string(),
            source: kubelet,
            options: "bind:ro".into(),
        });
    }
    let root = node.lab.kubelet_root();
    let real = node.pod(slot);
    let own = real.spec();
    mounts.extend(own.tokens.iter().map(|token| Mount {
        source: own.volume_id(Plugin::Projected, &token.volume).dir(&root),
        target: token.mount_path.clone(),
        options: VOLUME.into(),
    }));
    Ok(Launch {
        id: "",
        image: "",
        cgroup: Path::new(""),
        join: vec![("network", real.sandbox_network())],
        mounts,
        env: environment(container)?,
        argv: Vec::new(),
        confinement: confinement(&container.security_context)?,
    })
}

fn source(node: &Node, pod: &PodTemplate, mount: &VolumeMount) -> Result<PathBuf> {
    let Some(host_path) = &pod.volume(mount)?.host_path else {
        return Ok(node.lab.dir().to_owned());
    };
    if host_path.path == STATE_DIR {
        let state = node.lab.dir().join("state");
        // `type: DirectoryOrCreate`
        fs::create_dir_all(&state)?;
        return Ok(state);
    }
    let source = PathBuf::from(on_the_lab(node, &host_path.path));
    // The kubelet has made `pods` before any pod starts.
    if source.starts_with(node.lab.kubelet_root()) {
        fs::create_dir_all(&source)?;
    }
    ensure!(
        source.is_dir(),
        "hostPath {}: no directory",
        source.display()
    );
    Ok(source)
}

/// The kubelet's directory of the lab, where a path lies in the node's.
fn on_the_lab(node: &Node, path: &str) -> String {
    match path.strip_prefix(KUBELET_ROOT) {
        Some(below) if below.is_empty() || below.starts_with('/') => {
            format!("{}{below}", node.lab.kubelet_root().display())
        }
        _ => path.to_owned(),
    }
}

/// The manifest's, with those of the lab's flags that name what the lab has elsewhere.
fn arguments(
    node: &Node,
    options: &auditor::Options,
    container: &Container,
) -> Result<Vec<String>> {
    let flags = auditor::flags(&node.lab);
    let mut replaced: BTreeMap<String, String> = flags
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    // As the manifest has them: what they name is mounted, and the network is the pod's own.
    for name in ["--policy", "--state-dir", "--metrics-listen"] {
        replaced.remove(name);
    }
    let policies = container.volume_mounts.iter().find(|m| m.name == "policy");
    let policies = policies.context("the manifest mounts no volume `policy`")?;
    for name in ["--cluster", "--associations"] {
        if let Some(value) = replaced.get_mut(name) {
            *value = value.replace(&node.lab.dir().display().to_string(), &policies.mount_path);
        }
    }
    ensure!(
        node.lab.cgroup_root().starts_with(CGROUP_ROOT),
        "the lab's cgroups are at {}, not below {CGROUP_ROOT}",
        node.lab.cgroup_root().display()
    );
    replaced.insert("--agent-netns".into(), NODE_NETWORK.into());
    replaced.insert("--backend".into(), options.backend.clone());
    // `ctr run` puts what it is given in the place of the image's entrypoint, which a manifest's `args` leave as it is.
    let mut all = vec![PROGRAM.to_owned()];
    all.extend(with_flags(&container.args, &replaced)?);
    all.extend(options.args.iter().cloned());
    Ok(all)
}

fn environment(container: &Container) -> Result<Vec<String>> {
    let variables = container.env.iter().map(|variable| {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => value.as_str(),
            (None, None) => "",
            (None, Some(from)) => match from["fieldRef"]["fieldPath"].as_str() {
                Some("spec.nodeName") => NODE_NAME,
                Some("metadata.namespace") => NAMESPACE,
                _ => anyhow::bail!(
                    "variable {}: this suite does not know {from}",
                    variable.name
                ),
            },
        };
        Ok(format!("{}={value}", variable.name))
    });
    variables.collect()
}

/// The security context as `ctr run` takes it. `ctr` sets no_new_privs by itself, and hides of /proc and /sys what the CRI hides.
fn confinement(security: &SecurityContext) -> Result<Vec<String>> {
    let mut flags = vec!["--seccomp".to_owned()];
    if security.read_only_root_filesystem {
        flags.push("--read-only".into());
    }
    if security.allow_privilege_escalation {
        flags.push("--allow-new-privs".into());
    }
    for (name, _) in CapabilitySet::from_bits_retain(capabilities::DEFAULT).iter_names() {
        flags.extend(["--cap-drop".into(), format!("CAP_{name}")]);
    }
    for name in &security.capabilities.add {
        capabilities::named(name)?;
        flags.extend(["--cap-add".into(), format!("CAP_{name}")]);
    }
    Ok(flags)
}

/// That the process is confined as the manifest says, by the kernel's word.
///
/// # Errors
/// With what differs.
pub fn verify(auditor: &Auditor, security: &SecurityContext) -> Result<()> {
    let pid = auditor.pid();
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).with_context(|| path)
    };
    let (status, mounts) = (read("status")?, read("mountinfo")?);
    let names: Result<Vec<u64>> = security
        .capabilities
        .add
        .iter()
        .map(|name| capabilities::named(name))
        .collect();
    let set: u64 = names?.into_iter().fold(0, |set, bit| set | bit);
    let no_new_privs = !security.allow_privilege_escalation;
    judge(
        &status,
        &mounts,
        set,
        no_new_privs,
        security.read_only_root_filesystem,
    )?;
    // The lab's own are the node's; process 1 may be one that nobody may look at.
    for kind in ["pid", "net", "mnt", "ipc", "uts"] {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
        ensure!(
            of(&pid.to_string())? != of("self")?,
            "it is in the node's {kind} namespace"
        );
    }
    Ok(())
}

fn judge(
    status: &str,
    mountinfo: &str,
    capabilities: u64,
    no_new_privs: bool,
    read_only: bool,
) -> Result<()> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).with_context(|| format!("no {name}"))
    };
    for name in ["CapBnd:", "CapEff:", "CapPrm:"] {
        let set = u64::from_str_radix(field(name)?, 16)?;
        ensure!(
            set == capabilities,
            "{name} {set:016x}, the manifest says {capabilities:016x}"
        );
    }
    ensure!(
        field("CapAmb:")?.bytes().all(|b| b == b'0'),
        "ambient capabilities"
    );
    for name in ["Uid:", "Gid:"] {
        ensure!(
            field(name)?.split_whitespace().all(|id| id == "0"),
            "{name} is not 0"
        );
    }
    ensure!(
        field("NoNewPrivs:")? == if no_new_privs { "1" } else { "0" },
        "NoNewPrivs: {}",
        field("NoNewPrivs:")?
    );
    // SECCOMP_MODE_FILTER
    ensure!(field("Seccomp:")? == "2", "no seccomp filter");
    let root = mountinfo
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words.get(4) == Some(&"/"))
        .context("no root mount")?;
    let is_read_only = root[5].split(',').any(|option| option == "ro");
    ensure!(is_read_only == read_only, "the root is mounted {}", root[5]);
    Ok(())
}

/// `auditor status` as `kubectl exec` runs it: the one program that the image has.
///
/// # Errors
/// It does not answer.
pub fn status(node: &Node, deployed: &Deployed) -> Result<()> {
    let words = [
        PROGRAM,
        "status",
        "--state-dir",
        STATE_DIR,
        "--output",
        "json",
    ];
    let said = node.runtime.exec(&node.lab, &deployed.id, &words)?;
    let status: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    ensure!(status.is_object(), "{said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapPrm:\t000000c000080004\nCapEff:\t000000c000080004\n\
        CapBnd:\t000000c000080004\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    const MOUNTS: &str =
        "1 0 0:50 / / ro,relatime - overlay overlay rw\n2 1 0:5 / /dev rw - tmpfs tmpfs rw\n";
    const SET: u64 = 0xc0_0008_0004;

    #[test]
    fn any_right_beyond_the_manifests_is_told() {
        assert!(judge(STATUS, MOUNTS, SET, true, true).is_ok());
        for (from, to) in [
            ("CapBnd:\t000000c000080004", "CapBnd:\t000000c000280004"),
            ("CapEff:\t000000c000080004", "CapEff:\t0000008000080004"),
            ("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000004"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Uid:\t0\t0", "Uid:\t0\t1000"),
        ] {
            assert!(
                judge(&STATUS.replace(from, to), MOUNTS, SET, true, true).is_err(),
                "{to}"
            );
        }
        assert!(judge(STATUS, &MOUNTS.replace("ro,", "rw,"), SET, true, true).is_err());
        assert!(judge(STATUS, "", SET, true, true).is_err());
    }

    #[test]
    fn the_runtime_is_told_to_drop_what_it_would_give() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../manifests/kustomize/base/workloads.yaml");
        let pod = PodTemplate::read(&file).unwrap();
        let flags = confinement(&pod.auditor().unwrap().security_context).unwrap();
        let count = |flag: &str| flags.iter().filter(|f| *f == flag).count();
        assert_eq!((count("--cap-drop"), count("--cap-add")), (14, 4));
        assert!(flags.contains(&"CAP_SYS_PTRACE".into()) && flags.contains(&"--read-only".into()));
        assert!(!flags.contains(&"--allow-new-privs".into()));
    }
}
