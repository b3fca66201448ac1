//! The auditor as its DaemonSet runs it: the image, in a pod, by containerd and runc, with the manifest's own security context and
//! mounts.
//!
//! Where the lab has something else than a node, that is mounted and named in its place. Each such place is kept as `what: why`
//! ([`Deployed::not_applied`]), and the suite prints them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::CapabilitySet;
use serde_json::Value;

use super::{
    daemonset::{
        CONTAINER, Container, PodTemplate, SecurityContext, Volume, VolumeMount, with_flags,
    },
    image,
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
pub const PROGRAM: &str = "/auditor";
/// As the manifest has it by default.
const KUBELET_ROOT: &str = "/var/lib/kubelet";
pub const STATE_DIR: &str = "/var/lib/credential-auditor";
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// The lab's network namespace of the node, in the container. On a node it is that of the host's process 1.
const NODE_NETWORK: &str = "/run/node-network";
const ROOT_OF_INIT: &str = "/proc/1/root/";

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// An OCI archive, as `cargo xtask image` writes it; without, the program alone is packed into one.
    pub archive: Option<PathBuf>,
    /// YAML with the DaemonSet.
    pub manifest: PathBuf,
}

/// Its pod on the node.
#[derive(Debug)]
pub struct Deployed {
    /// The container's.
    pub id: String,
    /// Of the program, its own name first.
    pub argv: Vec<String>,
    pub security: SecurityContext,
    /// The container's, as the manifest has them, at the paths where they are.
    pub mounts: Vec<VolumeMount>,
    /// In what it is other than the manifest says, each as `what: why`.
    pub not_applied: Vec<String>,
    /// Among it that the kubelet's program was put in its way.
    pub is_helped: bool,
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
    let container = pod.auditor()?.clone();
    let (archive, image) = match &shipped.archive {
        Some(archive) => (archive.clone(), image_name(archive)?),
        None => (
            image::of_auditor(node.runtime.dir(), &options.program)?,
            image::AUDITOR.to_owned(),
        ),
    };
    node.runtime
        .import(&node.lab, &archive)
        .context("import the auditor's image")?;
    if shipped.archive.is_none() {
        fs::remove_file(archive)?;
    }
    let mut spec = PodSpec::daemon(NAMESPACE, "credential-auditor");
    spec.host_network = false;
    let slot = node.admit(spec, vec![ContainerSpec::main(CONTAINER)])?;
    let id = new_id();
    let mut not_applied = pod.not_applied()?;
    let mut launch = launch(node, slot, &pod, &container, &mut not_applied)?;
    let helped = help_with_kubelet(node, &mut launch.mounts);
    let is_helped = helped.is_some();
    not_applied.extend(helped);
    let cgroup = node.cgroup_of_container(slot, &id);
    let launch = Launch {
        id: &id,
        image: &image,
        cgroup: &cgroup,
        argv: arguments(node, options, &container, &mut not_applied)?,
        ..launch
    };
    let argv = launch.argv.clone();
    let command = node.runtime.run(&node.lab, &launch)?;
    node.note_instance(slot, CONTAINER, &id);
    let (auditor, ready) =
        Auditor::start_command(&node.lab, options, command, || node.runtime.pid_of(&id))?;
    node.report(slot)?;
    let Container {
        security_context: security,
        volume_mounts: mut mounts,
        ..
    } = container;
    for mount in &mut mounts {
        mount.mount_path = on_the_lab(node, &mount.mount_path);
    }
    let deployed = Deployed {
        id,
        argv,
        security,
        mounts,
        not_applied,
        is_helped,
    };
    Ok((auditor, ready, deployed))
}

/// The auditor finds the kubelet's executable through process 1's root. Where nobody may look there, root with all capabilities
/// included (some sandboxes of CI services guard their first process so), it is put where the policy names it. What the auditor does
/// by itself is seen in a virtual machine (`cargo xtask vm-test --containers`).
fn help_with_kubelet(node: &Node, mounts: &mut Vec<Mount>) -> Option<String> {
    let why = needs_help(fs::metadata(ROOT_OF_INIT))?;
    let kubelet = node.lab.helpers().join("kubelet");
    mounts.push(Mount {
        target: kubelet.display().to_string(),
        source: kubelet,
        options: "bind:ro".into(),
    });
    Some(why)
}

