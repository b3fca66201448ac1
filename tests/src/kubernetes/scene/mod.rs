//! What is played against a real API server, and the exact lines that the design asks for.

mod away;
mod rights;
mod told;

use anyhow::{Result, ensure};

use super::play::Stage;
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, cluster::ROLES, pod::IRSA},
};

/// What the auditor may say of its own health besides what the scene waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing.
    Good,
    /// That the API server is away, if then that it is back.
    MayEndOk,
    Troubled,
}

pub struct Scene {
    pub name: &'static str,
    /// What happens, for a human.
    pub about: &'static str,
    pub health: Health,
    pub play: fn(&mut Stage) -> Result<Vec<Expected>>,
}

/// All scenes, in the order in which they are played.
fn all() -> Vec<&'static Scene> {
    [told::SCENES, away::SCENES, rights::SCENES]
        .into_iter()
        .flatten()
        .collect()
}

/// Those of these names, all of them where there is none.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Scene>> {
    let all = all();
    let known: Vec<&str> = all.iter().map(|s| s.name).collect();
    for name in names {
        ensure!(
            known.contains(&name.as_str()),
            "there is no scene {name}; there are {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|s| names.is_empty() || names.iter().any(|name| name == s.name))
        .collect())
}

fn role(app: &str) -> String {
    format!("{ROLES}/{app}")
}

/// The spec of a pod whose ServiceAccount is annotated with [`role`], and what the webhook stamps for it.
fn annotated(stage: &mut Stage, app: &str) -> Result<PodSpec> {
    let role = role(app);
    stage.control.service_account("api", app, Some(&role))?;
    Ok(PodSpec::new("api", app).with_irsa(&role))
}

/// The same, running, known and reported.
fn running(stage: &mut Stage, app: &str) -> Result<Pod> {
    let spec = annotated(stage, app)?;
    stage.control.start(spec)
}

/// The pod's workload reads its IRSA token.
fn peek(stage: &mut Stage, pod: &Pod) -> Result<()> {
    let path = pod.spec.token(IRSA).map(|t| t.path()).unwrap_or_default();
    stage.control.lab.run(pod, &["peek", &path]).map(drop)
}

/// That open.
fn own(pod: &Pod) -> Expected {
    Expected::own_open(pod, IRSA).bound("irsa", &role(&pod.spec.service_account))
}

/// Before the status names the container.
fn unnamed(expected: Expected) -> Expected {
    expected.with(&[("container", "null"), ("image", "null")])
}
