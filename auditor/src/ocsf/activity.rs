//! What was done with a credential: one function a type of line. Every type is taken apart by name, so that a new field
//! cannot be forgotten here.

use serde_json::{Value, json};

use super::{
    class::{
        FAILURE, FILE, FILE_OPEN, NETWORK, NETWORK_CLOSE, NETWORK_FAIL, NETWORK_LISTEN,
        NETWORK_OPEN, NETWORK_REFUSE, PROCESS_OPEN, SUCCESS, Status, UNKNOWN, other,
    },
    event::{Activity, Judged},
    network, subject,
};
use crate::event::{
    Access, AgentAccept, Connection, ConnectionClosed, CredentialConnect, Listen, ListenSocket,
    MemoryAccess, Outcome, PodRef, RawSocket, ReceivedConnection, SocketCreate, TokenOpen,
    TokenReceived, TokenRef, word,
};

pub(super) fn token_open(open: &TokenOpen) -> Activity<'_> {
    let TokenOpen {
        verdict,
        undetermined,
        relation,
        findings,
        process,
        container,
        pod,
        token,
        access,
        binding,
        evidence,
        attribution,
        repeats,
    } = open;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!("{} opened the token {}", process.comm, token.file);
    let mut activity = Activity::judged(FILE_OPEN, judged, message);
    activity.status = Some(if access.errno.is_some() {
        FAILURE
    } else {
        SUCCESS
    });
    activity.attributes = json!({
        "actor": subject::actor(process, container.as_ref(), pod.as_ref()),
        "file": file(token),
        "status_code": access.errno.map(|errno| errno.to_string()),
        "count": count(*repeats),
    });
    activity.unmapped = json!({
        "relation": relation,
        "process": subject::unmapped(process),
        "pod": pod,
        "token": unmapped_token(token),
        "access": unmapped_access(access),
        "binding": binding,
        "evidence": evidence,
        "attribution": attribution,
        "repeats": repeats,
    });
    activity
}

pub(super) fn token_received(received: &TokenReceived) -> Activity<'_> {
    let TokenReceived {
        verdict,
        undetermined,
        relation,
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
        repeats,
    } = received;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let (class, thing) = match (token, connection) {
        (None, Some(connection)) => (NETWORK, &connection.endpoint),
        (token, _) => (
            FILE,
            token.as_ref().map_or(&access.backend, |token| &token.file),
        ),
    };
    let message = format!("{} received a descriptor of {thing}", process.comm);
    let mut activity = Activity::judged(other(class, "Receive Descriptor"), judged, message);
    activity.status = Some(SUCCESS);
    activity.correlation = connection.as_ref().and_then(|c| c.connect_id.as_deref());
    let mut attributes = match connection {
        Some(connection) if class == NETWORK => handed_on(connection),
        _ => json!({"file": token.as_ref().map(file)}),
    };
    attributes["actor"] = subject::actor(process, container.as_ref(), pod.as_ref());
    attributes["status_code"] = json!(access.errno.map(|errno| errno.to_string()));
    attributes["count"] = json!(count(*repeats));
    activity.attributes = attributes;
    activity.unmapped = json!({
        "relation": relation,
        "process": subject::unmapped(process),
        "pod": pod,
        "token": token.as_ref().map(unmapped_token),
        "connection": connection,
        "access": unmapped_access(access),
        "from": from,
        "binding": binding,
        "evidence": evidence,
        "attribution": attribution,
        "repeats": repeats,
    });
    activity
}

pub(super) fn credential_connect(connect: &CredentialConnect) -> Activity<'_> {
    let CredentialConnect {
        verdict,
        undetermined,
        relation,
        findings,
        process,
        container,
        pod,
        connection,
        binding,
        evidence,
        attribution,
        repeats,
    } = connect;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let (doing, status) = match connection.outcome {
        Outcome::Established => (NETWORK_OPEN, SUCCESS),
        Outcome::Refused => (NETWORK_REFUSE, FAILURE),
        Outcome::Unreachable | Outcome::Timeout | Outcome::Aborted => (NETWORK_FAIL, FAILURE),
        Outcome::Pending => (other(NETWORK, "Pending"), UNKNOWN),
    };
    let message = format!(
        "{} connected to {}: {}",
        process.comm,
        connection.endpoint,
        word(&connection.outcome)
    );
    let mut activity = Activity::judged(doing, judged, message);
    activity.attributes = endpoints(connection, pod.as_ref());
    activity.attributes["actor"] = subject::actor(process, container.as_ref(), pod.as_ref());
    activity.attributes["count"] = json!(count(*repeats));
    outcome(&mut activity, status, connection);
    activity.unmapped = json!({
        "relation": relation,
        "process": subject::unmapped(process),
        "pod": pod,
        "connection": unmapped_connection(connection),
        "binding": binding,
        "evidence": evidence,
        "attribution": attribution,
        "repeats": repeats,
    });
    activity
}

