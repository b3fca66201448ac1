//! Input from hostile hands, end to end: whatever names, arguments, labels and files hold, a line is one JSON object under
//! 16 KiB, no terminal is controlled, memory is bounded and so are the metrics' series.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    auditor::{Auditor, Options, terminate},
    node::{Lab, Pod, PodSpec, pod::POD_IDENTITY},
    patience,
    volume::Plugin,
};
use serde_json::{Value, json};
use support::{Inputs, Running, auditor, finish, get, helpers, is_root};

/// A newline and what looks like a line of ours, the screen cleared, the title set, an 8-bit CSI, the reading direction
/// turned (U+202E, 061C, 200E, 200F), what is not seen (U+200B, 2060, 00AD, FEFF), and no UTF-8.
const HOSTILE: &[u8] =
    b"x\n{\"event\":\"health\"}\r\x1b[2J\x1b]0;owned\x07\xc2\x9b1A\xe2\x80\xae\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f\
      \xe2\x80\x8b\xe2\x81\xa0\xc2\xad\xef\xbb\xbf\xff\xfe";

/// For the shell's printf.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

/// Nothing that a terminal obeys, that turns the reading direction (Unicode's Bidi_Control) or is not seen, but for the ends of
/// lines.
fn assert_plain(what: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    let bad = text.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    });
    assert_eq!(bad, None, "{what}: {text:?}");
}

/// `VmHWM`, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kib| kib.parse().ok()).expect("a peak")
}

/// Names with their labels.
fn series(ready: &Value) -> BTreeSet<String> {
    let (status, body) = get(ready, "/metrics");
    assert_eq!(status, 200);
    assert_plain("metrics", body.as_bytes());
    body.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series.to_owned())
        .collect()
}

/// The next theft by `thief`.
fn theft(auditor: &mut Auditor, thief: &Pod) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    loop {
        let line = auditor
            .next(deadline)?
            .with_context(|| format!("no theft by {}\n{}", thief.key(), auditor.log_tail()))?;
        let is_its = line["pod"]["name"] == *thief.spec.name;
        if line["event"] == "token_open" && line["verdict"] == "violation" && is_its {
            return Ok(line);
        }
    }
}

