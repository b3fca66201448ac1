//! Superblocks to the volumes that the kubelet made: whose, and whether tokens lie in them.
//!
//! Two sources, each proven against the superblock's identity, since device numbers are reused within milliseconds:
//! mountinfo with `statfs` of the mount point (filled before anything opens), and, for a volume that was opened before
//! userspace looked or is gone when it looks, the mount point that the kernel half read from the superblock itself.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
    io::{self, Read as _, Seek as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use auditor_common::{FileInfo, VolumeEntry, VolumeIdentity, class, components};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cgroups::pod_id;
use super::mountinfo::{self, Mount};
use crate::probe::{Device, Maps, fsid};

/// Foreign superblocks that the kernel half is told of at one time.
const PASSED_OVER: usize = 1024;
/// Unmounted volumes that are remembered for events still on their way.
const GONE: usize = 8192;
const PROJECTED: &str = "kubernetes.io~projected";

/// A pod's volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VolumeOwner {
    /// As in the kubelet's directory: the pod's UID, or a static pod's hash.
    pub pod_uid: Arc<str>,
    pub volume: Arc<str>,
    /// The volume plugin's directory, `kubernetes.io~projected` for projected volumes.
    pub plugin: Arc<str>,
}

impl VolumeOwner {
    fn new(uid: &str, plugin: &str, volume: &str) -> Self {
        Self {
            pod_uid: uid.into(),
            volume: volume.into(),
            plugin: plugin.into(),
        }
    }

    fn class(&self) -> u32 {
        if &*self.plugin == PROJECTED {
            class::TOKEN
        } else {
            class::IGNORE
        }
    }

    /// Only projected volumes hold projected tokens.
    pub fn may_hold_tokens(&self) -> bool {
        self.class() == class::TOKEN
    }
}

/// How an owner was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerSource {
    Mountinfo,
    /// From the superblock's own mounts, at the moment of the open.
    Superblock,
}

impl OwnerSource {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mountinfo => "mountinfo",
            Self::Superblock => "superblock",
        }
    }
}

/// What is known of a superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Pod(VolumeOwner, OwnerSource),
    /// The volume of a kubelet that is not the one to watch (`--kubelet-root`).
    AnotherKubelets,
    /// Not mounted where a kubelet mounts.
    Unknown,
}

#[derive(Clone, Debug)]
struct Known {
    identity: VolumeIdentity,
    owner: VolumeOwner,
    source: OwnerSource,
}

/// Writes a superblock's class where the kernel half reads it.
pub trait Classify {
    fn set(&mut self, device: Device, entry: VolumeEntry) -> Result<(), String>;
    fn remove(&mut self, device: Device);
}

impl Classify for Maps {
    fn set(&mut self, device: Device, entry: VolumeEntry) -> Result<(), String> {
        self.set_volume(device, entry)
    }

    fn remove(&mut self, device: Device) {
        self.remove_volume(device);
    }
}

/// All volumes of this node.
#[derive(Debug)]
pub struct Volumes {
    kubelet_root: PathBuf,
    kubelet_pods: PathBuf,
    /// Prefix under which the host's paths can be reached, tried after the plain path.
    host_root: PathBuf,
    mountinfo: Vec<File>,
    mounted: HashMap<Device, Known>,
    /// Mounted where the kubelet mounts, but out of reach for a look at their identity.
    unproven: HashSet<Device>,
    /// Superblocks that are no volumes of this kubelet's: the kernel half passes over them until mounts change.
    passed_over: VecDeque<Device>,
    gone: VecDeque<Known>,
    host_mnt_ns: Option<u32>,
}

