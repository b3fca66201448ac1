//! The daemon's life: start, loop, stop.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    doubts::Doubt,
    host,
    missed::MissedRuns,
    older::{self, Look, OlderWatch},
    setup,
    status::Facts,
    trim::trim,
    watchdog::Watchdog,
    watching::{self, Watching},
};
use crate::{
    cli::{self, Failure, NodeFacts, RunArgs, RunConfig},
    event::{Body, Health, HookStatus, Ready},
    metrics::{self, Listener, Metrics, Readiness},
    node::{Member, find_listeners},
    pipeline::{Parts, Pipeline, Settings},
    probe::{Programs, Rings, decode},
    report::{Envelope, Output, QUEUE_CAPACITY, Reporter},
    state::StateDir,
    status::{Activity, Control},
};

/// Records taken in one go before timers and signals get their turn: fewer than the sink's queue has places left when it is
/// crowded.
const BATCH: u64 = 256;
const TICK: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After the start, or a listing, until what only that needed is given back.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// As many when it stops: the last ones' lines must be written in time, too.
const LAST_BATCH: u64 = 32;
/// From SIGTERM to the last line: two seconds by contract, less what the process needs besides, on a machine that is busy.
const STOP_WITHIN: Duration = Duration::from_millis(1200);
/// For the last lines at least, however long detaching took.
const WRITE_WITHIN: Duration = Duration::from_millis(250);

/// `auditor run`.
///
/// # Errors
/// What the command line or the machine does not allow. Once `ready` is written there are none.
pub fn run(args: RunArgs) -> Result<(), Failure> {
    let config = RunConfig::new(args, NodeFacts::look_up())?;
    cli::init_logging(&config.log_filter).map_err(Failure::usage)?;
    // One thread judges, one writes: events stay in the order of the ring buffers.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    runtime.block_on(start(config))
}

