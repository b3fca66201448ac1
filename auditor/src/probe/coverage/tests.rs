use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

/// As far as it matters here; `tests/src/evasion/declaration.rs` has all of it.
#[derive(Deserialize)]
struct Declaration {
    expect: Vec<Expectation>,
}

#[derive(Deserialize)]
struct Expectation {
    on: Vec<String>,
    #[serde(default)]
    lines: Vec<Line>,
    not_seen: Option<String>,
    harmless: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    pod: String,
}

impl Expectation {
    /// A line that is laid to the victim is the victim's own doing where something is not seen.
    fn is_seen(&self) -> bool {
        self.lines
            .iter()
            .any(|line| self.not_seen.is_none() || line.pod != "victim")
    }
}

/// By name; empty where the corpus is not there yet.
fn corpus() -> BTreeMap<String, Declaration> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/evasion");
    let Ok(files) = std::fs::read_dir(path) else {
        return BTreeMap::new();
    };
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let declaration = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, declaration)
        })
        .collect()
}

/// What a kernel with this backend and nothing better has in use.
fn hooks_of(backend: &str) -> BTreeMap<Hook, Backend> {
    let usual = |hook: Hook| match backend {
        "fentry" => Some(Backend::Fentry),
        "kprobe" => Some(Backend::Kprobe),
        "syscall" if !hook.is_required() => None,
        "syscall" if hook == Hook::FileOpen => Some(Backend::Syscall),
        "syscall" => Some(Backend::Tracepoint),
        other => panic!("{other} is no backend"),
    };
    Hook::ALL
        .into_iter()
        .filter(|hook| *hook != Hook::DeniedOpen)
        .filter_map(|hook| Some((hook, usual(hook)?)))
        .collect()
}

#[test]
fn no_technique_is_named_twice() {
    let names: BTreeSet<_> = TECHNIQUES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), TECHNIQUES.len());
    assert!(names.len() >= 40);
}

#[test]
fn without_hooks_nothing_is_seen() {
    assert!(coverage(&BTreeMap::new()).values().all(|seen| !seen));
}

#[test]
fn fentry_and_kprobe_see_everything_and_the_syscall_backend_says_what_it_misses() {
    let fentry = coverage(&hooks_of("fentry"));
    assert!(fentry.values().all(|seen| *seen), "{fentry:?}");
    assert_eq!(coverage(&hooks_of("kprobe")), fentry);
    let missed: Vec<_> = coverage(&hooks_of("syscall"))
        .into_iter()
        .filter_map(|(name, seen)| (!seen).then_some(name))
        .collect();
    // threats.md 2.1 and 2.2: where `raw_tp sys_exit+fdtable`, `inet_sock_set_state` and the agent's side see nothing.
    assert_eq!(
        missed,
        [
            "fanotify",
            "int80",
            "io_uring_direct",
            "io_uring_msg_ring",
            "io_uring_openat",
            "io_uring_openat2",
            "io_uring_sqpoll",
            "io_uring_worker",
            "no_route",
            "overlay_copy_up",
            "overlay_lower",
            "pidfd_getfd",
            "proc_mem",
            "process_vm_readv",
            "ptrace_peek",
            "scm_rights_from_victim",
            "socket_pidfd_getfd",
            "socket_scm_rights",
        ]
    );
}

#[test]
fn the_corpus_declares_the_same() {
    let corpus = corpus();
    assert!(!corpus.is_empty(), "tests/evasion holds no declaration");
    let harmful: BTreeMap<_, _> = corpus
        .iter()
        .filter(|(_, declaration)| declaration.expect.iter().any(|e| e.harmless.is_none()))
        .collect();
    let declared: BTreeSet<_> = harmful.keys().map(|name| name.as_str()).collect();
    let known: BTreeSet<_> = TECHNIQUES.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, declared, "a line each in probe/coverage.rs");
    for (name, declaration) in harmful {
        for expectation in &declaration.expect {
            for backend in &expectation.on {
                assert_eq!(
                    coverage(&hooks_of(backend))[name.as_str()],
                    expectation.is_seen(),
                    "{name} on {backend}"
                );
            }
        }
    }
}
