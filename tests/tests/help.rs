//! Every example of `--help` and of the documents is run, completions complete, and the manual is one.
//!
//! What an example names of a real node is put in its place: paths of this machine become those of a directory of the test's own,
//! and `kubectl` tells of the samples. A command that wants a cluster or AWS is held to accept what is typed: it must fail for what
//! is not there, never for how it was called.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, in its helpers as well"
)]

mod support;

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::patience;
use rustix::process::{Pid, Signal, kill_process_group};
use support::{auditor, finish, is_root};

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

/// Commands below `EXAMPLES:`, indented by four; those without a line between belong together.
fn examples(command: &str) -> Vec<String> {
    let help = output(&[command, "--help"]);
    let Some((_, examples)) = help.split_once("EXAMPLES:\n") else {
        return Vec::new();
    };
    let mut scripts = Vec::new();
    let mut script = String::new();
    for line in examples.lines() {
        match line.strip_prefix("    ") {
            Some(line) => script = script + line + "\n",
            None if !script.is_empty() => scripts.push(std::mem::take(&mut script)),
            None => {}
        }
        // The next heading.
        if line.chars().next().is_some_and(|c| !c.is_whitespace()) {
            break;
        }
    }
    if !script.is_empty() {
        scripts.push(script);
    }
    scripts
}

/// How a script ends where all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By itself, with 0.
    Well,
    /// Not before it is told to.
    Never,
    /// For want of a cluster, AWS or a fit node, but not by a word about its usage.
    NotByUsage,
}

fn end_of(command: &str, script: &str) -> End {
    match command {
        "run" if script.contains("kube") && !script.contains("file:cluster.json") => {
            End::NotByUsage
        }
        "check" | "sync-associations" => End::NotByUsage,
        // Pods of a cluster play, and a Prometheus or an auditor is asked.
        "simulate"
            if ["kubectl ", " verify", " run"]
                .iter()
                .any(|word| script.contains(word)) =>
        {
            End::NotByUsage
        }
        "run" => End::Never,
        _ if script.contains("--follow") => End::Never,
        _ => End::Well,
    }
}

/// A directory with everything that examples name.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let this = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for name in ["docs", "manifests"] {
            std::os::unix::fs::symlink(root.join(name), this.path(name)).unwrap();
        }
        let list =
            r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[]}"#;
        for name in ["etc/auditor", "var/lib", "var/log", "bin", "kubelet"] {
            fs::create_dir_all(this.path(name)).unwrap();
        }
        fs::write(this.path("cluster.json"), list).unwrap();
        fs::write(this.path("etc/auditor/cluster.json"), list).unwrap();
        for policy in ["etc/auditor/policy.yaml", "policy.yaml"] {
            fs::write(this.path(policy), "version: 1\n").unwrap();
        }
        for name in ["assoc.json", "associations.json"] {
            fs::write(this.path(name), r#"{"associations":[]}"#).unwrap();
        }
        fs::copy(
            root.join("docs/samples/stream.jsonl"),
            this.path("var/log/auditor.jsonl"),
        )
        .unwrap();
        let samples = root.join("docs/samples");
        fs::copy(samples.join("stream.jsonl"), this.path("events.jsonl")).unwrap();
        let mut activities = String::new();
        for entry in fs::read_dir(samples.join("ocsf")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let activity: serde_json::Value = serde_json::from_str(&text).unwrap();
            activities.push_str(&format!("{activity}\n"));
        }
        fs::write(this.path("ocsf.jsonl"), activities).unwrap();
        std::os::unix::fs::symlink(auditor(), this.path("bin/auditor")).unwrap();
        // A cluster whose nodes log the sample.
        let kubectl = format!(
            "#!/bin/sh\ncase \"$1\" in\nlogs) cat docs/samples/stream.jsonl ;;\nget) echo '{list}' ;;\n\
             exec) while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\" ;;\n*) exit 1 ;;\nesac\n"
        );
        fs::write(this.path("bin/kubectl"), kubectl).unwrap();
        fs::set_permissions(this.path("bin/kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, script: &str) -> Child {
        let here = self.dir.path().display();
        let mut script = script.to_owned();
        for path in [
            "/var/lib/auditor",
            "/var/log/auditor.jsonl",
            "/etc/auditor/",
        ] {
            script = script.replace(path, &format!("{here}{path}"));
        }
        // A node's own paths are not this machine's.
        let script = script.replace("--host-proc /host/proc", "--host-proc /proc");
        let script = format!("ip link set lo up\n{script}");
        let path = std::env::var("PATH").unwrap_or_default();
        // Its ports are its own, and nobody is reached.
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--", "bash", "-euo", "pipefail", "-c", &script])
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("PATH", format!("{here}/bin:{path}"))
            .env("LESS", "-E")
            .env("MANPAGER", "cat")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.path("stdout")).unwrap())
            .stderr(fs::File::create(self.path("stderr")).unwrap())
            .process_group(0);
        command.spawn().unwrap()
    }

    fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("{}\n{}", read("stdout"), read("stderr"))
    }
}

fn kill(child: &mut Child, signal: Signal) {
    if let Some(group) = Pid::from_raw(child.id().try_into().unwrap()) {
        let _ = kill_process_group(group, signal);
    }
}

