//! Looks into another process's memory, as a debugger, a profiler or a thief does.
//!
//! `memory [--times N] readv|ptrace|mem PID`; `memory status PID` reads what needs no such right: environ and status.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lab::sys::memory::{Way, end_of_stack, look};

const LENGTH: usize = 32;
const USAGE: &str = "usage: memory [--times N] readv|ptrace|mem|status PID";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let mut times = 1_u32;
    if args.next_if(|arg| arg == "--times").is_some() {
        times = args.next().context(USAGE)?.parse().context(USAGE)?;
    }
    let way = args.next().context(USAGE)?;
    let pid: i32 = args.next().context(USAGE)?.parse().context(USAGE)?;
    let way = match way.as_str() {
        "readv" => Way::Readv,
        "ptrace" => Way::Ptrace,
        "mem" => Way::Mem,
        "status" => {
            for file in ["environ", "status"] {
                let path = format!("/proc/{pid}/{file}");
                ensure!(!fs::read(&path).context(path)?.is_empty());
            }
            return Ok(());
        }
        _ => bail!(USAGE),
    };
    // Where the kernel put the program's name.
    let address = end_of_stack(pid)? - LENGTH as u64;
    for _ in 0..times {
        let bytes = look(pid, address, way, LENGTH)?;
        ensure!(
            bytes.iter().any(|byte| *byte != 0),
            "nothing but zeroes at the end of its stack"
        );
    }
    Ok(())
}
