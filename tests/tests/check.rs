//! `auditor check`: what it says, and that it says 0 exactly where `auditor run` works.

mod support;

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use lab::{
    auditor::terminate,
    patience,
    service::apiserver::{self, ApiServer, Role},
};
use serde_json::Value;
use support::{Inputs, Running, assert_refused, auditor, finish, get, helpers, is_root};

/// A node in some state, on which any of the auditor's commands can be run.
struct Place {
    inputs: Inputs,
    /// What stands before the auditor: a program that makes the place.
    wrapper: Vec<String>,
    /// Flags without the command.
    flags: Vec<String>,
    env: Vec<(String, String)>,
    /// Held while commands run.
    _held: Option<Box<dyn Send>>,
    _kubelet: KubeletCgroup,
}

/// A cgroup for a kubelet that has not started yet: the policy names it, and a program.
struct KubeletCgroup(PathBuf);

impl KubeletCgroup {
    fn new(inputs: &Inputs) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "check-kubelet-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        inputs.write(
            "policy.yaml",
            &format!("version: 1\nkubelet: {{cgroup: /{name}, executable: /bin/sh}}\n"),
        );
        let path = lab::cgroup::find_root()
            .expect("what the test stands on")
            .join(name);
        // Those who are not root skip.
        let _ = std::fs::create_dir(&path);
        Self(path)
    }
}

impl Drop for KubeletCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

impl Place {
    fn new() -> Self {
        let inputs = Inputs::new();
        let flags = inputs.args().split_off(1);
        let kubelet = KubeletCgroup::new(&inputs);
        Self {
            _kubelet: kubelet,
            inputs,
            wrapper: Vec::new(),
            flags,
            env: Vec::new(),
            _held: None,
        }
    }

    fn wrapped(words: &[&str]) -> Self {
        let mut place = Self::new();
        place.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        place
    }

    /// In a place made by the helper `enter`.
    fn entered(options: &[&str]) -> Self {
        let enter = helpers().join("enter");
        let mut words = vec![enter.to_str().expect("what the test stands on")];
        words.extend(options);
        words.push("--");
        Self::wrapped(&words)
    }

    fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.flags.iter().position(|found| found == flag) {
            Some(at) => self.flags[at + 1] = value,
            None => self.flags.extend([flag.to_owned(), value]),
        }
        self
    }

    fn without(mut self, flag: &str) -> Self {
        if let Some(at) = self.flags.iter().position(|found| found == flag) {
            self.flags.drain(at..at + 2);
        }
        self
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut words = self.wrapper.clone();
        words.push(auditor().to_string_lossy().into_owned());
        words.push(subcommand.to_owned());
        words.extend(self.flags.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_remove("KUBERNETES_SERVICE_HOST")
            .envs(self.env.clone());
        command
    }

    /// The report, which agrees with the exit code.
    fn check(&self) -> Value {
        let mut command = self.command("check");
        command.args(["--output", "json"]);
        let output = finish(command);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let ok = report["ok"].as_bool().expect("what the test stands on");
        assert_eq!(output.status.code(), Some(i32::from(!ok)), "{report:#}");
        report
    }

    /// Whether `run` comes to answer /readyz with 200; it ends by itself with 1 otherwise, or stays not ready.
    fn run_works(&self) -> bool {
        let mut running = Running::spawn(&self.inputs, self.command("run"));
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let ready = loop {
            match running.poll() {
                Err(_) => {
                    let status = running.child.wait().expect("what the test stands on");
                    assert_eq!(status.code(), Some(1), "it ended by itself");
                    return false;
                }
                Ok(Some(line)) if line["event"] == "ready" => break line,
                Ok(_) => assert!(Instant::now() < deadline, "it neither starts nor ends"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        let until = Instant::now() + Duration::from_secs(2) * patience();
        let mut works = false;
        while !works && Instant::now() < until {
            works = get(&ready, "/readyz").0 == 200;
            thread::sleep(Duration::from_millis(20));
        }
        terminate(&mut running.child, Duration::from_secs(10)).expect("what the test stands on");
        works
    }
}

fn found<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"]
        .as_array()
        .expect("what the test stands on")
        .iter()
        .find(|check| check["check"] == name)
        .unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn assert_state(report: &Value, name: &str, state: &str) {
    let check = found(report, name);
    assert_eq!(check["state"], state, "{check}");
    if state == "failed" || state == "degraded" {
        assert!(check["remedy"].is_string(), "no remedy: {check}");
    }
}

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
fn a_missing_kubelet_root_is_no_reason_not_to_start_and_is_named() {
    if !is_root() {
        return;
    }
    let report = Place::new()
        .with("--kubelet-root", "/nonexistent/kubelet")
        .check();
    assert_state(&report, "kubelet-root", "degraded");
    let detail = found(&report, "kubelet-root")["detail"].as_str().unwrap();
    assert!(detail.contains("/nonexistent/kubelet"), "{detail}");
}

#[test]
fn a_user_without_privileges_is_told_what_is_missing() {
    if !is_root() {
        return;
    }
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let place = Place::wrapped(&nobody);
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.inputs.dir.path(), everybody).unwrap();
    let report = place.check();
    assert_eq!(report["ok"], false);
    for name in [
        "capability BPF",
        "capability PERFMON",
        "probes",
        "state-dir",
    ] {
        assert_state(&report, name, "failed");
    }
    let probes = found(&report, "probes");
    assert!(
        probes["detail"].as_str().unwrap().contains("CAP_BPF"),
        "{probes}"
    );
    assert!(!place.run_works());
}

#[test]
fn every_way_of_every_hook_is_tried_and_what_is_chosen_works() {
    if !is_root() {
        return;
    }
    let report = Place::new().check();
    let hooks = report["hooks"].as_object().unwrap();
    for name in ["file_open", "connect"] {
        assert_eq!(hooks[name]["ways"].as_array().unwrap().len(), 3, "{name}");
    }
    for (name, hook) in hooks {
        for way in hook["ways"].as_array().unwrap() {
            assert_eq!(
                way["works"] == true,
                way["reason"].is_null(),
                "{name}: {way}"
            );
        }
        let works = |way: &&Value| way["works"] == true;
        let best = hook["ways"].as_array().unwrap().iter().find(works);
        if name != "denied_open" && support::backend() == "auto" {
            let best = best.map(|way| way["backend"].clone()).unwrap_or_default();
            assert_eq!(hook["backend"], best, "{name}: {hook}");
        }
    }
    assert_eq!(hooks["connect_outcome"]["ways"][0]["proven"], true);
    assert_eq!(hooks["agent_accept"]["ways"][0]["proven"], true);

    // As `run` has it.
    let inputs = Inputs::new();
    let mut running = Running::start(&inputs);
    let ready = running.ready().pop().unwrap();
    for (name, status) in ready["backends"].as_object().unwrap() {
        let chosen = hooks[name]["backend"].as_str().unwrap_or("none");
        assert_eq!(status["backend"], chosen, "{name}");
    }
    assert_eq!(ready["coverage"], report["coverage"]);
}

#[test]
fn it_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let state = place.inputs.path("new/state");
    let place = place.with("--state-dir", state.to_string_lossy());
    place.check();
    assert!(!place.inputs.path("new").exists());
    assert!(!place.inputs.path("out.jsonl").exists());
    // What is there stays, and is not written to.
    place.inputs.write("out.jsonl", "{}\n");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("uses.json"), "{}").unwrap();
    place.check();
    assert_eq!(
        std::fs::read_to_string(place.inputs.path("out.jsonl")).unwrap(),
        "{}\n"
    );
    let left: Vec<_> = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["uses.json"]);
}

#[test]
fn an_auditor_that_runs_already_is_named() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let mut running = Running::start(&place.inputs);
    running.ready();
    let report = place.check();
    assert_state(&report, "state-dir", "failed");
    let detail = found(&report, "state-dir")["detail"].as_str().unwrap();
    assert!(detail.contains("another auditor"), "{detail}");
    assert!(running.child.try_wait().unwrap().is_none(), "it goes on");
}

#[test]
fn the_api_server_is_really_asked() {
    if !is_root() {
        return;
    }
    let api = ApiServer::start(apiserver::Options::default()).unwrap();
    let mut place = Place::new()
        .with("--cluster", "kube")
        .with("--api-start-jitter", "0")
        .without("--associations");
    let kubeconfig = api.kubeconfig(place.inputs.dir.path(), Role::Node).unwrap();
    place.env = vec![(
        "KUBECONFIG".into(),
        kubeconfig.to_string_lossy().into_owned(),
    )];
    let report = place.check();
    assert_eq!(report["ok"], true, "{report:#}");
    assert_state(&report, "api serviceaccounts", "ok");
    // Of an empty cluster.
    assert_state(&report, "cluster", "degraded");
    assert!(!api.requests().is_empty());
    assert!(place.run_works());
}

