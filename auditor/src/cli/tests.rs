use std::path::Path;

use anyhow::anyhow;

use super::*;

fn run_args(args: &[&str]) -> RunArgs {
    let line = ["auditor", "run"].iter().chain(args).map(OsString::from);
    let Command::Run(mut args) = parse(line).unwrap() else {
        panic!("{args:?}");
    };
    // Tests may run where these are set.
    args.node_name = Some("node-1".to_owned());
    *args
}

fn config(args: &[&str]) -> Result<RunConfig, UsageError> {
    RunConfig::new(run_args(args), NodeFacts::default())
}

fn refusal(args: &[&str]) -> String {
    let failure = Failure::from(config(args).unwrap_err());
    assert_eq!(failure.report(), Exit::Usage);
    failure.message()
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = config(&["--cluster", "file:cluster.json"]).unwrap();
    assert_eq!(config.cluster, ClusterSource::File("cluster.json".into()));
    assert_eq!(config.associations, AssociationSource::None);
    assert_eq!(config.kubelet_root, Path::new("/var/lib/kubelet"));
    assert_eq!(config.host_proc, Path::new("/proc"));
    assert_eq!(config.agent_netns, Path::new("/proc/1/ns/net"));
    assert_eq!(
        (config.backend, config.args),
        (Backend::Auto, ArgsMode::Redacted)
    );
    assert_eq!(
        config.metrics_listen,
        MetricsListen {
            addr: "[::]:9756".parse().unwrap(),
            fallback_to_v4: true
        }
    );
    assert_eq!(
        (
            config.cgroup_root,
            config.policy,
            config.state_dir,
            config.output_file
        ),
        (None, None, None, None)
    );
}

#[test]
fn every_flag_arrives() {
    let config = config(&[
        "--cluster=file:/c:d.json",
        "--associations=file:a.json",
        "--policy=p.yaml",
        "--kubelet-root=/k",
        "--host-proc=/host/proc",
        "--cgroup-root=/cg",
        "--backend=kprobe",
        "--endpoint=vault=10.0.0.7:8200",
        "--endpoint=vault=[fd00::7]:8200",
        "--output-file=o.jsonl",
        "--args=full",
        "--state-dir=/s",
        "--metrics-listen=127.0.0.1:0",
        "--cluster-name=prod",
        "--instance-id=i-0abc",
        "--log-level=warn,auditor=debug",
    ])
    .unwrap();
    assert_eq!(config.cluster, ClusterSource::File("/c:d.json".into()));
    assert_eq!(
        config.associations,
        AssociationSource::File("a.json".into())
    );
    assert_eq!(config.agent_netns, Path::new("/host/proc/1/ns/net"));
    assert_eq!(
        config.endpoints[1],
        Endpoint {
            name: "vault".into(),
            addr: "[fd00::7]:8200".parse().unwrap()
        }
    );
    assert_eq!(
        config.metrics_listen,
        MetricsListen {
            addr: "127.0.0.1:0".parse().unwrap(),
            fallback_to_v4: false
        }
    );
    assert_eq!(
        (config.backend, config.args),
        (Backend::Kprobe, ArgsMode::Full)
    );
    assert_eq!(config.cluster_name.as_deref(), Some("prod"));
    assert_eq!(config.instance_id.as_deref(), Some("i-0abc"));
}

#[test]
fn a_refusal_names_flag_value_what_is_allowed_and_an_example() {
    assert_eq!(
        refusal(&["--cluster", "files:x"]),
        "auditor: --cluster \"files:x\" is not allowed: expected `kube` or `file:PATH`\n\
         help: for example --cluster file:cluster.json\n"
    );
    assert_eq!(
        refusal(&[]),
        "auditor: --cluster is required: `kube` or `file:PATH`\nhelp: for example --cluster file:cluster.json\n"
    );
}