pub(super) fn connection_closed(closed: &ConnectionClosed) -> Activity<'_> {
    let ConnectionClosed {
        connect_id,
        bytes_sent,
        bytes_received,
        duration_us,
        verdict,
        undetermined,
        findings,
        pod,
        connection,
    } = closed;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!("a connection to {} was closed", connection.endpoint);
    let mut activity = Activity::judged(NETWORK_CLOSE, judged, message);
    activity.correlation = Some(connect_id);
    activity.attributes = endpoints(connection, pod.as_ref());
    activity.attributes["traffic"] = json!({
        "bytes_out": bytes_sent,
        "bytes_in": bytes_received,
        "bytes": bytes_sent.saturating_add(*bytes_received),
    });
    if let Some(pod) = pod {
        activity.attributes["actor"] = json!({"user": subject::service_account(pod)});
    }
    outcome(&mut activity, SUCCESS, connection);
    activity.attributes["duration"] = json!(duration_us / 1000);
    activity.unmapped = json!({
        "connect_id": connect_id,
        "duration_us": duration_us,
        "pod": pod,
        "connection": unmapped_connection(connection),
    });
    activity
}

pub(super) fn agent_accept(accept: &AgentAccept) -> Activity<'_> {
    let AgentAccept {
        verdict,
        undetermined,
        findings,
        endpoint,
        peer,
        local,
        net_ns,
        pod,
        listener,
        connect_id,
        binding,
        evidence,
        attribution,
    } = accept;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!("{endpoint} at {local} accepted a connection from {peer}");
    let mut activity = Activity::judged(NETWORK_OPEN, judged, message);
    activity.status = Some(SUCCESS);
    activity.correlation = connect_id.as_deref();
    activity.attributes = network::seen_at_destination();
    activity.attributes["src_endpoint"] = network::with_pod(network::endpoint(peer), pod.as_ref());
    activity.attributes["dst_endpoint"] =
        network::with_pod(network::service(local, endpoint), listener.as_ref());
    activity.attributes["connection_info"] = network::tcp(network::INBOUND, local);
    if let Some(pod) = pod {
        activity.attributes["actor"] = json!({"user": subject::service_account(pod)});
    }
    activity.unmapped = json!({
        "net_ns": net_ns,
        "pod": pod,
        "listener": listener,
        "connect_id": connect_id,
        "binding": binding,
        "evidence": evidence,
        "attribution": attribution,
    });
    activity
}

pub(super) fn listen(listen: &Listen) -> Activity<'_> {
    let Listen {
        verdict,
        undetermined,
        findings,
        process,
        container,
        pod,
        socket,
        attribution,
    } = listen;
    let ListenSocket {
        endpoint,
        local,
        net_ns,
        agent_net_ns,
    } = socket;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!(
        "{} listens on {local}, where {endpoint} is expected",
        process.comm
    );
    let mut activity = Activity::judged(NETWORK_LISTEN, judged, message);
    activity.status = Some(SUCCESS);
    activity.attributes = network::seen_at_destination();
    activity.attributes["actor"] = subject::actor(process, container.as_ref(), pod.as_ref());
    activity.attributes["dst_endpoint"] =
        network::with_pod(network::service(local, endpoint), pod.as_ref());
    activity.attributes["connection_info"] = network::tcp(network::INBOUND, local);
    activity.unmapped = json!({
        "process": subject::unmapped(process),
        "pod": pod,
        "socket": {"net_ns": net_ns, "agent_net_ns": agent_net_ns},
        "attribution": attribution,
    });
    activity
}

