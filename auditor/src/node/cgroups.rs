//! Cgroup ids to what they are: the hierarchy as it stood at start, then as the kernel told of each mkdir and rmdir.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    budget::{Budget, LOOKS, LOOKS_OF_ONE},
    cgroup_path::{CgroupOwner, parse},
    mountinfo,
};

/// Removed cgroups that are remembered: their last events may still be in the ring, or held back for their pod.
const REMOVED: usize = 16_384;
/// Directories that one look at the hierarchy visits.
const WALK_LIMIT: usize = 200_000;
/// kernfs numbers the hierarchy's root 1, wherever it is mounted (fs/kernfs/dir.c).
const TOP: u64 = 1;
/// Whose looks those are that nobody's event causes; no cgroup's id.
const NOBODY: u64 = 0;

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
    /// It is in `removed`.
    is_gone: bool,
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
    /// By the cgroup that is looked for.
    /// Who makes events come from cgroups that are in no hierarchy must not keep the auditor from its work, nor from looking for
    /// another's.
    walks: Budget<u64>,
    /// Something was not told of, and nobody has looked since.
    is_behind: bool,
    /// Id of the hierarchy's root.
    top: u64,
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
            walks: Budget::new(LOOKS, LOOKS_OF_ONE, Instant::now()),
            is_behind: false,
            top: TOP,
        };
        cgroups.made(TOP, "/");
        cgroups.walk().map_err(unreadable)?;
        Ok(cgroups)
    }

    /// Adds what is there now, and what is not there any more is removed; a directory that vanishes meanwhile is no error.
    fn walk(&mut self) -> io::Result<()> {
        let mut queue = vec![(self.root.clone(), format!("{}/", self.prefix))];
        queue.extend(
            self.whole
                .iter()
                .map(|whole| (whole.clone(), String::from("/"))),
        );
        let mut visited = 0;
        let mut seen = HashSet::new();
        let mut is_whole = true;
        // The root itself must be readable; the others may vanish.
        std::fs::metadata(&self.root)?;
        while let Some((directory, path)) = queue.pop() {
            visited += 1;
            if visited > WALK_LIMIT {
                tracing::warn!(limit = WALK_LIMIT, "more cgroups than one look visits");
                is_whole = false;
                break;
            }
            let looked = std::fs::metadata(&directory)
                .and_then(|metadata| Ok((metadata.ino(), std::fs::read_dir(&directory)?)));
            let (id, children) = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    is_whole &= has_vanished(&error);
                    continue;
                }
            };
            self.made(id, &path);
            seen.insert(id);
            for child in children {
                let child = match child {
                    Ok(child) => child,
                    Err(error) => {
                        is_whole &= has_vanished(&error);
                        continue;
                    }
                };
                if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = child.file_name();
                    let below =
                        format!("{}/{}", path.trim_end_matches('/'), name.to_string_lossy());
                    queue.push((child.path(), below));
                }
            }
        }
        // From a subtree nobody sees what lies beside it.
        if is_whole && seen.contains(&self.top) {
            self.prune(&seen);
        }
        Ok(())
    }

    /// All that was told of before the look and is not there is gone, though nothing told of that.
    fn prune(&mut self, seen: &HashSet<u64>) {
        let entries = self.entries.iter();
        let gone = entries.filter(|(id, entry)| !entry.is_gone && !seen.contains(*id));
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.removed(id);
        }
    }

    /// A look at the hierarchy that `party` causes, while there is time for it: whether it was made.
    fn look(&mut self, party: u64) -> bool {
        let begun = Instant::now();
        if !self.walks.allows(party, begun) {
            return false;
        }
        if let Err(error) = self.walk() {
            tracing::warn!(%error, "cannot read the cgroup hierarchy");
        }
        self.walks.spend(party, begun.elapsed());
        true
    }

    /// What was to be told of cgroups was lost: they are looked at when there is time.
    pub fn note_loss(&mut self) {
        self.is_behind = true;
    }

    /// Looks at the hierarchy if something was lost since the last look, and there is time.
    pub fn catch_up(&mut self) {
        if self.is_behind && self.look(NOBODY) {
            self.is_behind = false;
        }
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
                is_gone: false,
                owner,
            },
        );
    }

    /// It was removed; ids are never reused while the machine is up (fs/kernfs/dir.c: the upper half is a generation).
    pub fn removed(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id)
            && std::mem::replace(&mut entry.is_gone, true)
        {
            return;
        }
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
            Member::Unknown if self.look(id) => self.member(id),
            member => member,
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