#[test]
fn whatever_a_thief_calls_itself_its_theft_is_told_in_one_plain_line() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let victim = lab.start(PodSpec::new("payments", "ledger").with_pod_identity())?;
    let root = lab.kubelet_root();
    let thief = lab.start(PodSpec::new("shop", "web").with_host_path(&root, "/host/kubelet"))?;
    let output = tempfile::tempdir()?;
    let options = Options {
        program: auditor(),
        backend: support::backend(),
        output: output.path().join("out.jsonl"),
        args: vec!["--args".into(), "full".into()],
        env: Vec::new(),
        without: Vec::new(),
    };
    let (mut auditor, ready) = Auditor::start(&lab, &options)?;

    let token = victim.token_below(Path::new("/host/kubelet"), POD_IDENTITY);
    let volume = victim.spec.volume_id(Plugin::Projected, POD_IDENTITY);
    let volume = volume.dir(Path::new("/host/kubelet"));
    // A program of that name, first argument, last argument: 128 KiB is the most that the kernel allows of one, with its NUL.
    let script = |name: &str, file: &str| {
        format!(
            "n=$(printf '/tmp/{name}'); cp /bin/cat \"$n\"; \
             big=$(head -c 131071 /dev/zero | tr '\\0' A); \
             \"$n\" \"$(printf '{arg}')\" {file} \"$big\" >/dev/null 2>&1; true",
            arg = octal(HOSTILE),
        )
    };
    let token = token.to_string_lossy();
    let name = octal(HOSTILE);
    // '/' ends a name.
    lab.run(&thief, &["sh", "-c", &script(&name, &token)])?;
    let line = theft(&mut auditor, &thief)?;
    let process = &line["process"];
    let comm = process["comm"].as_str().unwrap_or_default();
    ensure!(comm == "x\n{\"event\":\"hea", "comm {comm:?}");
    let exe = process["exe"].as_str().unwrap_or_default();
    let lossy = String::from_utf8_lossy(HOSTILE);
    ensure!(exe == format!("/tmp/{lossy}"), "exe {exe:?}");
    let args: Vec<&str> = process["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    ensure!(args.get(1) == Some(&&*lossy), "args {args:?}");
    let told: usize = args.iter().map(|arg| arg.len()).sum();
    ensure!(told < 1024, "{told} bytes of argv");

    // The token by a name of the thief's, in the victim's own volume.
    let link = format!(
        "ln -L {token} \"$(printf '{}/{name}')\"; cat \"$(printf '{}/{name}')\" >/dev/null",
        volume.display(),
        volume.display()
    );
    lab.run(&thief, &["sh", "-c", &link])?;
    let line = loop {
        let line = theft(&mut auditor, &thief)?;
        if line["process"]["comm"] == "cat" {
            break line;
        }
    };
    ensure!(
        line["token"]["file"].as_str() == Some(&*lossy),
        "token {}",
        line["token"]
    );

    // Names are no labels: fifty more make no series.
    let before = series(&ready);
    let many =
        format!("for i in $(seq 50); do n=/tmp/p$i; cp /bin/cat $n; $n {token} >/dev/null; done");
    lab.run(&thief, &["sh", "-c", &many])?;
    for _ in 0..50 {
        theft(&mut auditor, &thief)?;
    }
    let after = series(&ready);
    let new: Vec<_> = after.difference(&before).collect();
    ensure!(new.is_empty(), "{new:?}");
    let peak = peak_kib(auditor.pid());
    auditor.stop()?;
    let written = fs::read(&options.output)?;
    assert_plain("lines", &written);
    assert_plain("log", &fs::read(lab.dir().join("auditor.log"))?);
    println!("peak: {peak} KiB");
    // A debug build had 74 MiB.
    ensure!(peak < 96 << 10, "{peak} KiB resident");
    Ok(())
}