pub(super) fn socket_create(create: &SocketCreate) -> Activity<'_> {
    let SocketCreate {
        verdict,
        undetermined,
        findings,
        process,
        container,
        pod,
        socket,
        evidence,
        attribution,
        repeats,
    } = create;
    let RawSocket {
        family,
        socket_type: _,
        protocol,
        net_ns: _,
        backend: _,
    } = socket;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!("{} asked for a raw socket", process.comm);
    let mut activity = Activity::judged(other(NETWORK, "Create Raw Socket"), judged, message);
    activity.attributes = network::seen_at_source();
    activity.attributes["actor"] = subject::actor(process, container.as_ref(), pod.as_ref());
    // It has no address yet: whose it is stands there.
    activity.attributes["src_endpoint"] = match pod {
        Some(pod) => network::with_pod(json!({}), Some(pod)),
        None => json!({"name": process.comm}),
    };
    activity.attributes["connection_info"] = network::raw(family, *protocol);
    activity.attributes["count"] = json!(count(*repeats));
    activity.unmapped = json!({
        "process": subject::unmapped(process),
        "pod": pod,
        "socket": socket,
        "evidence": evidence,
        "attribution": attribution,
        "repeats": repeats,
    });
    activity
}

/// To ask for another's memory is to ask for a handle to that process; whether it was granted, and what was read, is not known.
pub(super) fn memory_access(access: &MemoryAccess) -> Activity<'_> {
    let MemoryAccess {
        verdict,
        undetermined,
        relation,
        findings,
        process,
        container,
        pod,
        target,
        mode,
        via,
        backend,
        binding,
        evidence,
        attribution,
        repeats,
    } = access;
    let judged = Judged {
        verdict: *verdict,
        undetermined,
        findings,
    };
    let message = format!("{} asked for the memory of {}", process.comm, target.comm);
    let mut activity = Activity::judged(PROCESS_OPEN, judged, message);
    activity.status = Some(UNKNOWN);
    activity.attributes = json!({
        "actor": subject::actor(process, container.as_ref(), pod.as_ref()),
        "process": subject::other_process(target),
        "count": count(*repeats),
    });
    activity.unmapped = json!({
        "relation": relation,
        "process": subject::unmapped(process),
        "pod": pod,
        "target": {"pod": target.pod},
        "mode": mode,
        "via": via,
        "backend": backend,
        "binding": binding,
        "evidence": evidence,
        "attribution": attribution,
        "repeats": repeats,
    });
    activity
}

/// `file`: a token. Where it is mounted is not known, and does not matter: its volume is what it is known by.
fn file(token: &TokenRef) -> Value {
    json!({
        "name": subject::file_name(&token.file),
        "path": token.file,
        "volume": token.volume,
        "type_id": 1,
        "type": "Regular File",
        "owner": token.owner.as_ref().and_then(subject::owner),
        "confidentiality_id": 3,
        "confidentiality": "Secret",
    })
}

fn unmapped_token(token: &TokenRef) -> Value {
    let TokenRef {
        kind,
        volume: _,
        file: _,
        audience,
        expiration_seconds,
        owner,
    } = token;
    json!({
        "kind": kind,
        "audience": audience,
        "expiration_seconds": expiration_seconds,
        "owner": owner,
    })
}

fn unmapped_access(access: &Access) -> Value {
    let Access {
        via,
        flags,
        backend,
        errno: _,
    } = access;
    json!({"via": via, "flags": flags, "backend": backend})
}

fn endpoints(connection: &Connection, pod: Option<&PodRef>) -> Value {
    let mut attributes = network::seen_at_source();
    let source = connection.src.as_deref().map(network::endpoint);
    attributes["src_endpoint"] = network::with_pod(source.unwrap_or(json!({})), pod);
    attributes["dst_endpoint"] = network::service(&connection.dst, &connection.endpoint);
    attributes["connection_info"] = network::tcp(network::OUTBOUND, &connection.dst);
    attributes
}

fn handed_on(connection: &ReceivedConnection) -> Value {
    json!({
        "src_endpoint": connection.src.as_deref().map(network::endpoint),
        "dst_endpoint": network::service(&connection.dst, &connection.endpoint),
        "connection_info": network::tcp(network::OUTBOUND, &connection.dst),
    })
}

fn outcome(activity: &mut Activity, status: Status, connection: &Connection) {
    activity.status = Some(status);
    activity.attributes["status_detail"] = json!(connection.outcome);
    activity.attributes["status_code"] = json!(connection.errno.map(|errno| errno.to_string()));
    activity.attributes["duration"] = json!(connection.duration_us.map(|us| us / 1000));
}

fn unmapped_connection(connection: &Connection) -> Value {
    json!({"outcome": connection.outcome, "duration_us": connection.duration_us})
}

/// How many the event stands for, where it is not one.
fn count(repeats: u64) -> Option<u64> {
    (repeats > 0).then(|| repeats.saturating_add(1))
}
