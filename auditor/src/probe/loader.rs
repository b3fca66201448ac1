//! Loading the object, choosing a backend for each hook, attaching.

use std::{collections::BTreeMap, net::SocketAddr};

use auditor_common::{
    COUNTERS, Config, Counter, EndpointKey, FloodKey, FloodState, SyscallNumbers, VolumeEntry,
};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
    programs::{Program, ProgramError},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{
    backend::{Backend, Hook, HookReport, Way},
    btf,
    canary::{self, Proof},
    choice::{Attached, choose},
    device::Device,
    iterator, missed, offsets, perf,
    reader::Rings,
};

const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";
/// include/uapi/linux/capability.h
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// A ring's size is a multiple of the page's, and 64 KiB is the biggest of those.
const SMALLEST_RING: u32 = 64 << 10;

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);
/// The kernel half, as built by `build.rs`.
#[cfg(not(fuzzing))]
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/auditor-ebpf")));
/// Fuzz targets load nothing, and are built without a compiler for BPF.
#[cfg(fuzzing)]
static OBJECT: &Aligned<[u8]> = &Aligned([]);

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {BTF_PATH}, the kernel's BTF: {0}")]
    NoBtf(std::io::Error),
    #[error("cannot use {BTF_PATH}: {0}")]
    BadBtf(#[from] btf::BtfError),
    #[error(transparent)]
    MissingMember(#[from] offsets::MissingMember),
    #[error("missing {}", .0.join(" and "))]
    Capabilities(Vec<&'static str>),
    #[error("cannot load the BPF object: {0}")]
    Object(String),
    #[error("no way to watch {hook} works on this kernel: {reasons}")]
    Hook { hook: &'static str, reasons: String },
}

impl LoadError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoBtf(_) | Self::BadBtf(_) => {
                "run a kernel built with CONFIG_DEBUG_INFO_BTF=y (AL2023 and Bottlerocket are), and mount /sys/kernel/btf into the container"
            }
            Self::MissingMember(_) => {
                "this kernel's structures are not known yet: report it with `uname -r` and the message above"
            }
            Self::Capabilities(_) => {
                "run as root with CAP_BPF and CAP_PERFMON (in a pod: securityContext.capabilities.add: [BPF, PERFMON])"
            }
            Self::Object(_) => {
                "the kernel's reason is above; EPERM means a missing capability, a user namespace (in a pod: hostUsers: false) or a seccomp profile without bpf(2), ENOMEM a memory limit"
            }
            Self::Hook { .. } => {
                "`auditor check` shows each way that was tried, and the kernel's reason against it; under lockdown=confidentiality kernel memory cannot be read at all"
            }
        }
    }
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// `None`: the best that works.
    pub backend: Option<Backend>,
    /// In the order of the indices that records carry.
    pub endpoints: Vec<SocketAddr>,
    /// The auditor's tgid in the initial pid namespace.
    pub own_tgid: u32,
    /// Also watch refused opens: every system call's exit runs a program then.
    pub watch_denied: bool,
    /// Tell of each event of a flood.
    pub no_flood_control: bool,
}

/// Maps that userspace writes to.
pub struct Maps {
    volumes: HashMap<MapData, u32, [u8; size_of::<VolumeEntry>()]>,
    endpoints: HashMap<MapData, [u8; size_of::<EndpointKey>()], u32>,
    cgroup_pods: HashMap<MapData, u64, u64>,
    flood: HashMap<MapData, [u8; size_of::<FloodKey>()], [u8; size_of::<FloodState>()]>,
    counts: PerCpuArray<MapData, u64>,
    live: Array<MapData, u32>,
    /// By counter, when the hooks became live.
    before_live: [u64; COUNTERS as usize],
}

impl Maps {
    pub fn set_volume(&mut self, device: Device, entry: VolumeEntry) -> Result<(), String> {
        let mut value = [0; size_of::<VolumeEntry>()];
        value.copy_from_slice(entry.as_bytes());
        self.volumes
            .insert(device.kernel(), value, 0)
            .map_err(|error| error.to_string())
    }

