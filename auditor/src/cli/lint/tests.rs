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
    for (text, count) in [(EXAMPLES, 3), (document, 2)] {
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
