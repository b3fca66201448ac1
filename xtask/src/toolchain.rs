//! Which toolchain compiles the probes: what this machine has, and the choice among it.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    process::Command,
};

use crate::{
    apt,
    process::{self, capture},
};

/// Read by auditor/build.rs: the rustup name or the path of the toolchain that compiles the eBPF crate.
pub const TOOLCHAIN_VARIABLE: &str = "EBPF_TOOLCHAIN";
/// Debian's toolchain: its compiler, its cargo, and a prebuilt core library for BPF.
pub const DEBIAN_PREFIX: &str = "/usr";
/// rustc, cargo and the prebuilt core library of Debian; see also [`super::setup`].
pub const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
/// What aya-ebpf and the workspace need: (major, minor) of rustc.
pub const LEAST_RUSTC: (u32, u32) = (1, 95);

/// What decides the choice; read by [`Facts::read`].
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `EBPF_TOOLCHAIN`, set by the user.
    pub explicit: Option<OsString>,
    pub rustup: bool,
    /// A nightly toolchain, new enough, with rust-src.
    pub nightly_with_source: bool,
    /// Debian's compiler, new enough, with its core library for BPF.
    pub debian_core: bool,
    /// Debian with apt, and root: packages can be installed.
    pub can_apt: bool,
    pub linker: bool,
}

/// The compiler of the eBPF crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// What the user's `EBPF_TOOLCHAIN` names.
    Explicit(OsString),
    /// rustup's nightly, with core built from rust-src.
    Nightly,
    /// Debian's rustc in /usr.
    Debian,
}

/// What to do to get a toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Use(Toolchain),
    InstallDebian,
    InstallNightly,
    Nothing,
}

/// Takes what is there before anything is installed; on Debian packages come before rustup's downloads.
pub fn choose(facts: &Facts) -> Choice {
    if let Some(explicit) = &facts.explicit {
        return Choice::Use(Toolchain::Explicit(explicit.clone()));
    }
    match facts {
        Facts {
            nightly_with_source: true,
            linker: true,
            ..
        } => Choice::Use(Toolchain::Nightly),
        Facts {
            debian_core: true, ..
        } => Choice::Use(Toolchain::Debian),
        Facts { can_apt: true, .. } => Choice::InstallDebian,
        Facts {
            nightly_with_source: true,
            ..
        } => Choice::Use(Toolchain::Nightly),
        Facts { rustup: true, .. } => Choice::InstallNightly,
        _ => Choice::Nothing,
    }
}

impl Facts {
    /// Looks at this machine; starts `rustup` and `rustc`, changes nothing.
    pub fn read() -> Self {
        let rustup = process::find("rustup").is_some();
        Self {
            explicit: env::var_os(TOOLCHAIN_VARIABLE).filter(|value| !value.is_empty()),
            rustup,
            nightly_with_source: rustup && nightly_with_source(),
            debian_core: debian_core(),
            can_apt: apt::here() && process::is_root(),
            linker: process::find("bpf-linker").is_some(),
        }
    }
}

impl Toolchain {
    /// Variables for cargo, so that auditor/build.rs takes this compiler.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Explicit(name) => vec![(TOOLCHAIN_VARIABLE, name.clone())],
            Self::Nightly => vec![(TOOLCHAIN_VARIABLE, "nightly".into())],
            Self::Debian => vec![(TOOLCHAIN_VARIABLE, DEBIAN_PREFIX.into())],
        }
    }

    /// A program of this toolchain, e.g. `rustc` or `cargo`.
    ///
    /// Through rustup where there is one: it also makes `cargo clippy` find this toolchain's clippy
    /// and not the proxies in ~/.cargo/bin. It takes a path as the name of a toolchain.
    pub fn program(&self, program: &str) -> Command {
        let name = match self {
            Self::Explicit(name) => name.as_os_str(),
            Self::Nightly => OsStr::new("nightly"),
            Self::Debian => OsStr::new(DEBIAN_PREFIX),
        };
        if process::find("rustup").is_some() {
            let mut command = Command::new("rustup");
            command.arg("run").arg(name).arg(program);
            return command;
        }
        match self {
            Self::Debian => Command::new(Path::new(DEBIAN_PREFIX).join("bin").join(program)),
            Self::Explicit(_) | Self::Nightly => Command::new(program),
        }
    }
}

/// (major, minor) of `rustc --version`.
pub fn rustc_version(rustc: &mut Command) -> Option<(u32, u32)> {
    parse_version(&capture(rustc.arg("--version")).ok()?)
}

/// The LLVM major version that a rustc was built with; bpf-linker must read its bitcode.
pub fn llvm_major(rustc: &mut Command) -> Option<u32> {
    let verbose = capture(rustc.arg("-vV")).ok()?;
    let version = verbose
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("rustc ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn nightly_with_source() -> bool {
    let nightly = Toolchain::Nightly;
    if rustc_version(&mut nightly.program("rustc")).is_none_or(|version| version < LEAST_RUSTC) {
        return false;
    }
    capture(nightly.program("rustc").args(["--print", "sysroot"])).is_ok_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core/Cargo.toml")
            .exists()
    })
}

fn debian_core() -> bool {
    let prefix = Path::new(DEBIAN_PREFIX);
    prefix.join("lib/rustlib/bpfel-unknown-none/lib").is_dir()
        && prefix.join("bin/cargo").exists()
        && rustc_version(&mut Toolchain::Debian.program("rustc"))
            .is_some_and(|version| version >= LEAST_RUSTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(change: impl FnOnce(&mut Facts)) -> Choice {
        let mut facts = Facts::default();
        change(&mut facts);
        choose(&facts)
    }

    #[test]
    fn the_users_word_comes_first() {
        let chosen = choice(|facts| {
            facts.explicit = Some("mine".into());
            facts.debian_core = true;
        });
        assert_eq!(chosen, Choice::Use(Toolchain::Explicit("mine".into())));
    }

    #[test]
    fn what_is_there_comes_before_what_must_be_installed() {
        let nightly = |facts: &mut Facts| {
            facts.rustup = true;
            facts.nightly_with_source = true;
            facts.linker = true;
            facts.can_apt = true;
        };
        assert_eq!(choice(nightly), Choice::Use(Toolchain::Nightly));
        assert_eq!(
            choice(|facts| facts.debian_core = true),
            Choice::Use(Toolchain::Debian)
        );
    }

    #[test]
    fn debian_packages_come_before_downloads_by_rustup() {
        assert_eq!(
            choice(|facts| {
                facts.rustup = true;
                facts.can_apt = true;
            }),
            Choice::InstallDebian
        );
        assert_eq!(choice(|facts| facts.rustup = true), Choice::InstallNightly);
        assert_eq!(choice(|_| ()), Choice::Nothing);
    }

    #[test]
    fn reads_versions() {
        assert_eq!(
            parse_version("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"),
            Some((1, 97))
        );
        assert_eq!(
            parse_version("error: toolchain 'nightly' is not installed"),
            None
        );
    }
}
