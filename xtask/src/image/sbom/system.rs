//! What is linked and no crate: the C library and Rust's own.

use std::{ffi::OsString, process::Command};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    apt,
    process::capture,
    vm::{arch::Arch, cross},
};

/// # Errors
/// When the compiler does not say its version.
pub fn components(arch: Arch) -> Result<Vec<Value>> {
    let rustc = match arch.is_host() {
        true => None,
        false => {
            let environment = cross::toolset(arch)?.environment;
            let named = environment.into_iter().find(|(name, _)| *name == "RUSTC");
            named.map(|(_, value)| value)
        }
    };
    let rustc = rustc.unwrap_or_else(|| OsString::from("rustc"));
    let version = capture(Command::new(rustc).arg("--version"))?;
    Ok(vec![c_library(arch)?, rust(&version)?])
}

/// Debian's package by which a scanner knows it, else its bare version.
fn c_library(arch: Arch) -> Result<Value> {
    let package = match arch.is_host() {
        true => "libc6-dev".to_owned(),
        false => format!("libc6-dev-{}-cross", arch.debian()),
    };
    let (version, purl) = match apt::installed(&package) {
        Some(version) => {
            let purl = deb(&package, &version, arch);
            (version, purl)
        }
        None => {
            let version = capture(Command::new("getconf").arg("GNU_LIBC_VERSION"))
                .context("no C library of GNU")?;
            let version = version.trim().trim_start_matches("glibc ").to_owned();
            let purl = format!("pkg:generic/glibc@{version}");
            (version, purl)
        }
    };
    Ok(component("glibc", &version, &purl, "LGPL-2.1-or-later"))
}

/// As package-url has it: `+` and `:` of a version are encoded.
fn deb(package: &str, version: &str, arch: Arch) -> String {
    let version = version.replace('+', "%2B").replace(':', "%3A");
    format!("pkg:deb/debian/{package}@{version}?arch={}", arch.debian())
}

/// Of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn rust(version: &str) -> Result<Value> {
    let number = version.split(' ').nth(1);
    let number = number.with_context(|| format!("rustc --version printed: {version}"))?;
    let purl = format!("pkg:generic/rust-std@{number}");
    let mut std = component("rust-std", number, &purl, "MIT OR Apache-2.0");
    std["description"] = version.trim().into();
    Ok(std)
}

fn component(name: &str, version: &str, purl: &str, license: &str) -> Value {
    json!({
        "type": "library", "bom-ref": purl, "name": name, "version": version, "scope": "required",
        "licenses": [{"expression": license}], "purl": purl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_debian_is_encoded() {
        assert_eq!(
            deb("libc6-dev", "2.36-9+deb12u14", Arch::X86_64),
            "pkg:deb/debian/libc6-dev@2.36-9%2Bdeb12u14?arch=amd64"
        );
    }

    #[test]
    fn the_compilers_version_is_that_of_its_library() {
        let std = rust("rustc 1.95.0 (59807616e 2026-04-14)\n").unwrap();
        assert_eq!(std["purl"], "pkg:generic/rust-std@1.95.0");
        assert!(rust("rustc").is_err());
    }
}
