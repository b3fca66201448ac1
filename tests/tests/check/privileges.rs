//! With the DaemonSet's privileges all is well; with one capability less `auditor check` names it, and `run` does as it says.

use std::{
    fs, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio, thread, time::Duration,
};

use anyhow::Result;
use lab::{
    auditor::{flags, parse, terminate},
    cgroup,
    confinement::{self, Confinement},
    node::{Lab, Pod, PodSpec},
    patience,
    scene::{associated, host_path_of, with_host_kubelet},
};
use serde_json::Value;

use crate::{
    place::{Place, assert_state, found},
    support::{Running, Tail, auditor, backend, finish, get, helpers, is_root},
};

const AUDITOR: &str = "system.slice/auditor.service";

fn capabilities() -> Vec<String> {
    let confinement = Confinement::of_manifest().expect("what the test stands on");
    confinement.capabilities().to_vec()
}

fn row(capability: &str) -> String {
    format!("capability {capability}")
}

#[test]
fn with_the_manifests_privileges_nothing_is_missing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let report = place.check();
    assert_eq!(report["ok"], true, "{report:#}");
    for capability in capabilities() {
        assert_state(&report, &row(&capability), "ok");
    }
    let mut running = Running::spawn(&place.inputs, place.command("run"));
    let lines = running.ready();
    assert!(doubted(&lines).is_empty(), "{lines:#?}");
    let confinement = Confinement::of_manifest().unwrap();
    confinement.verify(running.child.id()).unwrap();
}

/// The confinement itself: else a suite that passes under it would say nothing.
#[test]
fn what_the_manifest_does_not_allow_is_refused() {
    if !is_root() {
        return;
    }
    let confined = |script: &str| {
        let mut command = confinement::command(&helpers(), Path::new("/bin/sh"), &[]);
        finish({
            command.args(["-c", script]);
            command
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made");
    let output = confined(&format!("echo > {}", file.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(!file.exists());
    // A call that the runtime's profile does not allow ends the process.
    let output = confined("exec unshare --mount true");
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    let output = confined("ls /sys/kernel/btf /sys/kernel/tracing");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("vmlinux") && !said.contains("events"),
        "{said}"
    );
}

#[test]
fn each_capability_that_is_taken_away_is_named_and_run_does_as_check_says() {
    if !is_root() {
        return;
    }
    for missing in capabilities() {
        let place = Place::lacking(&missing);
        let report = place.check();
        println!("without {missing}: {}", report["ok"]);
        let is_required = matches!(missing.as_str(), "BPF" | "PERFMON");
        assert_eq!(report["ok"], !is_required, "{missing}: {report:#}");
        for capability in capabilities() {
            let state = match (capability == missing, is_required) {
                (false, _) => "ok",
                (true, true) => "failed",
                (true, false) => "degraded",
            };
            assert_state(&report, &row(&capability), state);
        }
        let name = format!("CAP_{missing}");
        let remedy = found(&report, &row(&missing))["remedy"].to_string();
        assert!(remedy.contains(&name), "{remedy}");
        if is_required {
            let output = finish(place.command("run"));
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{log}");
            assert!(log.contains(&name), "{log}");
            continue;
        }
        // It starts, and says so in the stream before anything else.
        let mut running = Running::spawn(&place.inputs, place.command("run"));
        let lines = running.ready();
        let doubted = doubted(&lines);
        assert!(
            matches!(&doubted[..], [only] if only.starts_with(&name)),
            "{missing}: {doubted:?}"
        );
        let ready = lines.last().unwrap();
        assert_eq!(get(ready, "/readyz").0, 200);
        terminate(&mut running.child, Duration::from_secs(2) * patience()).unwrap();
    }
}

/// What it says of its capabilities.
fn doubted(lines: &[Value]) -> Vec<String> {
    let health = lines.iter().filter(|line| line["event"] == "health");
    health
        .filter(|line| line["component"] == "capabilities")
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// In a pid namespace of its own, as in a pod without hostPID, the auditor looks for what is open already in the host's /proc. The
/// directory of a process' descriptors is for its user alone (0500).
#[test]
fn what_other_users_held_before_is_seen_with_dac_read_search_only() {
    if !is_root() {
        return;
    }
    seen_before(&[], &["payments/nobody", "payments/root"]).unwrap();
    seen_before(&["DAC_READ_SEARCH".to_owned()], &["payments/root"]).unwrap();
}

/// Which of two thieves, one of another user, is told of by an auditor that starts when they have the token open.
fn seen_before(without: &[String], expected: &[&str]) -> Result<()> {
    let mut lab = Lab::new(&helpers())?;
    let (victim, _) = associated(&mut lab, "shop", "chest")?;
    let path = host_path_of(&victim);
    let as_another = "exec 3<\"$0\" && exec setpriv --reuid=1000 --regid=1000 --clear-groups pause";
    let nobody = thief(&mut lab, "nobody", &["sh", "-c", as_another, &path])?;
    let root = thief(&mut lab, "root", &["hand", "hold", &path])?;
    lab.run(&nobody, &["true"])?;
    lab.tell(&root, "\"ready\"")?;

    let output = lab.dir().join("held.jsonl");
    let enter = helpers().join("enter");
    let confined = confinement::command(&helpers(), &auditor(), without);
    let mut command = lab.command(AUDITOR, &enter)?;
    command
        .args(["--unshare", "--"])
        .arg(confined.get_program());
    command
        .args(confined.get_args())
        .arg("run")
        .args(flags(&lab));
    command
        .args(["--backend", &backend(), "--output-file"])
        .arg(&output);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let opener = |line: &Value| {
        let pod = |field: &str| line["pod"][field].as_str().unwrap_or_default().to_owned();
        let app = pod("name").rsplit_once('-').map(|(app, _)| app.to_owned());
        let is_held = line["access"]["via"] == "held";
        is_held.then(|| format!("{}/{}", pod("namespace"), app.unwrap_or_default()))
    };
    // Processes are looked at in no order, and all within milliseconds.
    let first = Tail::new(&output).until("a thief's line", |line| opener(line).is_some());
    thread::sleep(Duration::from_secs(2) * patience());
    cgroup::kill(&lab.cgroup_root().join(AUDITOR))?;
    child.wait()?;
    first?;
    let lines = fs::read_to_string(&output)?;
    let lines: Vec<Value> = lines.lines().filter_map(parse).collect();
    let mut seen: Vec<_> = lines.iter().filter_map(opener).collect();
    seen.sort();
    assert_eq!(seen, expected, "without {without:?}");
    Ok(())
}

fn thief(lab: &mut Lab, app: &str, argv: &[&str]) -> Result<Pod> {
    let mut spec = PodSpec::new("payments", app);
    spec.argv = argv.iter().map(|&word| word.to_owned()).collect();
    with_host_kubelet(lab, spec)
}
