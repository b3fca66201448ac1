//! The kernels of the VM tests, in one table, and getting them from Debian into the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, process};

/// One line of kernels.
pub struct Line {
    /// As given to `--kernel`.
    pub name: &'static str,
    /// Extended regular expression for the package's name in apt.
    package: &'static str,
}

/// Add a line here to test another kernel.
const LINES: [Line; 1] = [Line {
    name: "6.12",
    package: r"^linux-image-6\.12\.[0-9].*-cloud-amd64$",
}];

/// A kernel, unpacked.
pub struct Kernel {
    /// The package, e.g. `linux-image-6.12.117+deb12-cloud-amd64`.
    pub package: String,
    pub image: PathBuf,
    /// `…/lib/modules/VERSION`.
    pub modules: PathBuf,
}

/// The line of that name.
///
/// # Errors
/// Names the lines there are.
pub fn line(name: &str) -> Result<&'static Line> {
    LINES
        .iter()
        .find(|line| line.name == name)
        .with_context(|| {
            let names: Vec<_> = LINES.iter().map(|line| line.name).collect();
            format!("no kernel line {name:?}; there are: {}", names.join(", "))
        })
}

impl Line {
    /// The newest kernel of the line: from the cache, or downloaded and unpacked.
    ///
    /// # Errors
    /// When apt knows none and the cache has none, or the download fails.
    pub fn kernel(&self) -> Result<Kernel> {
        let cache = process::cache_directory("kernels")?;
        let package = self.newest_package(&cache)?;
        let directory = cache.join(&package);
        if !directory.exists() {
            process::step(
                &format!("fetching {package}"),
                "the VM boots a distribution's kernel",
                || download(&package, &cache),
            )?;
        }
        Kernel::open(package, &directory)
    }

    fn newest_package(&self, cache: &Path) -> Result<String> {
        if !apt::here() {
            return cached(cache, self.name).with_context(|| {
                format!(
                    "not Debian, so unpack a kernel package into {}/NAME yourself (dpkg -x)",
                    cache.display()
                )
            });
        }
        let mut names = apt::search(self.package)?;
        if names.is_empty() && process::is_root() {
            apt::update()?;
            names = apt::search(self.package)?;
        }
        newest(&names)
            .or_else(|| cached(cache, self.name))
            .with_context(|| {
                format!(
                    "apt knows no package {}; run: sudo apt-get update",
                    self.package
                )
            })
    }
}

impl Kernel {
    fn open(package: String, directory: &Path) -> Result<Self> {
        let image = only_entry(&directory.join("boot"), "vmlinuz-")?;
        // Suites after bookworm ship modules below /usr/lib.
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| directory.join(path));
        let modules = modules.iter().find(|path| path.exists());
        let modules = only_entry(modules.context("the package has no lib/modules")?, "")?;
        Ok(Self {
            package,
            image,
            modules,
        })
    }
}

/// Downloads into a directory of its own and renames at the end, so that a broken download leaves nothing behind.
fn download(package: &str, cache: &Path) -> Result<()> {
    let partial = cache.join(format!(".partial-{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
    let fetch = || {
        process::run(
            Command::new("apt-get")
                .args(["download", "-q", package])
                .current_dir(&partial),
        )
    };
    let fetched = fetch().or_else(|error| {
        if !process::is_root() {
            return Err(error.context("run: sudo apt-get update"));
        }
        apt::update()?;
        fetch()
    });
    let unpacked = fetched.and_then(|()| {
        let archive = only_entry(&partial, "linux-image-")?;
        process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(&partial))?;
        fs::remove_file(&archive)?;
        fs::rename(&partial, cache.join(package)).context("cannot move the kernel into the cache")
    });
    if unpacked.is_err() {
        fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    unpacked
}

fn cached(cache: &Path, line: &str) -> Option<String> {
    let names = fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let prefix = format!("linux-image-{line}.");
    newest(
        &names
            .filter(|name| name.starts_with(&prefix))
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
    fn an_unknown_line_names_the_known() {
        assert!(line("4.4").err().unwrap().to_string().contains("6.12"));
    }
}
