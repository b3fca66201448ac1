//! `cargo xtask doctor`: what this machine has and lacks, by task, each lack with its remedy.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{
    process::{self, is_root},
    setup,
    toolchain::{self, Choice, Facts, LEAST_RUSTC},
};

/// One line of the report.
struct Check {
    name: &'static str,
    /// The tasks that need it.
    needed_for: &'static str,
    /// Whether a first `cargo xtask demo` fails without it.
    essential: bool,
    /// What was found, or what to do.
    state: Result<String, String>,
}

/// Exit code 1 if `build` or `demo` cannot work.
pub fn run() -> Result<ExitCode> {
    let checks: Vec<Check> = [compilers(), kernel(), tools()]
        .into_iter()
        .flatten()
        .collect();
    for Check {
        name,
        needed_for,
        essential,
        state,
    } in &checks
    {
        match state {
            Ok(found) => println!("  ok        {name:<24} {found}"),
            Err(remedy) if *essential => println!("  MISSING   {name:<24} ({needed_for}) {remedy}"),
            Err(remedy) => println!("  optional  {name:<24} ({needed_for}) {remedy}"),
        }
    }
    let missing = checks
        .iter()
        .filter(|check| check.essential && check.state.is_err())
        .count();
    if missing > 0 {
        println!("{missing} missing for a demo");
        return Ok(ExitCode::FAILURE);
    }
    println!("ready; next: cargo xtask demo");
    Ok(ExitCode::SUCCESS)
}

fn compilers() -> Vec<Check> {
    let facts = Facts::read();
    let choice = toolchain::choose(&facts);
    let host = match toolchain::rustc_version(&mut Command::new("rustc")) {
        Some((a, b)) if (a, b) >= LEAST_RUSTC => Ok(format!("rustc {a}.{b}")),
        _ => Err(format!(
            "run: rustup update stable   ({}.{} or newer)",
            LEAST_RUSTC.0, LEAST_RUSTC.1
        )),
    };
    let probes = match &choice {
        Choice::Use(found) => Ok(setup::describe(found)),
        Choice::InstallDebian => Ok("none yet; the first build installs Debian's packages".into()),
        Choice::InstallNightly => {
            Ok("none yet; the first build runs `rustup toolchain install nightly`".into())
        }
        Choice::Nothing => Err(setup::REMEDY.replace('\n', "\n            ")),
    };
    let linker = match (facts.linker, &choice) {
        (true, _) => Ok(program_path("bpf-linker")),
        (false, Choice::InstallDebian | Choice::Use(toolchain::Toolchain::Debian))
            if facts.can_apt =>
        {
            Ok("none yet; the first build compiles it".into())
        }
        _ => Err("run: cargo binstall bpf-linker   (or: cargo xtask setup)".into()),
    };
    let bpf_clippy = match &choice {
        Choice::Use(toolchain) if process::capture(toolchain.program("cargo-clippy").arg("--version")).is_ok() => {
            Ok(setup::describe(toolchain))
        }
        _ => Err("run: sudo apt-get install -y rust-web-clippy   (or: rustup component add clippy --toolchain nightly)".into()),
    };
    vec![
        Check {
            name: "Rust for the host",
            needed_for: "build",
            essential: true,
            state: host,
        },
        Check {
            name: "Rust and core for BPF",
            needed_for: "build",
            essential: true,
            state: probes,
        },
        Check {
            name: "bpf-linker",
            needed_for: "build",
            essential: true,
            state: linker,
        },
        program("C linker", "build", true, "cc", "gcc libc6-dev"),
        program("rustfmt", "lint", false, "cargo-fmt", "rustfmt-web"),
        program("clippy", "lint", false, "cargo-clippy", "rust-web-clippy"),
        Check {
            name: "clippy for the probes",
            needed_for: "lint",
            essential: false,
            state: bpf_clippy,
        },
    ]
}

fn kernel() -> Vec<Check> {
    let root = match (is_root(), process::find("sudo")) {
        (true, _) => Ok("root".into()),
        (false, Some(_)) => Ok("through sudo".into()),
        (false, None) => Err("run as root: mounts, cgroups, namespaces and BPF need it".into()),
    };
    let btf = path(
        "/sys/kernel/btf/vmlinux",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y; `cargo xtask vm-test` brings one",
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroup = match mount_point(&mounts, "cgroup2") {
        Some(at) => Ok(format!("cgroup v2 at {at}")),
        None => Err("run: mount -t cgroup2 none /sys/fs/cgroup   (or boot with systemd.unified_cgroup_hierarchy=1)".into()),
    };
    let kprobe = path(
        "/sys/bus/event_source/devices/kprobe/type",
        "this kernel has no kprobes; `cargo xtask vm-test` tests that backend",
    );
    vec![
        Check {
            name: "root",
            needed_for: "demo, test",
            essential: true,
            state: root,
        },
        Check {
            name: "kernel BTF",
            needed_for: "demo, test",
            essential: true,
            state: btf,
        },
        Check {
            name: "cgroup v2",
            needed_for: "demo, test",
            essential: true,
            state: cgroup,
        },
        Check {
            name: "kprobes",
            needed_for: "kprobe backend here",
            essential: false,
            state: kprobe,
        },
    ]
}

fn tools() -> Vec<Check> {
    vec![
        program(
            "qemu",
            "vm-test",
            false,
            "qemu-system-x86_64",
            "qemu-system-x86",
        ),
        program("xz", "vm-test", false, "xz", "xz-utils"),
        program("dpkg", "vm-test", false, "dpkg", "dpkg"),
        program("opensnoop.bt", "bench", false, "opensnoop.bt", "bpftrace"),
        program("opensnoop", "bench", false, "opensnoop", "libbpf-tools"),
        program("fatrace", "bench", false, "fatrace", "fatrace"),
        program("auditctl", "bench", false, "auditctl", "auditd"),
        program("bpftool", "bench", false, "bpftool", "bpftool"),
        program(
            "buildah",
            "image, e2e containerd",
            false,
            "buildah",
            "buildah",
        ),
    ]
}

/// A program; the remedy is its Debian package.
fn program(
    name: &'static str,
    needed_for: &'static str,
    essential: bool,
    file: &str,
    package: &str,
) -> Check {
    let state = match process::find(file) {
        Some(found) => Ok(found.display().to_string()),
        None => Err(format!("run: sudo apt-get install -y {package}")),
    };
    Check {
        name,
        needed_for,
        essential,
        state,
    }
}

fn program_path(file: &str) -> String {
    process::find(file)
        .map(|found| found.display().to_string())
        .unwrap_or_default()
}

fn path(file: &str, remedy: &str) -> Result<String, String> {
    if Path::new(file).exists() {
        Ok(file.to_owned())
    } else {
        Err(remedy.to_owned())
    }
}

/// Where a file system of this type is mounted, from /proc/self/mountinfo.
pub fn mount_point<'a>(mountinfo: &'a str, kind: &str) -> Option<&'a str> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == kind).then(|| before.split(' ').nth(4))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_mount_by_type() {
        let mountinfo = "25 1 0:23 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755\n\
                         36 25 0:33 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(
            mount_point(mountinfo, "cgroup2"),
            Some("/sys/fs/cgroup/unified")
        );
        assert_eq!(mount_point(mountinfo, "tracefs"), None);
    }
}
