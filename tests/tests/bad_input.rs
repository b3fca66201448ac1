//! What the auditor says when it cannot work: exit code 2 for usage, 1 for the environment, and a message that names the
//! thing and the remedy.

mod support;

use std::{path::Path, process::Command};

use support::{Inputs, assert_refused, auditor, finish, helpers, is_root};

#[test]
fn missing_files_are_named() {
    let inputs = Inputs::new();
    for (name, remedy) in [
        ("cluster.json", "--cluster"),
        ("associations.json", "--associations"),
        ("policy.yaml", "--policy"),
    ] {
        std::fs::remove_file(inputs.path(name)).unwrap();
        assert_refused(&finish(inputs.command()), 1, &[name, remedy]);
        let fresh = Inputs::new();
        std::fs::copy(fresh.path(name), inputs.path(name)).unwrap();
    }
}

#[test]
fn broken_files_are_named_with_the_place() {
    for (name, text) in [
        ("cluster.json", "{\"apiVersion\":\"v1\",\n\"items\": oops"),
        (
            "associations.json",
            "{\"associations\":\n[{\"namespace\":1}]}",
        ),
        ("policy.yaml", "version: 1\nno_such_key: true\n"),
    ] {
        let inputs = Inputs::new();
        inputs.write(name, text);
        assert_refused(&finish(inputs.command()), 1, &[name, "line 2"]);
    }
}

#[test]
fn unknown_flag_values_are_usage_errors() {
    let inputs = Inputs::new();
    for (flag, value) in [
        ("--backend", "magic"),
        ("--output", "xml"),
        ("--args", "some"),
        ("--endpoint", "nowhere"),
        ("--cluster", "ftp:x"),
        ("--associations", "carrier-pigeon"),
        ("--metrics-listen", "everywhere"),
    ] {
        // Everything else is in order.
        let mut args = inputs.args();
        match args.iter().position(|a| a == flag) {
            Some(at) => args[at + 1] = value.to_owned(),
            None => args.extend([flag.to_owned(), value.to_owned()]),
        }
        let mut command = Command::new(auditor());
        command.args(args);
        assert_refused(&finish(command), 2, &[flag, value]);
    }
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let mut command = Command::new(auditor());
    command.args(["run", "--no-such-flag"]);
    assert_refused(&finish(command), 2, &["--no-such-flag"]);
}

/// The auditor on good input, in a place made by the helper `enter`.
fn confined(inputs: &Inputs, options: &[&str]) -> Command {
    let mut command = Command::new(helpers().join("enter"));
    command
        .args(options)
        .arg("--")
        .arg(auditor())
        .args(inputs.args());
    command
}

#[test]
fn a_kernel_without_btf_is_named() {
    if !is_root() || !Path::new("/sys/kernel/btf").is_dir() {
        println!("skipped: this needs root and a kernel with BTF to hide");
        return;
    }
    let inputs = Inputs::new();
    assert_refused(
        &finish(confined(&inputs, &["--hide", "/sys/kernel/btf"])),
        1,
        &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"],
    );
}

#[test]
fn a_missing_capability_is_named() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    assert_refused(
        &finish(confined(&inputs, &["--drop-capabilities"])),
        1,
        &["CAP_BPF"],
    );
}

#[test]
fn a_node_without_cgroup_v2_is_named() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let root = lab::cgroup::find_root().unwrap();
    let mut command = Command::new(helpers().join("enter"));
    command.arg("--unmount").arg(root).arg("--").arg(auditor());
    // Without --cgroup-root it is to be found in mountinfo.
    let args = inputs.args();
    let at = args.iter().position(|a| a == "--cgroup-root").unwrap();
    command.args(&args[..at]).args(&args[at + 2..]);
    assert_refused(&finish(command), 1, &["cgroup v2"]);
}
