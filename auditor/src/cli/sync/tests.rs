use std::ffi::OsString;

use super::*;
use crate::cli::{Command, parse};

fn config(args: &[&str]) -> Result<SyncConfig, UsageError> {
    let line = ["auditor", "sync-associations"].iter().chain(args);
    let Ok(Command::SyncAssociations(mut args)) = parse(line.map(OsString::from)) else {
        panic!("{args:?}");
    };
    // Tests may run where it is set.
    if args.cluster_name.as_deref() != Some("prod") {
        args.cluster_name = None;
    }
    SyncConfig::new(*args)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = config(&["--cluster-name=prod", "--to=kube:kube-system/a.b"]).unwrap();
    assert_eq!(
        config.from,
        SyncFrom::Eks {
            cluster: "prod".into()
        }
    );
    assert_eq!(
        config.to,
        SyncTo::ConfigMap {
            namespace: "kube-system".into(),
            name: "a.b".into(),
            lease: "a.b".into()
        }
    );
    assert_eq!(config.interval, Duration::from_secs(60));
    assert!(!config.once && config.metrics_listen.is_none());
}

#[test]
fn every_flag_arrives() {
    let config = config(&[
        "--to=kube:ns/name",
        "--from=ack",
        "--interval=5m",
        "--once",
        "--lease-name=lease",
        "--metrics-listen=127.0.0.1:0",
        "--log-level=debug",
    ])
    .unwrap();
    assert_eq!(config.from, SyncFrom::Ack);
    let SyncTo::ConfigMap { lease, .. } = &config.to else {
        panic!("{config:?}");
    };
    assert_eq!(lease, "lease");
    assert_eq!(config.interval, Duration::from_secs(300));
    assert!(config.once && !config.metrics_listen.unwrap().fallback_to_v4);
    assert_eq!(config.log_filter, "debug");
}

#[test]
fn values_without_a_meaning_are_refused() {
    let to = "--to=file:a.json";
    let from = "--from=ack";
    for bad in [
        "--from=kube:a/b",
        "--from=file:",
        "--interval=1s",
        "--interval=soon",
        "--metrics-listen=9756",
        "--log-level=loud=very",
    ] {
        let (flag, value) = bad.split_once('=').unwrap();
        let args: &[&str] = if flag == "--from" {
            &[to, bad]
        } else {
            &[to, from, bad]
        };
        match config(args) {
            Err(UsageError::Value {
                flag: f, value: v, ..
            }) => {
                assert_eq!((f, v.as_str()), (flag, value));
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
    for bad in ["", "kube:a", "kube:A/b", "file:", "eks"] {
        let error = config(&[&format!("--to={bad}"), from]).unwrap_err();
        assert!(error.to_string().contains("--to"), "{error}");
    }
    let error = config(&["--to=kube:a/b", from, "--lease-name=A"]).unwrap_err();
    assert!(error.to_string().contains("--lease-name"), "{error}");
    let error = config(&[to]).unwrap_err();
    assert!(
        error.to_string().contains("--cluster-name is required"),
        "{error}"
    );
}

#[test]
fn examples_in_the_help_are_accepted() {
    let joined = EXAMPLES.replace("\\\n", " ");
    let examples: Vec<_> = joined
        .lines()
        .filter_map(|line| Some(line.split_once("auditor sync-associations ")?.1))
        .collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let args: Vec<_> = example.split_whitespace().collect();
        config(&args).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
}