fn needs_help<T>(looked: io::Result<T>) -> Option<String> {
    let error = looked.err()?;
    Some(format!(
        "the kubelet's program is mounted into the auditor's container, which no node does: on this machine not even root may look at \
         {ROOT_OF_INIT} ({error}), by which the auditor finds it; without this mount it does so in `cargo xtask vm-test --containers`"
    ))
}

/// Everything but its name, image, cgroup and command line.
fn launch(
    node: &mut Node,
    slot: Slot,
    pod: &PodTemplate,
    container: &Container,
    not_applied: &mut Vec<String>,
) -> Result<Launch<'static>> {
    let mut mounts = Vec::new();
    for mount in &container.volume_mounts {
        let source = source(node, pod, mount)?;
        let target = on_the_lab(node, &mount.mount_path);
        not_applied.extend(elsewhere(pod.volume(mount)?, mount, &source, &target));
        mounts.push(Mount {
            source,
            target,
            options: match pod.volume(mount)?.host_path {
                Some(_) => mount.options()?.into(),
                // Not what is mounted in the lab's directory: that is the node's.
                None => "bind:rprivate:ro".into(),
            },
        });
    }
    not_applied.push(format!(
        "{NODE_NETWORK} is mounted besides: the lab's node has a network namespace of its own, not that of the host's process 1"
    ));
    mounts.push(Mount {
        source: node.lab.network.node(),
        target: NODE_NETWORK.into(),
        options: "bind:ro".into(),
    });
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

/// What to say where it is not the manifest's that is mounted, or not there.
fn elsewhere(volume: &Volume, mount: &VolumeMount, source: &Path, target: &str) -> Option<String> {
    let (name, shown) = (&mount.name, source.display());
    let Some(host_path) = &volume.host_path else {
        return Some(format!(
            "volume {name}: {shown} is at {target} instead of a ConfigMap: in it are the policy and what the API server would say"
        ));
    };
    let is_as_said = Path::new(&host_path.path) == source && mount.mount_path == target;
    (!is_as_said).then(|| {
        format!(
            "volume {name}: {shown} is at {target} instead of {} at {}: the lab's node has it there",
            host_path.path, mount.mount_path
        )
    })
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
    not_applied: &mut Vec<String>,
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
    not_applied.extend(replaced.iter().map(|(name, value)| {
        let mut args = container.args.iter();
        let said = args.find(|arg| arg.split('=').next() == Some(name));
        let said = said.map_or("no such flag", String::as_str);
        format!("{name}={value} instead of {said}: so the lab has it")
    }));
    not_applied.extend(
        options
            .args
            .iter()
            .map(|arg| format!("{arg} is among the arguments: this run was asked for it")),
    );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_nobody_may_look_is_the_kubelet_put_there_and_that_is_told() {
        assert_eq!(needs_help(Ok(())), None);
        let refused = io::Error::from_raw_os_error(libc::EACCES);
        let told = needs_help::<()>(Err(refused)).unwrap();
        assert!(told.contains("Permission denied") && told.contains("/proc/1/root/"));
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

    #[test]
    fn a_mount_of_the_labs_is_told_and_the_manifests_own_is_not() {
        let volume = |text: &str| serde_json::from_str::<Volume>(text).unwrap();
        let mount: VolumeMount =
            serde_json::from_str(r#"{"name": "v", "mountPath": "/host/proc"}"#).unwrap();
        let proc = volume(r#"{"name": "v", "hostPath": {"path": "/proc"}}"#);
        let told = |volume: &Volume, source: &str, target: &str| {
            elsewhere(volume, &mount, Path::new(source), target).unwrap_or_default()
        };
        assert_eq!(told(&proc, "/proc", "/host/proc"), "");
        for (source, target) in [("/lab/proc", "/host/proc"), ("/proc", "/lab/proc")] {
            let line = told(&proc, source, target);
            assert!(
                line.starts_with(&format!(
                    "volume v: {source} is at {target} instead of /proc at"
                )),
                "{line}"
            );
        }
        let config = volume(r#"{"name": "v", "configMap": {}}"#);
        assert!(told(&config, "/lab", "/host/proc").contains("instead of a ConfigMap"));
    }
}
