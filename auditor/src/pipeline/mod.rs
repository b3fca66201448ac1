//! Record to line: attribute, judge, hand to the sink. One task does it all, in the order of the ring buffers, so that an
//! event is judged by what the ones before it taught.

mod accepts;
mod actor;
mod agent;
mod baseline;
mod connects;
mod containers;
mod denied;
mod fair;
mod files;
mod floods;
mod forgotten;
mod held;
mod listens;
mod loss;
mod memory;
mod namespaces;
mod older;
mod opens;
mod posture;
mod received;
mod sessions;
mod socket_creates;
mod sources;
mod status;
mod totals;
mod tuple;
mod waiting;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use auditor_common::{CgroupRecord, prefix};
use jiff::Timestamp;
use uuid::Uuid;

use self::{
    accepts::Accepts, agent::Agent, connects::Connects, containers::Containers, denied::Denied,
    files::TokenFiles, floods::Floods, held::Held, listens::Listens, loss::LossWatch,
    memory::Memory, namespaces::MountNamespaces, older::Told, posture::Postures,
    sessions::Sessions, socket_creates::SocketCreates,
};
pub use self::{
    connects::Endpoint,
    sources::{Sources, SourcesError},
    totals::Totals,
};
use crate::{
    audit::{Baselines, Harvests, History, Knowledge, Learned, Use},
    event::{Body, Health, Stopped},
    metrics::Metrics,
    node::{ArgsMode, Cgroups, Clock, Kubelet, News, Volumes, WantedVolumes},
    probe::{Maps, Record, decode},
    report::{QUEUE_CAPACITY, Reporter, SinkTotals},
};

/// At the end what is read must be written, too, and what is not read is counted: little may lie between.
const NEARLY_OUT: usize = 64;
/// Places in the sink's queue that what can wait leaves free for what happens now.
const LEAVE_FREE: usize = QUEUE_CAPACITY / 4;
/// As many of those that waited go out in any case: a reader who is slow for ever must not keep them from being judged.
const FEW: usize = 8;
/// For the writer to get on.
const BREATHER: Duration = Duration::from_millis(1);

/// What does not change during a run.
#[derive(Debug)]
pub struct Settings {
    pub cluster_name: Option<Arc<str>>,
    pub args: ArgsMode,
    /// The auditor's own tgid in the initial pid namespace: its own opens are counted only.
    pub own_tgid: u32,
    /// The auditor's own cgroup where it is a pod's; a host cgroup may be shared with anybody.
    pub own_cgroup: Option<u64>,
    /// Mount namespace of PID 1, where known.
    pub host_mnt_ns: Option<u32>,
    pub host_proc: std::path::PathBuf,
    /// In the order of the indices that records carry.
    pub endpoints: Vec<Endpoint>,
    /// Inode number of `--agent-netns`, where it could be read.
    pub agent_net_ns: Option<u32>,
}

/// The stages and their state.
pub struct Pipeline {
    pub(crate) settings: Settings,
    pub(crate) maps: Maps,
    pub(crate) cgroups: Cgroups,
    pub(crate) volumes: Volumes,
    pub(crate) kubelet: Kubelet,
    pub(crate) sources: Sources,
    pub(crate) history: History,
    harvests: Harvests,
    baselines: Baselines,
    postures: Postures,
    pub(crate) clock: Clock,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Arc<Metrics>,
    files: TokenFiles,
    told: Told,
    held: Held,
    connects: Connects,
    agent: Agent,
    accepts: Accepts,
    listens: Listens,
    sessions: Sessions,
    memory: Memory,
    sockets: SocketCreates,
    containers: Containers,
    denied: Denied,
    namespaces: MountNamespaces,
    floods: Floods,
    loss: LossWatch,
    totals: Totals,
    /// Nothing new comes in: until then, lines wait for room in the sink's queue.
    drain_until: Option<Instant>,
}

/// What [`Pipeline::new`] is made of.
pub struct Parts {
    pub settings: Settings,
    pub maps: Maps,
    pub cgroups: Cgroups,
    pub volumes: Volumes,
    pub kubelet: Kubelet,
    pub sources: Sources,
    pub reporter: Reporter,
    pub metrics: Arc<Metrics>,
    /// When the probes became live.
    pub live_since: Timestamp,
    /// Of bindings, as an earlier run knew them.
    pub uses: Vec<Use>,
    /// What ServiceAccounts run, as an earlier run learned it.
    pub learned: Vec<Learned>,
}