#[test]
fn values_without_a_meaning_are_refused() {
    let cluster = "--cluster=file:c.json";
    for bad in [
        "--cluster=",
        "--cluster=file:",
        "--cluster=kube:x",
        "--associations=",
        "--associations=kube:only-one",
        "--associations=kube:UPPER/x",
        "--associations=kube:a/b/c",
        "--associations=nope",
        "--api-start-jitter=soon",
        "--output=xml",
        "--endpoint=10.0.0.1:80",
        "--endpoint=x=localhost:80",
        "--endpoint=x=10.0.0.1",
        "--endpoint=x=10.0.0.1:0",
        "--endpoint=x=0.0.0.0:80",
        "--endpoint=X=10.0.0.1:80",
        "--endpoint=imds=10.0.0.1:80",
        "--endpoint=x=169.254.170.23:80",
        "--endpoint=x=[::ffff:169.254.169.254]:80",
        "--endpoint=x=[fe80::1%2]:80",
        "--metrics-listen=9756",
        "--metrics-listen=localhost:9756",
        "--log-level=loud=very",
    ] {
        let args: &[&str] = if bad.starts_with("--cluster") {
            &[bad]
        } else {
            &[cluster, bad]
        };
        let (flag, value) = bad.split_once('=').unwrap();
        match config(args) {
            Err(UsageError::Value {
                flag: f, value: v, ..
            }) => assert_eq!((f, v.as_str()), (flag, value)),
            other => panic!("{bad}: {other:?}"),
        }
    }
    let twice = config(&[
        cluster,
        "--endpoint=a=10.0.0.1:80",
        "--endpoint=b=10.0.0.1:80",
    ])
    .unwrap_err();
    assert!(twice.to_string().contains("`a` has it already"), "{twice}");
}

#[test]
fn the_api_server_is_asked_within_half_a_minute_unless_told_otherwise() {
    let default = config(&["--cluster=kube"]).unwrap();
    assert_eq!(default.cluster, ClusterSource::Kube);
    assert_eq!(default.api_start_jitter.as_secs(), 30);
    let at_once = config(&["--cluster=kube", "--api-start-jitter=0"]).unwrap();
    assert!(at_once.api_start_jitter.is_zero());
}

#[test]
fn associations_have_five_sources() {
    let cluster = "--cluster=file:c.json";
    let source = |args: &[&str]| {
        let mut args = run_args(&[&[cluster], args].concat());
        // Tests may run where it is set.
        if args.cluster_name.as_deref() != Some("prod") {
            args.cluster_name = None;
        }
        RunConfig::new(args, NodeFacts::default()).map(|config| config.associations)
    };
    for (args, expected) in [
        (vec!["--associations=none"], AssociationSource::None),
        (vec!["--associations=ack"], AssociationSource::Ack),
        (
            vec!["--associations=file:a"],
            AssociationSource::File("a".into()),
        ),
        (
            vec!["--associations=kube:kube-system/a.b"],
            AssociationSource::ConfigMap {
                namespace: "kube-system".into(),
                name: "a.b".into(),
            },
        ),
        (
            vec!["--associations=eks", "--cluster-name=prod"],
            AssociationSource::Eks {
                cluster: "prod".into(),
            },
        ),
    ] {
        assert_eq!(source(&args), Ok(expected));
    }
    let failure = Failure::from(source(&["--associations=eks"]).unwrap_err());
    let message = failure.message();
    assert!(message.contains("--cluster-name is required"), "{message}");
    assert_eq!(failure.report(), Exit::Usage);
}

#[test]
fn lines_are_written_in_one_of_three_ways() {
    let output = |value: Option<&str>| {
        let flag = value.map(|value| format!("--output={value}"));
        let args: Vec<&str> = std::iter::once("--cluster=file:c.json")
            .chain(flag.as_deref())
            .collect();
        config(&args).unwrap().output
    };
    assert_eq!(output(None), OutputFormat::Json);
    assert_eq!(output(Some("json")), OutputFormat::Json);
    assert_eq!(output(Some("ocsf")), OutputFormat::Ocsf);
    assert_eq!(output(Some("text")), OutputFormat::Text);
}

#[test]
fn a_cluster_name_that_a_manifest_left_empty_is_refused() {
    let with = |cluster: &str, name: Option<&str>| {
        let mut args = run_args(&[cluster]);
        args.cluster_name = name.map(str::to_owned);
        RunConfig::new(args, NodeFacts::default())
    };
    let refused = with("--cluster=kube", Some("")).unwrap_err().to_string();
    assert!(refused.contains("--cluster-name"), "{refused}");
    for (cluster, name) in [
        ("--cluster=kube", Some("prod")),
        ("--cluster=kube", None),
        ("--cluster=file:c.json", Some("")),
    ] {
        assert_eq!(
            with(cluster, name).unwrap().cluster_name.as_deref(),
            name.filter(|name| !name.is_empty())
        );
    }
}

