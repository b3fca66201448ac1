//! The product's judgement: an event, who did it, and what is bound, to verdict and findings.
//!
//! Pure functions: no I/O, no clock. Each finding has a function of its own in `findings`, with its table of cases; to add one, write
//! it there and name it in the `rules` of the kinds of event that it is asked about ([`Case::rulings`]).
//!
//! A judgement with `undetermined` inputs may be given again once more is known: for files, look at them and judge anew.

mod accept;
mod baseline;
mod binding;
mod case;
mod connect;
mod denied;
mod evidence;
mod findings;
mod harvest;
mod history;
mod listen;
mod memory;
mod open;
mod posture;
mod received;
mod relation;
mod rules;
mod ruling;
mod socket;
mod token;
mod uses;

pub use accept::{AcceptCase, judge_accept};
pub use baseline::{
    ACCOUNTS, Baselines, CredentialUse, EXECUTABLES, Familiarity, Learned, LearnedExecutable,
    Limit, is_from_outside, listable_program, teaches,
};
pub use binding::{binding_of, own_binding, session_name_prefix};
pub use case::{Actor, CloseCase, ConnectCase, DeniedCase, Judgement, Knowledge, OpenCase};
pub use connect::{judge_close, judge_connect, judge_unseen_close};
pub use denied::judge_denied;
pub use harvest::{Harvests, OpenerKey, is_counted_theft};
pub use history::{History, PodHistory};
pub use listen::{ListenCase, Listener, judge_listen};
pub use memory::{MemoryCase, Target, judge_memory};
pub use open::judge_open;
pub use posture::{StateFound, judge_bindings, judge_pod, use_key};
pub use received::{Received, ReceivedCase, ReceivedOwner, judge_received};
pub use relation::relation;
pub use rules::Case;
pub use ruling::{Conclusion, Input, Ruling, conclude};
pub use socket::{SocketCase, judge_socket};
pub(crate) use token::IRSA_AUDIENCE;
pub use token::{IsToken, TokenSpec, is_token_file, token_kind};
pub use uses::{Use, UseKey, Uses};

#[cfg(test)]
mod testing;
