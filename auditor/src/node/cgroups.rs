//! Cgroup ids to what they are: the hierarchy as it stood at start, then as the kernel told of each mkdir and rmdir.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    budget::{Budget, Rate},
    cgroup_path::{CgroupOwner, parse},
    mountinfo,
};

/// Removed cgroups that are remembered: their last events may still be in the ring, or held back for their pod.
const REMOVED: usize = 16_384;
/// Directories that one look at the hierarchy visits.
const WALK_LIMIT: usize = 200_000;
/// For looks at it: who makes events come from cgroups that are in no hierarchy must not keep the auditor from its work.
const WALKS: Rate = Rate {
    one_in: 20,
    most: Duration::from_millis(500),
};

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no cgroup v2 hierarchy in {0}")]
    NotMounted(PathBuf),
    #[error("{0} is not on a cgroup v2 filesystem")]
    NotV2(PathBuf),
    #[error("cannot read the cgroup root {path}: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
}

/// Whose a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    Pod(Arc<CgroupOwner>),
    /// Outside every pod.
    Host,
    /// Never heard of.
    Unknown,
}

/// What the kernel half knows of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The cgroup's id, and its pod's.
    Pod(u64, u64),
    Gone(u64),
}

/// A pod's id in the kernel half; never 0, which is none's.
pub fn pod_id(uid: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish().max(1)
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    owner: Option<Arc<CgroupOwner>>,
}

/// Every cgroup of the default hierarchy, by id.
#[derive(Debug)]
pub struct Cgroups {
    root: PathBuf,
    /// The whole hierarchy, where `root` is a subtree of it: processes outside the subtree are the host's.
    whole: Option<PathBuf>,
    /// Path of `root` from the hierarchy's root, empty where it is that.
    prefix: String,
    entries: HashMap<u64, Entry>,
    removed: VecDeque<u64>,
    /// What the kernel half has not been told of yet.
    news: Vec<News>,
    walks: Budget<()>,
}

/// Mount point of the cgroup v2 hierarchy that shows its whole tree, from `HOST_PROC/1/mountinfo`.
pub fn find_root(host_proc: &Path) -> Result<PathBuf, CgroupError> {
    let path = host_proc.join("1/mountinfo");
    let bytes = std::fs::read(&path).map_err(|error| CgroupError::Unreadable {
        path: path.clone(),
        error,
    })?;
    mountinfo::parse(&bytes)
        .find(|mount| mount.fs_type == "cgroup2" && mount.root == b"/")
        .map(|mount| mount.mount_point.clone())
        .ok_or(CgroupError::NotMounted(path))
}

impl Cgroups {
    /// Reads the hierarchy. `root` may be a subtree of it: then what lies beside it is found through `host_proc`.
    pub fn open(root: &Path, host_proc: &Path) -> Result<Self, CgroupError> {
        let unreadable = |error| CgroupError::Unreadable {
            path: root.to_owned(),
            error,
        };
        // include/uapi/linux/magic.h CGROUP2_SUPER_MAGIC
        let statfs = rustix::fs::statfs(root).map_err(|error| unreadable(error.into()))?;
        if statfs.f_type != 0x6367_7270 {
            return Err(CgroupError::NotV2(root.to_owned()));
        }
        let whole = find_root(host_proc).ok().filter(|whole| whole != root);
        let prefix = whole
            .as_ref()
            .and_then(|whole| root.strip_prefix(whole).ok())
            .map_or_else(String::new, |below| format!("/{}", below.display()));
        let mut cgroups = Self {
            root: root.to_owned(),
            whole,
            prefix,
            entries: HashMap::new(),
            removed: VecDeque::new(),
            news: Vec::new(),
            walks: Budget::new(WALKS, WALKS, Instant::now()),
        };
        // kernfs numbers the hierarchy's root 1, wherever it is mounted (fs/kernfs/dir.c).
        cgroups.made(1, "/");
        cgroups.walk().map_err(unreadable)?;
        Ok(cgroups)
    }