    /// A device that is not there is no error.
    pub fn remove_volume(&mut self, device: Device) {
        let _ = self.volumes.remove(&device.kernel());
    }

    /// `pod`: see [`crate::node::pod_id`]. False where there is no room: then its processes are strangers to all volumes.
    pub fn set_cgroup_pod(&mut self, cgroup_id: u64, pod: u64) -> bool {
        self.cgroup_pods.insert(cgroup_id, pod, 0).is_ok()
    }

    pub fn remove_cgroup_pod(&mut self, cgroup_id: u64) {
        let _ = self.cgroup_pods.remove(&cgroup_id);
    }

    /// What flood control holds now. One that comes or goes meanwhile may be missed until the next time.
    pub fn flood(&self) -> Vec<(FloodKey, FloodState)> {
        let entries = self.flood.iter().filter_map(Result::ok);
        entries
            .filter_map(|(key, state)| {
                let key = FloodKey::read_from_bytes(&key).ok()?;
                Some((key, FloodState::read_from_bytes(&state).ok()?))
            })
            .collect()
    }

    /// Forgets a key whose bucket is full again. Gives its last value where it was counted in meanwhile.
    pub fn remove_flood(&mut self, key: &FloodKey) -> Option<FloodState> {
        let mut bytes = [0; size_of::<FloodKey>()];
        bytes.copy_from_slice(key.as_bytes());
        let last = self.flood.get(&bytes, 0).ok();
        let _ = self.flood.remove(&bytes);
        FloodState::read_from_bytes(&last?).ok()
    }

    pub fn set_endpoint(&mut self, address: SocketAddr, index: u32) -> Result<(), String> {
        self.endpoints
            .insert(endpoint_key(address), index, 0)
            .map_err(|error| error.to_string())
    }

    pub fn remove_endpoint(&mut self, address: SocketAddr) {
        let _ = self.endpoints.remove(&endpoint_key(address));
    }

    /// From here on everybody's doings are told; before, only the auditor's own are: see [`Probes::load`].
    fn go_live(&mut self) -> Result<(), String> {
        for (slot, before) in (0..COUNTERS).zip(&mut self.before_live) {
            let values = self.counts.get(&slot, 0);
            *before = values.map_or(0, |values| values.iter().sum());
        }
        self.live.set(0, 1, 0).map_err(|error| error.to_string())
    }

    /// Sum over the CPUs; 0 when the map cannot be read.
    pub fn count(&self, counter: Counter) -> u64 {
        debug_assert!((counter as u32) < COUNTERS);
        self.counts
            .get(&(counter as u32), 0)
            .map_or(0, |values| values.iter().sum())
    }

    /// The same without what was counted while only the canaries were told of.
    pub fn count_since_live(&self, counter: Counter) -> u64 {
        let before = self.before_live.get(counter as usize).copied();
        self.count(counter)
            .saturating_sub(before.unwrap_or_default())
    }
}

