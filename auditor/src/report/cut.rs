//! Makes a body fit a line. What was cut says so where it was cut: `…[N bytes cut]`, `…[N more cut]`.
//!
//! Every type is taken apart by name, so that a new field cannot be forgotten here.

use super::trim::{cut, cut_list, cut_map, cut_numbers, cut_shared};
use crate::event::{
    Access, AgentAccept, Attribution, Binding, Body, Connection, ConnectionClosed, Container,
    CredentialConnect, Evidence, Finding, Health, HookStatus, Injected, Listen, ListenSocket, Loss,
    MemoryAccess, OtherProcess, OwnerRef, PodRef, Posture, PostureSubject, Process, RawSocket,
    Ready, ReceivedConnection, SocketCreate, Stopped, Summary, SummaryToken, TokenOpen,
    TokenReceived, TokenRef,
};

/// How many bytes of JSON each kind of field may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    labels: usize,
    args: usize,
    /// Free text and paths: messages, executables, images, the kernel's refusals.
    text: usize,
    /// Everything else: names of Kubernetes and AWS.
    name: usize,
    /// A list other than `args`, in all.
    list: usize,
    /// Elements of a list of objects.
    items: usize,
}

const NO_CAPS: Caps = Caps {
    labels: usize::MAX,
    args: usize::MAX,
    text: usize::MAX,
    name: usize::MAX,
    list: usize::MAX,
    items: usize::MAX,
};

/// Tried in this order: what helps a reader least goes first. The last one fits any body.
pub(super) const LEVELS: [Caps; 5] = [
    Caps {
        labels: 1024,
        ..NO_CAPS
    },
    Caps {
        labels: 1024,
        args: 1024,
        ..NO_CAPS
    },
    Caps {
        labels: 512,
        args: 512,
        text: 1024,
        ..NO_CAPS
    },
    Caps {
        labels: 256,
        args: 256,
        text: 256,
        name: 320,
        list: 512,
        items: 24,
    },
    Caps {
        labels: 96,
        args: 96,
        text: 48,
        name: 64,
        list: 96,
        items: 24,
    },
];

