//! What a pod's runtime shim is asked to do (`src/bin/shim.rs`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{container::ContainerSpec, wire::Output};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Start {
        name: String,
        spec: ContainerSpec,
    },
    /// One request to the container's init, in its own words.
    Tell {
        name: String,
        line: String,
    },
    /// `kubectl exec`.
    Exec {
        name: String,
        argv: Vec<String>,
    },
    /// Until the container's init ends by itself.
    Wait {
        name: String,
    },
    Kill {
        name: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The init's pid on the host.
    Started {
        pid: u32,
    },
    Told {
        value: Value,
    },
    Ended(Output),
}
