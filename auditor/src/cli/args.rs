//! The raw flags, as typed. No meaning is given to them here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    ArgsMode, Backend, CheckArgs, CompletionsArgs, ExplainArgs, LintArgs, ManArgs, PolicyArgs,
    RemoveStateArgs, ReplayArgs, SimulateArgs, StatusArgs, SyncArgs, TailArgs, check, explain,
    generate, lint, policy, remove_state, replay, simulate, status, sync, tail,
};

#[derive(Debug, Parser)]
#[command(
    name = "auditor",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(
    about = "Tells who touched which workload's AWS credential on an EKS node, whose it was, and whether that was allowed"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this node and write one line of JSON per use of a workload credential
    #[command(after_help = RUN_EXAMPLES, after_long_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Tell what this node supports and lacks, with a remedy for each, before `run` is tried; takes the flags of `run`
    #[command(
        after_help = check::EXAMPLES,
        after_long_help = check::EXAMPLES,
        mut_arg("output", |arg| arg
            .value_name("table|json")
            .help("How to print the result [default: table]")
            .long_help("How to print the result [default: table]"))
    )]
    Check(Box<CheckArgs>),
    /// Read the Pod Identity associations in one place, and write them where all nodes read them
    #[command(after_help = sync::EXAMPLES, after_long_help = sync::EXAMPLES)]
    SyncAssociations(Box<SyncArgs>),
    /// Show events to people: one line each, in columns, coloured, filtered; recorded or as they come
    #[command(after_help = tail::EXAMPLES, after_long_help = tail::EXAMPLES)]
    Tail(Box<TailArgs>),
    /// Ask the auditor that runs here: how it watches, what it counted and lost, how old its knowledge is
    #[command(after_help = status::EXAMPLES, after_long_help = status::EXAMPLES)]
    Status(StatusArgs),
    /// Print what a shell completes this command line by
    #[command(after_help = generate::COMPLETIONS_EXAMPLES, after_long_help = generate::COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page, in roff
    #[command(after_help = generate::MAN_EXAMPLES, after_long_help = generate::MAN_EXAMPLES)]
    Man(ManArgs),
    /// Tell why a recorded event got its verdict, rule by rule, with what was known then
    #[command(after_help = explain::EXAMPLES, after_long_help = explain::EXAMPLES)]
    Explain(ExplainArgs),
    /// Judge recorded events under another policy or other bindings, and print what changes
    #[command(after_help = replay::EXAMPLES, after_long_help = replay::EXAMPLES)]
    Replay(ReplayArgs),
    /// Tell what is wrong with role bindings before it breaks: trust policies, ServiceAccounts and associations held against each other
    #[command(after_help = lint::EXAMPLES, after_long_help = lint::EXAMPLES)]
    Lint(LintArgs),
    /// Play harmless attacks on ServiceAccounts without rights in a cluster, and tell which alerts must fire: does the installation work?
    #[command(after_help = simulate::EXAMPLES, after_long_help = simulate::EXAMPLES)]
    Simulate(SimulateArgs),
    /// Check a policy, or propose one from recorded events
    #[command(after_help = policy::EXAMPLES, after_long_help = policy::EXAMPLES)]
    Policy(PolicyArgs),
    /// Remove the directory in which an auditor that is no more kept its state
    #[command(after_help = remove_state::EXAMPLES, after_long_help = remove_state::EXAMPLES)]
    RemoveState(RemoveStateArgs),
    /// Load each program into the kernel, attach none, and print what the verifier made of it, one line of JSON each
    #[command(hide = true)]
    Probes,
}

const RUN_EXAMPLES: &str = r#"EXAMPLES:
  On a node, as a DaemonSet runs it: the pod's own ServiceAccount, NODE_NAME from the downward API:
    NODE_NAME=ip-10-0-1-5.ec2.internal auditor run --cluster kube \
      --cluster-name prod --host-proc /host/proc

  By hand, with a kubeconfig, asking at once:
    KUBECONFIG=admin.conf auditor run --cluster kube --api-start-jitter 0 \
      --node-name ip-10-0-1-5.ec2.internal

  In a large cluster: one `auditor sync-associations` writes what all nodes watch:
    auditor run --cluster kube --cluster-name prod \
      --associations kube:credential-auditor/pod-identity-associations

  What the cluster knows, from files:
    kubectl get pods,serviceaccounts -A -o json > cluster.json
    auditor run --cluster file:cluster.json --associations file:assoc.json

  Only the violations, live:
    auditor run --cluster file:cluster.json |
      jq -c 'select(.verdict == "violation")'

  As events of OCSF, the findings alone:
    auditor run --cluster file:cluster.json --output ocsf |
      jq -c 'select(.class_uid == 2004)'

  As a service: a policy, the events in a file, state that survives restarts:
    auditor run --cluster file:/etc/auditor/cluster.json \
      --policy /etc/auditor/policy.yaml --state-dir /var/lib/auditor \
      --output-file /var/log/auditor.jsonl --cluster-name prod

  One more credential endpoint, watched over IPv4 and IPv6:
    auditor run --cluster file:cluster.json \
      --endpoint vault=10.0.0.7:8200 --endpoint 'vault=[fd00::7]:8200'

