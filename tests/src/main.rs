//! The lab's command line.

use std::{fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use lab::{
    auditor::Options,
    check::{self, Check},
    churn::{self, Churn},
    cleanup, containerd,
    evasion::{self, Evade},
    guest, helpers_beside_self, kubernetes,
    load::{self, Load},
    lockdown,
    measure::{Subject, burst, cost, paced, tool::Tool},
    node::NODE_NAME,
    play::{self, Play, Score, Scores, refusal},
    probes, prometheus,
    report::{Color, Paint},
    scene,
    serve::{self, Serve},
    soak,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// A Kubernetes node in miniature, made of real mounts, cgroups, namespaces and processes.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the lab, start the auditor, play the scenes and hold its lines against what they must be.
    Play {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Play only this scene; repeatable.
        #[arg(long = "scene", value_name = "NAME")]
        scenes: Vec<String>,
        /// Play the evasion corpus too, with the same run of the auditor, after a line `guest: lab evade --backend BACKEND`.
        #[arg(long, conflicts_with = "scenes")]
        corpus: bool,
        /// With `--backend auto`: the backend that must have been chosen to watch opens.
        #[arg(long, value_name = "BACKEND")]
        must_choose: Option<String>,
        /// A kernel that refuses the backend is told as `refused BACKEND: why` and a skip, not as a failure.
        #[arg(long)]
        accept_refusal: bool,
        /// Leave the lab in place; the next run removes it.
        #[arg(long)]
        keep: bool,
        /// Print the auditor's lines, too, as it wrote them.
        #[arg(long)]
        print_lines: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// List the scenes.
    List {
        /// The evasion corpus's techniques instead.
        #[arg(long)]
        evasion: bool,
    },
    /// Play the evasion corpus, and hold the auditor's lines against what is declared for its backend. After its name, each
    /// technique's line says what of it is seen: `seen`, `partly`, `not-seen` or `harmless`. Ends with
    /// `N passed, N failed, N skipped`.
    Evade {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Play only this technique; repeatable.
        #[arg(long = "technique", alias = "scene", value_name = "NAME")]
        techniques: Vec<String>,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// Play the scenes without an auditor: does the lab itself work on this machine?
    Rehearse,
    /// Mount, open and unmount token volumes of changing pods: no open may be laid to the wrong pod. Ends with
    /// `N passed, N failed`.
    Churn {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 1_000)]
        cycles: u32,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
    },
    /// Run `auditor check` on a node in miniature: each hook must be watched by the backend that was asked for, and be proven
    /// by its canary. Ends with `N passed, N failed`.
    Check {
        /// The auditor's executable.
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
        /// auto, fentry, kprobe or syscall.
        #[arg(long, env = "AUDITOR_BACKEND", default_value = "auto")]
        backend: String,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// Of a virtual machine that was booted with `lockdown=integrity`: lock its kernel down further, and hold against it what the
    /// auditor says. Ends with `N passed, N failed`.
    Lockdown {
        /// The auditor's executable.
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// End to end with real parts.
    #[command(subcommand)]
    E2e(EndToEnd),
    /// Run the auditor against an API server with many fat pods: what it asks at start and at rest, and the memory it takes.
    Load {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 250)]
        pods: usize,
        #[arg(long, default_value_t = 1_000)]
        associations: usize,
        /// Seconds at rest.
        #[arg(long, default_value_t = 180)]
        rest: u64,
        /// Seconds between two syncs of the associations.
        #[arg(long, default_value_t = 60)]
        interval: u64,
    },
    /// Figures of the auditor, as one JSON object on the last line.
    #[command(subcommand)]
    Measure(Measure),
    /// Mixed load for minutes on end: own opens, thefts, connects, changing pods and files, a reader that falls asleep. Prints a
    /// line a check, a JSON object with samples of the auditor's memory, and ends with `N passed, N failed`.
    Soak {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Seconds between two samples.
        #[arg(long, default_value_t = 4.0)]
        interval: f64,
    },
    /// Be a Kubernetes API server with pods of one node, for `auditor run --cluster kube`; prints its kubeconfig's path.
    Apiserver {
        #[arg(long, default_value_t = 250)]
        pods: usize,
        /// The node that the pods run on.
        #[arg(long, value_name = "NAME", default_value = NODE_NAME)]
        node: String,
        /// Seconds between two bookmarks.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        bookmarks: u64,
        /// Where the kubeconfig is written.
        #[arg(long, value_name = "PATH", default_value = "/tmp")]
        dir: PathBuf,
    },
    /// Load each of the auditor's programs, attach none: `probe NAME BACKEND VERIFIED_INSNS`, `loaded` where the kernel does
    /// not tell the number, or `refused: why`.
    Probes {
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
    },
    /// Be PID 1 of a virtual machine and run the jobs of /job.
    Guest,
}

#[derive(Subcommand)]
enum Measure {
    /// What an open+close costs more with a tool attached, in turns.
    Cost {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Separated by commas.
        #[arg(long, value_delimiter = ',', default_value = "none,empty,auditor")]
        tools: Vec<Tool>,
        /// A file that concerns no tool.
        #[arg(long, value_name = "PATH", default_value_os = cost::default_unrelated().as_os_str())]
        unrelated: PathBuf,
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Opens in a batch.
        #[arg(long, default_value_t = 2_000)]
        opens: u32,
        #[arg(long, default_value_t = 20)]
        batches: u32,
    },
    /// One pod opens its token a million times while another steals one.
    Burst {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 10)]
        runs: u32,
        #[arg(long, default_value_t = 1_000_000)]
        opens: u64,
    },
    /// So many matching opens a second, spread over pods and executables.
    Paced {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 10)]
        pods: usize,
        #[arg(long, default_value_t = 10)]
        executables: usize,
        #[arg(long, default_value_t = 1_000.0)]
        rate: f64,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

