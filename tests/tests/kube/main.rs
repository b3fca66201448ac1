//! The real auditor on the lab's node, told by an API server and an EKS endpoint that speak the real protocols and fail as
//! real ones do. Each test opens real tokens meanwhile: no event may be lost, none laid to the wrong pod.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod rest;
mod stage;
mod sync;
mod syncer;
mod told;
