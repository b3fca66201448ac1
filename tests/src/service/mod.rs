//! What answers to workloads and to the auditor: pure functions for the credential addresses, whole servers for the control
//! plane's APIs.

pub mod agent;
pub mod apiserver;

pub mod eks;
pub mod imds;
pub mod web;
