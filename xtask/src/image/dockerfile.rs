//! What the Dockerfile promises: the image that `cargo xtask image` makes. Whether docker builds it is another question
//! (docs/install.md, "What was not verified").

use std::{collections::BTreeMap, fs};

use super::{archive, source::Source};
use crate::{process, shipped, toolchain::DEBIAN_PACKAGES};

/// An instruction with its arguments, in one line.
type Instruction = (String, String);

/// As the Dockerfile reference has it: comments are whole lines, a line that ends with a backslash goes on.
fn instructions(text: &str) -> Vec<Instruction> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = joined.lines().map(|line| {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest: Vec<&str> = rest.split_whitespace().collect();
        (name.to_uppercase(), rest.join(" "))
    });
    split.collect()
}

/// Those before the first FROM, then the stages.
fn stages(instructions: &[Instruction]) -> Vec<&[Instruction]> {
    let starts = |(name, _): &Instruction| name == "FROM";
    let mut from = 0;
    let mut all = Vec::new();
    for at in 1..=instructions.len() {
        if instructions.get(at).is_none_or(starts) {
            all.push(&instructions[from..at]);
            from = at;
        }
    }
    all
}

/// `a="b c" d="e"`
fn labels(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a closing quote");
        all.insert(name.trim().to_owned(), value.to_owned());
        rest = after;
    }
    assert_eq!(rest.trim(), "");
    all
}

/// By the name of its release: no tag would be `latest`, and that and `stable` move to another release one day.
const BASE: &str = "BASE=docker.io/library/debian:bookworm-slim";

fn faults(text: &str) -> Vec<&'static str> {
    let instructions = instructions(text);
    let parts = stages(&instructions);
    let [arguments, build, result] = parts[..] else {
        return vec!["it has arguments, a stage that builds and one that is the image"];
    };
    let of = |stage: &[Instruction], name: &str| -> Vec<String> {
        let named = stage.iter().filter(|(found, _)| found == name);
        named.map(|(_, rest)| rest.clone()).collect()
    };
    let source = Source {
        epoch: 0,
        revision: "${REVISION}".into(),
    };
    let wanted: BTreeMap<String, String> = archive::labels(&source).into_iter().collect();
    let program = archive::PROGRAM;
    let packages = of(build, "RUN").first().cloned().unwrap_or_default();
    let packages: Vec<&str> = packages.split(' ').collect();
    let checks = [
        (
            arguments.len() == 1 && of(arguments, "ARG") == [BASE],
            "the base's default is a release by its name",
        ),
        (
            of(build, "FROM") == ["--platform=$BUILDPLATFORM ${BASE} AS build"],
            "the building stage runs on the builder's own machine, and its base can be named",
        ),
        (
            of(build, "ARG") == ["TARGETARCH"],
            "the building stage knows for which machine",
        ),
        (
            DEBIAN_PACKAGES
                .iter()
                .all(|package| packages.contains(package)),
            "what xtask would install is there",
        ),
        (
            of(build, "RUN").last().is_some_and(|run| {
                run == "cargo xtask image ${TARGETARCH:+--arch $TARGETARCH} --binary /out"
            }),
            "the program is built by the image's own task",
        ),
        (of(result, "FROM") == ["scratch"], "it is from scratch"),
        (
            of(result, "COPY") == [format!("--from=build /out/{} {program}", shipped::NAME)],
            "the program is all that is in it",
        ),
        (
            of(result, "ENTRYPOINT") == [format!("[\"{program}\"]")],
            "the program is its entrypoint, without a shell",
        ),
        (
            of(result, "LABEL")
                .iter()
                .map(|text| labels(text))
                .eq([wanted]),
            "its labels are those of `cargo xtask image`",
        ),
        (
            result.iter().all(|(name, _)| {
                ["FROM", "ARG", "LABEL", "COPY", "ENTRYPOINT"].contains(&name.as_str())
            }),
            "it says nothing else: no user, environment, command or volume",
        ),
    ];
    let wrong = checks.into_iter().filter(|(holds, _)| !holds);
    wrong.map(|(_, what)| what).collect()
}

fn ours() -> String {
    fs::read_to_string(process::workspace().join("Dockerfile")).unwrap()
}

#[test]
fn it_makes_the_image_that_the_task_makes() {
    assert_eq!(faults(&ours()), [""; 0]);
}

#[test]
fn each_broken_promise_is_told() {
    let ours = ours();
    for (from, to, what) in [
        ("bookworm-slim", "latest", "release by its name"),
        (":bookworm-slim", "", "release by its name"),
        ("bookworm-slim", "stable-slim", "release by its name"),
        (" ${BASE} ", " debian:bookworm-slim ", "can be named"),
        ("--platform=$BUILDPLATFORM ", "", "builder's own machine"),
        ("ARG TARGETARCH\n", "", "for which machine"),
        ("libstd-rust-web-dev-bpf ", "", "what xtask would install"),
        ("--binary /out", "--binary /out || true", "image's own task"),
        ("FROM scratch", "FROM alpine:3", "from scratch"),
        (
            "/out/auditor /auditor",
            "/out/auditor /usr/bin/auditor",
            "all that is in it",
        ),
        (
            "ENTRYPOINT",
            "COPY --from=build /bin/sh /bin/sh\nENTRYPOINT",
            "all that is in it",
        ),
        ("[\"/auditor\"]", "/auditor", "without a shell"),
        (
            "licenses=\"MIT OR Apache-2.0\"",
            "licenses=\"MIT\"",
            "its labels",
        ),
        ("version=\"", "version=\"9.", "its labels"),
        (
            "      org.opencontainers.image.revision",
            "      x",
            "its labels",
        ),
        ("ENTRYPOINT", "USER 1000\nENTRYPOINT", "nothing else"),
        ("ENTRYPOINT", "ENV PATH=/bin\nENTRYPOINT", "nothing else"),
        ("FROM scratch", "# FROM scratch", "a stage that builds"),
    ] {
        let other = ours.replace(from, to);
        assert_ne!(other, ours, "{from}");
        let faults = faults(&other);
        assert!(
            faults.iter().any(|fault| fault.contains(what)),
            "{from} to {to}: {faults:?}"
        );
    }
}

/// What is not sent to the builder must not be needed there, and what is built here must not be sent.
#[test]
fn the_builder_gets_the_sources_and_nothing_that_was_built() {
    let ignored = fs::read_to_string(process::workspace().join(".dockerignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().collect();
    for name in ["target", "fuzz/target", ".git"] {
        assert!(ignored.contains(&name), "{name}");
    }
    let sources = fs::read_to_string(process::workspace().join("Cargo.toml")).unwrap();
    let members = ignored
        .iter()
        .filter(|name| sources.contains(&format!("\"{name}\"")));
    assert_eq!(members.count(), 0);
}