#[test]
fn the_table_names_what_failed_first_and_is_painted_for_terminals_only() {
    if !is_root() {
        return;
    }
    let place = Place::new().with("--output-file", "/nonexistent/out.jsonl");
    let output = finish(place.command("check"));
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    let mut lines = table.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("FAILED") && first.contains("/nonexistent/out.jsonl"),
        "{table}"
    );
    // Where it is wrapped, the remedy stands below all of it.
    let mut below = lines.take_while(|line| line.starts_with(' '));
    assert!(below.any(|line| line.contains("=> ")), "{table}");
    assert!(
        table.ends_with("`auditor run` would not work: 1 failed\n"),
        "{table}"
    );
    assert!(!table.contains('\x1b'), "{table}");
}

#[test]
fn wrong_flags_are_usage_errors_as_with_run() {
    for (flag, value) in [
        ("--output", "xml"),
        ("--backend", "magic"),
        ("--cluster", "ftp:x"),
    ] {
        let place = Place::new().with(flag, value);
        assert_refused(&finish(place.command("check")), 2, &[flag, value]);
    }
}

#[test]
fn a_kubelet_that_run_would_take_for_a_thief_fails() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    assert_state(&place.check(), "kubelet", "ok");
    place.inputs.write(
        "policy.yaml",
        "version: 1\nkubelet: {cgroup: /no/kubelet.service}\n",
    );
    let report = place.check();
    assert_state(&report, "kubelet", "failed");
    let detail = found(&report, "kubelet")["detail"].as_str().unwrap();
    assert!(detail.contains("token-harvest"), "{detail}");
    // `run` starts, and says it before anything else.
    let mut running = Running::spawn(&place.inputs, place.command("run"));
    let lines = running.ready();
    let told = lines
        .iter()
        .find(|line| line["event"] == "health" && line["component"] == "kubelet");
    let message = told.expect("a health line")["message"].as_str().unwrap();
    assert!(message.contains("/no/kubelet.service"), "{message}");
}

/// The cgroup alone: whose executable is the kubelet's is read from the process, for which root needs CAP_SYS_PTRACE.
#[test]
fn without_ptrace_the_kubelets_executable_must_be_named() {
    if !is_root() {
        return;
    }
    let caps = "-all,+bpf,+perfmon,+dac_read_search";
    let place = Place::wrapped(&["setpriv", "--bounding-set", caps]);
    place
        .inputs
        .write("policy.yaml", "version: 1\nkubelet: {cgroup: /}\n");
    let report = place.check();
    assert_state(&report, "kubelet", "failed");
    assert_state(&report, "capability SYS_PTRACE", "degraded");
    let remedy = found(&report, "kubelet")["remedy"].as_str().unwrap();
    assert!(remedy.contains("CAP_SYS_PTRACE"), "{remedy}");
}

#[test]
fn what_run_doubts_is_degraded() {
    if !is_root() {
        return;
    }
    let report = Place::new().check();
    for row in ["cluster", "associations", "kubelet-root"] {
        assert_state(&report, row, "degraded");
    }
    let place = Place::new();
    std::fs::create_dir(place.inputs.path("kubelet/pods")).unwrap();
    assert_state(&place.check(), "kubelet-root", "ok");
}

#[test]
fn the_node_is_looked_at_without_a_cluster_and_each_source_by_itself() {
    if !is_root() {
        return;
    }
    let place = Place::new().without("--cluster");
    place.inputs.write("associations.json", "[1]");
    let report = place.check();
    assert_eq!(report["ok"], false);
    assert_state(&report, "cluster", "failed");
    assert_state(&report, "associations", "failed");
    assert_state(&report, "policy", "ok");
    assert!(report["hooks"]["file_open"].is_object());
    let mut bare = Command::new(auditor());
    bare.args(["check", "--node-name", "n1"])
        .env_remove("KUBERNETES_SERVICE_HOST");
    let output = finish(bare);
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("FAILED    cluster"), "{table}");
    assert!(
        table.lines().all(|line| line.chars().count() <= 120),
        "{table}"
    );
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

#[test]
fn a_flag_that_keeps_a_probe_away_is_named() {
    if !is_root() {
        return;
    }
    let report = Place::new().with("--backend", "syscall").check();
    assert_state(&report, "probe file_open", "degraded");
    assert_state(&report, "probe memory_access", "degraded");
    let remedy = found(&report, "probe memory_access")["remedy"]
        .as_str()
        .unwrap();
    assert!(remedy.contains("leave out --backend"), "{remedy}");
}
