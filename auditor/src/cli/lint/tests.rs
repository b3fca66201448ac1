use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn args(flags: &[&str]) -> LintArgs {
    let line = ["auditor", "lint"].iter().chain(flags);
    // Tests may run where CLUSTER_NAME is set.
    match Cli::try_parse_from(line).unwrap().command {
        Command::Lint(args) => args,
        other => panic!("{other:?}"),
    }
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples/lint")
}

#[test]
fn flags_get_their_meaning() {
    let config = args(&[
        "--associations=file:a.json",
        "--role=r.json",
        "--role=roles",
        "--oidc-issuer=https://oidc.eks.eu-west-1.amazonaws.com/id/A/",
        "--other-issuer=oidc.eks.eu-west-1.amazonaws.com/id/B",
        "--account=111122223333",
        "--cluster-name=prod",
    ])
    .config()
    .unwrap();
    assert_eq!(
        config.given,
        Given {
            issuer: Some("oidc.eks.eu-west-1.amazonaws.com/id/A".into()),
            other_issuers: vec!["oidc.eks.eu-west-1.amazonaws.com/id/B".into()],
            account: Some("111122223333".into()),
            cluster: Some("prod".into()),
        }
    );
    assert_eq!(config.roles.len(), 2);
    assert_eq!(
        (config.output, config.fail_on),
        (LintOutput::Text, FailOn::Warning)
    );
}

#[test]
fn values_without_a_meaning_are_refused() {
    for flags in [
        &[][..],
        &["--role=r.json"],
        &["--cluster=kube"],
        &["--cluster=file:c.json", "--associations=eks"],
        &["--cluster=file:c.json", "--oidc-issuer=None"],
        &["--cluster=file:c.json", "--oidc-issuer=https://a b.c"],
        &["--cluster=file:c.json", "--other-issuer=http://a.b/c"],
        &["--cluster=file:c.json", "--account=1111"],
    ] {
        let failure = Failure::from(args(flags).config().unwrap_err());
        assert_eq!(failure.report(), Exit::Usage, "{flags:?}");
    }
}

#[test]
fn the_exit_status_is_what_fail_on_says() {
    let samples = samples();
    let associations = format!(
        "--associations=file:{}",
        samples.join("associations.json").display()
    );
    let roles = format!("--role={}", samples.join("roles").display());
    let end = |more: &[&str]| {
        let flags: Vec<&str> = [&[&*associations, &*roles], more].concat();
        lint(args(&flags)).unwrap_or_else(|failure| failure.report())
    };
    assert_eq!(end(&[]), Exit::Environment);
    assert_eq!(end(&["--fail-on=error"]), Exit::Environment);
    assert_eq!(end(&["--fail-on=never", "--output=json"]), Exit::Success);
    assert_eq!(end(&["--role=/nowhere"]), Exit::Environment);
}

/// The cases of the linter's own tests, written as the files that the command reads.
fn case(text: &str, name: &str) -> (tempfile::TempDir, Vec<String>) {
    let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let write = |file: &str, json: serde_json::Value| {
        let path = directory.path().join(file);
        fs::write(&path, json.to_string()).unwrap();
        path.display().to_string()
    };
    let mut flags = vec![
        format!("--role={}", write("roles.json", case["roles"].clone())),
        "--oidc-issuer=https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
            .to_owned(),
        "--output=json".to_owned(),
    ];
    if let Some(objects) = case.get("objects") {
        let list = serde_json::json!({"kind": "List", "items": objects});
        flags.push(format!("--cluster=file:{}", write("cluster.json", list)));
    }
    if let Some(associations) = case.get("associations") {
        let list = serde_json::json!({"associations": associations});
        let path = write("associations.json", list);
        flags.push(format!("--associations=file:{path}"));
    }
    (directory, flags)
}

fn exit_of(text: &str, name: &str, more: &[&str]) -> Exit {
    let (_directory, flags) = case(text, name);
    let flags: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    lint(args(&flags)).unwrap_or_else(|failure| failure.report())
}

const MISTAKES: &str = include_str!("../../lint/testdata/mistakes.json");
const CLEAN: &str = include_str!("../../lint/testdata/clean.json");

/// A trust policy that lets in everyone does not pass since it has a condition of another kind.
#[test]
fn width_beside_other_conditions_fails_a_pipeline() {
    for name in [
        "no-sub-beside-secure-transport",
        "sub-like-anybody-beside-source-vpc",
        "no-sub-beside-a-deny-of-plain-http",
    ] {
        for more in [&[][..], &["--fail-on=error"]] {
            assert_eq!(exit_of(MISTAKES, name, more), Exit::Environment, "{name}");
        }
    }
    // Only a warning.
    let name = "no-aud-beside-source-vpc";
    assert_eq!(exit_of(MISTAKES, name, &[]), Exit::Environment);
    assert_eq!(exit_of(MISTAKES, name, &["--fail-on=error"]), Exit::Success);
}

#[test]
fn what_is_undecided_fails_where_that_is_asked_for() {
    for (name, is_decided) in [
        ("irsa-by-https-alone", true),
        ("pod-identity-with-any-pod-uid", true),
        ("irsa-from-one-vpc", false),
        ("pod-identity-by-the-pods-name", false),
    ] {
        for more in [&[][..], &["--fail-on=error"], &["--fail-on=never"]] {
            assert_eq!(exit_of(CLEAN, name, more), Exit::Success, "{name}");
        }
        let strict = exit_of(CLEAN, name, &["--fail-on=undecided"]);
        assert_eq!(strict == Exit::Success, is_decided, "{name}");
    }
    let name = "no-condition-on-sub";
    assert_eq!(
        exit_of(MISTAKES, name, &["--fail-on=undecided"]),
        Exit::Environment
    );
}

#[test]
fn a_directory_without_roles_is_no_clean_one() {
    let directory = tempfile::tempdir().unwrap();
    assert!(read_roles(directory.path()).is_err());
    fs::write(directory.path().join("a.json"), "{}").unwrap();
    let failure = read_roles(directory.path()).unwrap_err();
    assert!(
        failure.message().contains("a.json"),
        "{}",
        failure.message()
    );
}

/// The commands below `EXAMPLES:` and in the document, without what they are piped into.
fn examples(text: &str) -> Vec<String> {
    text.replace("\\\n", " ")
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("auditor lint "))
        .map(|line| line.split(" |").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_examples_run_and_end_well() {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint.md"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let directory = tempfile::tempdir().unwrap();
    let cluster = directory.path().join("cluster.json");
    fs::write(&cluster, r#"{"kind":"List","items":[]}"#).unwrap();
    for (text, count) in [(EXAMPLES, 4), (document, 3)] {
        let examples = examples(text);
        assert_eq!(examples.len(), count, "{examples:?}");
        for example in examples {
            let docs = format!("{}/docs/", root.display());
            let example = example
                .replace("docs/", &docs)
                .replace("file:cluster.json", &format!("file:{}", cluster.display()));
            let flags: Vec<&str> = example.split_whitespace().collect();
            let exit = lint(args(&flags)).unwrap_or_else(|failure| failure.report());
            assert_eq!(exit, Exit::Success, "{example}");
        }
    }
}