async fn start(config: RunConfig) -> Result<(), Failure> {
    let started = Instant::now();
    // Before anything slow: a signal that comes while loading is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::environment)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
    let watchdog = Watchdog::start().map_err(Failure::environment)?;

    // Cheap refusals first.
    host::open_files()?;
    let own_tgid = host::own_tgid(&config.host_proc)?;
    let mut mounts = host::watch_mounts(&config)?;
    let metrics = Arc::new(Metrics::default());
    let sources = setup::sources(&config, &metrics).await?;
    let agent = setup::agent_net_ns(&config)?;
    let cgroups = setup::cgroups(&config)?;
    let doubts = setup::doubts(&config, &sources, &agent, &cgroups);
    for doubt in &doubts {
        tracing::warn!("{}: {}", doubt.message, doubt.remedy);
    }
    let agent_net_ns = agent.known();
    let run_id = Uuid::now_v7();
    let mut state = None;
    let mut previous = None;
    let (mut uses, mut learned) = (Vec::new(), Vec::new());
    let mut forgotten = [None, None];
    if let Some(path) = &config.state_dir {
        let (directory, before) =
            StateDir::open(path, run_id.to_string().into()).map_err(|error| {
                let help = error.help();
                Failure::environment(error).help(help)
            })?;
        (uses, forgotten[0]) = directory.uses();
        (learned, forgotten[1]) = directory.learned();
        state = Some(directory);
        previous = before;
    }
    let listener = Listener::bind(
        config.metrics_listen.addr,
        config.metrics_listen.fallback_to_v4,
    )
    .map_err(|error| {
        let help = error.help();
        Failure::environment(error).help(help)
    })?;
    let metrics_address = listener.addr();
    let output = match &config.output_file {
        Some(path) => Output::file(path),
        None => Output::stdout(),
    }
    .map_err(|error| {
        let help = error.help();
        Failure::environment(error).help(help)
    })?;

    let endpoints = setup::endpoints(&config);
    let probes = setup::probes(&config, &endpoints, own_tgid)?;
    let live_since = Timestamp::now();
    trim();
    let (mut programs, maps, mut rings, hooks, canary) = probes.into_parts();
    let watch = host::watch_rings(&rings)?;

    let readiness = Arc::new(Readiness::default());
    let envelope = Envelope::new(
        run_id,
        config.node_name.clone(),
        config.cluster_name.clone(),
        config.instance_id.clone(),
        config.region.clone(),
    );
    let activity = Arc::new(Activity::default());
    let reporter = Reporter::start(
        envelope,
        output,
        setup::format(&config),
        Arc::new((metrics.clone(), activity.clone())),
        QUEUE_CAPACITY,
        Timestamp::now,
    )
    .map_err(Failure::environment)?;
    let volumes = setup::volumes(&config, canary.host_mnt_ns)?;
    let kubelet = setup::kubelet(&config, sources.policy());
    let mut watching = Watching::new(&hooks, config.self_test_interval, metrics.clone());
    let unavailable = watching::unavailable(&hooks);
    let hooks: BTreeMap<String, HookStatus> = hooks
        .iter()
        .map(|report| (report.hook.name().to_owned(), report.status()))
        .collect();
    metrics.set_probes(&hooks);
    let kernel = setup::kernel_release();
    let facts = Facts::new(&config, run_id, started, &hooks, &kernel, metrics_address);
    let ready = Ready {
        version: env!("CARGO_PKG_VERSION"),
        kernel,
        backends: hooks,
        coverage: watching.coverage(),
        state: config
            .state_dir
            .as_ref()
            .map_or_else(|| "memory".to_owned(), |path| path.display().to_string()),
        policy_hash: sources.policy().hash.clone(),
        pods: sources
            .cluster_source()
            .is_told()
            .then(|| sources.cluster().pod_count() as u64),
        associations: sources.bindings().map(|bindings| bindings.len() as u64),
        metrics: Some(metrics_address.to_string()),
    };
    let own_cgroup =
        matches!(cgroups.member(canary.own_cgroup), Member::Pod(_)).then_some(canary.own_cgroup);
    let addresses: Vec<SocketAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    let mut pipeline = Pipeline::new(Parts {
        settings: Settings {
            cluster_name: config.cluster_name.clone(),
            args: setup::args_mode(&config),
            own_tgid,
            own_cgroup,
            host_mnt_ns: canary.host_mnt_ns,
            host_proc: config.host_proc.clone(),
            endpoints,
            agent_net_ns,
        },
        maps,
        cgroups,
        volumes,
        kubelet,
        sources,
        reporter,
        metrics: metrics.clone(),
        live_since,
        uses,
        learned,
    });
    let older_listeners = agent_net_ns.map_or_else(Vec::new, |net_ns| {
        find_listeners(&config.host_proc, net_ns, &addresses)
    });
    // Volumes that are there already are known to the kernel half before `ready` says that all is watched.
    pipeline.on_mounts_changed();
    if let Some(gap) = previous
        .as_ref()
        .and_then(|previous| previous.restart_gap(Timestamp::now()))
    {
        pipeline.health(gap);
    }
    let (mut control, not_served) = Control::start(config.state_dir.as_deref());
    let doubts = doubts.iter().map(Doubt::health);
    let forgotten = forgotten.into_iter().flatten();
    let full = pipeline.full_accounts();
    for doubt in doubts
        .chain(unavailable)
        .chain(forgotten)
        .chain(full)
        .chain(not_served)
    {
        pipeline.health(doubt);
    }
    pipeline.emit(
        Timestamp::now(),
        Uuid::now_v7(),
        Body::Ready(Box::new(ready)),
    );
    pipeline.on_older_listeners(older_listeners);

    let stop = CancellationToken::new();
    let serving = tokio::spawn(metrics::serve(
        listener,
        metrics,
        readiness.clone(),
        stop.clone(),
    ));
    let mut is_told = pipeline.is_told();
    let (mut trim_at, mut is_trimmed) = (Instant::now() + SETTLED_AFTER, false);
    readiness.set(not_ready(is_told, &watching, &pipeline));

    let mut older = OlderWatch::new(older::EVERY);
    let mut missed = MissedRuns::new(programs.missed_runs());
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut more = true;
    let reason = loop {
        watchdog.turned();
        tokio::select! {
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            ready = watch.readable() => {
                ready.map_err(Failure::environment)?;
                more = true;
            }
            // Not a wait: the rest of what one batch left.
            () = tokio::task::yield_now(), if more => {}
            changed = mounts.changed() => match changed {
                Ok(()) => {
                    let begun = Instant::now();
                    pipeline.on_mounts_changed();
                    mounts.looked(begun.elapsed());
                }
                Err(error) => {
                    pipeline.health(degraded("probe", format!("cannot watch the host's mounts: {error}")));
                    tokio::time::sleep(TICK).await;
                }
            },
            Some(found) = older.found() => pipeline.on_older(found),
            Some(question) = control.asked() => {
                question.answer(&facts.now(&pipeline, &watching, &activity, &readiness));
            }
            _ = tick.tick() => {
                pipeline.on_tick();
                if older.is_due() {
                    let started = look(&mut programs, &pipeline, &config)
                        .and_then(|look| older.start(look));
                    if let Err(error) = started {
                        older.missed();
                        watching.looked(&mut pipeline, Err(error));
                    }
                }
                if let Some(result) = older.result() {
                    watching.looked(&mut pipeline, result);
                }
                watching.test(&mut pipeline, &mut rings);
                // What the canaries left for the pipeline.
                more = true;
                if !is_told && pipeline.is_told() {
                    is_told = true;
                    // A listing is much longer on the wire than what is kept of it.
                    trim();
                    trim_at = Instant::now() + SETTLED_AFTER;
                    is_trimmed = false;
                }
                readiness.set(not_ready(is_told, &watching, &pipeline));
                programs.flush_log();
            }
            _ = heartbeat.tick() => {
                let (news, health) = missed.look(programs.missed_runs(), Instant::now());
                pipeline.on_missed_runs(&news);
                if let Some(health) = health {
                    pipeline.health(health);
                }
                if !is_trimmed && is_told && Instant::now() >= trim_at {
                    trim();
                    is_trimmed = true;
                }
                if let Some(state) = &mut state {
                    let now = Timestamp::now();
                    let troubles = [
                        state.beat(now),
                        state.keep_uses(pipeline.uses(), now),
                        state.keep_learned(pipeline.learned_revision(), || pipeline.learned(), now),
                    ];
                    for health in troubles.into_iter().flatten() {
                        pipeline.health(health);
                    }
                }
            }
        }
        if more {
            more = drain(&mut rings, &mut pipeline, BATCH);
        }
    };
    // What is left has limits of its own, but for the kernel's: detaching takes as long as that takes.
    drop(watchdog);
    tracing::info!(reason, "stopping");
    readiness.set_not_ready("stopping");
    let deadline = Instant::now() + STOP_WITHIN;
    let (news, health) = missed.last(programs.missed_runs());
    pipeline.on_missed_runs(&news);
    if let Some(health) = health {
        pipeline.health(health);
    }
    // Nothing new comes in once the programs are gone; what is in the rings is still written.
    drop(programs);
    let drain_by = Instant::now() + STOP_WITHIN / 2;
    pipeline.drain_until(drain_by.max(deadline - WRITE_WITHIN));
    while drain(&mut rings, &mut pipeline, LAST_BATCH) && Instant::now() < drain_by {}
    while let Some(found) = older.try_found() {
        pipeline.on_older(found);
    }
    let mut queued = 0;
    let count = |queued: &mut u64, bytes: &[u8]| {
        let is_canary = decode(bytes).is_ok_and(|record| record.is_canary(own_tgid));
        *queued += u64::from(!is_canary);
    };
    while rings.drain(BATCH, &mut queued, |_, _| {}, count).more {}
    stop.cancel();
    drop(control);
    if let Some(Err(error)) = state
        .as_ref()
        .map(|state| state.write_uses(pipeline.uses()))
    {
        tracing::warn!(%error, "the next run will know less of which bindings are used");
    }
    if let Some(Err(error)) = state
        .as_ref()
        .map(|state| state.write_learned(pipeline.learned()))
    {
        tracing::warn!(%error, "the next run will know less of what is run");
    }
    let (reporter, untold, last) = pipeline.close(reason.to_owned(), started.elapsed(), queued);
    // Detaching may have taken all of that time: the kernel waits for every task (rcu_tasks), which is no fault of the reader's.
    let deadline = deadline.max(Instant::now() + WRITE_WITHIN);
    let finished = reporter.finish(deadline, untold, |totals| {
        (
            Timestamp::now(),
            Uuid::now_v7(),
            Body::Stopped(last(totals)),
        )
    });
    if let Some(state) = state
        && let Err(error) = state.close(Timestamp::now())
    {
        tracing::warn!(%error, "the next run will report a gap that was none");
    }
    serving.abort();
    if finished.complete {
        return Ok(());
    }
    let lost = finished.totals.lost;
    Err(Failure::environment(anyhow::anyhow!(
        "the output did not take everything in time: {lost} lines lost"
    ))
    .help("is the reader of stdout stalled or gone, or the disk full?"))
}

/// How to look at what is open, as `ready` said.
fn look(programs: &mut Programs, pipeline: &Pipeline, config: &RunConfig) -> Result<Look, String> {
    let files = programs.iterate()?;
    if !files.is_empty() {
        return Ok(Look::Iterators(files));
    }
    Ok(Look::Proc {
        host_proc: config.host_proc.clone(),
        volumes: pipeline.token_volumes(),
    })
}

/// Whether there may be more.
fn drain(rings: &mut Rings, pipeline: &mut Pipeline, limit: u64) -> bool {
    rings
        .drain(limit, pipeline, Pipeline::on_lifecycle, Pipeline::on_event)
        .more
}

/// For /readyz; none: ready.
fn not_ready(is_told: bool, watching: &Watching, pipeline: &Pipeline) -> Option<String> {
    if !is_told {
        return Some("the API server has not listed this node's pods yet".to_owned());
    }
    watching.not_ready().or_else(|| pipeline.sink_failing())
}

fn degraded(component: &str, message: String) -> Health {
    Health {
        component: component.to_owned(),
        state: "degraded".to_owned(),
        message,
    }
}
