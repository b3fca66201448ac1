//! Cgroup paths to pods: both cgroup drivers' names, nested cgroups, static pods' hash UIDs, any prefix.
//!
//! Names: kubernetes pkg/kubelet/cm/cgroup_manager_linux.go `ToSystemd`; containerd internal/cri/server/helpers.go
//! `getCgroupsPath`.

/// Whose cgroup a path is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupOwner {
    /// 8-4-4-4-12 with dashes, or 32 hex digits (a static pod's config hash).
    pub pod_uid: String,
    /// 64 hex digits; `None` for the pod's own cgroup.
    pub container_id: Option<String>,
    /// The path goes on below the container's cgroup: systemd in a container, for one.
    pub nested: bool,
}

/// `None` for what is no pod's. The outermost pod counts: what lies below a container is the container's to name, and could be
/// called like any other pod.
pub fn parse(path: &str) -> Option<CgroupOwner> {
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (pod_at, pod_uid, rest) = components
        .iter()
        .enumerate()
        .find_map(|(at, component)| pod_uid(component).map(|(uid, rest)| (at, uid, rest)))?;
    // A kubelet with the systemd driver and a containerd without: `…pod<uid>.slice:cri-containerd:<id>` in one component.
    let inline = rest.and_then(container_id);
    let below = components.get(pod_at + 1..).unwrap_or_default();
    let found = below
        .iter()
        .position(|component| container_id(component).is_some());
    let container_id = match (&inline, found) {
        (Some(id), _) => Some((*id).to_owned()),
        (None, Some(at)) => below
            .get(at)
            .and_then(|component| container_id(component))
            .map(str::to_owned),
        (None, None) => None,
    };
    let nested = match (&inline, found) {
        (Some(_), _) => !below.is_empty(),
        (None, Some(at)) => at + 1 < below.len(),
        (None, None) => !below.is_empty(),
    };
    Some(CgroupOwner {
        pod_uid,
        container_id,
        nested,
    })
}

/// `pod<uid>`, `kubepods-burstable-pod<uid with _>.slice`, and whatever follows a colon.
fn pod_uid(component: &str) -> Option<(String, Option<&str>)> {
    let (name, rest) = match component.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (component, None),
    };
    let name = match name.strip_suffix(".slice") {
        // systemd's driver: the whole hierarchy stands in the name.
        Some(slice) if slice.starts_with("kubepods") || slice.contains("-kubepods") => {
            slice.rsplit_once("-pod")?.1
        }
        Some(_) => return None,
        None => name.strip_prefix("pod")?,
    };
    let uid = name.replace('_', "-");
    (is_uuid(&uid) || is_hex(&uid, 32)).then_some((uid, rest))
}

/// `<id>`, `cri-containerd-<id>.scope`, `crio-<id>`, `cri-containerd:<id>`. Not `crio-conmon-<id>`: the monitor is no container.
fn container_id(component: &str) -> Option<&str> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    if name.starts_with("crio-conmon-") {
        return None;
    }
    let id = name.rsplit(['-', ':']).next()?;
    is_hex(id, 64).then_some(id)
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.len() == 5
        && groups
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(group, len)| is_hex(group, len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012";
    const ID: &str = "9c0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd";

    #[test]
    fn every_drivers_names() {
        let underscored = UID.replace('-', "_");
        let hash = "1db680c2883dc532f70b6887258b2aa2";
        let cases = [
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{underscored}.slice/cri-containerd-{ID}.scope"
                ),
                UID,
                Some(ID),
                false,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-pod{underscored}.slice/cri-containerd-{ID}.scope"
                ),
                UID,
                Some(ID),
                false,
            ),
            (
                format!("/kubepods/besteffort/pod{UID}/{ID}"),
                UID,
                Some(ID),
                false,
            ),
            (format!("/kubepods/pod{UID}/{ID}"), UID, Some(ID), false),
            (format!("/kubepods/pod{UID}"), UID, None, false),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{underscored}.slice/crio-{ID}.scope/container"
                ),
                UID,
                Some(ID),
                true,
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{underscored}.slice/crio-conmon-{ID}.scope"
                ),
                UID,
                None,
                true,
            ),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{underscored}.slice:cri-containerd:{ID}"
                ),
                UID,
                Some(ID),
                false,
            ),
            (
                format!("/kubepods/burstable/pod{hash}/{ID}"),
                hash,
                Some(ID),
                false,
            ),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{underscored}.slice/cri-containerd-{ID}.scope/init.scope"
                ),
                UID,
                Some(ID),
                true,
            ),
            // What a container makes below itself does not speak for another pod.
            (
                format!(
                    "/kubepods/pod{UID}/{ID}/kubepods/pod00000000-0000-0000-0000-000000000000/{ID}"
                ),
                UID,
                Some(ID),
                true,
            ),
        ];
        for (path, uid, id, nested) in cases {
            let owner = parse(&path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                (
                    owner.pod_uid.as_str(),
                    owner.container_id.as_deref(),
                    owner.nested
                ),
                (uid, id, nested),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_no_pods() {
        for path in [
            "/",
            "",
            "/runtime.slice/kubelet.service",
            "/system.slice/containerd.service",
            "/kubepods.slice",
            "/kubepods/pod",
            "/kubepods/podnope",
            "/user.slice/app-pod0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012.slice",
            "/kubepods/podABCDEF85-c1f9-4dee-b6e9-a0b50c8f3012",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC*") {
            let _ = parse(&path);
        }

        #[test]
        fn a_pods_cgroup_is_found_below_any_prefix(prefix in "(/[a-z.]{1,12}){0,4}", nested in "(/[a-z.]{1,12}){0,3}") {
            let owner = parse(&format!("{prefix}/kubepods/burstable/pod{UID}/{ID}{nested}")).unwrap();
            prop_assert_eq!(owner.pod_uid, UID);
            prop_assert_eq!(owner.container_id.as_deref(), Some(ID));
            prop_assert_eq!(owner.nested, !nested.is_empty());
        }
    }
}
