//! `auditor status` asks a real daemon.

mod support;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::{Command, Output},
    time::{Duration, Instant},
};

use lab::auditor::terminate;
use serde_json::Value;
use support::{Inputs, Running, assert_refused, auditor, finish, is_root};

fn status(inputs: &Inputs, args: &[&str]) -> Output {
    let mut command = Command::new(auditor());
    command
        .arg("status")
        .arg("--state-dir")
        .arg(inputs.path("state"))
        .args(args);
    finish(command)
}

fn answer(inputs: &Inputs) -> Value {
    let output = status(inputs, &["--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn it_tells_what_ready_and_stopped_tell_and_what_goes_wrong_meanwhile() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    let lines = auditor.ready();
    let ready = lines.last().unwrap();
    let told = answer(&inputs);
    assert_eq!(told["schema"], "auditor-status/v1");
    for key in [
        "run_id", "node", "cluster", "version", "kernel", "metrics", "coverage",
    ] {
        assert_eq!(told[key], ready[key], "{key}");
    }
    assert_eq!(told["pid"], auditor.child.id());
    let hooks = ready["backends"].as_object().unwrap();
    assert_eq!(told["hooks"].as_object().unwrap().len(), hooks.len());
    for (name, hook) in hooks {
        assert_eq!(told["hooks"][name]["backend"], hook["backend"], "{name}");
    }
    let source = |name: &str| told["sources"][name].clone();
    assert_eq!(source("cluster")["count"], 0);
    assert_eq!(source("associations")["count"], 0);
    assert!(
        source("policy")["source"]
            .as_str()
            .unwrap()
            .ends_with("policy.yaml")
    );
    assert_eq!(source("policy")["hash"], ready["policy_hash"]);
    assert_eq!(told["sink"]["failing"], Value::Null);
    assert!(
        told["sink"]["name"]
            .as_str()
            .unwrap()
            .ends_with("out.jsonl")
    );
    assert_eq!(told["lines"]["ready"]["-"], 1);
    let totals = &told["totals"];
    let number = |key: &str| totals[key].as_u64().unwrap();
    let others = [
        "lines",
        "counted_only",
        "merged",
        "folded",
        "lost",
        "on_the_way",
    ];
    assert_eq!(
        number("matched"),
        others.iter().map(|key| number(key)).sum::<u64>()
    );

    // What changes is told: a policy that is refused.
    inputs.write("policy.yaml", "{ broken");
    auditor.until(|line| line["state"] == "reload-refused");
    let told = answer(&inputs);
    let trouble = told["sources"]["policy"]["trouble"]
        .as_str()
        .unwrap_or_default();
    assert!(trouble.contains("policy.yaml"), "{told}");

    let text = status(&inputs, &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    for word in [
        "auditor ",
        " on n1 (c1)",
        "\nready\n",
        "HOOKS",
        "file_open",
        "SOURCES",
        "EVENTS",
        "policy.yaml",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
    let painted = status(&inputs, &["--color", "always"]);
    assert!(painted.stdout.contains(&0x1b));

    assert!(
        terminate(&mut auditor.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    assert_refused(
        &status(&inputs, &[]),
        1,
        &[
            "no auditor runs with",
            "the last one was heard at 20",
            "help: is it running",
        ],
    );
}

#[test]
fn after_a_sigkill_nobody_answers_and_the_next_run_does() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut first = Running::start(&inputs);
    first.ready();
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(inputs.path("state/control.sock").exists());
    assert_refused(&status(&inputs, &[]), 1, &["no auditor runs with"]);
    let mut second = Running::start(&inputs);
    let run_id = second.ready()[0]["run_id"].clone();
    assert_eq!(answer(&inputs)["run_id"], run_id);
}

#[test]
fn a_directory_that_is_not_there_and_a_user_who_may_not_are_told_apart() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    assert_refused(
        &status(&inputs, &[]),
        1,
        &["there is no directory", "help: name the --state-dir"],
    );
    let mut auditor = Running::start(&inputs);
    auditor.ready();
    // The way to it is open, as where somebody made it so.
    for path in [inputs.dir.path().to_owned(), inputs.path("state")] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let as_nobody = |program: &std::path::Path| {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        command.uid(65534).gid(65534);
        command
    };
    // Nobody may not read what is built below root's home.
    let program = inputs.path("auditor");
    std::fs::copy(support::auditor(), &program).unwrap();
    let mut command = as_nobody(&program);
    command
        .arg("status")
        .arg("--state-dir")
        .arg(inputs.path("state"));
    assert_refused(&finish(command), 1, &["may not ask", "help: ask as root"]);
    // Not even where the socket's mode was changed.
    {
        use std::os::unix::fs::PermissionsExt as _;
        let socket = inputs.path("state/control.sock");
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = as_nobody(&program);
    command
        .arg("status")
        .arg("--state-dir")
        .arg(inputs.path("state"));
    // Root's socket is no stranger's to him; he is one to it.
    assert_refused(
        &finish(command),
        1,
        &["the auditor refuses: user 65534 may not ask"],
    );
    assert_eq!(answer(&inputs)["schema"], "auditor-status/v1");
}

#[test]
fn clients_who_say_nothing_or_never_read_hold_up_neither_the_daemon_nor_its_stop() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    auditor.ready();
    let socket = inputs.path("state/control.sock");
    let mut clients: Vec<UnixStream> = Vec::new();
    for n in 0..64 {
        let mut client = UnixStream::connect(&socket).unwrap();
        if n % 2 == 0 {
            // Never reads; may be hung up on already.
            let _ = client.write_all(b"status\n");
        }
        clients.push(client);
    }
    let begun = Instant::now();
    answer(&inputs);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    // It goes on with its work.
    inputs.write("policy.yaml", "{ broken");
    auditor.until(|line| line["state"] == "reload-refused");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let status = terminate(&mut auditor.child, Duration::from_secs(2)).unwrap();
    assert_eq!(status.code(), Some(0));
    for mut client in clients {
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
    }
}

#[test]
fn without_a_state_directory_it_is_usage() {
    let mut command = Command::new(auditor());
    command.arg("status");
    assert_refused(&finish(command), 2, &["--state-dir"]);
}
