//! `manifests/simulate`, read. What is in there and not understood here is an error: the lab would play something else.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    node::{
        PodSpec,
        pod::{FileVolume, HostPath, TokenVolume},
    },
    volume::Plugin,
    wire::argv,
};

/// Compiled in: a virtual machine has no manifests.
const KUSTOMIZATION: &str = include_str!("../../../manifests/simulate/kustomization.yaml");
/// What the kustomization may name.
const FILES: [(&str, &str); 6] = [
    (
        "namespace.yaml",
        include_str!("../../../manifests/simulate/namespace.yaml"),
    ),
    (
        "victim.yaml",
        include_str!("../../../manifests/simulate/victim.yaml"),
    ),
    (
        "workload.yaml",
        include_str!("../../../manifests/simulate/workload.yaml"),
    ),
    (
        "unbound.yaml",
        include_str!("../../../manifests/simulate/unbound.yaml"),
    ),
    (
        "drifted.yaml",
        include_str!("../../../manifests/simulate/drifted.yaml"),
    ),
    (
        "thief.yaml",
        include_str!("../../../manifests/simulate/thief.yaml"),
    ),
];

/// Where the kubelet is on a node that is no lab.
const KUBELET_ROOT: &str = "/var/lib/kubelet";
/// Where [`FileVolume`]s are mounted.
const ETC: &str = "/etc";

/// A ServiceAccount and the role that its annotation names.
pub struct Account {
    pub name: String,
    pub role: Option<String>,
}

/// A pod that a Deployment or a Job makes.
pub struct Template {
    /// The Deployment's, the Job's.
    pub kind: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub service_account: String,
    spec: Value,
}

pub struct Manifests {
    pub namespace: String,
    pub accounts: Vec<Account>,
    /// The victim's first, as the kustomization lists them.
    pub templates: Vec<Template>,
}

impl Manifests {
    /// Those of this repository.
    ///
    /// # Errors
    /// There is something in them that the lab does not understand.
    pub fn ours() -> Result<Self> {
        let documents_of_it = documents(KUSTOMIZATION)?;
        let [kustomization] = &documents_of_it[..] else {
            bail!("more than one kustomization");
        };
        let mut this = Self {
            namespace: text(kustomization, "/namespace")?,
            accounts: Vec::new(),
            templates: Vec::new(),
        };
        let names = kustomization["resources"].as_array();
        for name in names.context("no resources")? {
            let (name, file) = FILES
                .iter()
                .find(|(known, _)| name == known)
                .with_context(|| format!("{name} is not compiled in"))?;
            for object in documents(file).context(*name)? {
                this.take(object).context(*name)?;
            }
        }
        Ok(this)
    }

    fn take(&mut self, object: Value) -> Result<()> {
        let kind = text(&object, "/kind")?;
        let name = text(&object, "/metadata/name")?;
        if kind == "Namespace" {
            ensure!(name == self.namespace, "the namespace {name}");
            return Ok(());
        }
        let namespace = text(&object, "/metadata/namespace")?;
        ensure!(namespace == self.namespace, "{kind} {name} in {namespace}");
        match kind.as_str() {
            "ServiceAccount" => {
                let annotation = "/metadata/annotations/eks.amazonaws.com~1role-arn";
                let role = object.pointer(annotation).and_then(Value::as_str);
                self.accounts.push(Account {
                    name,
                    role: role.map(str::to_owned),
                });
            }
            "Deployment" | "Job" => {
                let template = &object["spec"]["template"];
                let spec = template["spec"].clone();
                self.templates.push(Template {
                    kind,
                    name,
                    labels: serde_json::from_value(template["metadata"]["labels"].clone())?,
                    service_account: text(&spec, "/serviceAccountName")?,
                    spec,
                });
            }
            other => bail!("a {other}, which the lab knows nothing of"),
        }
        Ok(())
    }
}

fn documents(file: &str) -> Result<Vec<Value>> {
    let documents = file
        .split("\n---\n")
        .map(|one| -> Result<Value> { Ok(serde_saphyr::from_str(one)?) });
    documents.collect()
}

impl Template {
    /// The pod, on a node whose kubelet is at `kubelet_root`, with `program` as the image's entrypoint.
    pub fn pod(&self, namespace: &str, kubelet_root: &Path, program: &Path) -> Result<PodSpec> {
        only(
            &self.spec,
            &[
                "serviceAccountName",
                "automountServiceAccountToken",
                "enableServiceLinks",
                "terminationGracePeriodSeconds",
                "nodeSelector",
                "restartPolicy",
                "affinity",
                "securityContext",
                "containers",
                "volumes",
            ],
        )?;
        ensure!(self.spec["automountServiceAccountToken"] == false);
        ensure!(
            self.spec["securityContext"]["runAsUser"] == 0,
            "the lab's containers are root's"
        );
        let mut pod = PodSpec::new(namespace, &self.service_account);
        pod.owner = match self.kind.as_str() {
            "Job" => (self.kind.clone(), self.name.clone()),
            _ => ("ReplicaSet".to_owned(), format!("{}-7d4b9c8f6", self.name)),
        };
        pod.tokens.clear();
        let [container] = array(&self.spec, "containers")? else {
            bail!("not one container");
        };
        let mounts = self.container(container, &mut pod, program)?;
        for volume in array(&self.spec, "volumes")? {
            let name = text(volume, "/name")?;
            let mount = mounts.get(&name);
            let mount = mount.with_context(|| format!("the volume {name} is not mounted"))?;
            self.volume(volume, &name, mount, &mut pod, kubelet_root)
                .with_context(|| format!("the volume {name}"))?;
        }
        Ok(pod)
    }

