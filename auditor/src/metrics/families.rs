//! The metrics themselves. Names are a contract.

mod born;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::{
    api::ApiMetrics,
    labels::{
        BindingLabels, EventLabels, FindingLabels, HashLabels, HookLabels, ProbeLabels,
        ReasonLabels, SourceLabels, TechniqueLabels,
    },
    process::ProcessCollector,
};
use crate::{
    event::{BindingKind, Body, HookStatus, word},
    report::Observer,
};

/// Of `findings_total`; further ones are counted as `other`. Those below high severity may have half of them.
pub const MAX_LABEL_SETS: usize = 1000;

/// From an event without wait, over a connect with its outcome, to a pod that was waited for.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 30.0,
];

/// All metrics of one auditor. Updated through `&self`, from any thread.
pub struct Metrics {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    label_sets_folded: Counter,
    folded: Counter,
    lost: Family<ReasonLabels, Counter>,
    counted_only: Counter,
    unattributed: Family<ReasonLabels, Counter>,
    latency: Histogram,
    probes: Family<ProbeLabels, Gauge>,
    self_test: Family<HookLabels, Gauge>,
    coverage: Family<TechniqueLabels, Gauge>,
    bindings: Family<BindingLabels, Gauge>,
    bindings_sync: Gauge<f64, AtomicU64>,
    queue_depth: Gauge,
    ready: Gauge,
    policy: Family<HashLabels, Gauge>,
    sources: Family<SourceLabels, Gauge>,
    api: ApiMetrics,
    /// Of `findings`, besides those that are folded.
    label_sets: AtomicUsize,
    max_label_sets: usize,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::with_max_label_sets(MAX_LABEL_SETS)
    }
}

