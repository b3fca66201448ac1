//! The kernel half: probes that filter, describe the acting task, and hand records to userspace. They never decide
//! whose a token is or whether an access was allowed; they never block, never sleep, never touch a token's contents.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "all of them read kernel memory through addresses that may be null or stale (`kernel::Address`), which is what \
              the helpers and the verifier make safe"
)]

mod accept;
mod attempt;
mod connect;
mod denied;
mod exec;
mod file_open;
mod flood;
mod held;
mod kernel;
mod lifecycle;
mod log;
mod maps;
mod memory;
mod path;
mod received;
mod socket;
mod superblock;
mod system_call;
mod task;
mod token_file;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program in which a panic is reachable.
    loop {}
}

/// Several helpers (`bpf_probe_read_kernel` among them) are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
