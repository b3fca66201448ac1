//! Attaching and unloading programs, and the kernel's word where it refuses one.

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};

use crate::probe::{backend::Way, perf};

pub(in crate::probe) fn attach(
    way: &Way,
    ebpf: &mut Ebpf,
    btf: &aya::Btf,
) -> Result<BTreeMap<&'static str, u32>, String> {
    let mut ids = BTreeMap::new();
    for (name, target) in way.programs {
        let program = ebpf
            .program_mut(name)
            .ok_or_else(|| format!("the object has no program {name}"))?;
        let attached = match program {
            Program::FEntry(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::FExit(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            Program::KProbe(program) => {
                let attached = program
                    .load()
                    .and_then(|()| program.attach(target, 0).map(drop));
                attached.map_err(|error| perf::explained(reason(&error)))?;
                Ok(())
            }
            Program::BtfTracePoint(program) => program
                .load(target, btf)
                .and_then(|()| program.attach().map(drop)),
            // Each run is attached anew.
            Program::Iter(program) => program.load(target, btf),
            _ => return Err(format!("program {name} has an unexpected type")),
        };
        attached.map_err(|error| reason(&error))?;
        ids.insert(*name, program.info().map_or(0, |info| info.id()));
    }
    Ok(ids)
}

pub(in crate::probe) fn detach(way: &Way, ebpf: &mut Ebpf) {
    for (program, _) in way.programs {
        unload(ebpf, program);
    }
}

pub(in crate::probe) fn unload(ebpf: &mut Ebpf, name: &str) {
    let result = match ebpf.program_mut(name) {
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::Iter(program)) => program.unload(),
        _ => return,
    };
    if let Err(error) = result
        && !matches!(error, ProgramError::NotLoaded)
    {
        tracing::warn!(program = name, %error, "could not unload");
    }
}

/// The kernel's word, without the verifier's log: that goes to the debug log.
pub(in crate::probe) fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        tracing::debug!(%verifier_log, "the verifier's log");
        let log = verifier_log.to_string();
        // Statistics come last, behind the reason.
        let statistics = [
            "processed ",
            "verification time",
            "stack depth",
            "peak_states",
        ];
        let last = log.lines().rev().find(|line| {
            !line.is_empty() && !statistics.iter().any(|prefix| line.starts_with(prefix))
        });
        return match last {
            Some(line) => format!("{io_error}: {line}"),
            None => io_error.to_string(),
        };
    }
    chain(error)
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
