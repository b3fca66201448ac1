//! Connections: endpoints, direction, protocol.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::shape::merge;
use crate::event::PodRef;

/// `direction_id` with its caption.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direction(u32, &'static str);

pub(super) const UNKNOWN: Direction = Direction(0, "Unknown");
pub(super) const INBOUND: Direction = Direction(1, "Inbound");
pub(super) const OUTBOUND: Direction = Direction(2, "Outbound");

/// `network_endpoint` of `ADDR:PORT`; what is none stays readable.
pub(super) fn endpoint(address: &str) -> Value {
    match address.parse::<SocketAddr>() {
        Ok(parsed) => json!({"ip": parsed.ip(), "port": parsed.port()}),
        Err(_) => json!({"hostname": address}),
    }
}

/// The credential endpoint, by the name that we know it by.
pub(super) fn service(address: &str, name: &str) -> Value {
    let mut endpoint = endpoint(address);
    merge(&mut endpoint, json!({"svc_name": name}));
    endpoint
}

/// A pod at this end.
pub(super) fn with_pod(mut endpoint: Value, pod: Option<&PodRef>) -> Value {
    if let Some(pod) = pod {
        merge(
            &mut endpoint,
            json!({"name": format!("{}/{}", pod.namespace, pod.name), "uid": pod.uid}),
        );
    }
    endpoint
}

/// `connection_info` of TCP.
pub(super) fn tcp(Direction(id, caption): Direction, address: &str) -> Value {
    let version = address.parse::<SocketAddr>().ok().map(|address| {
        if address.is_ipv4() {
            (4, "Internet Protocol version 4 (IPv4)")
        } else {
            (6, "Internet Protocol version 6 (IPv6)")
        }
    });
    json!({
        "direction_id": id,
        "direction": caption,
        "protocol_num": 6,
        "protocol_name": "tcp",
        "protocol_ver_id": version.map(|(id, _)| id),
        "protocol_ver": version.map(|(_, caption)| caption),
    })
}

/// `connection_info` of a socket that has no connection yet. `family` is ours.
pub(super) fn raw(family: &str, protocol: u32) -> Value {
    let Direction(id, caption) = UNKNOWN;
    json!({
        "direction_id": id,
        "direction": caption,
        // A packet socket has an EtherType there.
        "protocol_num": (family != "packet").then_some(protocol),
        "protocol_ver_id": match family {
            "inet" => Some(4),
            "inet6" => Some(6),
            _ => None,
        },
    })
}

/// `observation_point_id` with its caption: at whose end it was seen.
pub(super) fn seen_at_source() -> Value {
    json!({"observation_point_id": 1, "observation_point": "Source"})
}

pub(super) fn seen_at_destination() -> Value {
    json!({"observation_point_id": 2, "observation_point": "Destination"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_anything_else_is_kept() {
        for (address, want) in [
            (
                "169.254.170.23:80",
                json!({"ip": "169.254.170.23", "port": 80}),
            ),
            (
                "[fd00:ec2::23]:80",
                json!({"ip": "fd00:ec2::23", "port": 80}),
            ),
            ("…[4 bytes cut]", json!({"hostname": "…[4 bytes cut]"})),
        ] {
            assert_eq!(endpoint(address), want);
        }
    }
}
