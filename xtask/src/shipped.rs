//! The auditor's program as the image holds it: linked statically, and the same wherever it is built. The end-to-end suites run it, too.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    process,
    toolchain::Toolchain,
    vm::{arch::Arch, cross},
};

/// Of Cargo.toml: the release without line tables.
const PROFILE: &str = "image";
pub const NAME: &str = "auditor";

/// Where it is built: the sources, and what cargo writes.
pub struct Place {
    pub source: PathBuf,
    pub target: PathBuf,
}

impl Place {
    /// This workspace. Not the target directory of other builds: they have other flags, and a cargo waits for the other's lock.
    pub fn here() -> Self {
        Self {
            source: process::workspace().to_owned(),
            target: process::target_directory().join("image/build"),
        }
    }

    /// What stands in paths of what is built here, and what is written in its place.
    pub fn remapped(&self) -> Vec<(PathBuf, &'static str)> {
        let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
        let named = |variable: &str, default: &str| {
            env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from)
        };
        // rustc takes the last one that fits.
        vec![
            (self.source.clone(), "/src"),
            (named("CARGO_HOME", ".cargo"), "/cargo"),
            // Where core is built from source, for the kernel half.
            (named("RUSTUP_HOME", ".rustup"), "/rustup"),
            (self.target.clone(), "/target"),
        ]
    }
}

/// # Errors
/// When no compiler for `arch` can be had here, or the build fails.
pub fn build(arch: Arch, place: &Place, toolchain: &Toolchain) -> Result<PathBuf> {
    let what = format!("building the auditor for {}", arch.name());
    process::step(
        &what,
        "as the image holds it: cargo compiles what has changed",
        || process::run(&mut command(arch, place, toolchain)?),
    )?;
    Ok(place.target.join(arch.target()).join(PROFILE).join(NAME))
}

/// The build, to be started.
///
/// Of the package alone, so that it has its own features and no other package's. `crt-static` is asked of the last step only:
/// libraries are the same with it and without.
fn command(arch: Arch, place: &Place, toolchain: &Toolchain) -> Result<Command> {
    fs::create_dir_all(&place.target).with_context(|| place.target.display().to_string())?;
    let wrapper = wrapper(place)?;
    let mut cargo = process::cargo();
    cargo.current_dir(&place.source);
    cargo.args(["rustc", "--locked", "--profile", PROFILE, "-p", "auditor"]);
    cargo.args(["--bin", NAME, "--target", arch.target()]);
    if has_static_library(arch)? {
        cargo.args(["--", "-C", "target-feature=+crt-static"]);
    } else {
        println!("the program will want shared libraries, and an image cannot hold it: {REMEDY}");
    }
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo.envs(toolchain.environment());
    if !arch.is_host() {
        cargo.envs(cross::toolset(arch)?.environment);
    }
    if arch == Arch::Aarch64 {
        static_pie(&mut cargo, place)?;
    }
    cargo.env("CARGO_TARGET_DIR", &place.target);
    cargo.env("RUSTC_WRAPPER", wrapper);
    cargo.env("CARGO_INCREMENTAL", "0");
    // C of ring and zstd.
    let mut flags = OsString::new();
    for (from, to) in place.remapped() {
        flags.push("-ffile-prefix-map=");
        flags.push(from);
        flags.push(format!("={to} "));
    }
    cargo.env(format!("CFLAGS_{}", arch.target().replace('-', "_")), flags);
    Ok(cargo)
}

/// Without a static C library the program is for this machine alone.
pub const REMEDY: &str = "this machine has no static C library; Fedora, Amazon Linux: dnf install glibc-static; \
    Debian's libc6-dev has it";

/// Debian's cross C library has one, too.
fn has_static_library(arch: Arch) -> Result<bool> {
    if !arch.is_host() {
        return Ok(true);
    }
    let mut cc = Command::new("cc");
    // A name without a directory where there is none.
    let said = process::capture(cc.arg("-print-file-name=libc.a"))
        .context("cargo links with a C compiler; Debian: apt-get install gcc libc6-dev")?;
    Ok(Path::new(said.trim()).is_file())
}