impl Volumes {
    /// `host_mnt_ns`: mount namespace of PID 1, whose mounts only the host's root can make.
    pub fn open(
        kubelet_root: &Path,
        host_proc: &Path,
        host_mnt_ns: Option<u32>,
    ) -> io::Result<Self> {
        let named = |path: PathBuf| {
            File::open(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })
        };
        let mut mountinfo = vec![named(host_proc.join("1/mountinfo"))?];
        // The auditor's own view too, where that is another: the propagated hostPath mount where it runs in a pod.
        let namespace = |path: PathBuf| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
        let own = namespace(PathBuf::from("/proc/self/ns/mnt"));
        if own.is_none() || own != namespace(host_proc.join("1/ns/mnt")) {
            mountinfo.push(named(PathBuf::from("/proc/self/mountinfo"))?);
        }
        // The kernel writes resolved paths.
        let root = std::fs::canonicalize(kubelet_root).unwrap_or_else(|_| kubelet_root.to_owned());
        Ok(Self {
            kubelet_pods: root.join("pods"),
            kubelet_root: root,
            host_root: host_proc.join("1/root"),
            mountinfo,
            mounted: HashMap::new(),
            unproven: HashSet::new(),
            passed_over: VecDeque::new(),
            gone: VecDeque::new(),
            host_mnt_ns,
        })
    }

    /// Reads mountinfo, classifies what is new and forgets what is gone.
    pub fn rescan(&mut self, kernel: &mut impl Classify) {
        let mut seen: HashMap<Device, (Mount, VolumeOwner)> = HashMap::new();
        for file in &mut self.mountinfo {
            let mut bytes = Vec::new();
            if let Err(error) = file.rewind().and_then(|()| file.read_to_end(&mut bytes)) {
                tracing::warn!(%error, "cannot read mountinfo");
                return;
            }
            for mount in mountinfo::parse(&bytes) {
                if mount.fs_type == "tmpfs"
                    && mount.root == b"/"
                    && let Some(owner) = owner_of_mount(&self.kubelet_pods, &mount.mount_point)
                {
                    seen.entry(mount.device).or_insert((mount, owner));
                }
            }
        }
        for device in self.passed_over.drain(..) {
            kernel.remove(device);
        }
        self.unproven.clear();
        let vanished: Vec<Device> = self
            .mounted
            .keys()
            .filter(|device| !seen.contains_key(device))
            .copied()
            .collect();
        for device in vanished {
            kernel.remove(device);
            self.forget(device);
        }
        for (device, (mount, owner)) in seen {
            let identity = self.identity(&mount);
            match self.mounted.get(&device) {
                Some(known)
                    if known.owner == owner
                        && (identity.fsid == 0 || known.identity.same_as(&identity)) =>
                {
                    continue;
                }
                Some(_) => self.forget(device),
                None => {}
            }
            // Without an identity the entry would answer for whatever comes next: the kernel half's own look decides then.
            if identity.fsid == 0 {
                self.unproven.insert(device);
                continue;
            }
            self.learn(
                device,
                Known {
                    identity,
                    owner,
                    source: OwnerSource::Mountinfo,
                },
                kernel,
            );
        }
    }

    /// Whose volume the file lies in, and how that is known. Looks at mountinfo again where it changed since.
    pub fn owner_of(&mut self, file: &FileInfo, kernel: &mut impl Classify) -> Whose {
        let device = Device::from_kernel(file.dev);
        if let Some(found) = self.find(device, &file.identity) {
            return found;
        }
        // Better than mountinfo: it is of the moment of the open, and of this very superblock.
        let walked = (self.host_mnt_ns == Some(file.mount_ns))
            .then(|| {
                owner_of_walk(
                    &self.kubelet_root,
                    components(&file.mount_path, file.mount_path_len),
                )
            })
            .flatten();
        if let Some(Walked::Ours(owner)) = walked {
            let source = OwnerSource::Superblock;
            self.learn(
                device,
                Known {
                    identity: file.identity,
                    owner: owner.clone(),
                    source,
                },
                kernel,
            );
            return Whose::Pod(owner, source);
        }
        if self.changed() {
            self.rescan(kernel);
            if let Some(found) = self.find(device, &file.identity) {
                return found;
            }
        }
        // Where the kernel half's own look at the mounts found none, this is some other tmpfs with a directory called like a
        // writer's, which any pod can make and open without end.
        if self.host_mnt_ns == Some(file.mount_ns) && !self.unproven.contains(&device) {
            self.pass_over(device, file.identity, kernel);
        }
        if walked.is_some() {
            Whose::AnotherKubelets
        } else {
            Whose::Unknown
        }
    }

    /// Mounted volumes that may hold tokens.
    pub fn with_tokens(&self) -> super::WantedVolumes {
        let mounted = self.mounted.iter();
        mounted
            .filter(|(_, known)| known.owner.may_hold_tokens())
            .map(|(device, known)| (*device, known.identity))
            .collect()
    }

    fn pass_over(&mut self, device: Device, identity: VolumeIdentity, kernel: &mut impl Classify) {
        let entry = VolumeEntry {
            identity,
            owner: 0,
            class: class::IGNORE,
            reserved: 0,
        };
        if self.mounted.contains_key(&device) || kernel.set(device, entry).is_err() {
            return;
        }
        self.passed_over.push_back(device);
        if self.passed_over.len() > PASSED_OVER
            && let Some(oldest) = self.passed_over.pop_front()
            && !self.mounted.contains_key(&oldest)
        {
            kernel.remove(oldest);
        }
    }

    fn find(&self, device: Device, identity: &VolumeIdentity) -> Option<Whose> {
        self.mounted
            .get(&device)
            .into_iter()
            .chain(self.gone.iter().rev())
            .find(|known| known.identity.same_as(identity))
            .map(|known| Whose::Pod(known.owner.clone(), known.source))
    }

    fn learn(&mut self, device: Device, known: Known, kernel: &mut impl Classify) {
        let entry = VolumeEntry {
            identity: known.identity,
            owner: pod_id(&known.owner.pod_uid),
            class: known.owner.class(),
            reserved: 0,
        };
        if let Err(error) = kernel.set(device, entry) {
            // The structural test still finds its files; only hard links elsewhere in it go unseen.
            tracing::warn!(%error, volume = ?known.owner, "cannot tell the kernel half of a volume");
        }
        if let Some(before) = self.mounted.insert(device, known) {
            self.keep(before);
        }
    }

    fn forget(&mut self, device: Device) {
        if let Some(known) = self.mounted.remove(&device) {
            self.keep(known);
        }
    }

    fn keep(&mut self, known: Known) {
        self.gone.push_back(known);
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }

    /// fsid 0 when the mount point cannot be reached, or is covered by another mount.
    fn identity(&self, mount: &Mount) -> VolumeIdentity {
        let below_host = self.host_root.join(
            mount
                .mount_point
                .strip_prefix("/")
                .unwrap_or(&mount.mount_point),
        );
        let fsid = [&mount.mount_point, &below_host]
            .into_iter()
            .find_map(|path| {
                let same = std::fs::metadata(path)
                    .is_ok_and(|metadata| Device::from_stat(metadata.dev()) == mount.device);
                same.then(|| fsid(path).ok()).flatten()
            });
        VolumeIdentity {
            fsid: fsid.unwrap_or(0),
            superblock: 0,
        }
    }

    /// Whether mounts came or went since the last read (fs/proc_namespace.c `mounts_poll`).
    fn changed(&self) -> bool {
        let mut polled: Vec<PollFd<'_>> = self
            .mountinfo
            .iter()
            .map(|file| PollFd::new(file, PollFlags::PRI))
            .collect();
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // When in doubt, look.
        !poll(&mut polled, Some(&now)).is_ok_and(|ready| ready == 0)
    }
}

