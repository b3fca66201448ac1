//! Where scenes are played: a pod of `manifests/simulate`, known by files that the kubelet wrote into it, and nowhere else.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Actor, Refusal};

/// By default; `run` goes by the namespace that its pod is in.
pub const NAMESPACE: &str = "credential-auditor-simulation";

/// The volume by which the pods of the simulation are known; a pod without it is none, and nothing of it is opened.
const MARK: &str = "credential-auditor-simulation";
/// The volume of the token, as EKS's webhook names it.
const TOKEN_VOLUME: &str = "aws-iam-token";
const TOKEN: &str = "token";
const TOKEN_DIR: &str = "var/run/secrets/eks.amazonaws.com/serviceaccount";
/// Where the thief sees the kubelet's `pods`.
const HOST_PODS: &str = "host/kubelet/pods";

/// More than any name or UID of Kubernetes has.
const MARK_LIMIT: u64 = 256;

#[derive(Clone, Debug)]
pub struct Place {
    pub namespace: String,
    pub component: String,
    pod_uid: String,
    root: PathBuf,
    /// For the victim to appear.
    pub wait: Duration,
}

impl Place {
    /// The pod whose file system is at `root`: `/`, but in tests.
    ///
    /// # Errors
    /// When it is no pod of the simulation.
    pub fn at(root: &Path, wait: Duration) -> Result<Self, Refusal> {
        let mark = root.join("etc").join(MARK);
        let read = |name| {
            let path = mark.join(name);
            read_mark(&path).map_err(|source| Refusal::NotHere { path, source })
        };
        let (namespace, component, pod_uid) =
            (read("namespace")?, read("component")?, read("uid")?);
        for (name, text, what) in [
            ("namespace", &namespace, "namespace"),
            ("uid", &pod_uid, "pod's UID"),
        ] {
            // It becomes part of a path.
            if !is_name(text) {
                return Err(Refusal::BadMark {
                    path: mark.join(name),
                    found: text.clone(),
                    what,
                });
            }
        }
        Ok(Self {
            namespace,
            component,
            pod_uid,
            root: root.to_owned(),
            wait,
        })
    }

    /// # Errors
    /// When it is another pod's scene.
    pub fn admits(&self, actor: Actor) -> Result<(), Refusal> {
        if self.component == actor.name() {
            return Ok(());
        }
        Err(Refusal::OtherActor {
            wanted: actor.name(),
            here: self.component.clone(),
        })
    }

    #[must_use]
    pub fn own_token(&self) -> PathBuf {
        self.root.join(TOKEN_DIR).join(TOKEN)
    }

    /// The same file where the kubelet has it.
    #[must_use]
    pub fn own_token_on_node(&self) -> PathBuf {
        volume(&self.root.join(HOST_PODS).join(&self.pod_uid), TOKEN_VOLUME).join(TOKEN)
    }

