//! Who took whose tokens, as far as lines tell: `token-harvest` rests on the thefts before, and on whether policy let those count.

use std::{collections::HashSet, sync::Arc};

use crate::{
    audit::{Harvests, OpenerKey, is_counted_theft},
    event::{Finding, OwnerRef, Relation, TokenOpen},
    recorded::{Body, Line, owner_name as name, owner_named as owner},
};

/// Thefts that do not count any more, of one opener and owner.
const FORGIVEN: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Thefts {
    harvests: Harvests,
    /// Run, opener and owner, as `evidence.taken` names that one.
    forgiven: HashSet<(String, Option<Arc<str>>, String)>,
}

impl Thefts {
    /// Whose tokens the opener of this line took before: by the lines until now, and by what the line itself says.
    pub fn taken(&self, line: &Line) -> Vec<OwnerRef> {
        let Body::TokenOpen(open) = &line.body else {
            return Vec::new();
        };
        let mut taken =
            key(line, open).map_or_else(Vec::new, |key| self.harvests.taken(&key, line.time));
        let own = open.token.owner.as_ref().map(name);
        for told in &open.evidence.taken {
            let is_known = taken.iter().any(|owner| name(owner) == *told);
            let is_forgiven = || {
                let opener = open.pod.as_ref().map(|pod| pod.uid.clone());
                let key = (line.run_id.clone(), opener, told.clone());
                self.forgiven.contains(&key)
            };
            if !is_known && own.as_ref() != Some(told) && !is_forgiven() {
                taken.push(owner(told));
            }
        }
        taken
    }

    /// Takes note of what was made of it now.
    pub fn note(&mut self, line: &Line, relation: Relation, findings: &[Finding]) {
        let Body::TokenOpen(open) = &line.body else {
            return;
        };
        let Some(owner) = &open.token.owner else {
            return;
        };
        if open.access.errno.is_some() {
            return;
        }
        if is_counted_theft(findings, relation) {
            if let Some(key) = key(line, open) {
                self.harvests.note(key, owner, line.time);
            }
        } else if is_counted_theft(&open.findings, relation) && self.forgiven.len() < FORGIVEN {
            let opener = open.pod.as_ref().map(|pod| pod.uid.clone());
            self.forgiven
                .insert((line.run_id.clone(), opener, name(owner)));
        }
    }
}

/// Of pods alone: of a host's process the line does not tell the cgroup.
fn key(line: &Line, open: &TokenOpen) -> Option<OpenerKey> {
    let pod = open.pod.as_ref()?;
    // Each run counts for itself.
    Some(OpenerKey::Pod(
        format!("{} {}", line.run_id, pod.uid).into(),
    ))
}
