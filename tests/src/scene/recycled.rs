//! Numbers that the kernel gives out again.

use std::{fs, os::unix::fs::MetadataExt, path::Path, thread, time::Duration};

use anyhow::Result;

use super::{Scene, associate, token_path};
use crate::{
    expect::Expected,
    node::{Lab, Pod, PodSpec, pod::POD_IDENTITY},
    wire::Worker,
};

const ATTEMPTS: u32 = 4;

pub const SCENES: &[Scene] = &[Scene {
    name: "recycled-namespace",
    about: "ops/agentless (hostPID) reads its own token in a mount namespace with the number of a deleted pod's",
    play: |stage| {
        let lab = &mut stage.lab;
        let role = associate(lab, "ops", "agentless")?;
        let role_of_gone = associate(lab, "ops", "gone")?;
        let gone = lab.start(PodSpec::daemon("ops", "gone").with_pod_identity())?;
        lab.run(&gone, &["peek", &token_path(&gone, POD_IDENTITY)])?;
        let mut expected =
            vec![Expected::own_open(&gone, POD_IDENTITY).bound("pod-identity", &role_of_gone)];
        let number = mount_namespace(&gone)?;
        lab.remove_from_node(&gone)?;
        for _ in 0..ATTEMPTS {
            // The kernel may free a namespace a moment after its last process.
            thread::sleep(Duration::from_millis(50));
            let Some(_lower_numbers) = make_next(lab, number)? else {
                continue;
            };
            let mut spec = PodSpec::daemon("ops", "agentless").with_pod_identity();
            spec.host_pid = true;
            let pod = lab.start(spec)?;
            lab.run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
            expected.push(Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role));
            if mount_namespace(&pod)? == number {
                return Ok(expected);
            }
            lab.remove_from_node(&pod)?;
        }
        stage.skipped = Some(format!("namespace number {number} did not come again"));
        Ok(expected)
    },
}];

/// Makes `number` the one that the next mount namespace gets, as long as the returned worker lives; none where it is
/// not free.
fn make_next(lab: &Lab, number: u64) -> Result<Option<Worker>> {
    let helper = lab.helpers().join("namespaces");
    let command = lab.command("system.slice/ssh.service", Path::new(&helper))?;
    let mut worker = Worker::spawn("namespaces", command)?;
    let is_next: bool = worker.call(&number)?;
    Ok(is_next.then_some(worker))
}

/// The number in `/proc/PID/ns/mnt`.
fn mount_namespace(pod: &Pod) -> Result<u64> {
    Ok(fs::metadata(format!("/proc/{}/ns/mnt", pod.init_pid))?.ino())
}
