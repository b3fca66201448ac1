//! The kernels of the VM tests, in one table, and getting them from Debian into the cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Backend, arch::Arch};
use crate::{apt, process, suite::Suite};

/// One line of kernels.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// As given to `--kernel`.
    pub name: &'static str,
    /// Debian's suite that has it.
    suite: &'static str,
    /// Whether its updates come by a security suite.
    security: bool,
    /// What loads is shown; nothing there fails a run.
    pub best_effort: bool,
    /// Of the kernel's command line.
    pub parameters: &'static str,
    /// In the matrix without flags.
    pub tested_on: &'static [Arch],
}

/// Add a line here to test another kernel.
pub const LINES: [Line; 4] = [
    Line {
        name: "5.10",
        suite: "bullseye",
        security: true,
        best_effort: true,
        parameters: "",
        tested_on: &[Arch::X86_64],
    },
    Line {
        name: "6.1",
        suite: "bookworm",
        security: true,
        best_effort: false,
        parameters: "",
        tested_on: &[Arch::X86_64, Arch::Aarch64],
    },
    Line {
        name: "6.12",
        suite: "bookworm",
        security: true,
        best_effort: false,
        // As Bottlerocket boots.
        parameters: "lockdown=integrity",
        tested_on: &[Arch::X86_64, Arch::Aarch64],
    },
    Line {
        name: "6.18",
        suite: "trixie-backports",
        security: false,
        best_effort: false,
        parameters: "",
        tested_on: &[Arch::X86_64],
    },
];

/// A kernel, unpacked.
#[derive(Debug)]
pub struct Kernel {
    /// The package, e.g. `linux-image-6.12.117+deb12-cloud-amd64`.
    pub package: String,
    pub image: PathBuf,
    /// `…/lib/modules/VERSION`.
    pub modules: PathBuf,
}

/// The lines of these names; `all` is every line.
///
/// # Errors
/// Names the lines there are.
pub fn lines(names: &[String]) -> Result<Vec<&'static Line>> {
    let mut found = Vec::new();
    for name in names {
        let matching: Vec<_> = LINES
            .iter()
            .filter(|line| name == "all" || line.name == name)
            .collect();
        if matching.is_empty() {
            let known: Vec<_> = LINES.iter().map(|line| line.name).collect();
            bail!(
                "no kernel line {name:?}; there are: {}, all",
                known.join(", ")
            );
        }
        for line in matching {
            if !found.contains(&line) {
                found.push(line);
            }
        }
    }
    Ok(found)
}

impl Line {
    /// Whether it can be locked down further, to see what the auditor says then.
    pub fn is_locked_down(&self) -> bool {
        self.parameters.contains("lockdown=integrity")
    }

    /// What the reason must hold where the kernel is known to refuse a backend; anything on one of best effort. arm64 has no
    /// direct calls from ftrace before 6.4, so fentry loads and its attach is ENOTSUPP, 524 (arch/arm64/Kconfig:
    /// HAVE_DYNAMIC_FTRACE_WITH_DIRECT_CALLS).
    pub fn refusal(&self, arch: Arch, backend: Backend) -> Option<&'static str> {
        if self.best_effort {
            return Some("");
        }
        let known = self.name == "6.1" && arch == Arch::Aarch64 && backend == Backend::Fentry;
        known.then_some("os error 524")
    }

    /// The newest kernel of the line: from the cache, or downloaded and unpacked.
    ///
    /// # Errors
    /// When apt knows none and the cache has none, or the download fails.
    pub fn kernel(&self, arch: Arch) -> Result<Kernel> {
        let cache = process::cache_directory("kernels")?;
        let suite = match Suite::open(self.suite, self.security, arch.debian()) {
            Ok(suite) => suite,
            Err(error) => {
                let Some(package) = cached(&cache, self.name, arch) else {
                    return Err(self.remedy(error, &cache));
                };
                println!("==> taking {package} from the cache: {error:#}");
                let directory = cache.join(&package);
                let kernel = Kernel::open(package, &directory);
                return kernel.with_context(|| {
                    format!("damaged; remove {} and run it online", directory.display())
                });
            }
        };
        let package = newest(&suite.search(&self.pattern(arch))?)
            .or_else(|| cached(&cache, self.name, arch))
            .with_context(|| format!("Debian's {} has no kernel {}", self.suite, self.name))?;
        let directory = cache.join(&package);
        if directory.exists() {
            match Kernel::open(package.clone(), &directory) {
                Ok(kernel) => return Ok(kernel),
                Err(error) => {
                    println!(
                        "==> fetching {package} again, what the cache has is damaged: {error:#}"
                    );
                    fs::remove_dir_all(&directory)
                        .with_context(|| format!("remove {}", directory.display()))?;
                }
            }
        }
        process::step(
            &format!("fetching {package}"),
            "the VM boots a distribution's kernel",
            || download(&suite, &package, &cache),
        )?;
        Kernel::open(package, &directory)
    }

    /// Extended regular expression for the package's name in apt.
    fn pattern(&self, arch: Arch) -> String {
        let version = self.name.replace('.', r"\.");
        format!(
            r"^linux-image-{version}\.[0-9][^ ]*-cloud-{}$",
            arch.debian()
        )
    }

    fn remedy(&self, error: anyhow::Error, cache: &Path) -> anyhow::Error {
        if apt::here() {
            return error;
        }
        error.context(format!(
            "unpack a kernel package {}.* into {}/NAME yourself (dpkg -x)",
            self.name,
            cache.display()
        ))
    }
}

