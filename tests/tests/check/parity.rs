//! It says 0 exactly where `auditor run` works: one place after another.

use std::{net::TcpListener, os::unix::fs::PermissionsExt as _};

use lab::service::apiserver::{self, ApiServer, Role};

use crate::{
    place::{Place, assert_state, found},
    support::is_root,
};

/// Name, the place, and what is known to fail there (nothing: the node decides, or all is well).
fn places() -> Vec<(&'static str, Place, &'static [&'static str])> {
    let taken = TcpListener::bind("127.0.0.1:0").expect("what the test stands on");
    let taken_address = taken
        .local_addr()
        .expect("what the test stands on")
        .to_string();
    let mut port = Place::new().with("--metrics-listen", taken_address);
    port._held = Some(Box::new(taken));

    let shared = Place::new();
    let state = shared.inputs.path("state");
    std::fs::create_dir(&state).expect("what the test stands on");
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o777))
        .expect("what the test stands on");

    let broken = |name: &str, text: &str| {
        let place = Place::new();
        place.inputs.write(name, text);
        place
    };
    let missing_file = |name: &str| {
        let place = Place::new();
        std::fs::remove_file(place.inputs.path(name)).expect("what the test stands on");
        place
    };
    let cgroups = lab::cgroup::find_root().expect("what the test stands on");
    let cgroups = cgroups.to_str().expect("what the test stands on");
    let mut away = Place::new()
        .with("--cluster", "kube")
        .with("--api-start-jitter", "0");
    away.inputs.write(
        "kubeconfig",
        r#"{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],"users":[{"name":"u","user":{"token":"t"}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}]}"#,
    );
    let kubeconfig = away.inputs.path("kubeconfig");
    away.env = vec![(
        "KUBECONFIG".into(),
        kubeconfig.to_string_lossy().into_owned(),
    )];

    let mut no_kubeconfig = Place::new().with("--cluster", "kube");
    no_kubeconfig.env = vec![("KUBECONFIG".into(), "/nonexistent".into())];

    let api = ApiServer::start(apiserver::Options::default()).expect("what the test stands on");
    let mut forbidden = Place::new()
        .with("--cluster", "kube")
        .with("--api-start-jitter", "0");
    // Which may not list pods.
    let kubeconfig = api
        .kubeconfig(forbidden.inputs.dir.path(), Role::Sync)
        .expect("what the test stands on");
    forbidden.env = vec![(
        "KUBECONFIG".into(),
        kubeconfig.to_string_lossy().into_owned(),
    )];
    forbidden._held = Some(Box::new(api));

    let plain = Place::new();
    let proc = plain.inputs.path("proc");
    std::fs::create_dir_all(proc.join("1/ns")).expect("what the test stands on");
    for (link, target) in [("self", "/proc/self"), ("1/ns/net", "/proc/self/ns/net")] {
        std::os::unix::fs::symlink(target, proc.join(link)).expect("what the test stands on");
    }
    std::fs::copy("/proc/1/mountinfo", proc.join("1/mountinfo")).expect("what the test stands on");
    let plain = plain.with("--host-proc", proc.to_string_lossy());

    let only_bpf: &[&str] = &["setpriv", "--bounding-set", "-all,+bpf,+perfmon"];
    vec![
        ("as it is", Place::new(), &[]),
        (
            "no kubelet root",
            Place::new().with("--kubelet-root", "/nonexistent/kubelet"),
            &[],
        ),
        (
            "no BTF",
            Place::entered(&["--hide", "/sys/kernel/btf"]),
            &["btf", "probes"],
        ),
        (
            "no capabilities",
            Place::entered(&["--drop-capabilities"]),
            &["capability BPF", "capability PERFMON", "probes"],
        ),
        ("BPF and PERFMON only", Place::wrapped(only_bpf), &[]),
        (
            "no cgroup v2",
            Place::entered(&["--unmount", cgroups]).without("--cgroup-root"),
            &["cgroup-v2"],
        ),
        (
            "a cgroup root that is none",
            Place::new().with("--cgroup-root", "/tmp"),
            &["cgroup-v2"],
        ),
        (
            "no host /proc",
            Place::new().with("--host-proc", "/nonexistent"),
            &["host-proc"],
        ),
        (
            "a container's /proc",
            Place::wrapped(&["unshare", "--pid", "--fork", "--mount-proc"]),
            &["host-proc"],
        ),
        (
            "a user namespace",
            Place::wrapped(&["unshare", "--user", "--map-root-user"]),
            &["capability BPF", "probes"],
        ),
        (
            "too few files",
            Place::wrapped(&["prlimit", "--nofile=50"]),
            &["open-files"],
        ),
        ("a mountinfo that is a plain file", plain, &["mountinfo"]),
        (
            "no cluster file",
            missing_file("cluster.json"),
            &["cluster"],
        ),
        (
            "a broken cluster file",
            broken("cluster.json", "{ oops"),
            &["cluster"],
        ),
        (
            "broken associations",
            broken("associations.json", "[1]"),
            &["associations"],
        ),
        (
            "a broken policy",
            broken("policy.yaml", "no_such_key: 1\n"),
            &["policy"],
        ),
        (
            "an agent's namespace that is none",
            Place::new().with("--agent-netns", "/etc/passwd"),
            &["agent-netns"],
        ),
        ("a state directory for all", shared, &["state-dir"]),
        (
            "a state directory that cannot be made",
            Place::new().with("--state-dir", "/proc/nowhere/state"),
            &["state-dir"],
        ),
        ("a port in use", port, &["metrics-listen"]),
        (
            "no directory for the output",
            Place::new().with("--output-file", "/nonexistent/out.jsonl"),
            &["output"],
        ),
        ("fentry only", Place::new().with("--backend", "fentry"), &[]),
        ("kprobe only", Place::new().with("--backend", "kprobe"), &[]),
        (
            "syscall only",
            Place::new().with("--backend", "syscall"),
            &[],
        ),
        ("an API server that is away", away, &["cluster"]),
        ("an API server that forbids it", forbidden, &["cluster"]),
        ("no kubeconfig", no_kubeconfig, &["cluster"]),
    ]
}

#[test]
fn check_says_0_exactly_where_run_works() {
    if !is_root() {
        return;
    }
    for (name, place, expected) in places() {
        let report = place.check();
        let works = place.run_works();
        println!("{name}: {works}");
        assert_eq!(report["ok"], works, "{name}: {report:#}");
        for check in expected {
            assert_state(&report, check, "failed");
        }
    }
}

#[test]
fn an_api_server_that_is_away_is_told_with_its_last_error() {
    if !is_root() {
        return;
    }
    let (_, place, _) = places()
        .into_iter()
        .find(|(name, ..)| *name == "an API server that is away")
        .unwrap();
    let report = place.check();
    let row = found(&report, "cluster");
    let detail = row["detail"].as_str().unwrap();
    assert!(detail.contains("onnection refused"), "{detail}");
    let remedy = row["remedy"].as_str().unwrap();
    assert!(!remedy.contains("rbac"), "{remedy}");
}
