//! Processor architectures of guests and images, and what Debian, Rust and QEMU call them.

use anyhow::{Context as _, Result};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Arch {
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    #[value(alias = "arm64")]
    Aarch64,
}

impl Arch {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// This machine's.
    ///
    /// # Errors
    /// On another than these two.
    pub fn host() -> Result<Self> {
        let host = Self::ALL.into_iter().find(|arch| arch.is_host());
        host.context("the auditor is for x86-64 and arm64, and this machine is neither")
    }

    /// Whether this machine runs its binaries.
    pub fn is_host(self) -> bool {
        self.name() == std::env::consts::ARCH
    }

    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The target that is built for.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The emulator and its Debian package.
    pub fn qemu(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
        }
    }

    /// The emulated machine. x86-64: without five-level page tables and the guards whose checks are emulated on each access,
    /// none of which a probe sees: 17.0 s for 18.7 (measured as of [`Self::parameters`]). arm64: `max` has pointer
    /// authentication, whose default algorithm is slow to emulate.
    pub fn machine(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["-cpu", "max,la57=off,smap=off,smep=off,pku=off,umip=off"],
            Self::Aarch64 => &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
        }
    }

    /// Kernel parameters that make emulation faster and change nothing of what the probes see. The figures are QEMU's
    /// processor seconds, user and system, for the boot of 6.12 and 15 techniques on fentry, with QEMU 7.2.
    ///
    /// - `norandmaps`, 20.6 for 28.4: QEMU 7.2 keys what it has translated by virtual addresses, too, so that with
    ///   randomised ones each process would be translated anew.
    /// - The others together, 18.7 for 20.6: no mitigations, which emulation does not need, nor the kernel's own random
    ///   address; clocks read from the TSC and not from a device; RCU grace periods that detaching a probe and ending a
    ///   namespace wait for are expedited; no audit.
    /// - `no_timer_check` is for busy machines: where QEMU gets too little time at boot, the kernel panics with
    ///   `IO-APIC + timer doesn't work!`.
    pub fn parameters(self) -> &'static str {
        match self {
            Self::X86_64 => {
                "norandmaps mitigations=off nokaslr audit=0 rcupdate.rcu_expedited=1 random.trust_cpu=on tsc=reliable \
                 no_timer_check"
            }
            Self::Aarch64 => {
                "norandmaps mitigations=off nokaslr audit=0 rcupdate.rcu_expedited=1 random.trust_cpu=on"
            }
        }
    }

    pub fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }
}
