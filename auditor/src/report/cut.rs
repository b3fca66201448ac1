//! Makes a body fit a line. What was cut says so where it was cut: `…[N bytes cut]`, `…[N more cut]`.
//!
//! Every type is taken apart by name, so that a new field cannot be forgotten here.

mod parts;

use self::parts::{
    cut_access, cut_attribution, cut_binding, cut_connection, cut_container, cut_evidence,
    cut_findings, cut_other_process, cut_owner, cut_pod, cut_process, cut_received_connection,
    cut_token, each,
};
use super::trim::{cut, cut_list, cut_map, cut_numbers, cut_shared};
use crate::event::{
    AgentAccept, Body, ConnectionClosed, CredentialConnect, Health, HookStatus, Listen,
    ListenSocket, Loss, MemoryAccess, Posture, PostureSubject, RawSocket, Ready, SocketCreate,
    Stopped, Summary, SummaryToken, TokenOpen, TokenReceived,
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