#[test]
fn megabytes_of_labels_make_no_longer_line_and_keep_no_memory() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut lab = Lab::new(&helpers())?;
    let victim = lab.start(PodSpec::new("payments", "ledger").with_pod_identity())?;
    let root = lab.kubelet_root();
    let thief = lab.start(PodSpec::new("shop", "web").with_host_path(&root, "/host/kubelet"))?;
    // 2 MB of labels, and 8 MB of annotations that nobody needs.
    let hostile = String::from_utf8_lossy(HOSTILE);
    let objects: Value = serde_json::from_slice(&fs::read(lab.cluster.objects_file())?)?;
    let mut pod = objects["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["kind"] == "Pod" && item["metadata"]["name"] == *thief.spec.name)
        .cloned()
        .context("the thief is listed")?;
    pod["metadata"]["labels"] = (0..2000)
        .map(|n| (format!("{n}{hostile}"), json!(hostile.repeat(20))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    pod["metadata"]["annotations"] = json!({ "a": "b".repeat(8 << 20) });
    lab.cluster.put(pod)?;

    let output = tempfile::tempdir()?;
    let options = Options {
        program: auditor(),
        backend: support::backend(),
        output: output.path().join("out.jsonl"),
        args: Vec::new(),
        env: Vec::new(),
        without: Vec::new(),
    };
    let (mut auditor, _) = Auditor::start(&lab, &options)?;
    let token = victim.token_below(Path::new("/host/kubelet"), POD_IDENTITY);
    lab.run(&thief, &["peek", &token.to_string_lossy()])?;
    let line = theft(&mut auditor, &thief)?;
    let labels = line["pod"]["labels"].as_object().context("labels")?;
    let cut = labels.get("…").and_then(Value::as_str).unwrap_or_default();
    ensure!(cut.ends_with("more cut]"), "{labels:?}");
    let peak = peak_kib(auditor.pid());
    auditor.stop()?;
    assert_plain("lines", &fs::read(&options.output)?);
    assert_plain("log", &fs::read(lab.dir().join("auditor.log"))?);
    println!("peak: {peak} KiB");
    // A debug build had 80 MiB.
    ensure!(peak < 96 << 10, "{peak} KiB resident");
    Ok(())
}

#[test]
fn hostile_files_are_refused_in_plain_words_and_what_was_known_stays() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    auditor.ready();
    let hostile = String::from_utf8_lossy(HOSTILE).into_owned();
    let long = json!(hostile.repeat(20_000));
    let pod = json!({"kind": "Pod", "metadata": {"name": long, "uid": 7}});
    for (component, name, text) in [
        (
            "cluster",
            "cluster.json",
            json!({ "items": [pod] }).to_string(),
        ),
        (
            "associations",
            "associations.json",
            json!({"associations": [{ "namespace": long, (hostile.clone()): 1 }]}).to_string(),
        ),
        (
            "policy",
            "policy.yaml",
            format!("version: 1\n{}: 1\n", json!(hostile)),
        ),
    ] {
        inputs.write(name, &text);
        let lines = auditor
            .until(|line| line["component"] == component && line["state"] == "reload-refused");
        let message = lines.last().and_then(|line| line["message"].as_str());
        assert!(message.is_some_and(|m| m.contains(name)), "{message:?}");
    }
    // Neither tabs nor aliases make much of little.
    let bomb = |depth: usize| {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..depth {
            let of = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{of}]\n"));
        }
        text
    };
    inputs.write("cluster.json", &bomb(9));
    auditor.until(|line| line["component"] == "cluster" && line["state"] == "reload-refused");
    let peak = peak_kib(auditor.child.id());
    let begun = Instant::now();
    assert!(
        terminate(&mut auditor.child, Duration::from_secs(2) * patience())
            .expect("it ends")
            .success()
    );
    println!("stopped after {:?}", begun.elapsed());
    assert_plain("lines", &fs::read(inputs.path("out.jsonl")).expect("lines"));
    assert_plain("log", &fs::read(inputs.path("log")).expect("a log"));
    println!("peak: {peak} KiB");
    // A debug build had 160 MiB.
    assert!(peak < 192 << 10, "{peak} KiB resident");
}

/// On a terminal it would be the same: what is written does not depend on it but for colours.
#[test]
fn errors_and_tables_are_plain_whatever_a_path_holds() {
    let inputs = Inputs::new();
    let hostile = inputs.dir.path().join(std::ffi::OsStr::from_bytes(
        &HOSTILE.split(|b| *b == b'/').collect::<Vec<_>>().concat(),
    ));
    fs::write(&hostile, "no_such_key: 1\n").expect("a policy");
    let with_policy = |mut args: Vec<String>| {
        let at = args
            .iter()
            .position(|arg| arg == "--policy")
            .expect("--policy");
        args.drain(at..at + 2);
        let mut command = Command::new(auditor());
        command.args(args).arg("--policy").arg(&hostile);
        command
    };
    let output = finish(with_policy(inputs.args()));
    assert_eq!(output.status.code(), Some(1));
    assert_plain("stderr of run", &output.stderr);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(r"x\n{"), "{text}");
    assert!(text.lines().count() <= 2, "{text}");

    // `check` takes the flags that say where things are, and none of where lines go.
    let mut args = inputs.args();
    "check".clone_into(&mut args[0]);
    let at = args
        .iter()
        .position(|arg| arg == "--output-file")
        .expect("--output-file");
    args.drain(at..at + 2);
    for output in ["table", "json"] {
        let mut command = with_policy(args.clone());
        command.args(["--output", output]);
        let output = finish(command);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!output.stdout.is_empty(), "{output:?}");
        assert_plain("stdout of check", &output.stdout);
        assert_plain("stderr of check", &output.stderr);
    }
}
