//! What things are called in the JSON.

use serde::Serialize;

use super::Body;

/// A unit variant as serde writes it; of anything else, nothing.
pub fn word(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

impl Body {
    /// `event` of its line.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Stopped(_) => "stopped",
            Self::TokenOpen(_) => "token_open",
            Self::CredentialConnect(_) => "credential_connect",
            Self::ConnectionClosed(_) => "connection_closed",
            Self::AgentAccept(_) => "agent_accept",
            Self::Listen(_) => "listen",
            Self::TokenReceived(_) => "token_received",
            Self::MemoryAccess(_) => "memory_access",
            Self::SocketCreate(_) => "socket_create",
            Self::Posture(_) => "finding",
            Self::Summary(_) => "summary",
            Self::Loss(_) => "loss",
            Self::Health(_) => "health",
        }
    }
}
