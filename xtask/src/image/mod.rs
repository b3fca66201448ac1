//! `cargo xtask image`: the container image, from scratch, the same wherever it is built, and what it is made of.

mod archive;
mod contents;
#[cfg(test)]
mod dockerfile;
mod program;
mod sbom;
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    contents::Image,
    source::{Clone, Source},
};
use crate::{
    process, setup,
    shipped::{self, Place},
    summary::Counts,
    toolchain::Toolchain,
    vm::arch::Arch,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask image                        amd64 and arm64, with their SBOMs, in target/image
  cargo xtask image --arch arm64
  cargo xtask image --verify               builds the commit a second time elsewhere: the digest must be the same
  cargo xtask image --binary out           only the static program, as the Dockerfile wants it

Then, to a registry (no daemon needed; apt-get install skopeo):
  skopeo copy --all oci-archive:target/image/credential-auditor-VERSION.tar \\
      docker://ACCOUNT.dkr.ecr.REGION.amazonaws.com/credential-auditor:VERSION
or onto one machine:
  ctr --namespace k8s.io images import target/image/credential-auditor-VERSION.tar

The digest depends on the commit, on the compiler's version and on the C library's. The last line is
`N passed, N failed, N skipped`: each image's size, configuration, its one file, its program and its SBOM are checked.")]
pub struct Args {
    /// Only this architecture; repeatable [default: both].
    #[arg(
        long,
        value_enum,
        value_name = "amd64|arm64",
        hide_possible_values = true
    )]
    arch: Vec<Arch>,
    /// Where archives and SBOMs go.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Builds the commit once more from a clone in another directory, and compares the digests; doubles the time.
    #[arg(long)]
    verify: bool,
    /// Builds the static program into this directory, and nothing else.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["verify", "output"])]
    binary: Option<PathBuf>,
    /// Only installs what SBOMs are made with, ahead of time.
    #[arg(long, conflicts_with_all = ["verify", "output", "binary"])]
    tools: bool,
}

/// Exit code 1 if a check failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.tools {
        sbom::tool()?;
        return Ok(ExitCode::SUCCESS);
    }
    let toolchain = setup::run()?;
    let place = Place::here();
    if let Some(directory) = &args.binary {
        return only_binary(args, &place, &toolchain, directory);
    }
    let arches = match &args.arch[..] {
        [] => Arch::ALL.to_vec(),
        some => some.to_vec(),
    };
    let output = args.output.clone().unwrap_or_else(directory);
    let made = make(&arches, &place, &toolchain, &output)?;
    let mut counts = made.counts;
    if args.verify {
        let again = elsewhere(&arches, &toolchain)?;
        counts += told("reproducible", same(&made.digest, &again));
    }
    println!("{counts}");
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn only_binary(
    args: &Args,
    place: &Place,
    toolchain: &Toolchain,
    directory: &Path,
) -> Result<ExitCode> {
    let arch = match args.arch[..] {
        [] => Arch::host()?,
        [arch] => arch,
        _ => bail!("--binary: one program is called as the other; name one --arch"),
    };
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let to = directory.join(shipped::NAME);
    fs::copy(shipped::build(arch, place, toolchain)?, &to)
        .with_context(|| to.display().to_string())?;
    println!("{}", to.display());
    Ok(ExitCode::SUCCESS)
}

/// The image of this machine's architecture, as the containers suite wants it, with the counts of its checks. Its program is the one that
/// [`crate::build::release`] has built.
///
/// # Errors
/// As of [`run`].
pub fn here(toolchain: &Toolchain) -> Result<(PathBuf, Counts)> {
    let to = directory().join("here");
    let made = make(&[Arch::host()?], &Place::here(), toolchain, &to)?;
    Ok((made.archive, made.counts))
}

fn directory() -> PathBuf {
    process::target_directory().join("image")
}

struct Made {
    archive: PathBuf,
    /// Of the index.
    digest: String,
    counts: Counts,
}

