//! The lab is real: what the scenes rely on is checked here without any auditor.

mod support;

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt};

use anyhow::{Result, ensure};
use lab::{
    cgroup, cleanup,
    node::{
        Lab, PodSpec,
        pod::{IRSA, POD_IDENTITY},
    },
    play, scene,
    service::agent,
    sys::mounts,
};
use support::{helpers, is_root};

/// A dead process may wait for its reaper.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
    })
}

#[test]
fn pods_are_real_and_nothing_is_left_behind() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let (dir, root) = (lab.dir().to_owned(), lab.cgroup_root().to_owned());
    lab.start_agent()?;
    let a = lab.start(PodSpec::new("shop", "a").with_pod_identity())?;
    let b = lab.start(
        PodSpec::new("shop", "b")
            .with_pod_identity_at(&format!("[{}]", agent::V6))
            .with_irsa("arn:aws:iam::1:role/b"),
    )?;

    // Each volume is a file system of its own, on the host and in the container.
    let mut devices = BTreeSet::new();
    for (pod, volume) in [(&a, POD_IDENTITY), (&b, POD_IDENTITY), (&b, IRSA)] {
        let host = fs::metadata(pod.token_below(&lab.kubelet_root(), volume))?;
        let path = pod.spec.token(volume).unwrap().path();
        let inside = fs::metadata(format!("/proc/{}/root{path}", pod.init_pid))?;
        assert_eq!((host.dev(), host.ino()), (inside.dev(), inside.ino()));
        assert!(
            devices.insert(host.dev()),
            "two volumes share device {}",
            host.dev()
        );
    }

    // Each pod has namespaces of its own, and its init lives in its cgroup with a parent outside.
    for kind in ["mnt", "pid", "net", "uts", "ipc", "cgroup"] {
        let ns = |pid: String| fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        let all = [
            ns("self".into())?,
            ns(a.init_pid.to_string())?,
            ns(b.init_pid.to_string())?,
        ];
        assert_eq!(BTreeSet::from(all).len(), 3, "{kind} namespaces are shared");
    }
    let member_of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let a_cgroup = a.cgroup.to_string_lossy().into_owned();
    let tail = &a_cgroup[a_cgroup.find("/credential-lab").unwrap()..];
    assert!(member_of(&a.init_pid.to_string())?.contains(&format!("0::{tail}\n")));
    let stat = fs::read_to_string(format!("/proc/{}/stat", a.init_pid))?;
    let parent = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    assert!(
        member_of(&parent)?.contains(cgroup::CONTAINERD),
        "init's parent is not in the runtime's cgroup"
    );
    assert_ne!(cgroup::id(&a.cgroup)?, cgroup::id(&b.cgroup)?);

    // The agent answers both through the pod's own network.
    assert!(lab.run(&a, &["sdk"])?.contains("169.254.170.23:80: 200"));
    assert!(
        lab.run(
            &b,
            &[
                "dial",
                "[fd00:ec2::23]:80",
                &b.spec.token(POD_IDENTITY).unwrap().path()
            ]
        )?
        .contains(": 200")
    );
    assert!(
        lab.run(&a, &["dial", "169.254.170.23:80"])?
            .contains(": 400")
    );
    assert!(
        lab.run(&a, &["metadata", "169.254.169.254", "region"])?
            .contains("eu-west-1")
    );
    assert!(
        lab.run(&b, &["metadata", "fd00:ec2::254", "credentials"])?
            .contains("NodeInstanceRole")
    );

    // A workload's process descends from init, an exec session's does not.
    let parents = "exec cut -d' ' -f4 /proc/self/stat";
    assert_eq!(lab.run(&a, &["sh", "-c", parents])?.trim(), "1");
    assert_eq!(lab.exec(&a, &["sh", "-c", parents])?.trim(), "0");

    drop(lab);
    ensure!(!dir.exists() && !root.exists());
    ensure!(
        !mounts::list()?
            .iter()
            .any(|m| m.mount_point.starts_with(&dir))
    );
    ensure!(!is_alive(a.init_pid));
    Ok(())
}

#[test]
fn a_container_has_the_default_capabilities_and_what_it_declares() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let plain = lab.start(PodSpec::new("shop", "plain"))?;
    let admin = lab.start(PodSpec::new("shop", "admin").with_caps(&["SYS_ADMIN"]))?;
    let own = ["sh", "-c", "grep CapEff /proc/self/status"];
    for (pod, expected) in [(&plain, "00000000a80425fb"), (&admin, "00000000a82425fb")] {
        let init = fs::read_to_string(format!("/proc/{}/status", pod.init_pid))?;
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(init.contains(&format!("{set}:\t{expected}\n")), "{init}");
        }
        for said in [lab.run(pod, &own)?, lab.exec(pod, &own)?] {
            assert_eq!(said.trim(), format!("CapEff:\t{expected}"));
        }
    }
    Ok(())
}

#[test]
fn rotation_keeps_the_device_and_swaps_the_inode_while_a_subpath_keeps_the_old_one() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let mut spec = PodSpec::new("shop", "a").with_pod_identity();
    spec.sub_paths.push(lab::node::pod::SubPath {
        volume: POD_IDENTITY.into(),
        file: POD_IDENTITY.into(),
        target: "/etc/jwt".into(),
    });
    let pod = lab.start(spec)?;
    let path = pod.token_below(&lab.kubelet_root(), POD_IDENTITY);
    let before = fs::metadata(&path)?;
    lab.rotate(&pod, POD_IDENTITY)?;
    let after = fs::metadata(&path)?;
    assert_eq!(before.dev(), after.dev());
    assert_ne!(before.ino(), after.ino());
    let old = fs::metadata(format!("/proc/{}/root/etc/jwt", pod.init_pid))?;
    assert_eq!(
        (old.dev(), old.ino(), old.nlink()),
        (before.dev(), before.ino(), 0)
    );
    Ok(())
}

#[test]
fn a_crashed_labs_leftovers_are_removed_by_the_next_one() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let pod = lab.start(PodSpec::new("shop", "a").with_pod_identity())?;
    let dir = lab.dir().to_owned();
    assert!(dir.starts_with(cleanup::STATE));
    // As after a SIGKILL: everything stays, only the lock is free.
    lab.keep();
    drop(lab);
    assert!(dir.exists());
    let next = Lab::new(&helpers())?;
    assert_ne!(next.dir(), dir);
    assert!(!dir.exists() && !pod.cgroup.exists());
    assert!(
        !mounts::list()?
            .iter()
            .any(|m| m.mount_point.starts_with(&dir))
    );
    Ok(())
}

#[test]
fn every_scenes_act_succeeds() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let names: BTreeSet<&str> = scene::all().iter().map(|s| s.name).collect();
    assert_eq!(
        play::rehearse(&helpers())?,
        names.len(),
        "two scenes have one name"
    );
    Ok(())
}