pub(super) fn body(body: &mut Body, caps: Caps) {
    match body {
        Body::TokenOpen(open) => {
            let TokenOpen {
                verdict: _,
                undetermined,
                relation: _,
                findings,
                process,
                container,
                pod,
                token,
                access,
                binding,
                evidence,
                attribution,
                repeats: _,
            } = &mut **open;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            cut_token(token, caps);
            cut_access(access, caps);
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::CredentialConnect(connect) => {
            let CredentialConnect {
                verdict: _,
                undetermined,
                relation: _,
                findings,
                process,
                container,
                pod,
                connection,
                binding,
                evidence,
                attribution,
                repeats: _,
            } = &mut **connect;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            cut_connection(connection, caps);
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::ConnectionClosed(closed) => {
            let ConnectionClosed {
                connect_id,
                bytes_sent: _,
                bytes_received: _,
                duration_us: _,
                verdict: _,
                undetermined,
                findings,
                pod,
                connection,
            } = &mut **closed;
            cut(connect_id, caps.name);
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            each(pod, |p| cut_pod(p, caps));
            cut_connection(connection, caps);
        }
        Body::AgentAccept(accept) => {
            let AgentAccept {
                verdict: _,
                undetermined,
                findings,
                endpoint,
                peer,
                local,
                net_ns: _,
                pod,
                listener,
                connect_id,
                binding,
                evidence,
                attribution,
            } = &mut **accept;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            for text in [endpoint, peer, local] {
                cut(text, caps.name);
            }
            each(pod, |p| cut_pod(p, caps));
            each(listener, |p| cut_pod(p, caps));
            each(connect_id, |s| cut(s, caps.name));
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::Listen(listen) => {
            let Listen {
                verdict: _,
                undetermined,
                findings,
                process,
                container,
                pod,
                socket:
                    ListenSocket {
                        endpoint,
                        local,
                        net_ns: _,
                        agent_net_ns: _,
                    },
                attribution,
            } = &mut **listen;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            cut(endpoint, caps.name);
            cut(local, caps.name);
            cut_attribution(attribution, caps);
        }
        Body::TokenReceived(received) => {
            let TokenReceived {
                verdict: _,
                undetermined,
                relation: _,
                findings,
                process,
                container,
                pod,
                token,
                connection,
                access,
                from,
                binding,
                evidence,
                attribution,
                repeats: _,
            } = &mut **received;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            each(token, |t| cut_token(t, caps));
            each(connection, |c| cut_received_connection(c, caps));
            cut_access(access, caps);
            each(from, |p| cut_other_process(p, caps));
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::MemoryAccess(access) => {
            let MemoryAccess {
                verdict: _,
                undetermined,
                relation: _,
                findings,
                process,
                container,
                pod,
                target,
                mode: _,
                via: _,
                backend,
                binding,
                evidence,
                attribution,
                repeats: _,
            } = &mut **access;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            cut_other_process(target, caps);
            cut(backend, caps.name);
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::SocketCreate(create) => {
            let SocketCreate {
                verdict: _,
                undetermined,
                findings,
                process,
                container,
                pod,
                socket:
                    RawSocket {
                        family,
                        socket_type,
                        protocol: _,
                        net_ns: _,
                        backend,
                    },
                evidence,
                attribution,
                repeats: _,
            } = &mut **create;
            cut_list(undetermined, caps.list);
            cut_findings(findings, caps);
            cut_process(process, caps);
            each(container, |c| cut_container(c, caps));
            each(pod, |p| cut_pod(p, caps));
            for text in [family, socket_type, backend] {
                cut(text, caps.name);
            }
            cut_evidence(evidence, caps);
            cut_attribution(attribution, caps);
        }
        Body::Posture(posture) => {
            let Posture {
                state: _,
                subject:
                    PostureSubject {
                        kind,
                        namespace,
                        name,
                        uid,
                        service_account,
                    },
                findings,
                binding,
                evidence,
            } = &mut **posture;
            cut(kind, caps.name);
            for text in [namespace, name, service_account] {
                cut_shared(text, caps.name);
            }
            each(uid, |s| cut_shared(s, caps.name));
            cut_findings(findings, caps);
            each(binding, |b| cut_binding(b, caps));
            cut_evidence(evidence, caps);
        }
        Body::Ready(ready) => {
            let Ready {
                version: _,
                kernel,
                backends,
                // The program's own table, and under 3 KB.
                coverage: _,
                state,
                policy_hash,
                pods: _,
                associations: _,
                metrics,
            } = &mut **ready;
            cut(kernel, caps.text);
            // Their names are the program's own, and short.
            while backends.len() > caps.items {
                backends.pop_last();
            }
            for HookStatus {
                backend,
                state,
                misses,
                refused,
                programs,
            } in backends.values_mut()
            {
                cut(backend, caps.name);
                cut(state, caps.name);
                cut_list(misses, caps.list);
                for why in refused.values_mut() {
                    cut(why, caps.text);
                }
                cut_map(refused, caps.list);
                cut_numbers(programs, caps.list);
            }
            cut(state, caps.text);
            each(policy_hash, |s| cut(s, caps.name));
            each(metrics, |s| cut(s, caps.name));
        }
        Body::Stopped(Stopped {
            reason,
            matched: _,
            lines: _,
            counted_only: _,
            folded: _,
            flooded: _,
            merged: _,
            lost: _,
            queued: _,
            missed_runs: _,
            uptime_seconds: _,
        }) => cut(reason, caps.text),
        Body::Summary(summary) => {
            let Summary {
                of,
                count: _,
                total: _,
                first: _,
                last: _,
                stranger: _,
                relation: _,
                cgroup_id: _,
                pod,
                exec_session: _,
                exe_inode: _,
                token,
                endpoint,
            } = &mut **summary;
            each(of, |s| cut(s, caps.name));
            each(pod, |p| cut_pod(p, caps));
            each(token, |SummaryToken { volume, owner }| {
                each(volume, |s| cut(s, caps.name));
                each(owner, |owner| cut_owner(owner, caps));
            });
            each(endpoint, |s| cut(s, caps.name));
        }
        Body::Loss(Loss {
            reason,
            ring,
            count: _,
            from: _,
            to: _,
        }) => {
            cut(reason, caps.text);
            each(ring, |s| cut(s, caps.name));
        }
        Body::Health(Health {
            component,
            state,
            message,
        }) => {
            cut(component, caps.name);
            cut(state, caps.name);
            cut(message, caps.text);
        }
    }
}

fn cut_findings(findings: &mut Vec<Finding>, caps: Caps) {
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

fn cut_process(process: &mut Process, caps: Caps) {
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

fn cut_container(Container { id, name, image }: &mut Container, caps: Caps) {
    cut(id, caps.name);
    each(name, |s| cut(s, caps.name));
    each(image, |s| cut(s, caps.text));
}

fn cut_pod(pod: &mut PodRef, caps: Caps) {
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

fn cut_token(token: &mut TokenRef, caps: Caps) {
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

fn cut_owner(owner: &mut OwnerRef, caps: Caps) {
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

fn cut_received_connection(connection: &mut ReceivedConnection, caps: Caps) {
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

fn cut_other_process(process: &mut OtherProcess, caps: Caps) {
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

fn cut_access(
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

fn cut_connection(connection: &mut Connection, caps: Caps) {
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

fn cut_binding(binding: &mut Binding, caps: Caps) {
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

fn cut_evidence(evidence: &mut Evidence, caps: Caps) {
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

fn cut_attribution(attribution: &mut Attribution, caps: Caps) {
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

fn each<T>(value: &mut Option<T>, then: impl FnOnce(&mut T)) {
    if let Some(value) = value {
        then(value);
    }
}
