//! What answers on the credential addresses: pure functions from request to response.

pub mod agent;
pub mod imds;
