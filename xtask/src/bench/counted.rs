//! The cost of an open+close in instructions, in a virtual machine that counts them, with fentry.

use anyhow::Result;

use super::{lab, opens, section::Section};
use crate::{
    apt,
    build::Built,
    process,
    vm::{self, Counted},
};

const KERNEL: &str = "6.12";
/// bpftrace, with a compiler in it, is too much for a guest.
const TOOLS: &str = "none,empty,auditor,opensnoop";

pub fn measure(built: &Built, rounds: u32) -> Result<Section> {
    let mut programs = Vec::new();
    match apt::ensure_program("opensnoop", "libbpf-tools", "a tool to compare with") {
        Ok(()) => programs.extend(process::find("opensnoop")),
        Err(error) => println!("opensnoop will be left out: {error:#}"),
    }
    let job = format!(
        "measure cost --auditor /auditor --backend fentry --tools {TOOLS} --rounds {rounds} --opens 500 --batches 10"
    );
    let console = vm::counted(&Counted {
        kernel: KERNEL,
        built,
        programs,
        job: &job,
    })?;
    let rows = opens::rows(&lab::json(&console)?)?;
    let mut section = opens::counted(&rows, KERNEL);
    section.name = "instructions";
    section.title = "Cost of an open+close with fentry, in instructions";
    section.how = format!(
        "Debian's Linux {KERNEL} in QEMU with one processor, emulated by one thread, with `-icount shift=0`: the guest's clock \
         ticks once for each instruction, so that its nanoseconds are instructions, and noise is that of the guest alone. The \
         opener's own processor time in batches of 500; {rounds} rounds in turns. Unrelated: /proc/version (the guest's root is a \
         tmpfs). The kernel runs without mitigations, as every guest here."
    );
    Ok(section)
}
