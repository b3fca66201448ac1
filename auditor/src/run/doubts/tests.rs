use std::os::unix::fs::symlink;

use super::*;
use crate::cli::{NodeFacts, RunArgs};

fn config(change: impl FnOnce(&mut RunArgs)) -> RunConfig {
    let mut args = RunArgs {
        cluster: Some("file:/nonexistent".into()),
        associations: "none".into(),
        api_start_jitter: "0".into(),
        self_test_interval: "5m".into(),
        log_level: "info".into(),
        node_name: Some("n1".into()),
        host_proc: "/proc".into(),
        ..RunArgs::default()
    };
    change(&mut args);
    RunConfig::new(args, NodeFacts::default()).unwrap()
}

#[test]
fn a_kubelet_root_is_one_that_holds_pods() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(|args| args.kubelet_root = dir.path().into());
    let doubt = of_kubelet_root(&config).unwrap();
    assert!(doubt.message.contains("holds no pods"), "{doubt:?}");
    assert!(doubt.health().message.contains("--root-dir"));
    std::fs::create_dir(dir.path().join("pods")).unwrap();
    assert_eq!(of_kubelet_root(&config), None);
}

#[test]
fn an_agent_out_of_sight_is_told_with_the_reason() {
    let config = config(|_| {});
    let agent = AgentNetNs::Unknown("Permission denied (os error 13)".to_owned());
    let doubt = of_agent(&config, &agent).unwrap();
    assert!(doubt.message.contains("/proc/1/ns/net: Permission denied"));
    assert_eq!(of_agent(&config, &AgentNetNs::Known(1)), None);
}

/// A /proc of files, and cgroups that are nowhere: what the kernel says is not the question here.
#[test]
fn cgroup_v1_beside_v2_is_told_where_v2_has_no_pods() {
    let Ok(root) = crate::node::find_cgroup_root(Path::new("/proc")) else {
        println!("skipped: no cgroup v2");
        return;
    };
    let proc = tempfile::tempdir().unwrap();
    std::fs::create_dir(proc.path().join("1")).unwrap();
    let write = |kinds: &[&str]| {
        let lines: String = kinds
            .iter()
            .map(|kind| format!("30 20 0:27 / /sys/fs/cgroup/{kind} rw - {kind} {kind} rw\n"))
            .collect();
        std::fs::write(proc.path().join("1/mountinfo"), lines).unwrap();
    };
    write(&["cgroup", "tmpfs"]);
    assert!(has_v1(proc.path()));
    let hybrid = config(|args| args.host_proc = proc.path().into());
    let cgroups = Cgroups::open(&root, proc.path()).unwrap();
    assert_eq!(of_cgroups(&hybrid, &cgroups).is_some(), !cgroups.has_pods());
    write(&["tmpfs"]);
    assert_eq!(of_cgroups(&hybrid, &cgroups), None);
}

#[test]
fn a_kubelet_that_is_not_found_is_grave() {
    let Ok(root) = crate::node::find_cgroup_root(Path::new("/proc")) else {
        println!("skipped: no cgroup v2");
        return;
    };
    let cgroups = Cgroups::open(&root, Path::new("/proc")).unwrap();
    let doubt = |text: &str, host_proc: &Path| {
        let policy = Policy::parse(text.as_bytes()).unwrap();
        let config = config(|args| args.host_proc = host_proc.into());
        of_kubelet(&config, &policy, &cgroups)
    };
    let nowhere = doubt(
        "version: 1\nkubelet: {cgroup: /no/such.service}\n",
        Path::new("/proc"),
    )
    .unwrap();
    assert!(nowhere.is_grave);
    assert!(nowhere.message.contains("/no/such.service"), "{nowhere:?}");
    assert!(nowhere.remedy.contains("kubelet: {cgroup:"), "{nowhere:?}");

    // A host whose root holds a kubelet, in a cgroup that is there.
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir(host.path().join("1")).unwrap();
    symlink("/", host.path().join("1/root")).unwrap();
    let text = "version: 1\nkubelet: {cgroup: /, executable: /proc/self/exe}\n";
    assert_eq!(doubt(text, host.path()), None);
    let text = "version: 1\nkubelet: {cgroup: /, executable: /no/kubelet}\n";
    let missing = doubt(text, host.path()).unwrap();
    assert!(missing.message.contains("/no/kubelet"), "{missing:?}");
}