impl Pipeline {
    pub fn new(parts: Parts) -> Self {
        let Parts {
            settings,
            maps,
            cgroups,
            volumes,
            kubelet,
            sources,
            reporter,
            metrics,
            live_since,
            uses,
            learned,
        } = parts;
        Self {
            loss: LossWatch::new(live_since),
            agent: Agent::new(settings.agent_net_ns, live_since),
            accepts: Accepts::default(),
            listens: Listens::default(),
            sessions: Sessions::default(),
            settings,
            maps,
            cgroups,
            volumes,
            kubelet,
            sources,
            history: History::new(live_since),
            harvests: Harvests::default(),
            baselines: Baselines::new(learned, live_since),
            postures: Postures::new(uses),
            clock: Clock::now(),
            reporter,
            metrics,
            files: TokenFiles::default(),
            told: Told::default(),
            held: Held::default(),
            connects: Connects::default(),
            memory: Memory::default(),
            sockets: SocketCreates::default(),
            containers: Containers::default(),
            denied: Denied::default(),
            namespaces: MountNamespaces::default(),
            floods: Floods::default(),
            totals: Totals::default(),
            drain_until: None,
        }
    }

    /// A record of the lifecycle ring.
    pub fn on_lifecycle(&mut self, bytes: &[u8]) {
        let path = |record: &CgroupRecord| {
            String::from_utf8_lossy(prefix(&record.path, record.path_len)).into_owned()
        };
        match decode(bytes) {
            Ok(Record::Exec(record)) => self.sessions.note(record),
            Ok(Record::CgroupMkdir(record) | Record::CgroupAttach(record)) => {
                self.cgroups.made(record.cgroup_id, &path(record));
            }
            Ok(Record::CgroupRmdir(record)) => {
                self.cgroups.made(record.cgroup_id, &path(record));
                self.cgroups.removed(record.cgroup_id);
            }
            Ok(_) => self.undecodable_lifecycle(&"a record of another ring"),
            Err(error) => self.undecodable_lifecycle(&error),
        }
        self.tell_cgroups();
    }

    /// The kernel half tells a pod's own from strangers by it.
    fn tell_cgroups(&mut self) {
        for news in self.cgroups.take_news() {
            match news {
                News::Pod(cgroup_id, pod) => {
                    // Where there is no room its processes are strangers, which costs nothing but that.
                    let _ = self.maps.set_cgroup_pod(cgroup_id, pod);
                }
                News::Gone(cgroup_id) => self.maps.remove_cgroup_pod(cgroup_id),
            }
        }
    }

    /// A record of the event ring.
    pub fn on_event(&mut self, bytes: &[u8]) {
        match decode(bytes) {
            Ok(Record::Open(record)) => self.on_open(record),
            Ok(Record::Connect(record)) => self.on_connect(record),
            Ok(Record::Outcome(record)) => self.on_outcome(record),
            Ok(Record::Closed(record)) => self.on_closed(record),
            Ok(Record::Accept(record)) => self.on_accept(record),
            Ok(Record::Listen(record)) => self.on_listen(record),
            Ok(Record::Denied(record)) => self.on_denied(record),
            Ok(Record::Memory(record)) => self.on_memory(record),
            Ok(Record::SocketCreate(record)) => self.on_socket_create(record),
            Ok(Record::ReceivedFile(record)) => self.on_received_file(record),
            Ok(Record::ReceivedSocket(record)) => self.on_received_socket(record),
            Ok(_) => self.undecodable(&"a record of another ring"),
            Err(error) => self.undecodable(&error),
        }
    }

    /// Mounts came or went.
    pub fn on_mounts_changed(&mut self) {
        self.tell_cgroups();
        self.volumes.rescan(&mut self.maps);
    }

    /// Where processes may have tokens open.
    pub fn token_volumes(&self) -> WantedVolumes {
        self.volumes.with_tokens()
    }

    /// The kernel left out so many runs of each of these programs: an open or a connect may have gone unseen.
    pub fn on_missed_runs(&mut self, news: &[(String, u64)]) {
        for (program, count) in news {
            self.metrics.add_lost("missed-run", *count);
            self.totals.missed_runs += count;
            self.history.note_loss(Timestamp::now());
            if program.starts_with("connect") {
                self.agent.note_missed_connect(Timestamp::now());
            }
        }
    }

    /// Several times a second: time limits, losses, sources.
    pub fn on_tick(&mut self) {
        self.clock = Clock::now();
        self.tell_cgroups();
        self.refresh_sources();
        self.retry_held(false);
        self.retry_connects(false);
        self.retry_closing(false);
        self.look_at_postures(Timestamp::now());
        self.retry_listens(false);
        self.retry_accepts(false);
        self.retry_memory(false);
        self.retry_sockets(false);
        self.agent.sample(&self.maps);
        self.sweep_floods(false);
        self.report_losses();
        self.sources.measure(&self.metrics);
        self.metrics.set_folded(totals::folded(&self.maps));
        self.metrics.set_queue_depth(self.reporter.queued());
    }

    /// How many of those that waited may be looked at again now, of one kind of event: each may become a line.
    fn room_for_retries(&self, last: bool) -> usize {
        if last {
            return usize::MAX;
        }
        room_for_retries(self.reporter.free())
    }