#[derive(Subcommand)]
enum EndToEnd {
    /// Containers made by containerd and runc; the lab plays the kubelet. Ends with `N passed, N failed, N skipped`.
    Containerd {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Play only this scene; repeatable.
        #[arg(long = "scene", value_name = "NAME")]
        scenes: Vec<String>,
        /// Short-lived containers, each in a pod of its own, after the scenes; 0 for none.
        #[arg(long, default_value_t = 1_000)]
        count: u32,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// A real kube-apiserver on etcd (`cargo xtask e2e apiserver` makes them). Ends with `N passed, N failed, N skipped`.
    Apiserver(ApiserverArgs),
    /// A real Prometheus that scrapes the auditor while thefts are played: the alerts must fire. Ends with
    /// `N passed, N failed, N skipped`.
    Prometheus(PrometheusArgs),
}

#[derive(Args)]
struct PrometheusArgs {
    #[command(flatten)]
    auditor: AuditorArgs,
    #[arg(long, value_name = "PATH")]
    prometheus: PathBuf,
    /// The rule file, in `manifests/alerts`.
    #[arg(long, value_name = "PATH")]
    rules: PathBuf,
    /// Queries to ask at the end, as `cargo xtask e2e prometheus` takes them from the dashboard.
    #[arg(long, value_name = "PATH", requires = "answers")]
    queries: Option<PathBuf>,
    /// Where they go, with their answers.
    #[arg(long, value_name = "PATH", requires = "queries")]
    answers: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Args)]
struct ApiserverArgs {
    #[command(flatten)]
    auditor: AuditorArgs,
    #[arg(long, value_name = "PATH")]
    kube_apiserver: PathBuf,
    #[arg(long, value_name = "PATH")]
    etcd: PathBuf,
    /// Play only this scene; repeatable.
    #[arg(long = "scene", value_name = "NAME")]
    scenes: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Args)]
struct AuditorArgs {
    /// The auditor's executable.
    #[arg(long, value_name = "PATH")]
    auditor: PathBuf,
    /// auto, fentry, kprobe or syscall.
    #[arg(long, env = "AUDITOR_BACKEND", default_value = "auto")]
    backend: String,
    /// Where the auditor writes its lines.
    #[arg(long, value_name = "PATH", default_value = "/tmp/credential-lab.jsonl")]
    output_file: PathBuf,
    /// How it writes them; what is OCSF is read back into JSON, and held against the same.
    #[arg(long, value_name = "json|ocsf", default_value = "json")]
    output: String,
    /// Of the DaemonSet's capabilities: start it without this one; repeatable. What fails then is what the capability is for.
    #[arg(long, value_name = "CAPABILITY")]
    without: Vec<String>,
}

impl AuditorArgs {
    fn subject(self) -> Result<Subject> {
        Ok(Subject {
            auditor: self.options()?,
            helpers: helpers_beside_self()?,
        })
    }

