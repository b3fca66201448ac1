//! Kernel modules for the guest: which files, in which order, unpacked.
//!
//! Debian's packages hold no modules.dep (depmod runs at installation), so each module's own
//! `depends=` is read instead: the string that `modinfo` shows, in the object's .modinfo section.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// A module as the guest loads it.
pub struct Module {
    pub name: String,
    /// The object, decompressed.
    pub object: Vec<u8>,
}

/// The wanted modules and what they depend on, each after its dependencies; those built in are left out.
///
/// # Errors
/// When a module is neither built in nor a file below `directory` (`…/lib/modules/VERSION`).
pub fn collect(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let files = files_by_name(directory)?;
    let list = directory.join("modules.builtin");
    let builtin = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let builtin: Vec<_> = builtin
        .lines()
        .map(|line| module_name(Path::new(line)))
        .collect();
    let mut modules = Vec::new();
    for name in wanted {
        add(name, &files, &builtin, &mut modules)?;
    }
    Ok(modules)
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    builtin: &[String],
    modules: &mut Vec<Module>,
) -> Result<()> {
    if modules.iter().any(|module| module.name == name) || builtin.iter().any(|other| other == name)
    {
        return Ok(());
    }
    let Some(file) = files.get(name) else {
        bail!("this kernel has no module `{name}`, neither as a file nor built in");
    };
    let object = read(file)?;
    for dependency in dependencies(&object) {
        add(&dependency, files, builtin, modules)?;
    }
    modules.push(Module {
        name: name.to_owned(),
        object,
    });
    Ok(())
}

fn files_by_name(directory: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![directory.join("kernel")];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                files.insert(module_name(&entry.path()), entry.path());
            }
        }
    }
    Ok(files)
}

/// `kernel/drivers/net/usb-net.ko.xz` is the module `usb_net`.
fn module_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let base = name.split_once(".ko").map_or(&*name, |(base, _)| base);
    base.replace('-', "_")
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let program = match extension {
        Some("ko") => return fs::read(file).with_context(|| file.display().to_string()),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{}: not .ko, .ko.xz or .ko.zst", file.display()),
    };
    let mut unpack = Command::new(program);
    let output = unpack.args(["-d", "-q", "-c"]).arg(file).output();
    let output = output.with_context(|| format!("cannot start `{}`", process::shown(&unpack)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&unpack), output.status);
    }
    Ok(output.stdout)
}

/// The names in the NUL-terminated string `depends=a,b` of a module's .modinfo section.
fn dependencies(object: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    // A section's first string has no NUL of its own section before it, but the byte before is padding or a NUL all the same.
    let Some(at) = object.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = object[at + KEY.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_kernels_rule() {
        assert_eq!(
            module_name(Path::new("kernel/net/sched/act-mirred.ko.xz")),
            "act_mirred"
        );
        assert_eq!(module_name(Path::new("kernel/drivers/net/veth.ko")), "veth");
    }

    #[test]
    fn reads_dependencies_from_modinfo() {
        let object = b"\x7fELF..license=GPL v2\0depends=libcrc32c,nf-tables\0retpoline=Y\0";
        assert_eq!(dependencies(object), ["libcrc32c", "nf_tables"]);
        assert!(dependencies(b"license=GPL\0depends=\0name=veth\0").is_empty());
        assert!(dependencies(b"no module").is_empty());
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let directory = std::env::temp_dir().join(format!("xtask-modules-{}", std::process::id()));
        fs::create_dir_all(directory.join("kernel/net")).unwrap();
        fs::write(directory.join("modules.builtin"), "kernel/net/core.ko\n").unwrap();
        for (name, depends) in [("a", "b,core"), ("b", "c"), ("c", ""), ("d", "c")] {
            let object = format!("\0depends={depends}\0");
            fs::write(directory.join(format!("kernel/net/{name}.ko")), object).unwrap();
        }
        let modules = collect(&directory, &["a", "d", "core"]).unwrap();
        let missing = collect(&directory, &["z"]).err().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a", "d"]);
        assert!(missing.to_string().contains("`z`"));
    }
}