#[test]
fn names_left_out_come_from_the_machine() {
    let facts = NodeFacts {
        host_name: Some("ip-10-0-1-5".into()),
        instance_id: Some("i-0123456789abcdef0".into()),
        region: Some("us-east-1".into()),
    };
    let mut args = run_args(&["--cluster=file:c.json"]);
    (args.node_name, args.cluster_name) = (Some(String::new()), Some(String::new()));
    let config = RunConfig::new(args.clone(), facts).unwrap();
    assert_eq!(&*config.node_name, "ip-10-0-1-5");
    assert_eq!(config.instance_id.as_deref(), Some("i-0123456789abcdef0"));
    assert_eq!(
        (config.region.as_deref(), config.cluster_name),
        (Some("us-east-1"), None)
    );
    assert_eq!(
        RunConfig::new(args, NodeFacts::default()).unwrap_err(),
        UsageError::NodeName
    );
}

#[test]
fn clap_refuses_with_code_2_and_helps_with_code_0() {
    let end = |args: &[&str]| parse(args.iter().map(OsString::from)).unwrap_err();
    assert_eq!(end(&["auditor", "run", "--nope"]), Exit::Usage);
    assert_eq!(end(&["auditor", "run", "--backend=magic"]), Exit::Usage);
    assert_eq!(end(&["auditor", "tale"]), Exit::Usage);
    assert_eq!(end(&["auditor"]), Exit::Usage);
    assert_eq!(end(&["auditor", "--version"]), Exit::Success);
    assert_eq!(end(&["auditor", "run", "--help"]), Exit::Success);
}

#[test]
fn an_error_chain_is_printed_once() {
    let error = anyhow!("No such file")
        .context("cannot read policy.yaml")
        .context("starting");
    let message = Failure::environment(error).help("create it").message();
    assert_eq!(
        message,
        "auditor: starting: cannot read policy.yaml: No such file\nhelp: create it\n"
    );
    let repeating = anyhow!("why").context("what: why");
    assert_eq!(
        Failure::environment(repeating).message(),
        "auditor: what: why\n"
    );
}

#[test]
fn examples_in_the_help_are_accepted() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
    for (command, count) in [("run", 8), ("check", 3)] {
        let help = Cli::command()
            .find_subcommand(command)
            .unwrap()
            .get_after_help()
            .unwrap()
            .to_string();
        let joined = help.replace("\\\n", " ");
        let examples: Vec<_> = joined
            .lines()
            .filter_map(|l| Some(l.split_once(&format!("auditor {command} "))?.1))
            .collect();
        assert_eq!(examples.len(), count);
        for example in examples {
            let args: Vec<_> = example
                .split('|')
                .next()
                .unwrap()
                .split_whitespace()
                .map(|a| a.trim_matches('\''))
                .collect();
            let accepted = match command {
                "run" => config(&args).map(drop),
                _ => check(&args).map(drop),
            };
            accepted.unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
}

/// How `auditor check` with these flags prints, and what `auditor run` would be.
fn check(args: &[&str]) -> Result<(CheckOutput, RunConfig), UsageError> {
    let line = ["auditor", "check"].iter().chain(args).map(OsString::from);
    let Command::Check(mut args) = parse(line).unwrap() else {
        panic!("{args:?}");
    };
    args.run.node_name = Some("node-1".to_owned());
    let (output, run) = args.split()?;
    Ok((output, RunConfig::new(run, NodeFacts::default())?))
}

#[test]
fn check_takes_the_flags_of_run_and_an_output_of_its_own() {
    let flags = [
        "--cluster=file:c.json",
        "--backend=kprobe",
        "--metrics-listen=127.0.0.1:1",
    ];
    let (output, as_check) = check(&flags).unwrap();
    let as_run = config(&flags).unwrap();
    assert_eq!(output, CheckOutput::Table);
    assert_eq!(format!("{as_check:?}"), format!("{as_run:?}"));
    let of = |value: &str| check(&["--cluster=kube", "--output", value]).map(|(output, _)| output);
    assert_eq!(of("json"), Ok(CheckOutput::Json));
    assert_eq!(of("table"), Ok(CheckOutput::Table));
    assert!(of("text").is_err() && of("ocsf").is_err());
}
