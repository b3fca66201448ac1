//! A pod as the API server sends it, cut down while it is parsed.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::cluster::{Pod, convert, raw};

#[derive(Debug)]
pub(super) struct WatchedPod(pub Pod);

#[derive(Deserialize)]
struct Object {
    metadata: raw::Metadata,
    #[serde(default)]
    spec: raw::PodSpec,
    #[serde(default)]
    status: raw::PodStatus,
}

impl<'de> Deserialize<'de> for WatchedPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object {
            metadata,
            spec,
            status,
        } = Object::deserialize(deserializer)?;
        convert::pod(metadata, spec, status)
            .map(Self)
            .map_err(|missing| D::Error::custom(format!("{}: missing or empty", missing.0)))
    }
}
