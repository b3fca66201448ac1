//! Pod Identity associations from the EKS API: two signed GETs.
//!
//! `aws-sigv4` signs and `aws-config` finds region and credentials (environment, profile, web identity, container, instance
//! metadata); what the SDK for EKS would add is 129,000 lines for two requests.

mod backoff;
mod client;
mod config;
mod credentials;
mod error;
pub(crate) mod http;
mod reader;
mod refusal;
mod roots;
mod sign;

pub use backoff::Pace;
pub use client::Client;
pub(crate) use config::partition_of;
pub use config::{ConfigError, Settings};
pub use error::Error;
pub use reader::Reader;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
