//! Packages of another Debian suite or architecture, by package lists of our own: nothing is added to this machine's
//! sources, and no root is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt,
    process::{self, capture},
};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org/debian";
/// New point releases come every few weeks.
const LISTS_AGE: Duration = Duration::from_secs(24 * 3600);

/// A suite on one architecture.
pub struct Suite {
    /// Debian's name of the architecture: `amd64`, `arm64`.
    architecture: &'static str,
    directory: PathBuf,
}

impl Suite {
    /// Package lists of `name` and, where `security`, of its security suite, at most a day old where they can be read anew.
    ///
    /// # Errors
    /// When this is not Debian, or there are no lists and they cannot be fetched.
    pub fn open(name: &str, security: bool, architecture: &'static str) -> Result<Self> {
        if !apt::here() {
            bail!("this is not Debian: no packages of its suites here");
        }
        let directory = process::cache_directory("apt")?.join(format!("{name}-{architecture}"));
        fs::create_dir_all(directory.join("lists/partial"))?;
        let suite = Self {
            architecture,
            directory,
        };
        let sources = sources(name, security, architecture, &mirror());
        let list = suite.directory.join("sources.list");
        let known = fs::read_to_string(&list).is_ok_and(|text| text == sources);
        if known && suite.is_fresh() && suite.has_lists() {
            return Ok(suite);
        }
        fs::write(&list, &sources).with_context(|| list.display().to_string())?;
        let mut update = suite.apt("apt-get");
        // Without it, apt ends with 0 where it could resolve no name.
        update.args(["-o", "APT::Update::Error-Mode=any", "update", "-q"]);
        match process::run(&mut update) {
            Ok(()) if suite.has_lists() => fs::write(suite.stamp(), "")?,
            Ok(()) => bail!("{MIRROR} or this machine's mirror gave no package lists of {name}"),
            Err(error) if known && suite.has_lists() => {
                println!("==> the lists of {name} stay as they were: {error:#}");
            }
            Err(error) => return Err(error.context(format!("no package lists of {name}"))),
        }
        Ok(suite)
    }

    /// Names of the packages that match an extended regular expression.
    pub fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let mut search = self.apt("apt-cache");
        Ok(apt::parse_names(&capture(search.args([
            "search",
            "--names-only",
            pattern,
        ]))?))
    }

    /// Downloads a package, `NAME` or `NAME=VERSION`, and unpacks it into `directory`.
    ///
    /// # Errors
    /// When it is unknown, or the network does not give it.
    pub fn unpack(&self, package: &str, directory: &Path) -> Result<()> {
        let archives = directory.join(".archives");
        fs::create_dir_all(&archives).with_context(|| archives.display().to_string())?;
        let mut download = self.apt("apt-get");
        download.args(["download", "-q", package]);
        process::run(download.current_dir(&archives))?;
        for archive in fs::read_dir(&archives)? {
            let archive = archive?.path();
            process::run(Command::new("dpkg").arg("-x").arg(archive).arg(directory))?;
        }
        fs::remove_dir_all(&archives).with_context(|| archives.display().to_string())
    }

    fn stamp(&self) -> PathBuf {
        self.directory.join("updated")
    }

    fn has_lists(&self) -> bool {
        has_packages(&self.directory.join("lists"))
    }

    fn is_fresh(&self) -> bool {
        let written = fs::metadata(self.stamp()).and_then(|meta| meta.modified());
        written.is_ok_and(|at| {
            SystemTime::now()
                .duration_since(at)
                .is_ok_and(|age| age < LISTS_AGE)
        })
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let below = |name: &str| self.directory.join(name).display().to_string();
        option("Dir::Etc::sourcelist", &below("sources.list"));
        option("Dir::Etc::sourceparts", "/dev/null");
        option("Dir::State::Lists", &below("lists"));
        // Its index is of the machine's own lists.
        option("Dir::Cache::pkgcache", "");
        option("Dir::Cache::srcpkgcache", "");
        option("APT::Architecture", self.architecture);
        option("APT::Architectures", self.architecture);
        option("Acquire::Retries", "3");
        // The directories are ours, not those of apt's own user.
        option("APT::Sandbox::User", "");
        command
    }
}

/// Whether there is a list with something in it: `…_Packages`, or compressed with a suffix.
fn has_packages(lists: &Path) -> bool {
    let entries = fs::read_dir(lists).into_iter().flatten().flatten();
    let mut lists = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().contains("_Packages")
    });
    lists.any(|list| list.metadata().is_ok_and(|meta| meta.len() > 0))
}

/// The lines of a sources.list.
fn sources(name: &str, security: bool, architecture: &str, mirror: &str) -> String {
    let options = format!("[arch={architecture} signed-by={KEYRING}]");
    let mut lines = format!("deb {options} {mirror} {name} main\n");
    if security {
        lines.push_str(&format!(
            "deb {options} {mirror}-security {name}-security main\n"
        ));
    }
    lines
}

/// Where this machine gets Debian's packages.
fn mirror() -> String {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]);
    find_mirror(&capture(&mut targets).unwrap_or_default())
}

/// The first of the URIs that is a mirror of the main archive with the security archive beside it.
fn find_mirror(uris: &str) -> String {
    let mut uris = uris.lines().map(|uri| uri.trim().trim_end_matches('/'));
    uris.find(|uri| uri.ends_with("/debian"))
        .unwrap_or(MIRROR)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_machines_mirror() {
        let uris = "https://packages.cloud.google.com/apt/\nhttp://mirror.example/debian-security/\nhttp://mirror.example/debian/\n";
        assert_eq!(find_mirror(uris), "http://mirror.example/debian");
        assert_eq!(find_mirror(""), MIRROR);
    }

    #[test]
    fn lists_without_packages_are_none() {
        let lists = std::env::temp_dir().join(format!("xtask-lists-{}", std::process::id()));
        fs::create_dir_all(lists.join("partial")).unwrap();
        fs::write(lists.join("mirror_dists_bookworm_InRelease"), "x").unwrap();
        fs::write(lists.join("mirror_binary-arm64_Packages"), "").unwrap();
        let none = has_packages(&lists);
        fs::write(lists.join("mirror_binary-amd64_Packages.lz4"), "x").unwrap();
        let some = has_packages(&lists);
        fs::remove_dir_all(&lists).unwrap();
        assert!(!none && some);
        assert!(!has_packages(&lists));
    }

    #[test]
    fn a_suite_has_its_security_suite_on_the_same_mirror() {
        let text = sources("bullseye", true, "amd64", "http://m/debian");
        assert!(text.contains("http://m/debian bullseye main\n"));
        assert!(text.contains("http://m/debian-security bullseye-security main\n"));
        assert!(
            !sources("trixie-backports", false, "amd64", "http://m/debian").contains("security")
        );
    }
}
