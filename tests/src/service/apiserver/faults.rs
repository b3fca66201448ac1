//! What goes wrong, by request.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{
    resource::{Resource, Target, Verb},
    status::Status,
};

#[derive(Clone, Debug)]
pub enum Action {
    /// Refused with this.
    Status(Status),
    /// 403, worded as RBAC words it.
    Forbidden,
    /// The connection ends before an answer.
    NoAnswer,
    /// RST before an answer.
    Reset,
    /// 200 and something else than an API server's JSON.
    Garbage(&'static str),
    /// Half of the answer's body, and the connection ends; of a watch, see [`Action::CutInLine`].
    Half,
    /// Of a watch: so many whole lines, half of the next one, and the connection ends.
    CutInLine(usize),
    /// The answer comes that late.
    Late(Duration),
}

/// An action and the requests that it befalls.
#[derive(Clone, Debug)]
pub struct Fault {
    pub action: Action,
    pub verb: Option<Verb>,
    pub resource: Option<Resource>,
    /// `None`: until it is cleared.
    pub times: Option<u32>,
}

impl Fault {
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            action,
            verb: None,
            resource: None,
            times: None,
        }
    }

    #[must_use]
    pub fn on(mut self, verb: Verb, resource: Resource) -> Self {
        self.verb = Some(verb);
        self.resource = Some(resource);
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn befalls(&self, target: &Target) -> bool {
        self.verb.is_none_or(|verb| verb == target.verb)
            && self
                .resource
                .is_none_or(|resource| resource == target.resource)
            && self.times != Some(0)
    }
}

/// The faults in force; of several that befall a request the one that was added first acts.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fault);
    }

    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Uses it up by one.
    pub(super) fn take(&self, target: &Target) -> Option<Action> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter_mut().find(|fault| fault.befalls(target))?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.action.clone())
    }
}