/// Builds, assembles, checks, and puts it into `output`.
fn make(arches: &[Arch], place: &Place, toolchain: &Toolchain, output: &Path) -> Result<Made> {
    let source = Source::read()?;
    let binaries = built(arches, place, toolchain)?;
    fs::create_dir_all(output).with_context(|| output.display().to_string())?;
    let archive = output.join(format!("{}-{}.tar", archive::REPOSITORY, archive::VERSION));
    let mut counts = Counts::default();
    let digest = archive::with_directory(|directory| {
        let layout = archive::layout(&binaries, &source, directory)?;
        archive::pack(&layout, &archive, &source)?;
        let (digest, images) = contents::read(&layout)?;
        let again = archive::layout(&binaries, &source, &directory.join("again"))?;
        let again = contents::read(&again)?.0;
        counts += told("assembled again, it is the same", same(&digest, &again));
        for image in &images {
            counts += check(image, &source, place, directory)?;
        }
        Ok(digest)
    })?;
    for (arch, binary) in &binaries {
        counts += sbom(*arch, &source, binary, output)?;
    }
    println!("{}  {digest}", archive.display());
    Ok(Made {
        archive,
        digest,
        counts,
    })
}

fn built(arches: &[Arch], place: &Place, toolchain: &Toolchain) -> Result<Vec<(Arch, PathBuf)>> {
    let each = arches
        .iter()
        .map(|&arch| Ok((arch, shipped::build(arch, place, toolchain)?)));
    each.collect()
}

fn check(image: &Image, source: &Source, place: &Place, directory: &Path) -> Result<Counts> {
    let name = &image.architecture;
    println!(
        "{name}: {} compressed, {}",
        image.shown_size(),
        image.digest
    );
    let unpacked = directory.join(format!("unpacked-{name}"));
    let file = contents::unpack(image, &unpacked)?;
    let mut counts = Counts::default();
    let checks = contents::checks(image, source).into_iter();
    for (what, outcome) in checks.chain(program::checks(image, &file, &place.remapped())) {
        counts += told(&format!("{name}: {what}"), outcome);
    }
    Ok(counts)
}

fn sbom(arch: Arch, source: &Source, program: &Path, output: &Path) -> Result<Counts> {
    let name = format!(
        "{}-{}-{}.cdx.json",
        archive::REPOSITORY,
        archive::VERSION,
        arch.debian()
    );
    let file = output.join(name);
    let mut counts = Counts::default();
    for (what, outcome) in sbom::make(arch, source, program, &file)? {
        counts += told(&format!("{}: {what}", arch.debian()), outcome);
    }
    println!("{}", file.display());
    Ok(counts)
}

/// The digest that the same commit has when it is built in another directory, from a clone.
fn elsewhere(arches: &[Arch], toolchain: &Toolchain) -> Result<String> {
    let name = format!("credential-auditor-elsewhere-{}", std::process::id());
    let clone = Clone::make(&std::env::temp_dir().join(name))?;
    let place = Place {
        source: clone.path().to_owned(),
        target: clone.path().join("target/image/build"),
    };
    let source = Source::read()?;
    let binaries = built(arches, &place, toolchain)?;
    archive::with_directory(|directory| {
        let layout = archive::layout(&binaries, &source, directory)?;
        Ok(contents::read(&layout)?.0)
    })
}

fn same(here: &str, elsewhere: &str) -> Result<()> {
    ensure!(
        here == elsewhere,
        "here it is {here}, built elsewhere {elsewhere}; compare the two programs: `diffoscope`, or `cmp -l`"
    );
    Ok(())
}

/// One check, told and counted.
fn told(name: &str, outcome: Result<()>) -> Counts {
    match outcome {
        Ok(()) => {
            println!("ok      {name}");
            Counts {
                passed: 1,
                ..Counts::default()
            }
        }
        Err(why) => {
            println!("failed: {name}: {why:#}");
            Counts {
                failed: 1,
                ..Counts::default()
            }
        }
    }
}
