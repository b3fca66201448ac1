//! Cgroup paths: whose a path is.
#![no_main]

use auditor::node::{CgroupOwner, parse_cgroup_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    let Some(owner) = fuzz::bounded(64 * path.len() + 4096, || parse_cgroup_path(path)) else {
        return;
    };
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let CgroupOwner {
        pod_uid,
        container_id,
        nested,
    } = &owner;
    let groups: Vec<usize> = pod_uid.split('-').map(str::len).collect();
    assert!(groups == [32] || groups == [8, 4, 4, 4, 12], "{pod_uid}");
    assert!(is_hex(&pod_uid.replace('-', "")));
    assert!(container_id.iter().all(|id| id.len() == 64 && is_hex(id)));
    // Written as the cgroupfs driver writes it, it is the same one's.
    let container = container_id.iter().map(|id| format!("/{id}"));
    let below = nested.then(|| "/below".to_owned());
    let path: String = [format!("/kubepods/pod{pod_uid}")]
        .into_iter()
        .chain(container)
        .chain(below)
        .collect();
    assert_eq!(parse_cgroup_path(&path), Some(owner));
});