fn address_words(address: std::net::Ipv6Addr) -> auditor_common::Address {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(address.octets().as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

fn endpoint_key(address: SocketAddr) -> [u8; size_of::<EndpointKey>()] {
    let addr = match address.ip() {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    };
    let key = EndpointKey {
        addr: address_words(addr),
        port: u32::from(address.port()),
    };
    let mut bytes = [0; size_of::<EndpointKey>()];
    bytes.copy_from_slice(key.as_bytes());
    bytes
}

/// Detaches the programs when dropped.
pub struct Programs {
    ebpf: Ebpf,
    /// Those that are loaded; none where `/proc` is looked at instead.
    iterators: &'static [(&'static str, &'static str)],
    #[cfg(feature = "log")]
    logger: aya_log::EbpfLogger<&'static dyn log::Log>,
}

impl Programs {
    /// A run of the iterators over what is open and mapped now, each to be read to its end; none where there are no iterators.
    pub fn iterate(&mut self) -> Result<Vec<std::fs::File>, String> {
        iterator::open(&mut self.ebpf, self.iterators)
    }

    /// By program, how often the kernel did not run it because it was running on that processor already.
    pub fn missed_runs(&self) -> Vec<(String, u64)> {
        missed::runs(&self.ebpf)
    }

    /// Hands the kernel half's log lines to the auditor's own log. Nothing without the feature `log`.
    pub fn flush_log(&mut self) {
        #[cfg(feature = "log")]
        self.logger.flush();
    }
}

/// The attached probes.
pub struct Probes {
    programs: Programs,
    pub maps: Maps,
    pub rings: Rings,
    pub hooks: Vec<HookReport>,
    pub canary: canary::FileCanary,
}

/// The object in the kernel's hands, nothing attached yet.
pub(super) struct Opened {
    pub ebpf: Ebpf,
    pub kernel_btf: aya::Btf,
    pub maps: Maps,
    pub rings: Rings,
    #[cfg(feature = "log")]
    logger: aya_log::EbpfLogger<&'static dyn log::Log>,
}

fn read_btf() -> Result<Vec<u8>, LoadError> {
    std::fs::read(BTF_PATH).map_err(LoadError::NoBtf)
}

fn resolve_offsets(bytes: &[u8]) -> Result<auditor_common::Offsets, LoadError> {
    Ok(offsets::resolve(&btf::Btf::parse(bytes)?)?)
}

/// Whether the kernel's BTF is there, and tells all that the programs must know.
///
/// # Errors
/// As [`Probes::load`] would have it.
pub fn check_btf() -> Result<(), LoadError> {
    resolve_offsets(&read_btf()?).map(drop)
}

impl Opened {
    pub fn new(options: &LoadOptions) -> Result<Self, LoadError> {
        let bytes = read_btf()?;
        let missing = missing_capabilities();
        if !missing.is_empty() {
            return Err(LoadError::Capabilities(missing));
        }
        let offsets = resolve_offsets(&bytes)?;
        drop(bytes);
        let kernel_btf =
            aya::Btf::from_sys_fs().map_err(|error| LoadError::Object(error.to_string()))?;
        let config = Config {
            syscalls: syscall_numbers(),
            own_tgid: options.own_tgid,
            no_flood_control: u32::from(options.no_flood_control),
        };
        let mut loader = EbpfLoader::new();
        if !options.watch_denied {
            loader.map_max_entries("DENIED", SMALLEST_RING);
        }
        let mut ebpf = loader
            .btf(Some(&kernel_btf))
            .override_global("OFFSETS", offsets.as_bytes(), true)
            .override_global("CONFIG", config.as_bytes(), true)
            .load(&OBJECT.0)
            .map_err(|error| LoadError::Object(chain(&error)))?;
        // Before the programs are loaded: they refer to its map.
        #[cfg(feature = "log")]
        let logger = aya_log::EbpfLogger::init(&mut ebpf)
            .map_err(|error| LoadError::Object(chain(&error)))?;
        let maps = Maps {
            volumes: take(&mut ebpf, "VOLUMES")?,
            endpoints: take(&mut ebpf, "ENDPOINTS")?,
            cgroup_pods: take(&mut ebpf, "CGROUP_PODS")?,
            flood: take(&mut ebpf, "FLOOD")?,
            counts: take(&mut ebpf, "COUNTS")?,
            live: take(&mut ebpf, "LIVE")?,
            before_live: [0; COUNTERS as usize],
        };
        let rings = Rings::new(
            take::<RingBuf<MapData>>(&mut ebpf, "STRANGERS")?,
            take::<RingBuf<MapData>>(&mut ebpf, "EVENTS")?,
            take::<RingBuf<MapData>>(&mut ebpf, "LIFECYCLE")?,
            take::<RingBuf<MapData>>(&mut ebpf, "DENIED")?,
        );
        Ok(Self {
            ebpf,
            kernel_btf,
            maps,
            rings,
            #[cfg(feature = "log")]
            logger,
        })
    }
}

impl Probes {
    /// Loads, attaches and proves. Others' opens, connects and so on are told only afterwards: a flood of them must not crowd out
    /// the canaries, and with them the start.
    pub fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        let Opened {
            mut ebpf,
            kernel_btf,
            mut maps,
            mut rings,
            #[cfg(feature = "log")]
            logger,
        } = Opened::new(options)?;
        let mut hooks = Vec::new();
        let mut file_canary = None;
        let mut watch = |hook: Hook, maps: &mut Maps, rings: &mut Rings| {
            choose(hook, options.backend, |way| {
                let program_ids = attach(way, &mut ebpf, &kernel_btf).inspect_err(|_| {
                    detach(way, &mut ebpf);
                })?;
                // Proven below, once connects are watched.
                if hook.is_proven_by_connects() {
                    return Ok(Attached {
                        proven: false,
                        program_ids,
                    });
                }
                match prove(hook, way, &mut ebpf, maps, rings, options.own_tgid) {
                    Ok(proof) => {
                        if let Proof::File(canary) = proof {
                            file_canary = Some(canary);
                        }
                        let proven = proof != Proof::None;
                        Ok(Attached {
                            proven,
                            program_ids,
                        })
                    }
                    Err(error) => {
                        detach(way, &mut ebpf);
                        Err(error.to_string())
                    }
                }
            })
        };
        for hook in Hook::ALL {
            // What is open already is looked at below: others may hold that up.
            if hook == Hook::OpenBefore || hook == Hook::DeniedOpen && !options.watch_denied {
                continue;
            }
            hooks.push(watch(hook, &mut maps, &mut rings)?);
        }
        for report in hooks
            .iter_mut()
            .filter(|report| report.hook.is_proven_by_connects())
        {
            let hook = report.hook;
            canary::prove(hook, &mut maps, &mut rings, options.own_tgid).map_err(|error| {
                LoadError::Hook {
                    hook: hook.name(),
                    reasons: error.to_string(),
                }
            })?;
            report.proven = true;
        }
        for (index, address) in (0..).zip(&options.endpoints) {
            maps.set_endpoint(*address, index)
                .map_err(LoadError::Object)?;
        }
        maps.go_live().map_err(LoadError::Object)?;
        hooks.push(watch(Hook::OpenBefore, &mut maps, &mut rings)?);
        let Some(canary) = file_canary else {
            return Err(LoadError::Hook {
                hook: "file_open",
                reasons: "no canary".to_owned(),
            });
        };
        Ok(Self {
            programs: Programs {
                ebpf,
                iterators: hooks
                    .iter()
                    .filter(|report| report.hook == Hook::OpenBefore)
                    .find_map(|report| report.way.map(|way| way.programs))
                    .unwrap_or_default(),
                #[cfg(feature = "log")]
                logger,
            },
            maps,
            rings,
            hooks,
            canary,
        })
    }
}

impl Probes {
    /// The parts that the stages own.
    pub fn into_parts(self) -> (Programs, Maps, Rings, Vec<HookReport>, canary::FileCanary) {
        let Self {
            programs,
            maps,
            rings,
            hooks,
            canary,
        } = self;
        (programs, maps, rings, hooks, canary)
    }
}

fn take<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, LoadError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| LoadError::Object(format!("the object has no map {name}")))?;
    M::try_from(map).map_err(|error| LoadError::Object(format!("map {name}: {error}")))
}