    /// Adds what is there now; a directory that vanishes meanwhile is no error.
    pub fn walk(&mut self) -> io::Result<()> {
        let mut queue = vec![(self.root.clone(), format!("{}/", self.prefix))];
        queue.extend(
            self.whole
                .iter()
                .map(|whole| (whole.clone(), String::from("/"))),
        );
        let mut visited = 0;
        // The root itself must be readable; the others may vanish.
        std::fs::metadata(&self.root)?;
        while let Some((directory, path)) = queue.pop() {
            visited += 1;
            if visited > WALK_LIMIT {
                tracing::warn!(limit = WALK_LIMIT, "more cgroups than one look visits");
                break;
            }
            let Ok(metadata) = std::fs::metadata(&directory) else {
                continue;
            };
            self.made(metadata.ino(), &path);
            let Ok(children) = std::fs::read_dir(&directory) else {
                continue;
            };
            for child in children.flatten() {
                if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = child.file_name();
                    let below =
                        format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy());
                    queue.push((child.path(), below));
                }
            }
        }
        Ok(())
    }

    /// A cgroup of this id exists.
    ///
    /// `path` is from the hierarchy's root. Names above `--cgroup-root` are not looked at: this node may be in a pod itself.
    pub fn made(&mut self, id: u64, path: &str) {
        if self
            .entries
            .get(&id)
            .is_some_and(|entry| *entry.path == *path)
        {
            return;
        }
        let below_root = path.strip_prefix(self.prefix.as_str()).unwrap_or(path);
        let owner = parse(below_root).map(Arc::new);
        if let Some(owner) = &owner {
            self.news.push(News::Pod(id, pod_id(&owner.pod_uid)));
        }
        self.entries.insert(
            id,
            Entry {
                path: path.into(),
                owner,
            },
        );
    }

    /// It was removed; ids are never reused while the machine is up (fs/kernfs/dir.c: the upper half is a generation).
    pub fn removed(&mut self, id: u64) {
        self.news.push(News::Gone(id));
        self.removed.push_back(id);
        if self.removed.len() > REMOVED
            && let Some(oldest) = self.removed.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// What the kernel half is to be told of since the last time, in that order.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub fn member(&self, id: u64) -> Member {
        match self.entries.get(&id) {
            Some(Entry {
                owner: Some(owner), ..
            }) => Member::Pod(Arc::clone(owner)),
            Some(_) => Member::Host,
            None => Member::Unknown,
        }
    }

    /// As [`Cgroups::member`], with a look at the hierarchy for an id that no event told of, while there is time for it.
    pub fn member_or_look(&mut self, id: u64) -> Member {
        match self.member(id) {
            Member::Unknown => {
                let begun = Instant::now();
                if !self.walks.allows((), begun) {
                    return Member::Unknown;
                }
                if let Err(error) = self.walk() {
                    tracing::warn!(%error, "cannot read the cgroup hierarchy");
                }
                self.walks.spend((), begun.elapsed());
                self.member(id)
            }
            known => known,
        }
    }

    /// Id of the cgroup at `path` below the root, if it is there.
    pub fn id_of(&self, path: &str) -> Option<u64> {
        std::fs::metadata(self.root.join(path.trim_start_matches('/')))
            .ok()
            .map(|metadata| metadata.ino())
    }

    /// Id of the cgroup that `/proc/PID/cgroup` names, if it is known. A reader in a cgroup namespace of its own sees names that
    /// climb out of it (`/../..`), and then what follows decides.
    pub fn id_of_process(&self, path: &str) -> Option<u64> {
        let below = path.trim_start_matches("/..");
        let climbs = below.len() < path.len();
        self.entries
            .iter()
            .find(|(_, entry)| {
                *entry.path == *path || (climbs && !below.is_empty() && entry.path.ends_with(below))
            })
            .map(|(id, _)| *id)
    }

    /// Whether any cgroup is, or would hold, a pod's.
    pub fn has_pods(&self) -> bool {
        self.entries
            .values()
            .any(|entry| entry.owner.is_some() || entry.path.contains("kubepods"))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
}
