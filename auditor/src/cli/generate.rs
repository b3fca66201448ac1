//! `auditor completions` and `auditor man`: made of the flags themselves.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Failure, UsageError};

pub(super) const COMPLETIONS_EXAMPLES: &str = r#"EXAMPLES:
  For bash, from the next shell on (needs the package bash-completion):
    mkdir -p ~/.local/share/bash-completion/completions
    auditor completions bash > ~/.local/share/bash-completion/completions/auditor

  For zsh, in a directory of $fpath:
    mkdir -p ~/.zfunc
    auditor completions zsh > ~/.zfunc/_auditor

  For fish:
    mkdir -p ~/.config/fish/completions
    auditor completions fish > ~/.config/fish/completions/auditor.fish"#;

pub(super) const MAN_EXAMPLES: &str = r#"EXAMPLES:
  Read the page of a command:
    auditor man tail | man -l -

  Install all of them for this user:
    auditor man --dir ~/.local/share/man/man1"#;

#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell to write them for
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Args, Clone, Debug, Default)]
pub struct ManArgs {
    /// The command whose page is printed [default: `auditor` itself]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub command: Option<String>,

    /// Write all pages into this directory, which is made where it is missing, instead
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `auditor completions SHELL`.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    let cli = Cli::command();
    // What is hidden from people is hidden from their shells.
    let mut shown = Command::new("auditor")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(visible(&cli).cloned());
    clap_complete::generate(args.shell, &mut shown, "auditor", &mut text);
    print(&text)
}

/// `auditor man`.
///
/// # Errors
/// When there is no such command, or what is made cannot be written.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    if let Some(directory) = &args.dir {
        return write_pages(&cli, directory).map_err(|error| {
            Failure::environment(error).help("choose a --dir that this user may write")
        });
    }
    let command = match &args.command {
        None => &cli,
        Some(name) => visible(&cli)
            .find(|command| command.get_name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = visible(&cli).map(Command::get_name).collect();
                UsageError::value("COMMAND", name, names.join(", "), "auditor man run")
            })?,
    };
    print(&page(command).map_err(Failure::environment)?)
}

fn visible(cli: &Command) -> impl Iterator<Item = &Command> {
    cli.get_subcommands()
        .filter(|command| !command.is_hide_set())
}

/// A page in roff, as `auditor-run(1)`.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = match command.get_name() {
        "auditor" => "auditor".to_owned(),
        name => format!("auditor-{name}"),
    };
    let mut text = Vec::new();
    let command = command
        .clone()
        .display_name(&name)
        .version(env!("CARGO_PKG_VERSION"));
    Man::new(command)
        .title(name)
        .section("1")
        .render(&mut text)?;
    Ok(text)
}

fn write_pages(cli: &Command, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    for command in std::iter::once(cli).chain(visible(cli)) {
        let name = match command.get_name() {
            "auditor" => "auditor.1".to_owned(),
            name => format!("auditor-{name}.1"),
        };
        let path = directory.join(name);
        fs::write(&path, page(command)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A reader who is gone is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::environment(
            anyhow::Error::new(error).context("cannot write to stdout"),
        )),
        _ => Ok(()),
    }
}
