//! Who did it: processes, containers, and the identities of Kubernetes.

use serde_json::{Value, json};

use crate::event::{Container, OtherProcess, OwnerRef, Parent, PodRef, Process};

/// `actor`: the process, and the ServiceAccount that it acts as.
pub(super) fn actor(
    process: &Process,
    container: Option<&Container>,
    pod: Option<&PodRef>,
) -> Value {
    json!({
        "process": self::process(process, container, pod),
        "user": pod.map(service_account),
    })
}

/// `process`, without what [`unmapped`] says of it.
fn process(process: &Process, container: Option<&Container>, pod: Option<&PodRef>) -> Value {
    let Process {
        pid,
        tid,
        start_time,
        comm,
        exe,
        exe_inode,
        exe_upper_layer: _,
        exe_unlinked,
        args,
        uid,
        gid,
        capabilities: _,
        exec_session: _,
        tty,
        login_uid,
        parents,
        namespaces: _,
        host_namespaces: _,
    } = process;
    let file = json!({
        "name": exe.as_deref().map_or("unknown", file_name),
        "path": exe,
        "uid": exe_inode,
        "type_id": 8,
        "type": "Executable File",
        "is_deleted": exe_unlinked,
    });
    json!({
        "pid": pid,
        "ptid": tid,
        "uid": process_uid(*pid, *start_time),
        "name": comm,
        "cmd_line": (!args.is_empty()).then(|| cmd_line(args)),
        "created_time": start_time.as_millisecond(),
        "file": (exe.is_some() || exe_inode.is_some()).then_some(file),
        "user": {"uid": uid.to_string()},
        "group": {"uid": gid.to_string()},
        "auid": login_uid,
        "session": tty.as_ref().map(|terminal| json!({"terminal": terminal})),
        "parent_process": parents.first().map(parent),
        "ancestry": parents.iter().map(parent).collect::<Vec<_>>(),
        "container": self::container(container, pod),
    })
}

/// What OCSF has no attribute for.
pub(super) fn unmapped(process: &Process) -> Value {
    json!({
        "capabilities": process.capabilities,
        "exe_upper_layer": process.exe_upper_layer,
        "exec_session": process.exec_session,
        "host_namespaces": process.host_namespaces,
        "namespaces": process.namespaces,
    })
}

/// `process`: one that something was done to.
pub(super) fn other_process(other: &OtherProcess) -> Value {
    let OtherProcess {
        pid,
        start_time,
        comm,
        container,
        pod,
    } = other;
    json!({
        "pid": pid,
        "uid": process_uid(*pid, *start_time),
        "name": comm,
        "created_time": start_time.as_millisecond(),
        "container": self::container(container.as_ref(), pod.as_ref()),
    })
}

/// Pids are used again: with its start, to the nanosecond, it is one process.
fn process_uid(pid: u32, start_time: jiff::Timestamp) -> String {
    format!("{pid}@{start_time}")
}

fn parent(Parent { pid, comm }: &Parent) -> Value {
    json!({"pid": pid, "name": comm})
}

fn container(container: Option<&Container>, pod: Option<&PodRef>) -> Option<Value> {
    let Container { id, name, image } = container?;
    Some(json!({
        "uid": id,
        "name": name,
        "image": image.as_ref().map(|image| json!({"uid": image, "name": image})),
        "orchestrator": "EKS",
        // Static pods have a hash there.
        "pod_uuid": pod.map(|pod| &*pod.uid).filter(|uid| uuid::Uuid::parse_str(uid).is_ok()),
    }))
}

/// `user`: how the API server names a ServiceAccount.
pub(super) fn service_account(pod: &PodRef) -> Value {
    json!({
        "name": account_name(&pod.namespace, &pod.service_account),
        "uid": pod.service_account_uid,
        "type_id": 4,
        "type": "Service",
    })
}

/// `user`: the owner's ServiceAccount; none while only the pod's uid is known.
pub(super) fn owner(owner: &OwnerRef) -> Option<Value> {
    let (namespace, account) = (owner.namespace.as_ref()?, owner.service_account.as_ref()?);
    Some(json!({
        "name": account_name(namespace, account),
        "type_id": 4,
        "type": "Service",
    }))
}

fn account_name(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/')
        .find(|name| !name.is_empty())
        .unwrap_or(path)
}

/// As a POSIX shell reads it back into the same arguments.
fn cmd_line(args: &[String]) -> String {
    let quoted = args.iter().map(|arg| {
        let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%…".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.clone()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_argument_ends_is_told() {
        let args = ["sh", "-c", "cat 'x'", "", "a=b"].map(String::from);
        assert_eq!(cmd_line(&args), r"sh -c 'cat '\''x'\''' '' a=b");
    }

    #[test]
    fn a_path_has_a_last_name() {
        for (path, name) in [("/bin/cat", "cat"), ("cat", "cat"), ("/", "/"), ("a/", "a")] {
            assert_eq!(file_name(path), name);
        }
    }
}
