//! The binaries for a guest of another architecture than this machine's, and what they need to run there.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::arch::Arch;
use crate::{
    apt,
    build::{self, Built},
    process::{self, capture},
    suite::Suite,
    toolchain::DEBIAN_PREFIX,
};

/// This Debian: the standard library must be of the very compiler that is installed.
const SUITE: &str = "bookworm";
const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";
const SHELL: &str = "dash";
const CROSS_PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// Where libc6-dev-arm64-cross keeps the libraries that the binaries are linked against.
pub const LIBRARIES: &str = "/usr/aarch64-linux-gnu/lib";
const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";

/// What a cross build made.
pub struct Cross {
    pub built: Built,
    pub shell: PathBuf,
}

/// Builds the auditor and the lab for `arch`, in a target directory of its own.
///
/// # Errors
/// When no standard library for it can be had here; the message says what to run.
pub fn build(arch: Arch) -> Result<Cross> {
    let Toolset {
        suite,
        mut environment,
    } = toolset(arch)?;
    environment.push((
        "CARGO_TARGET_DIR",
        process::target_directory().join("cross").into(),
    ));
    Ok(Cross {
        built: build::foreign(arch, &environment)?,
        shell: shell(&suite)?,
    })
}

/// What compiles for another architecture here.
pub struct Toolset {
    suite: Suite,
    /// Linker, C compiler, and Rust's where it is not cargo's own.
    pub environment: Vec<(&'static str, OsString)>,
}

/// # Errors
/// As of [`build`].
pub fn toolset(arch: Arch) -> Result<Toolset> {
    if arch != Arch::Aarch64 {
        bail!("no cross build for {} here", arch.name());
    }
    if process::find(LINKER).is_none() || !Path::new(LIBRARIES).is_dir() {
        apt::install(&CROSS_PACKAGES, "a C compiler and library for arm64")?;
    }
    let suite = Suite::open(SUITE, true, arch.debian())?;
    let (compiler, flags) = standard_library(&suite)?;
    let mut environment: Vec<(&str, OsString)> = vec![
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            LINKER.into(),
        ),
        ("CC_aarch64_unknown_linux_gnu", LINKER.into()),
        (
            "AR_aarch64_unknown_linux_gnu",
            "aarch64-linux-gnu-ar".into(),
        ),
    ];
    if let Some(compiler) = compiler {
        environment.push(("RUSTC", compiler.into()));
    }
    if let Some(flags) = flags {
        environment.push(("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags));
    }
    Ok(Toolset { suite, environment })
}

/// The compiler, where it is not cargo's own, and its flags: rustup's where it has the target, else Debian's compiler
/// with the library out of Debian's package for arm64.
fn standard_library(suite: &Suite) -> Result<(Option<PathBuf>, Option<OsString>)> {
    let path = Path::new("lib/rustlib").join(TARGET);
    let sysroot = capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join(&path).is_dir() {
        return Ok((None, None));
    }
    let version = apt::installed(STANDARD_LIBRARY).with_context(|| {
        format!(
            "no Rust library for arm64; run one of:\n  rustup target add {TARGET}\n  \
            sudo apt-get install -y rustc-web {STANDARD_LIBRARY}        (Debian 12)"
        )
    })?;
    let package = format!("{STANDARD_LIBRARY}={version}");
    let sysroot = unpacked(suite, &package, |directory| {
        directory.join("usr").join(&path).is_dir()
    })?;
    let sysroot = sysroot.join("usr");
    let mut flags = OsString::from("--sysroot=");
    flags.push(sysroot);
    Ok((
        Some(Path::new(DEBIAN_PREFIX).join("bin/rustc")),
        Some(flags),
    ))
}

fn shell(suite: &Suite) -> Result<PathBuf> {
    let place = |directory: &Path| {
        let places = ["bin/dash", "usr/bin/dash"].map(|place| directory.join(place));
        places.into_iter().find(|place| place.is_file())
    };
    let directory = unpacked(suite, SHELL, |directory| place(directory).is_some())?;
    place(&directory).with_context(|| format!("the package {SHELL} has no bin/dash"))
}

/// A package's files, in the cache; fetched again where that holds something that is not whole.
fn unpacked(suite: &Suite, package: &str, whole: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let cache = process::cache_directory("arm64")?;
    let directory = cache.join(package);
    if directory.exists() {
        if whole(&directory) {
            return Ok(directory);
        }
        println!("==> fetching {package} again, what the cache has is damaged");
        fs::remove_dir_all(&directory)
            .with_context(|| format!("remove {}", directory.display()))?;
    }
    let partial = cache.join(format!(".partial-{package}-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
    let unpacked = suite
        .unpack(package, &partial)
        .and_then(|()| fs::rename(&partial, &directory).context("cannot move it into the cache"));
    if unpacked.is_err() {
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    unpacked?;
    if !whole(&directory) {
        bail!(
            "{package} for arm64 lacks what is wanted of it: {}",
            directory.display()
        );
    }
    Ok(directory)
}
