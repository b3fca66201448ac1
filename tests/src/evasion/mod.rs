//! The evasion corpus: ways to a token, or to the agent, that a watcher may miss (`tests/evasion`), each played against the real
//! auditor and held against the lines that its declaration names for the backend in use.

mod cast;
mod corpus;
mod declaration;
mod play;

pub use corpus::{Technique, all};
pub use declaration::{Backend, Declaration};
pub use play::{Evade, declared, perform_all, run};
