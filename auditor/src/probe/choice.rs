//! Which way of a hook is used: decided by what happens when each is tried, never by the kernel's version.

use std::collections::BTreeMap;

use super::{
    backend::{Backend, Hook, HookReport, Way},
    loader::LoadError,
};

/// A way that loaded and attached, and whose canary, if it has one, fired.
#[derive(Debug)]
pub(super) struct Attached {
    /// Its canary fired; there may be none.
    pub proven: bool,
    pub program_ids: BTreeMap<&'static str, u32>,
}

/// The first way that `attempt` succeeds with, best first. `attempt` leaves nothing attached where it fails, and says why in
/// the kernel's words.
///
/// # Errors
/// None works, and the hook is required.
pub(super) fn choose(
    hook: Hook,
    forced: Option<Backend>,
    mut attempt: impl FnMut(&Way) -> Result<Attached, String>,
) -> Result<HookReport, LoadError> {
    let mut refused = BTreeMap::new();
    for way in hook.ways().iter().filter(|way| allowed(hook, way, forced)) {
        match attempt(way) {
            Ok(Attached {
                proven,
                program_ids,
            }) => {
                return Ok(HookReport {
                    hook,
                    way: Some(*way),
                    proven,
                    refused,
                    program_ids,
                });
            }
            Err(reason) => {
                let (hook, backend) = (hook.name(), way.backend.name());
                tracing::info!(hook, backend, reason, "not in use");
                refused.insert(backend, reason);
            }
        }
    }
    if hook.is_required() {
        return Err(LoadError::Hook {
            hook: hook.name(),
            reasons: reasons(&refused),
        });
    }
    Ok(HookReport {
        hook,
        way: None,
        proven: false,
        refused,
        program_ids: BTreeMap::new(),
    })
}

/// `fentry: WHY; kprobe: WHY`
pub(super) fn reasons(refused: &BTreeMap<&'static str, String>) -> String {
    let reasons: Vec<_> = refused
        .iter()
        .map(|(backend, why)| format!("{backend}: {why}"))
        .collect();
    reasons.join("; ")
}

/// `--backend syscall` stands for the last resort of every hook that has a choice: none, for those that need a function's entry.
pub(super) fn allowed(hook: Hook, way: &Way, forced: Option<Backend>) -> bool {
    match (hook, forced) {
        (Hook::Connect, Some(Backend::Syscall)) => way.backend == Backend::Tracepoint,
        (Hook::OpenBefore, Some(Backend::Syscall)) => way.backend == Backend::Proc,
        (
            Hook::FileOpen
            | Hook::Connect
            | Hook::ConnectAttempt
            | Hook::DescriptorReceived
            | Hook::MemoryAccess
            | Hook::SocketCreate,
            Some(forced),
        ) => way.backend == forced,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