    fn options(self) -> Result<Options> {
        let program = std::path::absolute(self.auditor)?;
        Ok(Options {
            program,
            backend: self.backend,
            output: std::path::absolute(self.output_file)?,
            args: match self.output.as_str() {
                "json" => Vec::new(),
                other => vec!["--output".into(), other.into()],
            },
            env: Vec::new(),
            without: self.without,
        })
    }
}

fn main() -> ExitCode {
    // The kernel starts PID 1 of the virtual machine as /init, without arguments that it knows.
    let command = if std::process::id() == 1 {
        Action::Guest
    } else {
        Cli::parse().command
    };
    match act(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("lab: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// A kernel that refuses the backend is a skip, where that is accepted.
fn or_refused<T: From<Score>>(played: Result<T>, accept_refusal: bool, backend: &str) -> Result<T> {
    match played {
        Err(e) if accept_refusal && refusal(&format!("{e:#}")).is_some() => {
            let why = refusal(&format!("{e:#}")).unwrap_or_default();
            println!("refused {backend}: {why}");
            let skipped = Score {
                skipped: 1,
                ..Score::default()
            };
            Ok(skipped.into())
        }
        played => played,
    }
}

/// Whether everything was as it should be.
fn act(command: Action) -> Result<bool> {
    match command {
        Action::Play {
            auditor,
            scenes,
            corpus,
            must_choose,
            accept_refusal,
            keep,
            print_lines,
            color,
        } => {
            clean_up_on_signals()?;
            let auditor = auditor.options()?;
            let output = auditor.output.clone();
            let play = Play {
                auditor,
                helpers: helpers_beside_self()?,
                scenes,
                corpus,
                must_choose,
                keep,
                paint: Paint::new(color),
            };
            let backend = play.auditor.backend.clone();
            let Scores(scores) = or_refused(play::run(&play), accept_refusal, &backend)?;
            println!("{}", output.display());
            if print_lines {
                print!("{}", fs::read_to_string(&output)?);
            }
            // The others are printed, each at its end.
            scores.last().inspect(|last| println!("{last}"));
            Ok(scores.iter().all(is_right))
        }
        Action::List { evasion: false } => {
            for scene in scene::all() {
                println!("{:<30} {}", scene.name, scene.about);
            }
            Ok(true)
        }
        Action::List { evasion: true } => {
            for technique in evasion::all() {
                let declared = technique.declaration()?;
                println!(
                    "{:<30} ({}) {}",
                    technique.name, declared.fact, declared.about
                );
            }
            Ok(true)
        }
        Action::Evade {
            auditor,
            techniques,
            accept_refusal,
            color,
        } => {
            clean_up_on_signals()?;
            let auditor = auditor.options()?;
            let output = auditor.output.clone();
            let evade = Evade {
                auditor,
                helpers: helpers_beside_self()?,
                techniques,
                paint: Paint::new(color),
            };
            let backend = evade.auditor.backend.clone();
            let score = or_refused(evasion::run(&evade), accept_refusal, &backend)?;
            println!("{}", output.display());
            Ok(summary(score))
        }
        Action::Rehearse => {
            clean_up_on_signals()?;
            println!("{} scenes played", play::rehearse(&helpers_beside_self()?)?);
            Ok(true)
        }
        Action::Churn {
            auditor,
            cycles,
            accept_refusal,
        } => {
            clean_up_on_signals()?;
            let churn = Churn {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                cycles,
            };
            let backend = churn.auditor.backend.clone();
            let scored = churn::run(&churn).map(|t| {
                println!(
                    "{} opens, {} attributed right, {} owner unknown, {} misattributed",
                    t.opens, t.right, t.unknown, t.wrong
                );
                t.score()
            });
            Ok(summary(or_refused(scored, accept_refusal, &backend)?))
        }
        Action::Check {
            auditor,
            backend,
            accept_refusal,
            color,
        } => {
            clean_up_on_signals()?;
            let check = Check {
                auditor: std::path::absolute(auditor)?,
                backend,
                helpers: helpers_beside_self()?,
                paint: Paint::new(color),
            };
            let score = or_refused(check::run(&check), accept_refusal, &check.backend)?;
            Ok(summary(score))
        }
        Action::Lockdown { auditor, color } => {
            clean_up_on_signals()?;
            let check = Check {
                auditor: std::path::absolute(auditor)?,
                backend: "auto".to_owned(),
                helpers: helpers_beside_self()?,
                paint: Paint::new(color),
            };
            Ok(summary(lockdown::run(&check)?))
        }
        Action::E2e(EndToEnd::Containerd {
            auditor,
            scenes,
            count,
            color,
        }) => {
            clean_up_on_signals()?;
            let options = containerd::Options {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                scenes,
                churn: count,
                paint: Paint::new(color),
            };
            Ok(summary(containerd::run(&options)?))
        }
        Action::E2e(EndToEnd::Apiserver(args)) => {
            clean_up_on_signals()?;
            let options = kubernetes::Options {
                auditor: args.auditor.options()?,
                helpers: helpers_beside_self()?,
                programs: kubernetes::Programs {
                    apiserver: std::path::absolute(args.kube_apiserver)?,
                    etcd: std::path::absolute(args.etcd)?,
                },
                scenes: args.scenes,
                paint: Paint::new(args.color),
            };
            Ok(summary(kubernetes::run(&options)?))
        }
        Action::E2e(EndToEnd::Prometheus(args)) => {
            clean_up_on_signals()?;
            let options = prometheus::Options {
                auditor: args.auditor.options()?,
                helpers: helpers_beside_self()?,
                prometheus: std::path::absolute(args.prometheus)?,
                rules: std::path::absolute(args.rules)?,
                queries: args.queries.zip(args.answers),
                paint: Paint::new(args.color),
            };
            Ok(summary(prometheus::run(&options)?))
        }
        Action::Load {
            auditor,
            pods,
            associations,
            rest,
            interval,
        } => {
            clean_up_on_signals()?;
            let load = Load {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                pods,
                associations,
                rest: Duration::from_secs(rest),
                interval: Duration::from_secs(interval),
            };
            println!("{}", load::run(&load)?);
            Ok(true)
        }
        Action::Measure(what) => {
            clean_up_on_signals()?;
            println!("{}", measure(what)?);
            Ok(true)
        }
        Action::Soak {
            auditor,
            minutes,
            interval,
        } => {
            clean_up_on_signals()?;
            let soak = soak::Soak {
                subject: auditor.subject()?,
                length: Duration::try_from_secs_f64(minutes * 60.0)?,
                interval: Duration::try_from_secs_f64(interval)?,
            };
            let (report, score) = soak::run(&soak)?;
            println!("{}", serde_json::to_string(&report)?);
            Ok(summary(score))
        }
        Action::Apiserver {
            pods,
            node,
            bookmarks,
            dir,
        } => {
            let (node, dir) = (node.as_str(), dir.as_path());
            let bookmarks = Duration::from_secs(bookmarks.max(1));
            let serve = Serve {
                pods,
                node,
                bookmarks,
                dir,
            };
            serve::run(&serve).map(|()| true)
        }
        Action::Probes { auditor } => {
            print!("{}", probes::run(&auditor)?);
            Ok(true)
        }
        Action::Guest => guest::run().map(|()| true),
    }
}

/// A figure's JSON.
fn measure(what: Measure) -> Result<String> {
    Ok(match what {
        Measure::Cost {
            auditor,
            tools,
            unrelated,
            rounds,
            opens,
            batches,
        } => serde_json::to_string(&cost::run(&cost::Cost {
            subject: auditor.subject()?,
            tools,
            unrelated,
            rounds,
            opens,
            batches,
        })?)?,
        Measure::Burst {
            auditor,
            runs,
            opens,
        } => serde_json::to_string(&burst::run(&burst::Burst {
            subject: auditor.subject()?,
            runs,
            opens,
        })?)?,
        Measure::Paced {
            auditor,
            pods,
            executables,
            rate,
            seconds,
        } => serde_json::to_string(&paced::run(&paced::Paced {
            subject: auditor.subject()?,
            pods,
            executables,
            rate,
            seconds,
        })?)?,
    })
}

/// Prints the line that ends a run; whether all was as it should be.
fn summary(score: Score) -> bool {
    println!("{score}");
    is_right(&score)
}

fn is_right(score: &Score) -> bool {
    score.failed == 0 && score.passed + score.skipped > 0
}

/// Ctrl-C leaves nothing behind either.
fn clean_up_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("watch for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            if let Err(e) = cleanup::remove_own() {
                eprintln!("cleaning up after the lab: {e:#}");
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
