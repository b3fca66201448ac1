//! The DaemonSet that users install, in what a container runtime is told of it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// The container of the pod that is run.
pub const CONTAINER: &str = "auditor";

/// Of the pod's spec what decides how the container is made. What the suite does not apply it must not pass over: a field that is
/// neither here nor among those of [`NOT_APPLIED`] is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    #[serde(default, rename = "hostPID")]
    pub host_pid: bool,
    #[serde(default)]
    pub host_network: bool,
    #[serde(default, rename = "hostIPC")]
    pub host_ipc: bool,
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
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
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Fields of the pod and of its container that this suite leaves out, and why. None of them gives the container a right.
const NOT_APPLIED: [(&str, &str); 15] = [
    ("affinity", NO_SCHEDULER),
    ("nodeSelector", NO_SCHEDULER),
    ("priorityClassName", NO_SCHEDULER),
    ("tolerations", NO_SCHEDULER),
    ("automountServiceAccountToken", NO_API_SERVER),
    ("enableServiceLinks", NO_API_SERVER),
    ("serviceAccountName", NO_API_SERVER),
    ("livenessProbe", NO_PROBER),
    ("readinessProbe", NO_PROBER),
    ("startupProbe", NO_PROBER),
    (
        "terminationGracePeriodSeconds",
        "the suite itself stops it, and waits for less",
    ),
    ("image", "what was built is imported, whatever its name"),
    (
        "imagePullPolicy",
        "what was built is imported, whatever its name",
    ),
    ("ports", "they inform, and nothing opens them"),
    (
        "resources",
        "its cgroup has no limits here; what it takes is measured by the bench and the soak",
    ),
];
const NO_SCHEDULER: &str = "the lab has one node and no scheduler";
const NO_API_SERVER: &str = "the lab has no API server: what it would say is in a file";
const NO_PROBER: &str = "the lab's kubelet does not probe it";

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
        for name in self.others.keys().chain(container.others.keys()) {
            ensure!(
                NOT_APPLIED.iter().any(|(known, _)| known == name),
                "{name}: this suite does not know whether that may be left out"
            );
        }
        ensure!(
            !self.host_pid && !self.host_network && !self.host_ipc,
            "the pod shares the node's processes, network or IPC: this suite runs it without"
        );
        let security = &container.security_context;
        // The image names no user, and `ctr run` takes none.
        ensure!(
            (security.run_as_user, security.run_as_group) == (0, 0),
            "another user than root: this suite cannot run it so"
        );
        ensure!(!security.privileged, "it is privileged");
        // Whether `ctr run` would do without one is not known here.
        let app_armor = security.app_armor_profile.as_ref();
        ensure!(
            app_armor.is_none_or(|profile| profile.kind == "Unconfined"),
            "an AppArmor profile: this suite's containers have none"
        );
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

impl PodTemplate {
    /// What the manifest says and this suite does not do, each as `what: why`.
    ///
    /// # Errors
    /// As of [`Self::auditor`].
    pub fn not_applied(&self) -> Result<Vec<String>> {
        let container = self.auditor()?;
        let fields = self.others.iter().chain(&container.others);
        let mut all: Vec<String> = fields
            .filter_map(|(name, value)| {
                let (_, why) = NOT_APPLIED.iter().find(|(known, _)| known == name)?;
                Some(format!("{name} {value}: {why}"))
            })
            .collect();
        if let Some(options) = &container.security_context.se_linux_options {
            all.push(format!(
                "seLinuxOptions {options}: this suite's containers get no label"
            ));
        }
        Ok(all)
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
        assert_eq!(pod.not_applied().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_left_out_is_told_with_its_reason() {
        let more = POD
            .replace(
                "hostPID: false",
                "hostPID: false\n      nodeSelector: {a: b}",
            )
            .replace("args:", "resources: {}\n          args:")
            .replace(
                "            privileged",
                "            seLinuxOptions: {type: spc_t}\n            privileged",
            );
        let told = PodTemplate::parse(&more).unwrap().not_applied().unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        for (line, part) in told.iter().zip([
            r#"nodeSelector {"a":"b"}: the lab has one node"#,
            "resources {}: its cgroup has no limits",
            r#"seLinuxOptions {"type":"spc_t"}: "#,
        ]) {
            assert!(line.starts_with(part), "{line}");
        }
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
            ("hostPID: false", "hostPID: true"),
            ("hostPID: false", "hostIPC: true"),
            ("hostPID: false", "hostNetwork: true"),
            ("hostPID: false", "hostUsers: false"),
            ("hostPID: false", "shareProcessNamespace: true"),
            (
                "hostPID: false",
                "securityContext: {supplementalGroups: [27]}",
            ),
            ("args:", "volumeDevices: []\n          args:"),
            (
                "privileged: false",
                "privileged: false\n            appArmorProfile: {type: RuntimeDefault}",
            ),
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
