//! The attack simulation as an admin plays it: pods made from `manifests/simulate` itself, the auditor's own program in them.

mod manifest;
mod play;
mod sampled;
mod verify;

pub use manifest::{Account, Manifests, Template};
pub use play::{Played, play, raised, start};
pub use sampled::{SAMPLES, perform};
pub use verify::{Asked, Verified, verified};
