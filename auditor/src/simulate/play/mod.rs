//! The deeds. What they open they close; they read nothing of a token and send nothing.

mod memory_program;
mod network;
mod token;

use super::{Place, Refusal, Scene, scenes::Deed};

/// What there is to say of how it went; often nothing.
///
/// # Errors
/// Why it was not played.
pub fn play(scene: &Scene, place: &Place) -> Result<Option<String>, Refusal> {
    place.admits(scene.actor)?;
    match scene.deed {
        Deed::OwnToken => token::open(&place.own_token()).map(|()| None),
        Deed::Theft => token::open(&place.victims_token()?).map(|()| None),
        Deed::Write => token::open_for_writing(&place.own_token_on_node()).map(|()| None),
        Deed::ForeignExecutable => memory_program::play_own_token().map(|()| None),
        Deed::RawSocket => network::ask_for_packet_socket(),
        Deed::Impersonation => network::listen_as_agent().map(|()| None),
        Deed::Agent => network::connect_to_agent(),
    }
}