    /// The victim's token where the kubelet has it: of a pod on this node that carries its own mark, of this namespace. Waits for one.
    ///
    /// A mark that was copied into another pod names another UID, and is none. Who may create pods on this node can write a mark of his
    /// own with a false namespace; then it is his own pod's token that is opened, and not read.
    ///
    /// # Errors
    /// When the kubelet's directory is not to be seen, or none appears.
    pub fn victims_token(&self) -> Result<PathBuf, Refusal> {
        let pods = self.root.join(HOST_PODS);
        let deadline = Instant::now() + self.wait;
        loop {
            let found = self.find_victim(&pods).map_err(|source| Refusal::NoPods {
                path: pods.clone(),
                source,
            })?;
            if let Some(token) = found {
                return Ok(token);
            }
            if Instant::now() >= deadline {
                return Err(Refusal::NoVictim {
                    namespace: self.namespace.clone(),
                    path: pods,
                    waited: self.wait,
                });
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn find_victim(&self, pods: &Path) -> io::Result<Option<PathBuf>> {
        let mut found = Vec::new();
        for pod in fs::read_dir(pods)? {
            let pod = pod?.path();
            let mark = volume(&pod, MARK);
            let says =
                |name: &str, word: &str| read_mark(&mark.join(name)).is_ok_and(|text| text == word);
            let is_its_own = pod
                .file_name()
                .and_then(OsStr::to_str)
                .is_some_and(|uid| says("uid", uid));
            let token = volume(&pod, TOKEN_VOLUME).join(TOKEN);
            // To ask for what it is opens nothing.
            if is_its_own
                && says("namespace", &self.namespace)
                && says("component", Actor::Victim.name())
                && fs::metadata(&token).is_ok_and(|token| token.is_file())
            {
                found.push(token);
            }
        }
        // One that is on its way out may still be there: any will do, and the same each time.
        Ok(found.into_iter().min())
    }
}

/// As the kubelet lays it out: `pkg/kubelet/kubelet_getters.go`, `getPodVolumeDir`.
fn volume(pod: &Path, name: &str) -> PathBuf {
    pod.join("volumes/kubernetes.io~projected").join(name)
}

fn read_mark(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MARK_LIMIT)
        .read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Kubernetes' names and UIDs are made of these.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "11111111-2222-3333-4444-555555555555";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn mark(root: &Path, dir: &str, namespace: &str, component: &str, uid: &str) {
        for (name, text) in [
            ("namespace", namespace),
            ("component", component),
            ("uid", uid),
        ] {
            write(&root.join(dir).join(name), text);
        }
    }

    fn pod(root: &Path, uid: &str, namespace: &str, component: &str) -> PathBuf {
        let volumes = format!("{HOST_PODS}/{uid}/volumes/kubernetes.io~projected");
        let dir = format!("{volumes}/{MARK}");
        mark(root, &dir, namespace, component, uid);
        let token = root.join(volumes).join("aws-iam-token/token");
        write(&token, "x");
        token
    }

    fn thief(root: &Path) -> Place {
        mark(
            root,
            "etc/credential-auditor-simulation",
            "sim",
            "thief",
            UID,
        );
        Place::at(root, Duration::ZERO).unwrap()
    }

    #[test]
    fn only_a_pod_with_the_mark_is_a_place() {
        let root = tempfile::tempdir().unwrap();
        let refused = Place::at(root.path(), Duration::ZERO).unwrap_err();
        assert!(matches!(refused, Refusal::NotHere { .. }), "{refused}");
        for bad in ["", "../..", "a/b", "a b"] {
            mark(
                root.path(),
                "etc/credential-auditor-simulation",
                bad,
                "thief",
                UID,
            );
            let refused = Place::at(root.path(), Duration::ZERO).unwrap_err();
            assert!(matches!(refused, Refusal::BadMark { .. }), "{refused}");
        }
        let place = thief(root.path());
        assert!(place.admits(Actor::Thief).is_ok());
        assert!(place.admits(Actor::Workload).is_err());
    }

    #[test]
    fn only_a_victim_of_the_own_namespace_is_one() {
        let root = tempfile::tempdir().unwrap();
        let place = thief(root.path());
        let refused = place.victims_token().unwrap_err();
        assert!(matches!(refused, Refusal::NoPods { .. }), "{refused}");
        // Somebody's real token, without the mark; one of another namespace; one that is no victim.
        let real = root
            .path()
            .join(HOST_PODS)
            .join("aaa/volumes/kubernetes.io~projected");
        write(&real.join("aws-iam-token/token"), "x");
        pod(root.path(), "bbb", "shop", "victim");
        pod(root.path(), "ccc", "sim", "workload");
        let refused = place.victims_token().unwrap_err();
        assert!(matches!(refused, Refusal::NoVictim { .. }), "{refused}");
        let token = pod(root.path(), "ddd", "sim", "victim");
        assert_eq!(place.victims_token().unwrap(), token);
        let own = pod(root.path(), UID, "sim", "thief");
        assert_eq!(place.own_token_on_node(), own);
    }

    #[test]
    fn a_mark_that_names_another_pod_is_none() {
        let root = tempfile::tempdir().unwrap();
        let place = thief(root.path());
        // It sorts before the victim's.
        pod(root.path(), "aaa", "sim", "victim");
        let copy = format!("{HOST_PODS}/aaa/volumes/kubernetes.io~projected/{MARK}");
        for uid in ["ddd", "", "aa", "aaaa"] {
            mark(root.path(), &copy, "sim", "victim", uid);
            let refused = place.victims_token().unwrap_err();
            assert!(matches!(refused, Refusal::NoVictim { .. }), "{refused}");
        }
        fs::remove_file(root.path().join(&copy).join("uid")).unwrap();
        let token = pod(root.path(), "ddd", "sim", "victim");
        assert_eq!(place.victims_token().unwrap(), token);
    }
}
