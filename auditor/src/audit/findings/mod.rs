//! One rule a file: a function from the case to a [`Ruling`](super::ruling::Ruling), and the table of its cases.

mod agent_connect_without_token;
mod agent_impersonation;
mod agent_unreachable;
mod credential_memory_access;
mod denied_token_open;
mod exec_session_token_open;
mod foreign_executable;
mod foreign_token_open;
mod foreign_token_received;
mod host_token_open;
mod identity_mismatch;
mod identity_not_injected;
mod node_role_fallback;
mod raw_socket;
mod role_drift;
mod stealth_agent_connection;
mod token_harvest;
mod token_write;
mod unassociated_agent_connect;
mod unbound_token_open;
mod unexpected_executable;
mod unused_credential;

pub use agent_connect_without_token::agent_connect_without_token;
pub use agent_impersonation::agent_impersonation;
pub use agent_unreachable::agent_unreachable;
pub use credential_memory_access::credential_memory_access;
pub use denied_token_open::denied_token_open;
pub use exec_session_token_open::exec_session_token_open;
pub use foreign_executable::foreign_executable;
pub use foreign_token_open::foreign_token_open;
pub use foreign_token_received::foreign_token_received;
pub use host_token_open::host_token_open;
pub use identity_mismatch::identity_mismatch;
pub use identity_not_injected::identity_not_injected;
pub use node_role_fallback::{node_role_fallback, node_role_fallback_at_close};
pub use raw_socket::raw_socket;
pub use role_drift::role_drift;
pub use stealth_agent_connection::stealth_agent_connection;
pub use token_harvest::{name as owner_name, token_harvest, victims};
pub use token_write::token_write;
pub use unassociated_agent_connect::unassociated_agent_connect;
pub use unbound_token_open::unbound_token_open;
pub use unexpected_executable::{
    learned_since, unexpected_executable_at_connect, unexpected_executable_at_open,
};
pub use unused_credential::unused_credential;

use super::Actor;
use super::ruling::Input;
use crate::{cluster::Pod, event::Outcome};

/// The connecting pod, where the rule is about one.
enum Connector<'a> {
    /// A pod other than the agent's own.
    Pod(&'a Pod),
    /// The rule is not about such a process.
    Exempt,
    /// It cannot be told who it is.
    Lacks(Input),
}

fn connector<'a>(actor: &Actor<'a>, policy: &crate::policy::Policy) -> Connector<'a> {
    match actor {
        Actor::Pod { pod, .. } if policy.is_agent(pod) => Connector::Exempt,
        Actor::Pod { pod, .. } => Connector::Pod(pod),
        // A conflict is a finding of its own.
        Actor::Host | Actor::Conflict { .. } => Connector::Exempt,
        Actor::UnlistedPod { .. } => Connector::Lacks(Input::Pod),
        Actor::Unknown => Connector::Lacks(Input::Process),
    }
}

/// Whether the endpoint was reached; null while that is open.
fn is_reached(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Established => Some(true),
        Outcome::Refused | Outcome::Unreachable | Outcome::Timeout | Outcome::Aborted => {
            Some(false)
        }
        Outcome::Pending => None,
    }
}