/// kernel/bpf/task_iter.c `init_seq_pidns`: an iterator walks the reader's namespace.
const OWN_PID_NAMESPACE: &str =
    "the auditor is in a pid namespace of its own, and an iterator shows no other (hostPID)";

fn in_initial_pid_namespace() -> bool {
    // include/linux/proc_ns.h `PROC_PID_INIT_INO`
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

/// The canary of a way that is attached; of iterators, which are run for it, what the auditor itself holds.
pub(super) fn prove(
    hook: Hook,
    way: &Way,
    ebpf: &mut Ebpf,
    maps: &mut Maps,
    rings: &mut Rings,
    own_tgid: u32,
) -> Result<Proof, String> {
    if way.backend == Backend::Iterator {
        if !in_initial_pid_namespace() {
            return Err(OWN_PID_NAMESPACE.to_owned());
        }
        let runs = iterator::open(ebpf, way.programs)?;
        return canary::held(maps, runs, canary::nonce())
            .map(|()| Proof::Fired)
            .map_err(|error| error.to_string());
    }
    canary::prove(hook, maps, rings, own_tgid).map_err(|error| error.to_string())
}

pub(super) fn attach(
    way: &Way,
    ebpf: &mut Ebpf,
    btf: &aya::Btf,
) -> Result<BTreeMap<&'static str, u32>, String> {
    let mut ids = BTreeMap::new();
    for (name, target) in way.programs {
        let program = ebpf
            .program_mut(name)
            .ok_or_else(|| format!("the object has no program {name}"))?;
        let attached = match program {
            Program::FEntry(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::FExit(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::KProbe(program) => {
                let attached = program
                    .load()
                    .and_then(|()| program.attach(target, 0).map(drop));
                attached.map_err(|error| perf::explained(reason(&error)))?;
                Ok(())
            }
            Program::BtfTracePoint(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            // Each run is attached anew.
            Program::Iter(program) => program.load(target, btf),
            _ => return Err(format!("program {name} has an unexpected type")),
        };
        attached.map_err(|error| reason(&error))?;
        ids.insert(*name, program.info().map_or(0, |info| info.id()));
    }
    Ok(ids)
}

pub(super) fn detach(way: &Way, ebpf: &mut Ebpf) {
    for (program, _) in way.programs {
        unload(ebpf, program);
    }
}

pub(super) fn unload(ebpf: &mut Ebpf, name: &str) {
    let result = match ebpf.program_mut(name) {
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::Iter(program)) => program.unload(),
        _ => return,
    };
    if let Err(error) = result
        && !matches!(error, ProgramError::NotLoaded)
    {
        tracing::warn!(program = name, %error, "could not unload");
    }
}

/// The kernel's word, without the verifier's log: that goes to the debug log.
pub(super) fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        tracing::debug!(%verifier_log, "the verifier's log");
        let log = verifier_log.to_string();
        // Statistics come last, behind the reason.
        let statistics = [
            "processed ",
            "verification time",
            "stack depth",
            "peak_states",
        ];
        let last = log.lines().rev().find(|line| {
            !line.is_empty() && !statistics.iter().any(|prefix| line.starts_with(prefix))
        });
        return match last {
            Some(line) => format!("{io_error}: {line}"),
            None => io_error.to_string(),
        };
    }
    chain(error)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn missing_capabilities() -> Vec<&'static str> {
    let effective = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        // An unreadable /proc: let the kernel speak.
        .unwrap_or(u64::MAX);
    let has = |capability: u32| effective & (1 << capability) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(capability, _)| !has(*capability))
        .map(|(_, name)| name)
        .collect()
}

fn syscall_numbers() -> SyscallNumbers {
    let number = |number: libc::c_long| u64::try_from(number).unwrap_or(u64::MAX);
    SyscallNumbers {
        #[cfg(target_arch = "x86_64")]
        open: number(libc::SYS_open),
        #[cfg(target_arch = "x86_64")]
        creat: number(libc::SYS_creat),
        #[cfg(not(target_arch = "x86_64"))]
        open: u64::MAX,
        #[cfg(not(target_arch = "x86_64"))]
        creat: u64::MAX,
        openat: number(libc::SYS_openat),
        openat2: number(libc::SYS_openat2),
        open_by_handle_at: number(libc::SYS_open_by_handle_at),
    }
}
