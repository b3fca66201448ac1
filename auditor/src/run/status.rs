//! What a running auditor answers to `auditor status`.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::watching::Watching;
use crate::{
    cli::{AssociationSource, ClusterSource, RunConfig},
    event::HookStatus,
    metrics::Readiness,
    pipeline::Pipeline,
    status::{
        Activity, HookState, Learning, SCHEMA, Sink, SourceState, Sources, Status, Talkers, Totals,
    },
};

/// What stays the same during a run.
pub struct Facts {
    /// The rest of it is filled in when somebody asks.
    status: Status,
    started: Instant,
}

impl Facts {
    pub fn new(
        config: &RunConfig,
        run_id: Uuid,
        started: Instant,
        hooks: &BTreeMap<String, HookStatus>,
        kernel: &str,
        metrics: SocketAddr,
    ) -> Self {
        let named = |source: String| SourceState {
            source,
            ..SourceState::default()
        };
        let policy = config.policy.as_ref();
        let sources = Sources {
            cluster: named(cluster(&config.cluster)),
            associations: named(associations(&config.associations)),
            policy: named(
                policy.map_or_else(|| "built-in".to_owned(), |path| path.display().to_string()),
            ),
        };
        let hooks = hooks.iter().map(|(name, status)| {
            let HookStatus {
                backend,
                state,
                misses,
                ..
            } = status.clone();
            (
                name.clone(),
                HookState {
                    backend,
                    state,
                    misses,
                },
            )
        });
        let state_dir = config.state_dir.as_ref();
        Self {
            status: Status {
                schema: SCHEMA.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                run_id: run_id.to_string(),
                node: config.node_name.to_string(),
                cluster: config.cluster_name.as_deref().map(str::to_owned),
                kernel: kernel.to_owned(),
                pid: std::process::id(),
                started: Timestamp::now()
                    .checked_sub(started.elapsed())
                    .unwrap_or_default(),
                uptime_seconds: 0,
                not_ready: None,
                state_dir: state_dir
                    .map(|path| path.display().to_string())
                    .unwrap_or_default(),
                metrics: metrics.to_string(),
                hooks: hooks.collect(),
                coverage: BTreeMap::new(),
                sources,
                learning: Learning::default(),
                totals: Totals::default(),
                lost: Vec::new(),
                lines: BTreeMap::new(),
                sink: Sink::default(),
                talkers: Talkers::default(),
            },
            started,
        }
    }

    /// As it is now.
    pub fn now(
        &self,
        pipeline: &Pipeline,
        watching: &Watching,
        activity: &Activity,
        readiness: &Readiness,
    ) -> Status {
        let mut status = self.status.clone();
        status.uptime_seconds = self.started.elapsed().as_secs();
        status.not_ready = readiness.reason();
        for (name, is_working) in watching.results() {
            if let Some(hook) = status.hooks.get_mut(name) {
                // Who was not proven at the start may be since.
                hook.state = if is_working { "live" } else { "failing" }.to_owned();
            }
        }
        let coverage = watching.coverage().into_iter();
        status.coverage = coverage
            .map(|(name, seen)| (name.to_owned(), seen))
            .collect();
        let with_name = |named: &SourceState, found: SourceState| SourceState {
            source: named.source.clone(),
            ..found
        };
        let found = pipeline.sources_status();
        status.sources = Sources {
            cluster: with_name(&status.sources.cluster, found.cluster),
            associations: with_name(&status.sources.associations, found.associations),
            policy: with_name(&status.sources.policy, found.policy),
        };
        status.learning = pipeline.learning_status();
        status.totals = pipeline.totals_status();
        status.lost = pipeline.losses_status();
        status.lines = activity.lines();
        status.sink = pipeline.sink_status();
        status.talkers = activity.talkers();
        status
    }
}

fn cluster(source: &ClusterSource) -> String {
    match source {
        ClusterSource::Kube => "kube".to_owned(),
        ClusterSource::File(path) => format!("file:{}", path.display()),
    }
}

fn associations(source: &AssociationSource) -> String {
    match source {
        AssociationSource::None => "none".to_owned(),
        AssociationSource::Ack => "ack".to_owned(),
        AssociationSource::Eks { cluster } => format!("eks, cluster {cluster}"),
        AssociationSource::ConfigMap { namespace, name } => format!("kube:{namespace}/{name}"),
        AssociationSource::File(path) => format!("file:{}", path.display()),
    }
}
