//! What several bodies have: processes, pods, tokens, bindings, evidence.

use super::Caps;
use crate::{
    event::{
        Access, Attribution, Binding, Connection, Container, Evidence, Finding, Injected,
        OtherProcess, OwnerRef, PodRef, Process, ReceivedConnection, TokenRef,
    },
    report::trim::{cut, cut_list, cut_map, cut_shared},
};

pub(super) fn cut_findings(findings: &mut Vec<Finding>, caps: Caps) {
    findings.truncate(caps.items);
    for Finding {
        id: _,
        severity: _,
        message,
        exempted_by,
    } in findings
    {
        cut(message, caps.text);
        each(exempted_by, |s| cut(s, caps.text));
    }
}

pub(super) fn cut_process(process: &mut Process, caps: Caps) {
    let Process {
        pid: _,
        tid: _,
        start_time: _,
        comm,
        exe,
        exe_inode: _,
        exe_upper_layer: _,
        exe_unlinked: _,
        args,
        uid: _,
        gid: _,
        capabilities,
        exec_session: _,
        tty,
        login_uid: _,
        parents,
        namespaces: _,
        host_namespaces: _,
    } = process;
    cut(comm, caps.name);
    each(exe, |s| cut(s, caps.text));
    cut_list(args, caps.args);
    cut_list(capabilities, caps.list);
    each(tty, |s| cut(s, caps.name));
    parents.truncate(caps.items);
    for parent in parents {
        cut(&mut parent.comm, caps.name);
    }
}

pub(super) fn cut_container(Container { id, name, image }: &mut Container, caps: Caps) {
    cut(id, caps.name);
    each(name, |s| cut(s, caps.name));
    each(image, |s| cut(s, caps.text));
}

pub(super) fn cut_pod(pod: &mut PodRef, caps: Caps) {
    let PodRef {
        namespace,
        name,
        uid,
        service_account,
        service_account_uid,
        owner,
        labels,
    } = pod;
    cut_shared(namespace, caps.name);
    cut_shared(name, caps.name);
    cut_shared(uid, caps.name);
    cut_shared(service_account, caps.name);
    each(service_account_uid, |s| cut_shared(s, caps.name));
    each(owner, |s| cut(s, caps.name));
    cut_map(labels, caps.labels);
}

pub(super) fn cut_token(token: &mut TokenRef, caps: Caps) {
    let TokenRef {
        kind: _,
        volume,
        file,
        audience,
        expiration_seconds: _,
        owner,
    } = token;
    each(volume, |s| cut(s, caps.name));
    cut(file, caps.text);
    each(audience, |s| cut(s, caps.text));
    each(owner, |owner| cut_owner(owner, caps));
}

pub(super) fn cut_owner(owner: &mut OwnerRef, caps: Caps) {
    let OwnerRef {
        namespace,
        name,
        uid,
        service_account,
    } = owner;
    each(namespace, |s| cut_shared(s, caps.name));
    each(name, |s| cut_shared(s, caps.name));
    cut_shared(uid, caps.name);
    each(service_account, |s| cut_shared(s, caps.name));
}

pub(super) fn cut_received_connection(connection: &mut ReceivedConnection, caps: Caps) {
    let ReceivedConnection {
        endpoint,
        src,
        dst,
        connect_id,
        owner,
    } = connection;
    cut(endpoint, caps.name);
    each(src, |s| cut(s, caps.name));
    cut(dst, caps.name);
    each(connect_id, |s| cut(s, caps.name));
    each(owner, |owner| cut_owner(owner, caps));
}

pub(super) fn cut_other_process(process: &mut OtherProcess, caps: Caps) {
    let OtherProcess {
        pid: _,
        start_time: _,
        comm,
        container,
        pod,
    } = process;
    cut(comm, caps.name);
    each(container, |c| cut_container(c, caps));
    each(pod, |p| cut_pod(p, caps));
}

pub(super) fn cut_access(
    Access {
        via: _,
        flags,
        backend,
        errno: _,
    }: &mut Access,
    caps: Caps,
) {
    flags.truncate(caps.items);
    cut(backend, caps.name);
}

pub(super) fn cut_connection(connection: &mut Connection, caps: Caps) {
    let Connection {
        endpoint,
        src,
        dst,
        outcome: _,
        errno: _,
        duration_us: _,
    } = connection;
    cut(endpoint, caps.name);
    each(src, |s| cut(s, caps.name));
    cut(dst, caps.name);
}

pub(super) fn cut_binding(binding: &mut Binding, caps: Caps) {
    let Binding {
        source,
        generation: _,
        hash,
        kind: _,
        association_id,
        association_arn,
        role_arn,
        target_role_arn,
        external_id,
        session_tags: _,
        session_name_prefix,
    } = binding;
    cut(source, caps.text);
    for field in [
        hash,
        association_id,
        association_arn,
        role_arn,
        target_role_arn,
        external_id,
        session_name_prefix,
    ] {
        each(field, |s| cut(s, caps.name));
    }
}

pub(super) fn cut_evidence(evidence: &mut Evidence, caps: Caps) {
    let Evidence {
        injected:
            Injected {
                irsa_role,
                pod_identity: _,
                region,
            },
        sa_role_arn,
        pod_age_ms: _,
        bindings_age_ms: _,
        policy_hash,
        observed_since,
        token_opened_at,
        learned_since,
        taken,
        candidates,
    } = evidence;
    for field in [
        irsa_role,
        region,
        sa_role_arn,
        policy_hash,
        observed_since,
        token_opened_at,
        learned_since,
    ] {
        each(field, |s| cut(s, caps.name));
    }
    cut_list(taken, caps.list);
    cut_list(candidates, caps.list);
}

pub(super) fn cut_attribution(attribution: &mut Attribution, caps: Caps) {
    let Attribution {
        process,
        owner,
        latency_us: _,
        cluster_age_ms: _,
        waited_ms: _,
        reason,
    } = attribution;
    cut(process, caps.name);
    each(owner, |s| cut(s, caps.name));
    each(reason, |s| cut(s, caps.text));
}

pub(super) fn each<T>(value: &mut Option<T>, then: impl FnOnce(&mut T)) {
    if let Some(value) = value {
        then(value);
    }
}
