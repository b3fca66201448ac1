//! kustomize's base: what it deploys is written from the chart, and must be the same objects.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    cases,
    chart::{self, All},
    check::Tally,
    engines::{Engines, Rendered},
    objects, read,
};
use crate::process;

/// As values.yaml has it, for `images:` of a kustomization to find.
const IMAGE: &str = "registry.credential-auditor.example/credential-auditor";
/// The chart refuses the one above: nothing is there.
const STAND_IN: &str = "stand-in.credential-auditor.example/credential-auditor";
/// What kustomize says of an `IMAGE` that is empty, or no registry's.
const NO_SLASH: &str = "options.index 1 is out of bounds for value";
/// What one file of kustomize's is made of: its path below manifests/kustomize, and the chart's templates.
const WRITTEN: [(&str, &[&str]); 3] = [
    (
        "base/workloads.yaml",
        &["daemonset.yaml", "sync.yaml", "network-policy.yaml"],
    ),
    ("cleanup/daemonset.yaml", &["cleanup.yaml"]),
    (
        "components/priority-class/priority-class.yaml",
        &["priority-class.yaml"],
    ),
];
/// What only kustomize has: Helm makes the namespace by itself (--create-namespace).
const NAMESPACE: &str = "Namespace/credential-auditor";

/// Each overlay that must be the same as a rendering of the chart: the chart's case, the directory that is applied, and what
/// its user adds.
const OVERLAYS: [(&str, &str, &str); 6] = [
    ("defaults", "cluster", ""),
    (
        "operator",
        "cluster",
        "components: [../components/prometheus-operator]\n",
    ),
    ("ack", "cluster", "components: [../components/ack]\n"),
    ("priority-class", "cluster", PRIORITY_CLASS),
    ("cleanup", "cleanup", ""),
    ("cleanup, priority-class", "cleanup", PRIORITY_CLASS),
];
const PRIORITY_CLASS: &str = "components: [../components/priority-class]\n";

fn directory() -> PathBuf {
    process::workspace().join("manifests/kustomize")
}

/// Writes what is made of the chart; gives the files.
pub fn render(engines: &Engines) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, text) in written(engines)? {
        let path = directory().join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        paths.push(path);
    }
    Ok(paths)
}

fn written(engines: &Engines) -> Result<Vec<(&'static str, String)>> {
    let values = |more: &Value| {
        let mut values = cases::with(more);
        values["image"]["repository"] = json!(STAND_IN);
        // The cluster's own kustomization has it.
        values["clusterName"] = json!("CLUSTER-NAME-IS-NOT-SET");
        values
    };
    let running = values(&json!({}));
    let cleanup = values(&json!({"cleanup": true}));
    let class = values(&json!({"priorityClass": {"create": true}}));
    let answers = engines.render(&chart::directory(), &[&running, &cleanup, &class])?;
    let mut texts = Vec::new();
    for ((name, templates), answer) in WRITTEN.into_iter().zip(answers) {
        match answer {
            Ok(rendered) => texts.push((name, text_of(&rendered, templates)?)),
            Err(error) => bail!("{name}: {error}"),
        }
    }
    Ok(texts)
}

