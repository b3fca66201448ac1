//! The command's life: become the leader, read and write each interval, give the leadership back.

use std::{sync::Arc, time::Duration};

use ::kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    leadership::{Leadership, Timing},
    objects::Objects,
    origin::Origin,
    target::{ConfigMapTarget, Target},
    writer::{WriteError, Writer},
};
use crate::{
    cli::{self, Failure, NodeFacts, SyncArgs, SyncConfig, SyncFrom, SyncTo},
    eks,
    event::BindingKind,
    kube,
    metrics::{self, Listener, Metrics, Readiness},
};

/// To get hold of what was written before.
const LOAD_RETRY: Duration = Duration::from_secs(5);
/// A Lease of one that died is free after 15 s.
const ONCE_WAITS_FOR: Duration = Duration::from_secs(40);
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
            let mut pace = eks::Pace::default();
            pace.describe_for = match config.once {
                true => ONCE_DESCRIBES_FOR,
                // The list must not wait for the descriptions.
                false => config.interval * 5 / 6,
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
            Ok((Target::ConfigMap(target), Some(leadership)))
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

/// Everything that goes on while we run.
pub(super) struct Work {
    pub origin: Origin,
    pub writer: Writer,
    pub interval: Duration,
    pub once: bool,
    pub metrics: Arc<Metrics>,
    /// The trouble that was last logged.
    pub said: Option<String>,
}

impl Work {
    /// Returns only with `once`, or on what time does not mend.
    pub async fn go_on(&mut self, mut leadership: Option<&mut Leadership>) -> Result<(), Failure> {
        loop {
            let Some(leadership) = leadership.as_deref_mut() else {
                return self.rounds().await;
            };
            if self.once {
                let acquired = timeout(ONCE_WAITS_FOR, leadership.acquire()).await;
                acquired.map_err(|_| {
                    Failure::environment(anyhow::anyhow!("another one holds the Lease, or it cannot be taken"))
                        .help("see the log above; `kubectl get lease -n NAMESPACE NAME -o yaml` says who holds it")
                })?;
            } else {
                leadership.acquire().await;
            }
            tracing::info!("leading");
            // The rounds end in mid-write when the leadership does; what they wrote meanwhile names the version it replaces.
            tokio::select! {
                lost = leadership.hold() => tracing::warn!("no longer leading: {lost}"),
                result = self.rounds() => return result,
            }
        }
    }

    async fn rounds(&mut self) -> Result<(), Failure> {
        self.take_over().await?;
        loop {
            let begun = Instant::now();
            let result = self.round().await;
            if self.once {
                return result;
            }
            sleep(self.interval.saturating_sub(begun.elapsed())).await;
        }
    }

    /// What was written before is where we go on from.
    async fn take_over(&mut self) -> Result<(), Failure> {
        loop {
            match self.writer.load().await {
                Ok(()) => break,
                Err(error) if self.once || error.is_final() => {
                    return Err(Failure::environment(error));
                }
                Err(error) => self.say(Some(error.to_string())),
            }
            sleep(LOAD_RETRY).await;
        }
        self.origin.seed(self.writer.associations());
        Ok(())
    }

    /// Reads, and writes meanwhile what is known already.
    pub async fn round(&mut self) -> Result<(), Failure> {
        let (sender, mut readings) = mpsc::channel(4);
        let (origin, writer) = (&mut self.origin, &mut self.writer);
        let read = async move {
            let last = origin
                .read(|reading| {
                    // With no room the next one will do.
                    let _ = sender.try_send(reading);
                })
                .await;
            // The receiver is there until we are gone.
            let _ = sender.send(last).await;
        };
        let write = async move {
            let mut result: Result<(), WriteError> = Ok(());
            while let Some(reading) = readings.recv().await {
                result = writer.take(reading).await;
            }
            result
        };
        let ((), written) = tokio::join!(read, write);
        let ledger = self.writer.ledger();
        let source = self.writer.source();
        self.metrics
            .set_bindings(source, BindingKind::PodIdentity, ledger.len());
        if ledger.complete && written.is_ok() {
            self.metrics.set_bindings_sync(ledger.started_at);
        }
        let trouble = written
            .err()
            .map(|error| error.to_string())
            .or_else(|| ledger.trouble.clone());
        self.say(trouble.clone());
        match trouble {
            Some(trouble) => Err(Failure::environment(anyhow::anyhow!(trouble))),
            None => Ok(()),
        }
    }

    /// Each trouble once, and its end.
    fn say(&mut self, trouble: Option<String>) {
        if self.said == trouble {
            return;
        }
        match &trouble {
            // With --once it is the last word anyhow.
            Some(_) if self.once => {}
            Some(trouble) => tracing::error!("{trouble}"),
            None => tracing::info!("all is well again"),
        }
        self.said = trouble;
    }
}
