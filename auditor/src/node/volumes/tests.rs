use super::*;

#[derive(Default)]
struct Told(HashMap<Device, u32>);

impl Classify for Told {
    fn set(&mut self, device: Device, entry: VolumeEntry) -> Result<(), String> {
        self.0.insert(device, entry.class);
        Ok(())
    }

    fn remove(&mut self, device: Device) {
        self.0.remove(&device);
    }
}

fn opened(minor: u32, fsid: u64, walk: &[u8]) -> FileInfo {
    let mut file = <FileInfo as zerocopy::FromZeros>::new_zeroed();
    file.dev = minor;
    file.identity.fsid = fsid;
    file.mount_ns = 1;
    file.mount_path[..walk.len()].copy_from_slice(walk);
    file.mount_path_len = walk.len() as u32;
    file
}

#[test]
fn a_reused_device_number_is_never_taken_for_its_last_owner() {
    let mut volumes =
        Volumes::open(Path::new("/nowhere/kubelet"), Path::new("/proc"), Some(1)).unwrap();
    let mut told = Told::default();
    let first = b"v\0kubernetes.io~projected\0volumes\0u-1\0pods\0kubelet\0nowhere\0";
    let second = b"v\0kubernetes.io~projected\0volumes\0u-2\0pods\0kubelet\0nowhere\0";
    let whose = |found: Whose| match found {
        Whose::Pod(owner, _) => owner.pod_uid.to_string(),
        other => format!("{other:?}"),
    };
    let device = 4_000;
    assert_eq!(
        whose(volumes.owner_of(&opened(device, 7, first), &mut told)),
        "u-1"
    );
    assert_eq!(
        told.0.get(&Device::from_kernel(device)),
        Some(&class::TOKEN)
    );
    assert_eq!(
        whose(volumes.owner_of(&opened(device, 8, second), &mut told)),
        "u-2"
    );
    // A late event of the first one.
    assert_eq!(
        whose(volumes.owner_of(&opened(device, 7, b""), &mut told)),
        "u-1"
    );
    assert_eq!(
        whose(volumes.owner_of(&opened(device, 9, b""), &mut told)),
        "Unknown"
    );
}

#[test]
fn a_pods_own_tmpfs_is_passed_over_once_it_is_known_to_be_no_volume() {
    let mut volumes =
        Volumes::open(Path::new("/nowhere/kubelet"), Path::new("/proc"), Some(1)).unwrap();
    let mut told = Told::default();
    assert_eq!(
        volumes.owner_of(&opened(4_001, 7, b""), &mut told),
        Whose::Unknown
    );
    assert_eq!(
        told.0.get(&Device::from_kernel(4_001)),
        Some(&class::IGNORE)
    );
    volumes.rescan(&mut told);
    assert!(told.0.is_empty(), "looked at anew when mounts change");
    // The kernel half did not get up to PID 1 and looked at no mounts: nothing is known.
    let mut file = opened(4_002, 7, b"");
    file.mount_ns = 0;
    assert_eq!(volumes.owner_of(&file, &mut told), Whose::Unknown);
    assert!(told.0.is_empty());
}

#[test]
fn only_the_kubelets_layout_has_an_owner() {
    let pods = Path::new("/var/lib/kubelet/pods");
    let owner = |path: &str| owner_of_mount(pods, Path::new(path));
    let found =
        owner("/var/lib/kubelet/pods/u-1/volumes/kubernetes.io~projected/aws-iam-token").unwrap();
    assert_eq!((&*found.pod_uid, &*found.volume), ("u-1", "aws-iam-token"));
    assert!(found.may_hold_tokens());
    assert!(
        !owner("/var/lib/kubelet/pods/u/volumes/kubernetes.io~secret/s")
            .unwrap()
            .may_hold_tokens()
    );
    for path in [
        "/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected",
        "/var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/v/deeper",
        "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount/deeper",
        "/var/lib/kubelet/pods/u/volume-subpaths/v/c/0",
        "/elsewhere/pods/u/volumes/kubernetes.io~projected/v",
    ] {
        assert_eq!(owner(path), None, "{path}");
    }
}

#[test]
fn the_kernels_walk_is_held_against_the_kubelets_root() {
    let root = Path::new("/var/lib/kubelet");
    let walked = |walk: &[u8]| match owner_of_walk(root, components(walk, walk.len() as u32)) {
        Some(Walked::Ours(owner)) => format!("{}/{}", owner.pod_uid, owner.volume),
        Some(Walked::Elsewhere) => "elsewhere".to_owned(),
        None => "none".to_owned(),
    };
    for (walk, expected) in [
        (
            &b"t\0kubernetes.io~projected\0volumes\0u-1\0pods\0kubelet\0lib\0var\0"[..],
            "u-1/t",
        ),
        (b"t\0kubernetes.io~projected\0volumes\0u-1\0pods\0", "u-1/t"),
        (
            b"mount\0s\0kubernetes.io~csi\0volumes\0u-1\0pods\0kubelet\0lib\0var\0",
            "u-1/s",
        ),
        (
            b"t\0kubernetes.io~projected\0volumes\0u-1\0pods\0k2\0lib\0var\0",
            "elsewhere",
        ),
        (
            b"x\0t\0kubernetes.io~projected\0volumes\0u-1\0pods\0kubelet\0lib\0var\0",
            "none",
        ),
        (b"t\0kubernetes.io~projected\0volumes\0", "none"),
        (b"t\0\xff\0", "none"),
    ] {
        assert_eq!(walked(walk), expected, "{}", walk.escape_ascii());
    }
}