fn text_of(rendered: &Rendered, templates: &[&str]) -> Result<String> {
    let mut text = String::from(
        "# Written by `cargo xtask manifests render` from manifests/helm/credential-auditor, where the reasons are; do not edit.\n",
    );
    for (index, template) in templates.iter().enumerate() {
        let name = format!("credential-auditor/templates/{template}");
        let file = rendered.files[&name].as_str();
        let file = file.with_context(|| format!("the chart has no {template}"))?;
        if index > 0 {
            text.push_str("---\n");
        }
        // Values that are empty leave lines of blanks.
        for line in file.trim().lines().filter(|line| !line.trim().is_empty()) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    Ok(text.replace(STAND_IN, IMAGE))
}

/// `rendered`: the chart's cases.
pub fn check(engines: &Engines, rendered: &All, tally: &mut Tally) -> Result<()> {
    tally.note(
        "kustomize's workloads are as they would be written",
        check_written(engines),
    );
    let place = Place::make()?;
    tally.note(
        "the simulation is valid in each Kubernetes, and refused without an image",
        check_simulation(engines, &place),
    );
    tally.note(
        "kustomize without a cluster's name or an image is refused",
        check_nameless(engines, &place),
    );
    for (case, applied, added) in OVERLAYS {
        let Some((_, chart)) = rendered.iter().find(|(name, _)| *name == case) else {
            // It was told that the chart does not render.
            continue;
        };
        let same = check_same(engines, &place, chart, applied, added);
        tally.note(
            &format!("kustomize, {applied}: the same objects as chart, {case}"),
            same,
        );
    }
    Ok(())
}

/// `kubectl apply -k manifests/simulate`; what it plays, the lab holds against what it announces.
fn check_simulation(engines: &Engines, place: &Place) -> Result<()> {
    let directory = place.path("simulate");
    let without = [
        (None, "cluster.env"),
        (Some("CLUSTER_NAME=prod\n"), "IMAGE"),
        (Some("IMAGE=\n"), NO_SLASH),
    ];
    for (text, missing) in without {
        ensure_refused(engines, &directory, text, missing)?;
    }
    fs::write(directory.join("cluster.env"), format!("IMAGE={STAND_IN}\n"))?;
    let objects = engines.kustomize(&directory)?;
    let pods = objects
        .iter()
        .map(|object| &object["spec"]["template"]["spec"])
        .filter(|pod| pod.is_object());
    let mut images: Vec<_> = pods.map(|pod| &pod["containers"][0]["image"]).collect();
    ensure!(!images.is_empty(), "no pod is applied");
    images.retain(|image| **image != STAND_IN);
    ensure!(images.is_empty(), "images of nobody: {images:?}");
    let every: Vec<_> = objects.iter().collect();
    engines.validate(&every).map(drop)
}

fn check_written(engines: &Engines) -> Result<()> {
    for (name, text) in written(engines)? {
        ensure!(
            read(&directory().join(name))? == text,
            "{name} is not as the chart has it; run: cargo xtask manifests render"
        );
    }
    Ok(())
}

/// What is missing, by what `cluster.env` holds; none: there is no such file.
fn check_nameless(engines: &Engines, place: &Place) -> Result<()> {
    let wanted = [
        ("cluster", None, "cluster.env"),
        ("cluster", Some("CLUSTER_NAME=prod\n"), "IMAGE"),
        ("cluster", Some("CLUSTER_NAME=prod\nIMAGE=\n"), NO_SLASH),
        (
            "cluster",
            Some("IMAGE=registry.test/credential-auditor\n"),
            "CLUSTER_NAME",
        ),
        ("cleanup", None, "cluster.env"),
        ("cleanup", Some("IMAGE=\n"), NO_SLASH),
    ];
    for (applied, text, missing) in wanted {
        let directory = place.path("kustomize").join(applied);
        ensure_refused(engines, &directory, text, missing)?;
    }
    Ok(())
}

/// With this in its `cluster.env`, by an error that says `missing`.
fn ensure_refused(
    engines: &Engines,
    directory: &Path,
    text: Option<&str>,
    missing: &str,
) -> Result<()> {
    if let Some(text) = text {
        fs::write(directory.join("cluster.env"), text)?;
    }
    match engines.kustomize(directory) {
        Ok(_) => bail!("it is applied with {text:?}"),
        Err(error) if format!("{error:#}").contains(missing) => Ok(()),
        Err(error) => Err(error.context(format!("it does not say {missing}"))),
    }
}

fn check_same(
    engines: &Engines,
    place: &Place,
    chart: &Rendered,
    applied: &str,
    added: &str,
) -> Result<()> {
    let name = format!("kustomize/{applied}");
    let ours = read(&directory().join(applied).join("kustomization.yaml"))?;
    fs::write(
        place.path(&format!("{name}/kustomization.yaml")),
        format!("{ours}\n{added}"),
    )?;
    let env = format!("CLUSTER_NAME=prod\nIMAGE={}\n", image(&chart.objects)?);
    fs::write(place.path(&format!("{name}/cluster.env")), env)?;
    let mut objects = engines.kustomize(&place.path(&name))?;
    if applied == "cluster" {
        let before = objects.len();
        objects.retain(|object| objects::key(object).0 != NAMESPACE);
        ensure!(objects.len() + 1 == before, "kustomize has no {NAMESPACE}");
    }
    objects::ensure_same(&chart.objects, &objects, ["the chart", "kustomize"])
}

/// That of the DaemonSet.
fn image(objects: &[Value]) -> Result<&str> {
    let mut images = objects
        .iter()
        .filter(|object| object["kind"] == "DaemonSet")
        .filter_map(|object| object["spec"]["template"]["spec"]["containers"][0]["image"].as_str());
    images.next().context("the chart has no DaemonSet")
}

/// A copy of the manifests, in which a cluster has a name.
struct Place(PathBuf);

impl Place {
    fn make() -> Result<Self> {
        let place = process::target_directory().join("manifests-kustomize");
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| place.display().to_string())?;
        }
        let manifests = process::workspace().join("manifests");
        for name in [
            "kustomize",
            "rbac",
            "policy",
            "alerts",
            "dashboards",
            "simulate",
        ] {
            copy(&manifests.join(name), &place.join(name))?;
        }
        // That of somebody who works here.
        for name in ["kustomize/cluster", "kustomize/cleanup", "simulate"] {
            let _ = fs::remove_file(place.join(name).join("cluster.env"));
        }
        Ok(Self(place))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| to.display().to_string())?;
        }
    }
    Ok(())
}
