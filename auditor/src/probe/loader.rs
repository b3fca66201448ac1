//! Loading the object, choosing a backend for each hook, attaching.

mod attach;
mod capabilities;
mod error;
mod maps;

use std::net::SocketAddr;

use auditor_common::{Config, SyscallNumbers};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, RingBuf},
};
use zerocopy::IntoBytes as _;

use super::{
    backend::{Backend, Hook, HookReport, Way},
    btf,
    canary::{self, Proof},
    choice::{Attached, choose},
    iterator, missed, offsets,
    reader::Rings,
};

use self::{attach::chain, capabilities::missing_capabilities, error::BTF_PATH, maps::take};

pub(super) use self::attach::{attach, detach, reason, unload};
pub use self::{error::LoadError, maps::Maps};

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
        let maps = Maps::take(&mut ebpf)?;
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
