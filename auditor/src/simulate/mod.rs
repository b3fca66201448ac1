//! `auditor simulate`: harmless scenes with tokens of ServiceAccounts without rights, by which an admin sees in his own cluster that
//! alerts fire. The tokens are real, signed by the cluster: a role whose trust policy takes any `sub` would accept them.
//!
//! [`scenes`] is the table: what each does, which pod of `manifests/simulate` plays it, and what must fire for it. [`play`] has
//! the deeds, [`place`] finds the pods' files and refuses all others, [`verify`] asks Prometheus, or the auditors themselves,
//! whether it fired. docs/simulate.md says why each is harmless.

mod announce;
mod metrics;
mod place;
mod play;
mod prometheus;
mod refusal;
mod report;
mod scenes;
mod verify;

pub use announce::{Announced, Labels};
pub use place::{NAMESPACE, Place};
pub use refusal::Refusal;
pub use report::{Report, Row, State, list, plan_json, plan_text};
pub use scenes::{Actor, Deed, Expected, NOT_SIMULATED, SCENES, Scene, named};
pub use verify::{Answer, Asked, Found, Verdict, compare, verify};

/// Plays the scenes, one after the other, in the pod that it runs in.
#[must_use]
pub fn play_all(place: &Place, scenes: &[&'static Scene]) -> Report {
    let rows = scenes
        .iter()
        .map(|scene| Row::new(scene, place, play::play(scene, place)))
        .collect();
    Report::new(place, rows)
}
