use auditor_common::VolumeIdentity;

use super::*;

const KEY: FloodKey = FloodKey {
    cgroup_id: 7,
    object: 0,
    exe_ino: 0,
    exe_dev: 0,
    dev: 0,
    kind: kind::OPEN,
    stranger: 0,
    session: 0,
};

fn state(folded: u64, last: u64) -> FloodState {
    FloodState {
        tat: 0,
        folded,
        first: 10,
        last,
    }
}

#[test]
fn each_that_was_folded_is_told_of_once() {
    let mut floods = Floods::default();
    assert_eq!(floods.news(&KEY, &state(0, 0)), None, "a bucket that held");
    assert_eq!(floods.news(&KEY, &state(5, 20)), Some((5, 10)));
    let now = Instant::now();
    assert!(floods.is_due(&KEY, now));
    let told = Told {
        folded: 5,
        last: 20,
        at: now,
    };
    floods.told.insert(KEY, told);
    assert_eq!(floods.news(&KEY, &state(5, 20)), None);
    assert_eq!(floods.news(&KEY, &state(9, 30)), Some((4, 20)));
    assert!(!floods.is_due(&KEY, now + SWEEP));
    assert!(floods.is_due(&KEY, now + AGAIN));
}

#[test]
fn volumes_are_remembered_by_their_superblock_and_bounded() {
    let owner = |n: u64| VolumeOwner {
        pod_uid: n.to_string().into(),
        volume: "token".into(),
        plugin: "kubernetes.io~projected".into(),
    };
    let file = |superblock| -> FileInfo {
        let mut file: FileInfo = zerocopy::FromZeros::new_zeroed();
        file.identity = VolumeIdentity {
            fsid: 1,
            superblock,
        };
        file
    };
    let mut floods = Floods::default();
    floods.learn_volume(&file(0), &owner(0));
    assert!(
        floods.volumes.is_empty(),
        "an iterator's, without an address"
    );
    floods.learn_volume(&file(1), &owner(1));
    floods.learn_volume(&file(1), &owner(2));
    assert_eq!(floods.volumes.get(&(0, 1)), Some(&owner(2)));
    for n in 0..2 * VOLUMES as u64 {
        floods.learn_volume(&file(n + 2), &owner(n));
    }
    assert_eq!(floods.volumes.len(), VOLUMES);
    assert_eq!(floods.volumes_order.len(), VOLUMES);
}