/// Whose volume is mounted there: `<kubelet root>/pods/<uid>/volumes/<plugin>/<volume>`, and for CSI volumes
/// `…/<volume>/mount` (pkg/volume/csi/csi_util.go).
fn owner_of_mount(kubelet_pods: &Path, mount_point: &Path) -> Option<VolumeOwner> {
    let below = mount_point.strip_prefix(kubelet_pods).ok()?;
    let parts: Vec<&str> = below
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect::<Option<_>>()?;
    match parts.as_slice() {
        [uid, "volumes", plugin, volume] => Some(VolumeOwner::new(uid, plugin, volume)),
        // Nobody projects tokens below a volume's root.
        [uid, "volumes", plugin, volume, _] if *plugin != PROJECTED => {
            Some(VolumeOwner::new(uid, plugin, volume))
        }
        _ => None,
    }
}

/// A mount point as the kernel half walks it, leaf first, up to its filesystem's root: back to a path of which the
/// beginning may be missing.
fn owner_of_walk<'a>(kubelet_root: &Path, walk: impl Iterator<Item = &'a [u8]>) -> Option<Walked> {
    let walk: Vec<&str> = walk
        .map(std::str::from_utf8)
        .collect::<Result<_, _>>()
        .ok()?;
    let pods = walk.iter().position(|name| *name == "pods")?;
    let (below, above) = walk.split_at(pods);
    let below: PathBuf = below.iter().rev().collect();
    let owner = owner_of_mount(Path::new(""), &below)?;
    // Where the kubelet's directory is a filesystem of its own, the walk ends before its name.
    let root: Vec<&str> = kubelet_root
        .iter()
        .rev()
        .map_while(|part| part.to_str())
        .collect();
    let is_ours = above
        .iter()
        .skip(1)
        .zip(&root)
        .all(|(walked, part)| walked == part);
    Some(if is_ours {
        Walked::Ours(owner)
    } else {
        Walked::Elsewhere
    })
}

enum Walked {
    Ours(VolumeOwner),
    /// The layout of a kubelet, but not of this one.
    Elsewhere,
}

#[cfg(test)]
mod tests;