EXIT STATUS:
  0  stopped by SIGTERM or SIGINT, everything written out
  1  the environment: a file, a permission, the kernel, an address in use
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// This node's name, as Kubernetes knows it [default: the host name]
    #[arg(
        long,
        env = "NODE_NAME",
        value_name = "NAME",
        help_heading = "Who we are"
    )]
    pub node_name: Option<String>,

    /// The cluster's name, written on every line [default: null]
    #[arg(
        long,
        env = "CLUSTER_NAME",
        value_name = "NAME",
        help_heading = "Who we are"
    )]
    pub cluster_name: Option<String>,

    /// EC2 instance id, written on every line [default: from DMI, else null]
    #[arg(long, value_name = "ID", help_heading = "Who we are")]
    pub instance_id: Option<String>,

    /// Where pods and ServiceAccounts are read. `kube`: the API server, by $KUBECONFIG, ~/.kube/config or the pod's own
    /// ServiceAccount; it must allow list and watch on pods, and get on serviceaccounts, in the whole cluster. What it
    /// said last stays in force while it is away. `file:PATH` holds a v1 List in JSON or YAML, as `kubectl get
    /// pods,serviceaccounts -A -o json` prints it, and is read again when it changes. Required
    #[arg(long, value_name = "kube|file:PATH", help_heading = "What is known")]
    pub cluster: Option<String>,

    /// The API server is first asked within this time, at random, so that the nodes of a large cluster do not ask
    /// together; events of pods that it has not told of yet wait up to 30 seconds. 0 asks at once
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30s",
        help_heading = "What is known"
    )]
    pub api_start_jitter: String,

    /// Where Pod Identity associations are read: `file:PATH` holds `{"associations":[…]}`, each as `aws eks
    /// describe-pod-identity-association` returns it, and is read again when it changes; `kube:NAMESPACE/CONFIGMAP` is
    /// what `auditor sync-associations` writes, watched; `eks` asks the EKS API once a minute from this node (for small
    /// clusters; needs --cluster-name); `ack` watches the resources of the AWS controller for EKS, and knows no others.
    /// With `none`, what depends on an association is `undetermined`
    #[arg(
        long,
        value_name = "SOURCE",
        default_value = "none",
        help_heading = "What is known"
    )]
    pub associations: String,

    /// Policy in YAML, read again when it changes; a bad change keeps the old rules, and says so in the events
    /// [default: the built-in rules]
    #[arg(long, value_name = "PATH", help_heading = "What is known")]
    pub policy: Option<PathBuf>,

    /// The kubelet's root directory, as the auditor sees it
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/kubelet",
        help_heading = "The node"
    )]
    pub kubelet_root: PathBuf,

    /// The host's /proc, as the auditor sees it
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/proc",
        help_heading = "The node"
    )]
    pub host_proc: PathBuf,

    /// Root of the cgroup v2 hierarchy [default: found in HOST_PROC's mountinfo]
    #[arg(long, value_name = "DIR", help_heading = "The node")]
    pub cgroup_root: Option<PathBuf>,

    /// Network namespace of the EKS Pod Identity Agent [default: HOST_PROC/1/ns/net]
    #[arg(long, value_name = "PATH", help_heading = "The node")]
    pub agent_netns: Option<PathBuf>,

    /// How the kernel is watched; `auto` takes the best one that proves itself live, hook by hook
    #[arg(long, value_enum, value_name = "BACKEND", default_value_t = Backend::Auto, help_heading = "What is watched")]
    pub backend: Backend,

    /// A credential endpoint to watch besides the built-in ones (Pod Identity Agent, instance metadata); repeatable
    #[arg(long, value_name = "NAME=ADDR:PORT", help_heading = "What is watched")]
    pub endpoint: Vec<String>,

    /// Also report refused opens: costs every syscall a little, and the path is as claimed
    #[arg(long, help_heading = "What is watched")]
    pub watch_denied: bool,

    /// Report each event of a flood: then only the ring buffers' size bounds what one pod may take of them
    #[arg(long, hide = true, help_heading = "What is watched")]
    pub no_flood_control: bool,

    /// Format of the events: `json`, one object a line; `ocsf`, the same as events of the Open Cybersecurity Schema Framework
    /// 1.8 (docs/ocsf.md); `text`, for people, as `auditor tail` shows it [default: json]
    #[arg(long, value_name = "json|ocsf|text", help_heading = "Output")]
    pub output: Option<String>,

    /// Append the events to this file, which may be rotated by renaming it [default: stdout]
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub output_file: Option<PathBuf>,

    /// Command lines on events: `redacted` masks what looks like a secret
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ArgsMode::Redacted, help_heading = "Output")]
    pub args: ArgsMode,

    /// Directory for the lock, the heartbeat and what is learned [default: none, state in memory]
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub state_dir: Option<PathBuf>,

    /// Serve /metrics, /healthz and /readyz here [default: [::]:9756, dual stack; 0.0.0.0:9756 where there is no IPv6]
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Running")]
    pub metrics_listen: Option<String>,

    /// How often each probe's canary is played
    #[arg(long, value_name = "SECONDS", default_value = "5m", hide = true)]
    pub self_test_interval: String,

    /// The auditor's own log on stderr: error, warn, info, debug, trace, or tracing's `target=level,…`
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "Running"
    )]
    pub log_level: String,
}