    /// Why lines do not get out, while they do not.
    pub fn sink_failing(&self) -> Option<String> {
        self.reporter.failing()
    }

    /// From here on nothing waits in the rings for its turn, and what is left is to be written by `deadline`: so it may wait for
    /// a writer that gets on.
    pub fn drain_until(&mut self, deadline: Instant) {
        self.drain_until = Some(deadline);
    }

    /// The last of the events is in: writes what is held back, and gives the losses that there was no room to tell of, and the
    /// totals up to here.
    pub fn close(
        mut self,
        reason: String,
        uptime: Duration,
        queued: u64,
    ) -> (Reporter, Vec<Body>, impl FnOnce(SinkTotals) -> Stopped) {
        self.retry_held(true);
        self.retry_connects(true);
        self.retry_closing(true);
        self.retry_listens(true);
        self.retry_accepts(true);
        self.retry_memory(true);
        self.retry_sockets(true);
        self.sweep_floods(true);
        self.report_losses();
        let untold = self.take_losses();
        let Self {
            maps,
            totals,
            reporter,
            ..
        } = self;
        let last = move |sink: SinkTotals| totals.stopped(&maps, sink, reason, uptime, queued);
        (reporter, untold, last)
    }

    /// While events come in, nobody waits for the sink: what has no room there is lost by rank, and the rings know none.
    /// `party`: whose doing it is, as [`Pipeline::party_id`] names it.
    fn emit_of(&self, party: Option<u64>, time: Timestamp, id: Uuid, body: Body) {
        while self.drain_until.is_some_and(|until| Instant::now() < until)
            && self.reporter.is_busy(NEARLY_OUT)
        {
            std::thread::sleep(BREATHER);
        }
        self.reporter.emit(party, time, id, body);
    }

    /// What the auditor says of itself, and of states.
    pub(crate) fn emit(&self, time: Timestamp, id: Uuid, body: Body) {
        self.emit_of(None, time, id, body);
    }

    pub(crate) fn health(&self, health: Health) {
        self.emit(Timestamp::now(), Uuid::now_v7(), Body::Health(health));
    }

    /// Whether all pods of the node have been told of once.
    pub fn is_told(&self) -> bool {
        self.sources.cluster_source().is_told()
    }

    /// How long ago the API server was last heard.
    fn cluster_age_ms(&self) -> Option<u64> {
        let age = self.sources.cluster_source().age(Timestamp::now())?;
        Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }

    /// The pod's ServiceAccount counts for a judgement, and where `after` is given only as it is after that time.
    fn want_service_account(&mut self, pod: &crate::cluster::Pod, after: Option<Timestamp>) {
        // A static pod has none.
        if !pod.service_account.is_empty() {
            self.sources.cluster_source_mut().want_service_account(
                &pod.namespace,
                &pod.service_account,
                after,
            );
        }
    }

    fn refresh_sources(&mut self) {
        for health in self.sources.refresh(Timestamp::now()) {
            self.health(health);
        }
    }

    fn count_only(&mut self) {
        self.totals.counted_only += 1;
        self.metrics.add_counted_only(1);
    }

    /// An event that was matched, and will have no line.
    fn undecodable(&mut self, why: &dyn std::fmt::Display) {
        tracing::error!(%why, "a record from the kernel half makes no sense");
        self.totals.undecodable += 1;
    }

    /// No event: nothing that was matched is missing for it.
    fn undecodable_lifecycle(&mut self, why: &dyn std::fmt::Display) {
        tracing::error!(%why, "a record of a cgroup or an exec from the kernel half makes no sense");
        self.totals.undecodable_lifecycle += 1;
        self.cgroups.note_loss();
    }
}

/// Half of what is free, so that those who come next have some, too.
fn room_for_retries(free: usize) -> usize {
    (free.saturating_sub(LEAVE_FREE) / 2).max(FEW)
}

/// What the judgement may rest on, as it is now.
fn knowledge<'a>(sources: &'a Sources, settings: &'a Settings) -> Knowledge<'a> {
    Knowledge {
        service_accounts: sources.cluster().service_accounts(),
        bindings: sources.bindings(),
        policy: sources.policy(),
        cluster_name: settings.cluster_name.as_deref(),
        now: Timestamp::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_never_fills_the_queue_and_never_stands_still() {
        // Six kinds, all with more due than there is room.
        let mut free = QUEUE_CAPACITY;
        for _ in 0..6 {
            let room = room_for_retries(free);
            assert!(room >= FEW);
            free -= room;
        }
        assert!(free > LEAVE_FREE);
        assert_eq!(room_for_retries(LEAVE_FREE), FEW);
        assert_eq!(room_for_retries(0), FEW);
    }
}
