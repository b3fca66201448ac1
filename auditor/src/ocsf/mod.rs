//! Our lines as events of the Open Cybersecurity Schema Framework, version 1.8.0 (<https://schema.ocsf.io/1.8.0/>).
//!
//! Each line is one event: the activity. Where it has findings, a Detection Finding follows that refers to it. `docs/ocsf.md` tells
//! which field goes where; what OCSF has no attribute for is in `unmapped`, under the name that it has in our JSON, so that
//! nothing is missing but nulls. `cargo xtask e2e shipping` validates what comes out against the schema.

mod activity;
mod attack;
mod class;
mod detection;
mod event;
mod network;
mod own_words;
mod shape;
mod subject;
mod summary;

use serde_json::Value;

use self::{detection::Detection, event::Activity};
use crate::event::{Body, Line, Posture};

/// Of the schema that the events are written in.
pub const VERSION: &str = "1.8.0";

/// The activity, and after it what was detected, if anything was. `untruncated` is the number of bytes that `line` had before it was
/// cut to size, where it was.
#[must_use]
pub fn events(line: &Line, untruncated: Option<usize>) -> Vec<Value> {
    let activity = match &line.body {
        Body::TokenOpen(open) => activity::token_open(open),
        Body::TokenReceived(received) => activity::token_received(received),
        Body::CredentialConnect(connect) => activity::credential_connect(connect),
        Body::ConnectionClosed(closed) => activity::connection_closed(closed),
        Body::AgentAccept(accept) => activity::agent_accept(accept),
        Body::Listen(listen) => activity::listen(listen),
        Body::SocketCreate(create) => activity::socket_create(create),
        Body::MemoryAccess(access) => activity::memory_access(access),
        Body::Posture(posture) => return vec![state(line, posture, untruncated)],
        Body::Ready(ready) => own_words::ready(ready),
        Body::Stopped(stopped) => own_words::stopped(stopped),
        Body::Health(health) => own_words::health(health),
        Body::Loss(loss) => own_words::loss(loss),
        Body::Summary(summary) => summary::summary(summary),
    };
    let detected = Detection::of(line, &activity);
    let mut events = vec![event::write(line, untruncated, activity)];
    events.extend(detected.map(|detection| event::write(line, untruncated, detection)));
    events
}

/// A state is no activity: it is a finding that is raised and cleared, and nothing else.
fn state(line: &Line, posture: &Posture, untruncated: Option<usize>) -> Value {
    let finding: Activity = detection::posture(line, posture);
    event::write(line, untruncated, finding)
}

#[cfg(test)]
mod tests;
