//! The DaemonSet that users install, in what a container runtime is told of it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The container of the pod that is run.
pub const CONTAINER: &str = "auditor";

/// Of the pod's spec what decides how the container is made. Fields that are not known here decide nothing about it, but for those
/// of the security context: what the suite cannot apply it must not pass over.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    #[serde(default, rename = "hostPID")]
    pub host_pid: bool,
    #[serde(default)]
    pub host_network: bool,
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<Variable>,
    pub security_context: SecurityContext,
    #[serde(default)]
    pub volume_mounts: Vec<VolumeMount>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    pub name: String,
    pub value: Option<String>,
    pub value_from: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityContext {
    pub run_as_user: u32,
    pub run_as_group: u32,
    pub privileged: bool,
    pub allow_privilege_escalation: bool,
    pub read_only_root_filesystem: bool,
    pub capabilities: Capabilities,
    pub seccomp_profile: Profile,
    pub app_armor_profile: Option<Profile>,
    pub se_linux_options: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    #[serde(default)]
    pub add: Vec<String>,
    #[serde(default)]
    pub drop: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    #[serde(default)]
    pub read_only: bool,
    pub mount_propagation: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    pub host_path: Option<HostPathSource>,
    pub config_map: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HostPathSource {
    pub path: String,
}

impl PodTemplate {
    /// Of the first DaemonSet in a file of YAML documents.
    ///
    /// # Errors
    /// There is none, or it asks for what this suite cannot apply.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).context("no YAML")?;
        let mut found = objects.into_iter().filter(|o| o["kind"] == "DaemonSet");
        let mut object = found.next().context("it holds no DaemonSet")?;
        let spec = object["spec"]["template"]["spec"].take();
        let this: Self = serde_json::from_value(spec).context("its pod is not understood")?;
        this.check()?;
        Ok(this)
    }

    /// # Errors
    /// It has no container of that name.
    pub fn auditor(&self) -> Result<&Container> {
        self.containers
            .iter()
            .find(|container| container.name == CONTAINER)
            .with_context(|| format!("it has no container {CONTAINER}"))
    }

    fn check(&self) -> Result<()> {
        let container = self.auditor()?;
        let security = &container.security_context;
        // The image names no user, and `ctr run` takes none.
        ensure!(
            (security.run_as_user, security.run_as_group) == (0, 0),
            "another user than root: this suite cannot run it so"
        );
        ensure!(!security.privileged, "it is privileged");
        ensure!(
            security.capabilities.drop == ["ALL"],
            "it does not drop ALL capabilities"
        );
        let profile = &security.seccomp_profile.kind;
        ensure!(
            profile == "RuntimeDefault",
            "the seccomp profile {profile}: this suite knows how to apply RuntimeDefault"
        );
        for mount in &container.volume_mounts {
            self.volume(mount)?;
        }
        Ok(())
    }

    /// # Errors
    /// There is none, or it is of a kind that this suite cannot make.
    pub fn volume(&self, mount: &VolumeMount) -> Result<&Volume> {
        let name = &mount.name;
        let volume = self.volumes.iter().find(|volume| volume.name == *name);
        let volume = volume.with_context(|| format!("there is no volume {name}"))?;
        if volume.host_path.is_none() && volume.config_map.is_none() {
            bail!("volume {name} is neither a hostPath nor a ConfigMap: this suite makes no other");
        }
        Ok(volume)
    }
}

impl SecurityContext {
    /// What the manifest says for machines with AppArmor or SELinux, which is not applied: containers of this suite get no profile.
    pub fn not_applied(&self) -> Vec<String> {
        let app_armor = self.app_armor_profile.as_ref();
        let app_armor = app_armor.map(|profile| format!("appArmorProfile {}", profile.kind));
        let selinux = self.se_linux_options.as_ref();
        let selinux = selinux.map(|options| format!("seLinuxOptions {options}"));
        app_armor.into_iter().chain(selinux).collect()
    }
}