/// As a directory answers that was removed while it was read.
fn has_vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::{super::budget::Rate, *};

    const POD: &str = "kubepods/pod11111111-1111-4111-8111-111111111111";

    /// A hierarchy in a directory.
    fn open(root: &Path) -> Cgroups {
        let mut cgroups = Cgroups {
            root: root.to_owned(),
            whole: None,
            prefix: String::new(),
            entries: HashMap::new(),
            removed: VecDeque::new(),
            news: Vec::new(),
            walks: Budget::new(LOOKS, LOOKS_OF_ONE, Instant::now()),
            is_behind: false,
            top: id_of(root),
        };
        cgroups.walk().unwrap();
        cgroups
    }

    fn id_of(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    fn count_gone(cgroups: &mut Cgroups) -> usize {
        let news = cgroups.take_news().into_iter();
        news.filter(|news| matches!(news, News::Gone(_))).count()
    }

    #[test]
    fn what_went_untold_is_removed_and_remembered_for_its_last_events() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join(POD);
        fs::create_dir_all(&pod).unwrap();
        let mut cgroups = open(root.path());
        let id = id_of(&pod);
        assert!(matches!(cgroups.member(id), Member::Pod(_)));
        assert_eq!(count_gone(&mut cgroups), 0);
        fs::remove_dir(&pod).unwrap();
        cgroups.walk().unwrap();
        assert_eq!(cgroups.take_news(), [News::Gone(id)]);
        assert!(matches!(cgroups.member(id), Member::Pod(_)));
        // Its own word comes late, and so does another look.
        cgroups.removed(id);
        cgroups.walk().unwrap();
        assert_eq!(count_gone(&mut cgroups), 0);
        assert_eq!(cgroups.removed, [id]);
    }

    #[test]
    fn cgroups_whose_end_nobody_told_of_are_bounded() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = open(root.path());
        let first = id_of(root.path()) + 1;
        for id in first..first + 2 * REMOVED as u64 {
            cgroups.made(id, &format!("/{POD}/{id}"));
        }
        cgroups.walk().unwrap();
        assert_eq!(cgroups.entries.len(), REMOVED + 1);
    }

    #[test]
    fn from_a_subtree_nothing_beside_it_is_taken_for_gone() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = open(root.path());
        cgroups.top = TOP;
        cgroups.made(u64::MAX, "/beside");
        cgroups.walk().unwrap();
        assert_eq!(cgroups.member(u64::MAX), Member::Host);
        assert!(cgroups.removed.is_empty());
    }

    #[test]
    fn who_is_looked_for_in_vain_leaves_time_for_others() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = open(root.path());
        // Nothing comes back while the test runs.
        let rate = |most| Rate {
            one_in: i64::MAX,
            most,
        };
        let one = rate(Duration::from_micros(1));
        let all = rate(Duration::from_secs(3600));
        cgroups.walks = Budget::new(all, one, Instant::now());
        assert!(cgroups.look(u64::MAX));
        assert!(!cgroups.look(u64::MAX));
        let pod = root.path().join(POD);
        fs::create_dir_all(&pod).unwrap();
        assert_eq!(cgroups.member_or_look(u64::MAX), Member::Unknown);
        assert_eq!(cgroups.member(id_of(&pod)), Member::Unknown);
        assert!(matches!(
            cgroups.member_or_look(id_of(&pod)),
            Member::Pod(_)
        ));
    }

    #[test]
    fn what_was_lost_is_looked_for_when_there_is_time() {
        let root = tempfile::tempdir().unwrap();
        let mut cgroups = open(root.path());
        let never = Rate {
            one_in: i64::MAX,
            most: Duration::ZERO,
        };
        let pod = root.path().join(POD);
        fs::create_dir_all(&pod).unwrap();
        cgroups.catch_up();
        assert_eq!(
            cgroups.member(id_of(&pod)),
            Member::Unknown,
            "nothing was lost"
        );
        cgroups.note_loss();
        cgroups.walks = Budget::new(never, never, Instant::now());
        cgroups.catch_up();
        assert_eq!(cgroups.member(id_of(&pod)), Member::Unknown, "no time");
        cgroups.walks = Budget::new(LOOKS, LOOKS_OF_ONE, Instant::now());
        cgroups.catch_up();
        assert!(matches!(cgroups.member(id_of(&pod)), Member::Pod(_)));
        assert!(!cgroups.is_behind);
    }
}
