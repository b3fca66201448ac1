//! Series that are there, as 0, before anything happens. A counter that is born at 1 never increases, for Prometheus: what an
//! alert or a graph is to see of the first event must have been seen without it.

use super::Metrics;
use crate::metrics::labels::{EventLabels, ReasonLabels};

/// As in `loss` lines.
const LOST: [&str; 5] = ["ring-full", "queue-full", "sink", "decode", "missed-run"];

/// The auditor's own words, which have neither verdict nor kind.
const OWN_WORDS: [&str; 4] = ["ready", "stopped", "loss", "health"];

/// What is worst of what each cluster has, by event and kind. All combinations would be hundreds on each node.
const VIOLATIONS: [(&str, &str); 5] = [
    ("token_open", "irsa"),
    ("token_open", "pod-identity"),
    ("token_open", "service-account"),
    ("credential_connect", "pod-identity-agent"),
    ("credential_connect", "imds"),
];

impl Metrics {
    /// Makes all series whose labels are known beforehand. Those of `findings_total` name workloads, and are not.
    pub(super) fn bear_known(&self) {
        for reason in LOST {
            let reason = reason.to_owned();
            let _ = self.lost.get_or_create(&ReasonLabels { reason });
        }
        let labels = |event, verdict: &str, kind: &str| EventLabels {
            event,
            verdict: verdict.to_owned(),
            kind: kind.to_owned(),
        };
        for event in OWN_WORDS {
            let _ = self.events.get_or_create(&labels(event, "", ""));
        }
        for (event, kind) in VIOLATIONS {
            let labels = labels(event, "violation", kind);
            let _ = self.events.get_or_create(&labels);
        }
    }
}
