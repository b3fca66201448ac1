//! What the kernel makes of each program: every program of every way is loaded, none is attached.

use std::io::Write;

use aya::{Ebpf, programs::Program};
use serde::Serialize;

use super::{
    backend::Hook,
    loader::{LoadError, LoadOptions, Opened, reason, unload},
};

/// One program on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub program: &'static str,
    pub hook: &'static str,
    pub backend: &'static str,
    pub loaded: bool,
    /// Instructions that the verifier walked through; `None` where refused, and on kernels before 5.16, which do not tell.
    pub verified_insns: Option<u32>,
    /// The kernel's reason.
    pub refused: Option<String>,
}

/// Loads one program after the other and unloads it again.
///
/// # Errors
/// When not even the object can be loaded.
pub fn verified() -> Result<Vec<Verified>, LoadError> {
    // Whole: the programs refer to its maps.
    let mut opened = Opened::new(&LoadOptions {
        backend: None,
        endpoints: Vec::new(),
        own_tgid: std::process::id(),
        watch_denied: true,
        no_flood_control: false,
    })?;
    let mut found = Vec::new();
    for hook in Hook::ALL {
        for way in hook.ways() {
            for (program, target) in way.programs {
                let result = load(&mut opened.ebpf, program, target, &opened.kernel_btf);
                unload(&mut opened.ebpf, program);
                let (verified_insns, refused) = match result {
                    Ok(count) => (count, None),
                    Err(why) => (None, Some(why)),
                };
                found.push(Verified {
                    program,
                    hook: hook.name(),
                    backend: way.backend.name(),
                    loaded: refused.is_none(),
                    verified_insns,
                    refused,
                });
            }
        }
    }
    Ok(found)
}

/// `auditor probes`: one line of JSON a program.
///
/// # Errors
/// As of [`verified`], and when nobody reads the lines.
pub fn print() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in verified()? {
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(())
}

fn load(ebpf: &mut Ebpf, name: &str, target: &str, btf: &aya::Btf) -> Result<Option<u32>, String> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("the object has no program {name}"))?;
    let loaded = match program {
        Program::FEntry(program) => program.load(target, btf).and_then(|()| program.info()),
        Program::FExit(program) => program.load(target, btf).and_then(|()| program.info()),
        Program::KProbe(program) => program.load().and_then(|()| program.info()),
        Program::BtfTracePoint(program) => program.load(target, btf).and_then(|()| program.info()),
        Program::Iter(program) => program.load(target, btf).and_then(|()| program.info()),
        _ => return Err(format!("program {name} has an unexpected type")),
    };
    let info = loaded.map_err(|error| reason(&error))?;
    Ok(info.verified_instruction_count())
}