impl VolumeMount {
    /// Options of a bind mount, by colons, as containerd's CRI makes them of a mount (`pkg/cri/opts/spec_linux.go`, `WithMounts`).
    ///
    /// # Errors
    /// For a propagation that an unprivileged container may not have.
    pub fn options(&self) -> Result<String> {
        let propagation = match self.mount_propagation.as_deref() {
            None | Some("None") => "rprivate",
            Some("HostToContainer") => "rslave",
            Some(other) => bail!("volume {}: propagation {other}", self.name),
        };
        let access = if self.read_only { "ro" } else { "rw" };
        Ok(format!("rbind:{propagation}:{access}"))
    }
}

/// Flags as `--name=value` or `--name`, in their order; a later one replaces an earlier one of the same name.
///
/// # Errors
/// For anything else, which the suite could not replace.
pub fn with_flags(args: &[String], replaced: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for arg in args {
        match arg.split_once('=') {
            Some((name, _)) if name.starts_with("--") => {
                if !replaced.contains_key(name) {
                    all.push(arg.clone());
                }
            }
            None if arg.starts_with("--") || *arg == "run" => all.push(arg.clone()),
            _ => bail!("argument {arg}: write flags as --name=value"),
        }
    }
    all.extend(
        replaced
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "kind: Service\n---\nkind: DaemonSet\nspec:\n  template:\n    spec:\n      hostPID: false\n      containers:\n        \
        - name: auditor\n          args: [run, --cluster=kube]\n          securityContext:\n            runAsUser: 0\n            \
        runAsGroup: 0\n            privileged: false\n            allowPrivilegeEscalation: false\n            \
        readOnlyRootFilesystem: true\n            capabilities: {drop: [ALL], add: [BPF]}\n            \
        seccompProfile: {type: RuntimeDefault}\n          volumeMounts:\n            - {name: proc, mountPath: /host/proc, readOnly: true}\n      \
        volumes:\n        - {name: proc, hostPath: {path: /proc, type: Directory}}\n";

    #[test]
    fn reads_what_the_runtime_is_told() {
        let pod = PodTemplate::parse(POD).unwrap();
        let auditor = pod.auditor().unwrap();
        assert_eq!(auditor.security_context.capabilities.add, ["BPF"]);
        let mount = &auditor.volume_mounts[0];
        assert_eq!(mount.options().unwrap(), "rbind:rprivate:ro");
        assert_eq!(
            pod.volume(mount).unwrap().host_path.as_ref().unwrap().path,
            "/proc"
        );
    }

    #[test]
    fn what_cannot_be_applied_is_an_error() {
        for (from, to) in [
            ("privileged: false", "privileged: true"),
            ("runAsUser: 0", "runAsUser: 1000"),
            ("drop: [ALL]", "drop: [CHOWN]"),
            ("RuntimeDefault", "Localhost"),
            (
                "privileged: false",
                "privileged: false\n            procMount: Unmasked",
            ),
            ("hostPath: {path: /proc, type: Directory}", "emptyDir: {}"),
            ("name: auditor", "name: other"),
            ("kind: DaemonSet", "kind: Deployment"),
        ] {
            assert!(POD.contains(from), "{from}");
            assert!(PodTemplate::parse(&POD.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn flags_are_replaced_and_added() {
        let args = ["run", "--cluster=kube", "--watch-denied", "--policy=/p"].map(str::to_owned);
        let replaced = [("--cluster", "file:/c"), ("--node-name", "n")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = with_flags(&args, &replaced.into()).unwrap();
        assert_eq!(
            flags,
            [
                "run",
                "--watch-denied",
                "--policy=/p",
                "--cluster=file:/c",
                "--node-name=n"
            ]
        );
        assert!(with_flags(&["--cluster".into(), "kube".into()], &BTreeMap::new()).is_err());
    }
}