/// The exit code; none where it had to be stopped after `limit`.
fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let deadline = Instant::now() + limit * patience();
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        thread::sleep(Duration::from_millis(10));
    }
    kill(child, Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    kill(child, Signal::KILL);
    let _ = child.wait();
    None
}

/// A program that the script pipes into, and that this machine has not.
fn missing(script: &str) -> Option<&'static str> {
    let is_here = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
    };
    ["jq", "less", "man"].into_iter().find(|name| {
        let is_named = script.contains(&format!("| {name} ")) || script.starts_with(*name);
        is_named && !is_here(name)
    })
}

/// An auditor that `status` can ask.
fn daemon(place: &Place) -> Child {
    let script = "exec auditor run --node-name n1 --cluster file:cluster.json --state-dir /var/lib/auditor \
        --kubelet-root kubelet --metrics-listen 127.0.0.1:0 --output-file daemon.jsonl";
    let child = place.start(script);
    let deadline = Instant::now() + Duration::from_secs(30) * patience();
    while !fs::read_to_string(place.path("daemon.jsonl"))
        .unwrap_or_default()
        .contains("\"ready\"")
    {
        assert!(Instant::now() < deadline, "{}", place.said());
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Runs a script, and holds its end against what it should be; false where this machine lacks a program for it.
fn hold(command: &str, script: &str) -> bool {
    if let Some(program) = missing(script) {
        println!("skipped: there is no {program} here: {script}");
        return false;
    }
    let place = Place::new();
    let mut daemon = script.contains("auditor status").then(|| daemon(&place));
    let end = end_of(command, script);
    println!("{end:?}: {script}");
    let mut child = place.start(script);
    let limit = match end {
        End::Well => Duration::from_secs(20),
        End::Never => Duration::from_secs(3),
        End::NotByUsage => Duration::from_secs(10),
    };
    let code = wait(&mut child, limit);
    let said = place.said();
    match end {
        End::Well => assert_eq!(code, Some(0), "{script}\n{said}"),
        End::Never => assert_eq!(code, None, "{script}\n{said}"),
        End::NotByUsage => {
            assert!(
                matches!(code, None | Some(0 | 1)),
                "{script}\n{code:?} {said}"
            );
            let is_usage = said.contains("Usage:") || said.contains("not allowed: expected");
            assert!(!is_usage, "{script}\n{said}");
        }
    }
    if let Some(daemon) = &mut daemon {
        wait(daemon, Duration::ZERO);
    }
    true
}

#[test]
fn every_example_of_the_help_runs() {
    if !is_root() {
        return;
    }
    let mut count = 0;
    for command in commands() {
        let scripts = examples(&command);
        assert!(
            !scripts.is_empty(),
            "`auditor {command} --help` has no examples"
        );
        count += scripts
            .iter()
            .filter(|script| hold(&command, script))
            .count();
    }
    println!("{count} examples");
    assert!(count > 20);
}

/// The commands of a document's `sh` blocks that begin with `auditor` or `jq`, each with the lines that it goes on over.
fn told_in(document: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let (mut is_shell, mut goes_on) = (false, false);
    for line in document.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_shell = !is_shell && language == "sh";
            goes_on = false;
            continue;
        }
        let begins = ["auditor ", "jq "]
            .iter()
            .any(|name| line.starts_with(name));
        if is_shell && (goes_on || begins) {
            if !goes_on {
                commands.push(String::new());
            }
            let command: &mut String = commands.last_mut().expect("one was begun");
            command.push_str(line);
            command.push('\n');
            let is_quoted = command.matches('\'').count() % 2 == 1;
            goes_on = is_quoted || line.ends_with(['\\', '|']);
        }
    }
    commands
}

/// Runs a question to the samples: it must find something, if it is not for what must not be. False where there is no jq.
fn asks(script: &str, of_ocsf: bool) -> bool {
    if let Some(program) = missing(script) {
        println!("skipped: there is no {program} here: {script}");
        return false;
    }
    let script = match of_ocsf {
        true => script.replace("events.jsonl", "ocsf.jsonl"),
        false => script.to_owned(),
    };
    let place = Place::new();
    let code = wait(&mut place.start(&script), Duration::from_secs(20));
    let said = place.said();
    assert_eq!(code, Some(0), "{script}\n{said}");
    let is_for_holes = script.contains("hole before");
    assert_eq!(said.trim().is_empty(), is_for_holes, "{script}\n{said}");
    true
}

#[test]
fn every_command_of_the_documents_runs() {
    if !is_root() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut count = 0;
    let others = ["README.md", "manifests/runbooks/README.md"].map(|path| root.join(path));
    for path in docs.chain(others) {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        // What stands for an id of the reader's own.
        let id = r#"events.jsonl "$(jq -r 'select(.verdict == "violation") | .id' events.jsonl | head -n 1)""#;
        let document = fs::read_to_string(&path).unwrap();
        for script in told_in(&document.replace("events.jsonl ID", id)) {
            println!("{}:", path.display());
            if script.starts_with("jq ") {
                let of_ocsf = path.ends_with("docs/ocsf.md");
                count += usize::from(asks(&script, of_ocsf));
                continue;
            }
            let command = script.split_whitespace().nth(1).unwrap_or_default();
            count += usize::from(hold(command, &script));
        }
    }
    println!("{count} commands");
    assert!(count > 5);
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