    /// Its mounts by volume.
    fn container(
        &self,
        container: &Value,
        pod: &mut PodSpec,
        program: &Path,
    ) -> Result<BTreeMap<String, Value>> {
        only(
            container,
            &[
                "name",
                "image",
                "imagePullPolicy",
                "args",
                "env",
                "securityContext",
                "resources",
                "volumeMounts",
            ],
        )?;
        pod.argv = argv([program]);
        for word in array(container, "args")? {
            pod.argv.push(word.as_str().context("args")?.to_owned());
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = text(variable, "/value")?;
            pod.env.insert(text(variable, "/name")?, value);
        }
        let security = &container["securityContext"];
        only(
            security,
            &[
                "allowPrivilegeEscalation",
                "readOnlyRootFilesystem",
                "capabilities",
                // The lab's containers have no label of SELinux: without it, the runtime passes over it as well.
                "seLinuxOptions",
            ],
        )?;
        let capabilities = &security["capabilities"];
        ensure!(capabilities["drop"] == serde_json::json!(["ALL"]));
        pod.drops_caps = true;
        for cap in capabilities["add"].as_array().into_iter().flatten() {
            pod.caps.push(cap.as_str().context("a capability")?.into());
        }
        array(container, "volumeMounts")?
            .iter()
            .map(|mount| -> Result<_> { Ok((text(mount, "/name")?, mount.clone())) })
            .collect()
    }

    fn volume(
        &self,
        volume: &Value,
        name: &str,
        mount: &Value,
        pod: &mut PodSpec,
        kubelet_root: &Path,
    ) -> Result<()> {
        only(volume, &["name", "projected", "hostPath"])?;
        only(
            mount,
            &["name", "mountPath", "readOnly", "mountPropagation"],
        )?;
        let target = text(mount, "/mountPath")?;
        ensure!(mount["readOnly"] == true, "it can be written to");
        if let Some(path) = volume.pointer("/hostPath/path").and_then(Value::as_str) {
            ensure!(mount["mountPropagation"] == "HostToContainer");
            let below = Path::new(path).strip_prefix(KUBELET_ROOT)?;
            pod.host_paths.push(HostPath {
                source: kubelet_root.join(below),
                target,
                read_only: true,
            });
            return Ok(());
        }
        let [source] = array(&volume["projected"], "sources")? else {
            bail!("not one source");
        };
        only(source, &["serviceAccountToken", "downwardAPI"])?;
        if let Some(token) = source.get("serviceAccountToken") {
            let audience = text(token, "/audience")?;
            ensure!(audience == crate::token::STS, "a token for {audience}");
            let mut token_volume =
                TokenVolume::new("irsa", name, &target, &text(token, "/path")?, &audience);
            let seconds = &token["expirationSeconds"];
            token_volume.expiration_seconds = seconds.as_i64().context("expirationSeconds")?;
            pod.tokens.push(token_volume);
            return Ok(());
        }
        ensure!(
            Path::new(&target) == Path::new(ETC).join(name),
            "at {target}"
        );
        let mut files = BTreeMap::new();
        for item in array(&source["downwardAPI"], "items")? {
            let field = text(item, "/fieldRef/fieldPath")?;
            files.insert(text(item, "/path")?, self.field(&field, pod)?);
        }
        pod.files.push(FileVolume {
            plugin: Plugin::Projected,
            name: name.to_owned(),
            files,
        });
        Ok(())
    }

    /// As the downward API resolves it.
    fn field(&self, path: &str, pod: &PodSpec) -> Result<String> {
        let label = path
            .strip_prefix("metadata.labels['")
            .and_then(|rest| rest.strip_suffix("']"));
        Ok(match (path, label) {
            ("metadata.namespace", _) => pod.namespace.clone(),
            ("metadata.uid", _) => pod.uid.clone(),
            (_, Some(label)) => {
                let value = self.labels.get(label);
                value.with_context(|| format!("no label {label}"))?.clone()
            }
            _ => bail!("the downward API's {path}"),
        })
    }
}

fn only(value: &Value, known: &[&str]) -> Result<()> {
    for name in value.as_object().context("no object")?.keys() {
        ensure!(known.contains(&name.as_str()), "{name}: not understood");
    }
    Ok(())
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.with_context(|| pointer.to_owned())?.to_owned())
}

fn array<'a>(value: &'a Value, name: &str) -> Result<&'a [Value]> {
    let array = value[name].as_array().with_context(|| name.to_owned())?;
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_security_context_is_understood_or_refused() {
        let mut manifests = Manifests::ours().unwrap();
        let pod = |template: &Template| template.pod("sim", Path::new("/k"), Path::new("/auditor"));
        for template in &manifests.templates {
            pod(template).unwrap();
        }
        let mut templates = manifests.templates.iter_mut();
        let thief = templates.find(|one| one.name == "thief").unwrap();
        let security = &mut thief.spec["containers"][0]["securityContext"];
        assert_eq!(security["seLinuxOptions"]["type"], "spc_t");
        security["privileged"] = true.into();
        let refused = pod(thief).err().unwrap().to_string();
        assert!(refused.contains("privileged"), "{refused}");
    }
}
