//! Builds the kernel half and leaves its object in `OUT_DIR`, where `probe::object` embeds it.
//!
//! Installs nothing: `cargo xtask build` does that. `EBPF_TOOLCHAIN` names the toolchain that builds for
//! `bpfel-unknown-none`: a rustup toolchain, or the prefix of a Rust outside rustup (`/usr` for Debian's rustc-web).

use anyhow::{Context as _, anyhow};
use aya_build::{Package, Toolchain, build_ebpf};

/// Crates that may use BPF inline assembly, which is unstable: `.cargo/config.toml` names aya-ebpf alone, since whatever is set there
/// for one crate more builds all crates again.
const BOOTSTRAP: &str = "aya_ebpf,auditor_ebpf";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed=EBPF_TOOLCHAIN");
    let root = std::path::PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR")?,
    )
    .parent()
    .ok_or_else(|| anyhow!("the workspace has no root"))?
    .join("auditor-ebpf");
    let root = root
        .to_str()
        .ok_or_else(|| anyhow!("the workspace's path is not UTF-8"))?
        .to_owned();
    println!("cargo:rerun-if-changed={root}/../auditor-common");
    let custom = std::env::var("EBPF_TOOLCHAIN")
        .ok()
        .or_else(debian_toolchain);
    let toolchain = custom
        .as_deref()
        .map_or(Toolchain::default(), Toolchain::Custom);
    let features: &[&str] = if std::env::var_os("CARGO_FEATURE_LOG").is_some() {
        &["log"]
    } else {
        &[]
    };
    // SAFETY: nothing else runs in this process yet.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", BOOTSTRAP) };
    build_ebpf(
        [Package {
            name: "auditor-ebpf",
            root_dir: &root,
            features,
            ..Default::default()
        }],
        toolchain,
    )
    .context("the kernel half did not build; `cargo xtask doctor` tells what is missing")
}

/// Debian's own Rust with a prebuilt core library for BPF, where it is installed.
fn debian_toolchain() -> Option<String> {
    let core = std::path::Path::new("/usr/lib/rustlib/bpfel-unknown-none/lib");
    core.is_dir().then(|| "/usr".to_owned())
}
