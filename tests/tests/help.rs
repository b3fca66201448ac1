//! Completions complete, and the manual is one. The examples of `--help` and of the documents are run by `cargo xtask examples`.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, in its helpers as well"
)]

mod support;

use std::{fs, process::Command};

use support::{auditor, finish};

fn output(args: &[&str]) -> String {
    let mut command = Command::new(auditor());
    command.args(args);
    let output = finish(command);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `auditor --help` lists.
fn commands() -> Vec<String> {
    let help = output(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    list.lines()
        .take_while(|line| !line.is_empty())
        // A text that goes on below is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn completions_are_what_the_shell_takes_and_know_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let bash = dir.path().join("auditor.bash");
    fs::write(&bash, output(&["completions", "bash"])).unwrap();
    // As bash does it when somebody presses tab behind these words.
    let ask = |words: &str| {
        let script = format!(
            ". '{}'; COMP_WORDS=({words} ''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             f=$(complete -p auditor | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f auditor '' \"${{COMP_WORDS[COMP_CWORD-1]}}\" 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            bash.display()
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]);
        let output = finish(command);
        String::from_utf8(output.stdout).unwrap()
    };
    let commands_told = ask("auditor");
    for command in commands() {
        assert!(
            commands_told.lines().any(|word| word == command),
            "{command}: {commands_told}"
        );
    }
    assert!(!commands_told.contains("probes"), "hidden: {commands_told}");
    assert!(ask("auditor tail --verdict").contains("undetermined"));
    for (shell, word) in [
        ("zsh", "#compdef auditor"),
        ("fish", "complete -c auditor"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        assert!(output(&["completions", shell]).contains(word), "{shell}");
    }
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    output(&["man", "--dir", pages.to_str().unwrap()]);
    let names: Vec<String> = commands()
        .iter()
        .map(|name| format!("auditor-{name}.1"))
        .collect();
    for name in names.iter().map(String::as_str).chain(["auditor.1"]) {
        let page =
            fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH auditor"), "{name}: {page}");
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert_eq!(
        fs::read_dir(&pages).unwrap().count(),
        names.len() + 1,
        "and for nothing else"
    );
    assert_eq!(
        output(&["man", "tail"]),
        fs::read_to_string(pages.join("auditor-tail.1")).unwrap()
    );
    let page = output(&["man", "run"]);
    for word in ["\\-\\-state\\-dir", "EXAMPLES", "EXIT STATUS"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let mut unknown = Command::new(auditor());
    unknown.args(["man", "no-such"]);
    support::assert_refused(
        &finish(unknown),
        2,
        &["COMMAND \"no-such\" is not allowed", "status"],
    );
}
