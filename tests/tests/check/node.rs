//! What it says of the machine: privileges, probes, the kubelet.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::{
    place::{Place, assert_state, found},
    support::{self, Inputs, Running, is_root},
};

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
