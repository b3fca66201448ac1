//! What each way of each hook does on this kernel: all are tried, not only those that `run` would get to.

use std::collections::BTreeMap;

use super::{
    backend::{Backend, Hook, HookReport, Way},
    canary::{self, CanaryError, FileCanary, Proof},
    choice::{Attached, choose},
    loader::{LoadError, LoadOptions, Opened, attach, detach, prove},
};

/// Records of others that are thrown away before a canary is played: the rings and the backlog hold fewer.
const LEFT_OVER: u64 = 100_000;
/// Of a canary that is lost among others' events.
const TRIES: u32 = 5;

/// A way, and whether its canary fired (false: it has none), or the kernel's reason against it.
#[derive(Clone, Debug)]
pub struct WaySurvey {
    pub way: Way,
    pub result: Result<bool, String>,
}

#[derive(Clone, Debug)]
pub struct HookSurvey {
    pub hook: Hook,
    /// Best first.
    pub ways: Vec<WaySurvey>,
}

impl HookSurvey {
    /// What `run` would choose.
    ///
    /// # Errors
    /// The hook is required, and no way that `forced` allows works.
    pub fn choose(&self, forced: Option<Backend>) -> Result<HookReport, LoadError> {
        choose(self.hook, forced, |way| {
            let tried = self
                .ways
                .iter()
                .find(|tried| tried.way.backend == way.backend);
            match tried.map(|tried| &tried.result) {
                Some(Ok(proven)) => Ok(Attached {
                    proven: *proven,
                    program_ids: BTreeMap::new(),
                }),
                Some(Err(reason)) => Err(reason.clone()),
                None => Err("not tried".to_owned()),
            }
        })
    }
}

/// What [`survey`] found.
#[derive(Debug)]
pub struct Survey {
    pub hooks: Vec<HookSurvey>,
    /// None: no way to watch opens works.
    pub canary: Option<FileCanary>,
}

/// Loads, attaches, proves and detaches each way of each hook. `options.backend` chooses none here.
///
/// # Errors
/// Where nothing can be loaded at all.
pub fn survey(options: &LoadOptions) -> Result<Survey, LoadError> {
    let mut opened = Opened::new(options)?;
    let mut file_canary = None;
    let mut hooks = Vec::new();
    for hook in Hook::ALL {
        let mut ways = Vec::new();
        for way in hook.ways() {
            let tried = uncrowded(&mut opened, |opened| {
                let tried = attempt(hook, way, opened, options.own_tgid);
                if tried.is_err() {
                    detach(way, &mut opened.ebpf);
                }
                tried
            });
            // Else its canary would prove the next one.
            detach(way, &mut opened.ebpf);
            if let Ok(Proof::File(canary)) = tried {
                file_canary = Some(canary);
            }
            ways.push(WaySurvey {
                way: *way,
                result: tried.map(|proof| proof != Proof::None),
            });
        }
        // The best one stays: others are proven by what it sees.
        if let Some(best) = ways.iter_mut().find(|tried| tried.result.is_ok())
            && let Err(reason) = attach(&best.way, &mut opened.ebpf, &opened.kernel_btf)
        {
            best.result = Err(format!("it could be attached only once: {reason}"));
        }
        hooks.push(HookSurvey { hook, ways });
    }
    for survey in hooks
        .iter_mut()
        .filter(|survey| survey.hook.is_proven_by_connects())
    {
        for tried in survey.ways.iter_mut().filter(|tried| tried.result.is_ok()) {
            tried.result = uncrowded(&mut opened, |opened| {
                canary::prove(
                    survey.hook,
                    &mut opened.maps,
                    &mut opened.rings,
                    options.own_tgid,
                )
                .map(|_| true)
                .map_err(|error| error.to_string())
            });
        }
    }
    Ok(Survey {
        hooks,
        canary: file_canary,
    })
}

/// Tries again where there were too many other events to find the canary among, each time with none left from before: nobody
/// wants them here.
fn uncrowded<T>(
    opened: &mut Opened,
    mut attempt: impl FnMut(&mut Opened) -> Result<T, String>,
) -> Result<T, String> {
    let crowded = CanaryError::Crowded.to_string();
    let mut tries = 0;
    loop {
        tries += 1;
        opened
            .rings
            .drain(LEFT_OVER, &mut (), |(), _| {}, |(), _| {});
        let tried = attempt(opened);
        match &tried {
            Err(reason) if *reason == crowded && tries < TRIES => {}
            _ => return tried,
        }
    }
}

fn attempt(hook: Hook, way: &Way, opened: &mut Opened, own_tgid: u32) -> Result<Proof, String> {
    attach(way, &mut opened.ebpf, &opened.kernel_btf)?;
    if hook.is_proven_by_connects() {
        // Later, once connects are watched.
        return Ok(Proof::None);
    }
    let Opened {
        ebpf, maps, rings, ..
    } = opened;
    prove(hook, way, ebpf, maps, rings, own_tgid)
}
