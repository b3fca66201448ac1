//! What the cluster, the associations and the policy say: the same reading that `run` does, for a short time, each by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;

use super::report::{Check, State};
use crate::{
    association,
    cli::{AssociationSource, ClusterSource, Failure, RunConfig},
    cluster,
    kube::{self, Api, Resource, Timing},
    metrics::Metrics,
    policy::{self, Policy},
    run::{doubts, setup},
};

/// For the API server to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a source's first trouble, for the others, and for it to be over.
const GRACE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was heard.
pub struct Heard {
    pub checks: Vec<Check>,
    /// The default where it cannot be read.
    pub policy: Policy,
}

pub async fn look(config: &RunConfig, names_cluster: bool, metrics: &Arc<Metrics>) -> Heard {
    let timing = Timing {
        // Nobody wants to wait for a jitter that keeps nodes apart, and everybody for the first refusal's words.
        start_jitter: Duration::ZERO,
        patience: Duration::ZERO,
        ..Timing::default()
    };
    let cluster = match names_cluster {
        true => open_cluster(config, metrics, &timing).await,
        false => Err(not_named()),
    };
    let associations = open_associations(config, metrics, &timing).await;
    let (policy_check, policy) = read_policy(config);
    let mut checks = hear(config, cluster, associations).await;
    checks.push(policy_check);
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if config.cluster == ClusterSource::Kube || in_cluster {
        checks.push(service_accounts(config, metrics).await);
    }
    Heard { checks, policy }
}

fn not_named() -> Check {
    Check::new("cluster", State::Failed, "--cluster is required by `run`")
        .remedy("give the flags of `auditor run`, such as --cluster kube or --cluster file:PATH")
}

async fn open_cluster(
    config: &RunConfig,
    metrics: &Metrics,
    timing: &Timing,
) -> Result<cluster::Source, Check> {
    let failed = |failure: &Failure| Check::failed("cluster", failure);
    let mut source = setup::cluster_source(config, metrics, timing)
        .await
        .map_err(|failure| failed(&failure))?;
    if let cluster::Source::File(file) = &mut source {
        file.refresh(Timestamp::now())
            .map_err(|error| failed(&bad_file("--cluster", &error)))?;
    }
    Ok(source)
}

async fn open_associations(
    config: &RunConfig,
    metrics: &Metrics,
    timing: &Timing,
) -> Result<association::Source, Check> {
    let failed = |failure: &Failure| Check::failed("associations", failure);
    let mut source = setup::association_source(config, metrics, timing)
        .await
        .map_err(|failure| failed(&failure))?;
    if let association::Source::File(file) = &mut source {
        file.refresh(Timestamp::now())
            .map_err(|error| failed(&bad_file("--associations", &error)))?;
    }
    Ok(source)
}

fn bad_file(flag: &str, error: &dyn std::error::Error) -> Failure {
    Failure::environment(anyhow::anyhow!("{flag}: {error}")).help(setup::FIX_THE_FILE)
}

fn read_policy(config: &RunConfig) -> (Check, Policy) {
    let mut file = policy::FileSource::new(config.policy.clone());
    if let Err(error) = file.refresh() {
        let check = Check::failed("policy", &bad_file("--policy", &error));
        return (check, Policy::default());
    }
    let policy = file.policy().clone();
    let check = match &config.policy {
        Some(path) => Check::ok("policy", path.display().to_string()),
        None => Check::new("policy", State::Info, "the built-in rules"),
    };
    (
        check.doubted(doubts::of_policy(&policy, config.state_dir.as_deref())),
        policy,
    )
}

