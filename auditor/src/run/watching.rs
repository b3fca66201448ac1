//! Whether the probes still do their work: the self-test's canaries, played on the live programs, maps and rings.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use auditor_common::Counter;
use jiff::Timestamp;

use super::self_test::{Change, Outcome, SelfTest};
use crate::{
    event::Health,
    metrics::Metrics,
    pipeline::Pipeline,
    probe::{self, Backend, CanaryError, Hook, HookReport, Maps, Proof, Rings},
};

/// The hooks in use, and what their canaries last said.
pub struct Watching {
    in_use: BTreeMap<Hook, Backend>,
    test: SelfTest,
    metrics: Arc<Metrics>,
}

impl Watching {
    pub fn new(
        reports: &[HookReport],
        interval: std::time::Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let in_use: BTreeMap<Hook, Backend> = reports
            .iter()
            .filter_map(|report| Some((report.hook, report.way?.backend)))
            .collect();
        for report in reports.iter().filter(|report| report.proven) {
            metrics.set_self_test(report.hook.name(), true);
        }
        let this = Self {
            test: SelfTest::new(
                in_use.keys().copied(),
                interval,
                Instant::now(),
                Timestamp::now(),
            ),
            in_use,
            metrics,
        };
        this.metrics.set_coverage(&this.coverage());
        this
    }

    /// By technique; a hook that fails its self-test shows nothing.
    pub fn coverage(&self) -> BTreeMap<&'static str, bool> {
        let mut working = self.in_use.clone();
        working.retain(|hook, _| !self.test.is_failing(*hook));
        probe::coverage(&working)
    }

    /// Plays the canary that is due, if any: one at a time, since each may take up to a second where it stays silent.
    pub fn test(&mut self, pipeline: &mut Pipeline, rings: &mut Rings) {
        let Some(hook) = self.test.due(Instant::now()) else {
            return;
        };
        let own_tgid = pipeline.settings.own_tgid;
        let outcome = play(hook, &mut pipeline.maps, rings, own_tgid);
        let name = hook.name();
        if let Outcome::Failed(why) | Outcome::Unclear(why) = &outcome {
            tracing::info!(hook = name, why, "a canary did not come back");
        }
        let change = self.test.note(outcome, Timestamp::now());
        self.tell(pipeline, change);
    }

    /// How a look at what is open ended, which is that hook's test.
    pub fn looked(&mut self, pipeline: &mut Pipeline, result: Result<(), String>) {
        if !self.in_use.contains_key(&Hook::OpenBefore) {
            return;
        }
        let change = self
            .test
            .note_work(Hook::OpenBefore, result, Timestamp::now());
        self.tell(pipeline, change);
    }

    fn tell(&mut self, pipeline: &mut Pipeline, change: Option<Change>) {
        if let Some(change) = change {
            pipeline.health(change.health());
            self.metrics.set_coverage(&self.coverage());
        }
        for (hook, fired) in self.test.results() {
            self.metrics.set_self_test(hook.name(), fired);
        }
    }

    /// The hooks that were tested, and whether their canaries fired the last time.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.test
            .results()
            .map(|(hook, fired)| (hook.name(), fired))
    }

    /// For /readyz.
    pub fn not_ready(&self) -> Option<String> {
        self.test.not_ready()
    }
}

fn play(hook: Hook, maps: &mut Maps, rings: &mut Rings, own_tgid: u32) -> Outcome {
    let lost = |maps: &Maps| {
        [
            Counter::EventRingFull,
            Counter::StrangerRingFull,
            Counter::DeniedRingFull,
            Counter::CanaryRingFull,
        ]
        .map(|counter| maps.count(counter))
        .iter()
        .sum::<u64>()
    };
    let before = lost(maps);
    match probe::prove(hook, maps, rings, own_tgid) {
        Ok(Proof::None) => Outcome::Untested,
        Ok(Proof::Fired | Proof::File(_)) => Outcome::Fired,
        Err(error @ CanaryError::Crowded) => Outcome::Unclear(error.to_string()),
        Err(error @ CanaryError::Silent) if lost(maps) > before => {
            Outcome::Unclear(format!("{error}, or was lost: the kernel's buffer is full"))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// What is not seen for want of a hook that the auditor runs without.
pub fn unavailable(reports: &[HookReport]) -> Vec<Health> {
    reports
        .iter()
        .filter(|report| report.way.is_none())
        .map(|report| {
            let (hook, reasons) = (report.hook, report.reasons());
            let because = match reasons.as_str() {
                "" => "the chosen --backend has no way to watch it".to_owned(),
                reasons => reasons.to_owned(),
            };
            Health {
                component: "probe".to_owned(),
                state: "degraded".to_owned(),
                message: format!(
                    "{} is not watched: nothing tells of {} ({because})",
                    hook.name(),
                    hook.unseen(),
                ),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(hook: Hook, works: bool, refused: &[(&'static str, &str)]) -> HookReport {
        HookReport {
            hook,
            way: works.then(|| hook.ways()[0]),
            proven: works,
            refused: refused
                .iter()
                .map(|(backend, why)| (*backend, (*why).to_owned()))
                .collect(),
            program_ids: BTreeMap::new(),
        }
    }

    #[test]
    fn a_hook_that_is_missing_is_told_with_what_is_not_seen_and_why() {
        let reports = [
            report(Hook::FileOpen, true, &[("fentry", "-524")]),
            report(
                Hook::MemoryAccess,
                false,
                &[("fentry", "-524"), ("kprobe", "EPERM")],
            ),
            report(Hook::SocketCreate, false, &[]),
        ];
        let told = unavailable(&reports);
        let messages: Vec<_> = told.iter().map(|health| health.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "memory_access is not watched: nothing tells of reads of another process's memory (ptrace, process_vm_readv, \
                 /proc/PID/mem) (fentry: -524; kprobe: EPERM)",
                "socket_create is not watched: nothing tells of raw and packet sockets (for the instance metadata service \
                 nothing else shows them) (the chosen --backend has no way to watch it)",
            ]
        );
        assert!(
            told.iter()
                .all(|health| (health.component.as_str(), health.state.as_str())
                    == ("probe", "degraded"))
        );
    }
}
