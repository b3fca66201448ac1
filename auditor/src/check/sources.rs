//! What the cluster, the associations and the policy say: the same reading that `run` does, for a short time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::report::{Check, State};
use crate::{
    cli::{AssociationSource, ClusterSource, Failure, RunConfig},
    kube::{self, Api, Resource, Timing},
    metrics::Metrics,
    pipeline::Sources,
    run::setup,
};

/// For the API server to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub async fn look(config: &RunConfig, metrics: &Arc<Metrics>) -> Vec<Check> {
    // Nobody wants to wait for a jitter that keeps nodes apart.
    let config = RunConfig {
        api_start_jitter: Duration::ZERO,
        ..config.clone()
    };
    let mut checks = Vec::new();
    match setup::sources(&config, metrics).await {
        Ok(sources) => checks.extend(heard(&config, sources).await),
        Err(failure) => checks.push(Check::failed("sources", &failure)),
    }
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if config.cluster == ClusterSource::Kube || in_cluster {
        checks.push(service_accounts(&config, metrics).await);
    }
    checks
}

/// Waits until all have spoken, or one has said that it cannot.
async fn heard(config: &RunConfig, mut sources: Sources) -> Vec<Check> {
    let deadline = Instant::now() + PATIENCE;
    let wants_bindings = config.associations != AssociationSource::None;
    let mut cluster_trouble = None;
    let mut bindings_trouble = None;
    let is_told = |sources: &Sources| sources.cluster_source().is_told();
    loop {
        for health in sources.refresh(Timestamp::now()) {
            let trouble = (health.state != "ok").then_some(health.message);
            match health.component.as_str() {
                "cluster" => cluster_trouble = trouble,
                "associations" => bindings_trouble = trouble,
                _ => {}
            }
        }
        let cluster_done = is_told(&sources) || cluster_trouble.is_some();
        let bindings_done =
            !wants_bindings || sources.bindings().is_some() || bindings_trouble.is_some();
        if (cluster_done && bindings_done) || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let cluster = if is_told(&sources) {
        let pods = sources.cluster().pod_count();
        let node = &config.node_name;
        let told = format!("{pods} pods of node {node}");
        match pods {
            0 => Check::new("cluster", State::Degraded, told)
                .remedy("is --node-name (or NODE_NAME) right?"),
            _ => Check::ok("cluster", told),
        }
    } else {
        let why = cluster_trouble.unwrap_or_else(|| format!("no answer within {PATIENCE:?}"));
        Check::new("cluster", State::Failed, why).remedy(
            "the auditor's ServiceAccount needs manifests/rbac/node.yaml, and the pod a way to the API server",
        )
    };
    let bindings = match sources.bindings() {
        _ if !wants_bindings => Check::new(
            "associations",
            State::Info,
            "none: what depends on one is `undetermined`",
        ),
        Some(bindings) => Check::ok("associations", format!("{} known", bindings.len())),
        None => {
            let why = bindings_trouble.unwrap_or_else(|| format!("no answer within {PATIENCE:?}"));
            Check::new("associations", State::Degraded, why)
                .remedy("until they are read, what depends on one is `undetermined`")
        }
    };
    let policy = match &config.policy {
        Some(path) => Check::ok("policy", path.display().to_string()),
        None => Check::new("policy", State::Info, "the built-in rules"),
    };
    vec![cluster, bindings, policy]
}

/// A read of one ServiceAccount, which `--cluster kube` does for each that it meets.
async fn service_accounts(config: &RunConfig, metrics: &Metrics) -> Check {
    let name = "api serviceaccounts";
    // With a file `run` needs none of it.
    let (bad, remedy) = match config.cluster {
        ClusterSource::Kube => (
            State::Degraded,
            "role annotations (IRSA) stay unknown: apply manifests/rbac/node.yaml",
        ),
        ClusterSource::File(_) => (State::Info, "this is needed for --cluster kube only"),
    };
    let client = match kube::connect().await {
        Ok(client) => client,
        Err(error) => {
            let help = error.help();
            let reason = Failure::environment(error).reason();
            return Check::new(name, bad, reason).remedy(help);
        }
    };
    let timing = Timing {
        answer_within: PATIENCE,
        silence: PATIENCE,
        ..Timing::default()
    };
    let resource = Resource {
        api: "/api/v1",
        plural: "serviceaccounts",
        namespace: Some("kube-system".to_owned()),
        field_selector: None,
        from_cache: false,
    };
    let api = Api::new(client, metrics.api(), timing);
    match api.get::<ServiceAccount>(&resource, "default").await {
        Ok(_) => Check::ok(name, "the API server lets us read them"),
        Err(failure) => Check::new(name, bad, failure.describe(&resource, "get")).remedy(remedy),
    }
}