/// Waits until both have spoken, or one has said that it cannot. A source that could not be opened has its row already.
async fn hear(
    config: &RunConfig,
    mut cluster: Result<cluster::Source, Check>,
    mut associations: Result<association::Source, Check>,
) -> Vec<Check> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut cluster_trouble = None;
    let mut bindings_trouble = None;
    loop {
        let now = Timestamp::now();
        let (mut cluster_done, mut bindings_done) = (true, true);
        if let Ok(source) = &mut cluster {
            cluster_trouble = source.refresh(now);
            cluster_done = source.is_told();
        }
        if let Ok(source) = &mut associations {
            bindings_trouble = source.refresh(now);
            bindings_done =
                matches!(source, association::Source::None) || source.snapshot().is_some();
        }
        if (cluster_done && bindings_done) || Instant::now() > deadline {
            break;
        }
        if (cluster_done || cluster_trouble.is_some())
            && (bindings_done || bindings_trouble.is_some())
        {
            deadline = deadline.min(Instant::now() + GRACE);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let cluster = cluster.map_or_else(
        |failed| failed,
        |source| judge_cluster(config, &source, cluster_trouble),
    );
    let associations = associations.map_or_else(
        |failed| failed,
        |source| judge_associations(config, &source, bindings_trouble),
    );
    vec![cluster, associations]
}

fn judge_cluster(config: &RunConfig, source: &cluster::Source, trouble: Option<String>) -> Check {
    if source.is_told() {
        let pods = source.store().pod_count();
        let told = format!("{pods} pods of node {}", config.node_name);
        return Check::ok("cluster", told).doubted(doubts::of_cluster(config, source));
    }
    let why = trouble.unwrap_or_else(|| format!("no answer within {PATIENCE:?}"));
    let remedy = kube_remedy(&why);
    Check::new("cluster", State::Failed, why).remedy(remedy)
}

fn judge_associations(
    config: &RunConfig,
    source: &association::Source,
    trouble: Option<String>,
) -> Check {
    if config.associations == AssociationSource::None {
        return Check::new(
            "associations",
            State::Info,
            "none: what depends on one is `undetermined`",
        );
    }
    match source.snapshot() {
        Some(bindings) => Check::ok("associations", format!("{} known", bindings.len()))
            .doubted(doubts::of_associations(config, Some(bindings))),
        None => {
            let why = trouble.unwrap_or_else(|| format!("no answer within {PATIENCE:?}"));
            Check::new("associations", State::Degraded, why)
                .remedy("until they are read, what depends on one is `undetermined`")
        }
    }
}

/// By the words of [`kube::Failure::describe`]: rights are the remedy only where the server spoke of them.
fn kube_remedy(why: &str) -> &'static str {
    if why.contains("the API server forbids it") {
        "apply manifests/rbac/node.yaml: the auditor's ServiceAccount needs those rights"
    } else if why.contains("the API server does not know us") {
        "renew the credentials of the kubeconfig, or of the pod's ServiceAccount"
    } else {
        "is the API server's address right (KUBECONFIG, KUBERNETES_SERVICE_HOST), and does the network let this node reach it?"
    }
}

/// A read of one ServiceAccount, which `--cluster kube` does for each that it meets.
async fn service_accounts(config: &RunConfig, metrics: &Metrics) -> Check {
    let name = "api serviceaccounts";
    // With a file `run` needs none of it.
    let (bad, needed) = match config.cluster {
        ClusterSource::Kube => (State::Degraded, true),
        ClusterSource::File(_) => (State::Info, false),
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
        Err(failure) => {
            let why = failure.describe(&resource, "get");
            let remedy = if needed {
                format!(
                    "role annotations (IRSA) stay unknown: {}",
                    kube_remedy(&why)
                )
            } else {
                "this is needed for --cluster kube only".to_owned()
            };
            Check::new(name, bad, why).remedy(remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_the_remedy_only_where_they_are_missing() {
        let resource = Resource {
            api: "/api/v1",
            plural: "pods",
            namespace: None,
            field_selector: None,
            from_cache: false,
        };
        let remedy = |failure: kube::Failure| kube_remedy(&failure.describe(&resource, "list"));
        let status = |code| kube::Failure::Status {
            code,
            message: String::new(),
            retry_after: None,
        };
        assert!(remedy(status(403)).contains("manifests/rbac/node.yaml"));
        assert!(remedy(status(401)).contains("renew the credentials"));
        for other in [
            status(500),
            kube::Failure::Unreachable("Connection refused".to_owned()),
        ] {
            assert!(remedy(other).contains("address"));
        }
    }
}