/// rustc links a static program for arm64 to a fixed address (its target has no `static-position-independent-executables`; x86-64's has),
/// though all that it links is position-independent. The linker is found by name: a path would be another in each place.
fn static_pie(cargo: &mut Command, place: &Place) -> Result<()> {
    const LINKER: &str = "link-static-pie";
    const VARIABLE: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER";
    let set = |name: &str| {
        let (_, value) = cargo.get_envs().find(|(set, _)| *set == name)?;
        value.map(OsString::from)
    };
    let linker = set(VARIABLE)
        .or_else(|| env::var_os(VARIABLE))
        .unwrap_or_else(|| "cc".into());
    let path = set("PATH")
        .or_else(|| env::var_os("PATH"))
        .unwrap_or_default();
    let directory = place.target.join("bin");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    executable(
        &directory.join(LINKER),
        &pie_linker(&linker.to_string_lossy()),
    )?;
    let path = env::join_paths([directory].into_iter().chain(env::split_paths(&path)))?;
    cargo.env("PATH", path).env(VARIABLE, LINKER);
    Ok(())
}

fn pie_linker(linker: &str) -> String {
    include_str!("shipped/link-static-pie.sh").replace("@LINKER@", &linker.replace('\'', r"'\''"))
}

/// Writes a script. Left alone where it is the same: cargo asks the compiler anew when its file has changed.
fn executable(file: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(file, text).with_context(|| file.display().to_string())?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// A program that starts the compiler with the paths remapped. Flags for cargo would reach neither the kernel half, which is built
/// by a cargo of its own (aya-build sets `CARGO_ENCODED_RUSTFLAGS`), nor its libraries.
fn wrapper(place: &Place) -> Result<PathBuf> {
    let file = place.target.join("rustc-remapped");
    executable(&file, &script(&place.remapped()))?;
    Ok(file)
}

fn script(remapped: &[(PathBuf, &str)]) -> String {
    let mut script = "#!/bin/sh\nexec \"$@\"".to_owned();
    for (from, to) in remapped {
        let quoted = from.display().to_string().replace('\'', r"'\''");
        script.push_str(&format!(" \\\n  --remap-path-prefix='{quoted}={to}'"));
    }
    script.push('\n');
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_and_spaces_is_one_word_of_the_shell() {
        let remapped = [("/it's here".into(), "/src"), ("/c".into(), "/cargo")];
        let file = env::temp_dir().join(format!("xtask-wrapper-{}", std::process::id()));
        fs::write(&file, script(&remapped)).unwrap();
        let mut sh = Command::new("sh");
        let said = process::capture(sh.arg(&file).args(["printf", "%s\\n", "-"])).unwrap();
        fs::remove_file(file).unwrap();
        let want = "-\n--remap-path-prefix=/it's here=/src\n--remap-path-prefix=/c=/cargo\n";
        assert_eq!(said, want);
    }

    #[test]
    fn what_is_linked_statically_gets_no_fixed_address_and_all_else_is_left_alone() {
        let said = |words: &[&str]| {
            let mut sh = Command::new("sh");
            sh.args(["-c", &pie_linker("echo"), "sh"]).args(words);
            process::capture(&mut sh).unwrap()
        };
        let program = ["-o", "a b", "-static", "-no-pie", "-Wl,--as-needed"];
        assert_eq!(said(&program), "-o a b -static-pie -Wl,--as-needed\n");
        assert_eq!(said(&["-no-pie", "-lc"]), "-no-pie -lc\n");
        assert_eq!(said(&["-shared"]), "-shared\n");
    }

    #[test]
    fn what_lies_within_another_is_named_after_it() {
        let place = Place {
            source: "/w".into(),
            target: "/w/target/image/build".into(),
        };
        let names: Vec<_> = place.remapped().into_iter().map(|(_, to)| to).collect();
        assert_eq!(names, ["/src", "/cargo", "/rustup", "/target"]);
    }
}
