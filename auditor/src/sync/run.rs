//! The command's life: become the leader, read and write each interval, give the leadership back.

use std::{sync::Arc, time::Duration};

use ::kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    leadership::{Leadership, Timing},
    objects::Objects,
    origin::Origin,
    target::{ConfigMapTarget, Target},
    work::Work,
    writer::Writer,
};
use crate::{
    cli::{self, Failure, NodeFacts, SyncArgs, SyncConfig, SyncFrom, SyncTo},
    eks, kube,
    metrics::{self, Listener, Metrics, Readiness},
};

/// With --once, all are described in one go: 5,000 take some nine minutes.
const ONCE_DESCRIBES_FOR: Duration = Duration::from_hours(1);
/// To give the Lease back when told to stop.
const RELEASE_WITHIN: Duration = Duration::from_millis(1500);

/// `auditor sync-associations`.
///
/// # Errors
/// What the command line or the environment does not allow; with `--once`, also what could not be read or written.
pub fn run(args: SyncArgs) -> Result<(), Failure> {
    let config = SyncConfig::new(args)?;
    cli::init_logging(&config.log_filter).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    runtime.block_on(start(config))
}

async fn start(config: SyncConfig) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::environment)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
    let metrics = serve_metrics(&config)?;
    let client = match (&config.from, &config.to) {
        (SyncFrom::Ack, _) | (_, SyncTo::ConfigMap { .. }) => {
            let connected = kube::connect().await.map_err(|error| {
                let help = error.help();
                Failure::environment(error).help(help)
            })?;
            Some(connected)
        }
        _ => None,
    };
    let origin = origin(&config, client.as_ref()).await?;
    let (target, mut leadership) = target(&config, client.as_ref())?;
    let writer = Writer::new(
        target,
        config.interval,
        config.cluster_name.clone(),
        origin.name(),
    );
    let mut work = Work {
        origin,
        writer,
        interval: config.interval,
        once: config.once,
        metrics,
        said: None,
    };
    let result = tokio::select! {
        result = work.go_on(leadership.as_mut()) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Some(leadership) = &mut leadership {
        let _ = timeout(RELEASE_WITHIN, leadership.release()).await;
    }
    result
}

fn serve_metrics(config: &SyncConfig) -> Result<Arc<Metrics>, Failure> {
    let metrics = Arc::new(Metrics::default());
    if let Some(listen) = config.metrics_listen {
        let listener = Listener::bind(listen.addr, listen.fallback_to_v4).map_err(|error| {
            let help = error.help();
            Failure::environment(error).help(help)
        })?;
        let readiness = Arc::new(Readiness::default());
        // A replica that waits does all that it should.
        readiness.set_ready();
        let stop = CancellationToken::new();
        tokio::spawn(metrics::serve(listener, metrics.clone(), readiness, stop));
    }
    Ok(metrics)
}

async fn origin(config: &SyncConfig, client: Option<&Client>) -> Result<Origin, Failure> {
    let cluster = config.cluster_name.clone();
    match &config.from {
        SyncFrom::Eks { cluster } => {
            let settings = eks::Settings::load().await.map_err(|error| {
                let help = error.help();
                Failure::environment(error).help(help)
            })?;
            let pace = eks::Pace {
                describe_for: match config.once {
                    true => ONCE_DESCRIBES_FOR,
                    // The list must not wait for the descriptions.
                    false => config.interval * 5 / 6,
                },
                ..eks::Pace::default()
            };
            let client = eks::Client::new(settings, cluster.clone(), pace);
            let reader = eks::Reader::new(client, config.interval);
            Ok(Origin::Eks(Box::new(reader)))
        }
        SyncFrom::Ack => Ok(Origin::Ack {
            client: client.cloned().ok_or_else(no_client)?,
            cluster,
        }),
        SyncFrom::File(path) => Ok(Origin::File {
            path: path.clone(),
            cluster,
        }),
    }
}

fn target(
    config: &SyncConfig,
    client: Option<&Client>,
) -> Result<(Target, Option<Leadership>), Failure> {
    match &config.to {
        SyncTo::ConfigMap {
            namespace,
            name,
            lease,
        } => {
            let client = client.ok_or_else(no_client)?;
            let target =
                ConfigMapTarget::new(Objects::config_maps(client, namespace), name.clone());
            let leases = Objects::leases(client, namespace);
            let leadership = Leadership::new(leases, lease.clone(), identity(), Timing::default());
            Ok((Target::ConfigMap(Box::new(target)), Some(leadership)))
        }
        SyncTo::File(path) => Ok((Target::File(path.clone()), None)),
    }
}

fn no_client() -> Failure {
    Failure::environment(anyhow::anyhow!("no Kubernetes client"))
}

/// `HOST_UUID`, as client-go's controllers name themselves.
fn identity() -> String {
    let host = NodeFacts::look_up().host_name;
    format!(
        "{}_{}",
        host.as_deref().unwrap_or("auditor"),
        Uuid::now_v7()
    )
}