impl Metrics {
    pub(super) fn with_max_label_sets(max_label_sets: usize) -> Self {
        let mut all = Self {
            registry: Registry::default(),
            events: Family::default(),
            findings: Family::default(),
            label_sets_folded: Counter::default(),
            folded: Counter::default(),
            lost: Family::default(),
            counted_only: Counter::default(),
            unattributed: Family::default(),
            latency: Histogram::new(LATENCY_BUCKETS),
            probes: Family::default(),
            self_test: Family::default(),
            coverage: Family::default(),
            bindings: Family::default(),
            bindings_sync: Gauge::default(),
            queue_depth: Gauge::default(),
            ready: Gauge::default(),
            policy: Family::default(),
            sources: Family::default(),
            api: ApiMetrics::default(),
            label_sets: AtomicUsize::new(0),
            max_label_sets,
        };
        // These keep the names that every dashboard knows.
        all.registry
            .register_collector(Box::new(ProcessCollector::new()));
        let ours = all.registry.sub_registry_with_prefix("credential_auditor");
        // The encoder adds `_total` to counters and `_info` to infos.
        ours.register(
            "events",
            "Lines made, by type, verdict, and kind of token or endpoint",
            all.events.clone(),
        );
        ours.register(
            "findings",
            "Findings that no policy exempts",
            all.findings.clone(),
        );
        ours.register(
            "label_sets_folded",
            "Findings counted as `other`, because too many workloads have some",
            all.label_sets_folded.clone(),
        );
        ours.register(
            "events_folded",
            "Events that an earlier one stands for, or a summary tells of",
            all.folded.clone(),
        );
        ours.register(
            "events_lost",
            "Events that did not become a line",
            all.lost.clone(),
        );
        ours.register(
            "events_counted_only",
            "Events known to be harmless, not written",
            all.counted_only.clone(),
        );
        ours.register(
            "unattributed",
            "Events whose process or owner was not found",
            all.unattributed.clone(),
        );
        ours.register(
            "event_latency_seconds",
            "From the kernel's timestamp to the line written",
            all.latency.clone(),
        );
        ours.register("probe_info", "How each hook is watched", all.probes.clone());
        ours.register(
            "self_test_success",
            "Whether the hook's canary fired the last time (1) or not (0)",
            all.self_test.clone(),
        );
        ours.register(
            "coverage",
            "Whether a technique of the evasion corpus is seen (1) by the hooks that work now, or not (0)",
            all.coverage.clone(),
        );
        ours.register("bindings", "Role bindings known", all.bindings.clone());
        ours.register(
            "bindings_sync_timestamp_seconds",
            "When the bindings were last read whole; 0 before the first time",
            all.bindings_sync.clone(),
        );
        ours.register(
            "queue_depth",
            "Lines that wait to be written",
            all.queue_depth.clone(),
        );
        ours.register(
            "ready",
            "What /readyz says: 1 where the auditor does its work, else 0",
            all.ready.clone(),
        );
        ours.register("policy_info", "The policy in force", all.policy.clone());
        ours.register(
            "source_ok",
            "Whether the source's newest version was read and is in use (1), or what was read before (0)",
            all.sources.clone(),
        );
        all.api.register(ours);
        ours.register(
            "build",
            "This auditor",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        all.bear_known();
        all
    }

    /// For those who ask the Kubernetes API server.
    #[must_use]
    pub fn api(&self) -> ApiMetrics {
        self.api.clone()
    }

    /// Adds to `events_lost_total`; `reason` as in `loss` lines.
    pub fn add_lost(&self, reason: &str, count: u64) {
        let reason = reason.to_owned();
        self.lost
            .get_or_create(&ReasonLabels { reason })
            .inc_by(count);
    }

    /// Adds to `events_counted_only_total`.
    pub fn add_counted_only(&self, count: u64) {
        self.counted_only.inc_by(count);
    }

    /// Brings `events_folded_total` up to the kernel's count, which only grows.
    pub fn set_folded(&self, total: u64) {
        self.folded.inc_by(total.saturating_sub(self.folded.get()));
    }

    /// `reason` is one of a few words, never something from outside.
    pub fn add_unattributed(&self, reason: &str) {
        self.unattributed
            .get_or_create(&ReasonLabels {
                reason: reason.to_owned(),
            })
            .inc();
    }

    /// By hook, as on the `ready` line.
    pub fn set_probes(&self, hooks: &BTreeMap<String, HookStatus>) {
        self.probes.clear();
        for (hook, status) in hooks {
            self.probes
                .get_or_create(&ProbeLabels {
                    hook: hook.clone(),
                    backend: status.backend.clone(),
                })
                .set(1);
        }
    }

    /// Whether the hook's canary fired.
    pub fn set_self_test(&self, hook: &str, fired: bool) {
        let hook = hook.to_owned();
        self.self_test
            .get_or_create(&HookLabels { hook })
            .set(i64::from(fired));
    }

    /// By technique, as on the `ready` line.
    pub fn set_coverage(&self, coverage: &BTreeMap<&'static str, bool>) {
        for (technique, seen) in coverage {
            self.coverage
                .get_or_create(&TechniqueLabels { technique })
                .set(i64::from(*seen));
        }
    }

    /// `source` as in [`crate::event::Binding`].
    pub fn set_bindings(&self, source: &str, kind: BindingKind, count: usize) {
        let labels = BindingLabels {
            source: source.to_owned(),
            kind: word(&kind),
        };
        self.bindings
            .get_or_create(&labels)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn set_bindings_sync(&self, time: Timestamp) {
        self.bindings_sync.set(time.as_duration().as_secs_f64());
    }

    pub fn set_queue_depth(&self, depth: usize) {
        self.queue_depth
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// None: the built-in rules, no metric.
    pub fn set_policy(&self, hash: Option<&str>) {
        self.policy.clear();
        if let Some(hash) = hash {
            self.policy
                .get_or_create(&HashLabels {
                    hash: hash.to_owned(),
                })
                .set(1);
        }
    }

    /// `source`: cluster, associations or policy.
    pub fn set_source(&self, source: &'static str, is_ok: bool) {
        self.sources
            .get_or_create(&SourceLabels { source })
            .set(i64::from(is_ok));
    }

    /// OpenMetrics text.
    ///
    /// # Errors
    /// Never for these metrics; the encoder's signature.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn count_finding(&self, labels: &FindingLabels) {
        // What nobody is woken for leaves room for what names a thief.
        let limit = match labels.severity.as_str() {
            "high" | "critical" => self.max_label_sets,
            _ => self.max_label_sets / 2,
        };
        let is_new = self.findings.get(labels).is_none();
        if is_new && self.label_sets.load(Ordering::Relaxed) >= limit {
            self.findings.get_or_create(&labels.folded()).inc();
            self.label_sets_folded.inc();
        } else {
            self.label_sets
                .fetch_add(usize::from(is_new), Ordering::Relaxed);
            self.findings.get_or_create(labels).inc();
        }
    }
}

impl Observer for Metrics {
    fn emitted(&self, body: &Body) {
        self.events.get_or_create(&EventLabels::of(body)).inc();
        for labels in FindingLabels::of(body) {
            self.count_finding(&labels);
        }
    }

    fn written(&self, body: &Body, latency: Duration) {
        match body {
            Body::TokenOpen(_)
            | Body::CredentialConnect(_)
            | Body::ConnectionClosed(_)
            | Body::AgentAccept(_)
            | Body::Listen(_)
            | Body::TokenReceived(_)
            | Body::MemoryAccess(_)
            | Body::SocketCreate(_) => {
                self.latency.observe(latency.as_secs_f64());
            }
            Body::Posture(_)
            | Body::Ready(_)
            | Body::Stopped(_)
            | Body::Summary(_)
            | Body::Loss(_)
            | Body::Health(_) => {}
        }
    }

    fn lost(&self, _: &Body) {
        self.add_lost("sink", 1);
    }
}