impl Kernel {
    fn open(package: String, directory: &Path) -> Result<Self> {
        let image = only_entry(&directory.join("boot"), "vmlinuz-")?;
        // Suites after bookworm ship modules below /usr/lib.
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| directory.join(path));
        let modules = modules.iter().find(|path| path.exists());
        let modules = only_entry(modules.context("the package has no lib/modules")?, "")?;
        let size = fs::metadata(&image).with_context(|| image.display().to_string())?;
        if size.len() == 0 || !modules.join("modules.builtin").exists() {
            bail!("{}: not a whole kernel package", directory.display());
        }
        Ok(Self {
            package,
            image,
            modules,
        })
    }
}

/// Downloads into a directory of its own and renames at the end, so that a broken download leaves nothing behind.
fn download(suite: &Suite, package: &str, cache: &Path) -> Result<()> {
    let partial = cache.join(format!(".partial-{package}-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
    let unpacked = suite.unpack(package, &partial).and_then(|()| {
        fs::rename(&partial, cache.join(package)).context("cannot move the kernel into the cache")
    });
    if unpacked.is_err() {
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    unpacked
}

fn cached(cache: &Path, line: &str, arch: Arch) -> Option<String> {
    let names = fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let (prefix, suffix) = (
        format!("linux-image-{line}."),
        format!("-{}", arch.debian()),
    );
    newest(
        &names
            .filter(|name| name.starts_with(&prefix) && name.ends_with(&suffix))
            .collect::<Vec<_>>(),
    )
}

/// The name with the highest version; numbers compare as numbers.
fn newest(names: &[String]) -> Option<String> {
    let numbers = |name: &String| -> Vec<u64> {
        let digits = name.split(|c: char| !c.is_ascii_digit());
        digits.filter_map(|number| number.parse().ok()).collect()
    };
    names.iter().max_by_key(|name| numbers(name)).cloned()
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut matching = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        });
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        _ => bail!("{}: not exactly one {prefix}*", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let names = [
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
        ];
        assert_eq!(newest(&names.map(str::to_owned)).as_deref(), Some(names[1]));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn a_damaged_kernel_is_not_opened() {
        let directory = std::env::temp_dir().join(format!("xtask-kernel-{}", std::process::id()));
        let open = || Kernel::open("linux".to_owned(), &directory);
        let modules = directory.join("lib/modules/6.12");
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(directory.join("boot")).unwrap();
        let empty = open();
        fs::write(directory.join("boot/vmlinuz-6.12"), "").unwrap();
        fs::write(modules.join("modules.builtin"), "").unwrap();
        let cut = open();
        fs::write(directory.join("boot/vmlinuz-6.12"), "image").unwrap();
        let whole = open();
        fs::remove_dir_all(&directory).unwrap();
        assert!(empty.is_err() && cut.is_err());
        assert_eq!(whole.unwrap().modules, modules);
    }

    #[test]
    fn one_backend_is_refused_and_for_one_reason() {
        let refusal =
            |line: usize, arch| Backend::ALL.map(|backend| LINES[line].refusal(arch, backend));
        assert_eq!(
            refusal(1, Arch::Aarch64),
            [Some("os error 524"), None, None]
        );
        assert_eq!(refusal(1, Arch::X86_64), [None; 3]);
        assert_eq!(refusal(2, Arch::Aarch64), [None; 3]);
        assert_eq!(refusal(0, Arch::X86_64), [Some(""); 3]);
    }

    #[test]
    fn lines_by_name_in_the_order_asked_and_once() {
        let named = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            lines(&names).map(|lines| lines.iter().map(|line| line.name).collect::<Vec<_>>())
        };
        assert_eq!(named(&["6.12", "6.1", "6.12"]).unwrap(), ["6.12", "6.1"]);
        assert_eq!(
            named(&["6.1", "all"]).unwrap(),
            ["6.1", "5.10", "6.12", "6.18"]
        );
        assert!(named(&["4.4"]).err().unwrap().to_string().contains("6.12"));
    }

    #[test]
    fn a_lines_pattern_takes_no_other_line() {
        let (short, long) = (&LINES[1], &LINES[2]);
        assert_eq!(
            short.pattern(Arch::Aarch64),
            r"^linux-image-6\.1\.[0-9][^ ]*-cloud-arm64$"
        );
        assert!(
            long.pattern(Arch::X86_64)
                .starts_with(r"^linux-image-6\.12\.")
        );
    }
}
