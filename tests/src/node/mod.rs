//! The node in miniature: its cgroups, network, kubelet, container runtime, pods, and what the control plane says of them.

pub mod cluster;
pub mod kubelet;
mod lab;
mod lifecycle;
mod manifest;
mod others;
pub mod pod;
mod process;
pub mod shim;

pub use lab::{CLUSTER_NAME, INSTANCE_ID, Lab, NODE_NAME};
pub use lifecycle::CONTAINER;
pub use manifest::pod_object;
pub use pod::{Pod, PodSpec, TokenVolume};
