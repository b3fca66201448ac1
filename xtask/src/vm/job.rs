//! What a guest is given to do.

use super::{Args, Backend, console::EVADE, guest::Target, runtime::MANIFEST};

/// Played with `--backend auto`, which must choose by itself.
const AUTO_SCENE: &str = "own-irsa";
/// Of the suite with real containers: what kernels and machines may make different.
const CONTAINER_SCENES: [&str; 2] = ["kubelet-and-impostor", "theft-through-host-path"];

/// Whether the auditor is run in a container, by containerd and runc. They are this machine's.
pub fn has_containers(target: Target, args: &Args) -> bool {
    let is_asked = args.containers || (args.plays_all() && !args.probes);
    is_asked && target.arch.is_host() && !target.line.best_effort
}

/// Whether the attack simulation is played: on the backend that is chosen by itself.
pub fn simulates(target: Target, args: &Args) -> bool {
    let is_asked = args.simulate || (args.plays_all() && !args.probes);
    let best = target.best();
    is_asked && best.is_some_and(|best| args.backends(target.line).contains(&best))
}

/// The guest's job: one `lab` command line a line.
pub fn job(target: Target, args: &Args) -> String {
    let mut lines = "probes --auditor /auditor\n".to_owned();
    if args.probes {
        return lines;
    }
    // What the kernel refuses has no probe to prove.
    let is_allowed = |backend: &Backend| target.line.refusal(target.arch, *backend).is_none();
    let plain = |what: &str, backend: Backend| {
        format!("{what} --auditor /auditor --backend {}", backend.name())
    };
    let simulates = simulates(target, args);
    let play = |what: &str, backend: &str, names: &[String]| {
        let mut line =
            format!("{what} --auditor /auditor --backend {backend} --accept-refusal --color never");
        for name in names {
            line.push_str(&format!(" --scene {name}"));
        }
        line + "\n"
    };
    let backends = args.backends(target.line);
    // A start of the auditor costs a guest as much as a dozen scenes. Where something may be refused, each is asked for by itself.
    let at_once = |backend: Backend| {
        let is_whole = args.plays_all() && args.plays(backend);
        is_whole && !target.line.best_effort && is_allowed(&backend)
    };
    // Its column is played as `auto` has it, which must choose it.
    let best = target
        .best()
        .filter(|best| backends.contains(best) && at_once(*best));
    if best.is_none() {
        lines += &play("play", "auto", &[AUTO_SCENE.to_owned()]);
    }
    // Once: it tries every way to watch every hook, and a backend whose canaries are silent starts no scene.
    if !target.line.best_effort {
        lines += "check --auditor /auditor --backend auto --color never\n";
    }
    for backend in backends {
        if best == Some(backend) {
            let simulate = if simulates { " --simulate" } else { "" };
            let what = format!("play --corpus{simulate} --must-choose {}", backend.name());
            lines += &play(&what, "auto", &[]);
            continue;
        }
        if at_once(backend) {
            lines += &play("play --corpus", backend.name(), &[]);
            continue;
        }
        let whats: &[&str] = match args.lines {
            false => &["play"],
            true => &["play --print-lines", "play --print-lines --output ocsf"],
        };
        for what in whats.iter().filter(|_| args.plays(backend)) {
            lines += &play(what, backend.name(), &args.scene);
        }
        if args.evades() {
            lines += &play(EVADE, backend.name(), &args.technique);
        }
    }
    if best.is_none() && simulates {
        let scene = [AUTO_SCENE.to_owned()];
        lines += &play("play --simulate", "auto", &scene);
    }
    if has_containers(target, args) {
        lines += &format!(
            "e2e containerd --auditor /auditor --manifest {MANIFEST} --backend auto --count 0 --color never"
        );
        for name in CONTAINER_SCENES {
            lines += &format!(" --scene {name}");
        }
        lines.push('\n');
    }
    if let Some(cycles) = args.churn {
        for backend in args.backends(target.line).into_iter().filter(is_allowed) {
            lines += &format!("{} --cycles {cycles}\n", plain("churn", backend));
        }
    }
    // The last: nothing works afterwards.
    if target.line.is_locked_down() && args.plays_all() {
        lines += "lockdown --auditor /auditor --color never\n";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{arch::Arch, kernels};

    fn on(name: &str) -> Target {
        let line = kernels::lines(&[name.to_owned()]).unwrap()[0];
        Target {
            line,
            arch: Arch::Aarch64,
        }
    }

    #[test]
    fn a_job_is_one_command_a_line() {
        let args = Args {
            scene: vec!["a".into()],
            technique: vec!["b".into()],
            backend: vec![Backend::Fentry],
            churn: Some(9),
            ..Args::default()
        };
        let expected = "probes --auditor /auditor\n\
            play --auditor /auditor --backend auto --accept-refusal --color never --scene own-irsa\n\
            check --auditor /auditor --backend auto --color never\n\
            play --auditor /auditor --backend fentry --accept-refusal --color never --scene a\n\
            evade --auditor /auditor --backend fentry --accept-refusal --color never --scene b\n\
            churn --auditor /auditor --backend fentry --cycles 9\n";
        assert_eq!(job(on("6.12"), &args), expected);
        let args = Args {
            probes: true,
            ..Args::default()
        };
        assert_eq!(job(on("6.12"), &args), "probes --auditor /auditor\n");
    }

    #[test]
    fn scenes_and_corpus_share_an_auditor_where_neither_can_be_refused() {
        let at_once = |name| job(on(name), &Args::default()).matches("--corpus").count();
        // On arm64 6.1 refuses fentry.
        assert_eq!(
            [at_once("5.10"), at_once("6.1"), at_once("6.12")],
            [0, 2, 3]
        );
        assert_eq!(job(on("6.12"), &Args::ci()).matches("evade").count(), 1);
    }

    #[test]
    fn auto_must_choose_the_best_there_is() {
        let auto = |name| {
            let job = job(on(name), &Args::default());
            let lines = job
                .lines()
                .filter(|line| line.contains("play") && line.contains("auto "));
            let words = lines.map(|line| {
                line.split(" --auditor")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
            words.collect::<Vec<_>>()
        };
        assert_eq!(auto("5.10"), ["play"]);
        assert_eq!(
            auto("6.1"),
            ["play --corpus --simulate --must-choose kprobe"]
        );
        assert_eq!(
            auto("6.12"),
            ["play --corpus --simulate --must-choose fentry"]
        );
    }

    #[test]
    fn a_kernel_is_locked_down_further_when_all_was_played() {
        let last = |name, args: &Args| job(on(name), args).lines().last().map(str::to_owned);
        let is_locked = |name| {
            let last = last(name, &Args::default());
            last.is_some_and(|line| line.starts_with("lockdown "))
        };
        assert_eq!([is_locked("6.1"), is_locked("6.12")], [false, true]);
        let churn = Args {
            churn: Some(9),
            ..Args::ci()
        };
        assert!(last("6.12", &churn).unwrap().starts_with("lockdown "));
    }

    #[test]
    fn a_node_is_checked_once_where_all_must_work() {
        let checked = |name| job(on(name), &Args::default()).matches("check ").count();
        assert_eq!(
            [checked("5.10"), checked("6.1"), checked("6.12")],
            [0, 1, 1]
        );
    }

    #[test]
    fn real_containers_are_this_machines_and_the_simulation_is_played_once() {
        let of = |name, arch, args: &Args| {
            let line = kernels::lines(&[name].map(str::to_owned)).unwrap()[0];
            let job = job(Target { line, arch }, args);
            ["e2e containerd ", " --simulate "].map(|word| job.matches(word).count())
        };
        for arch in Arch::ALL {
            let contained = usize::from(arch.is_host());
            assert_eq!(of("6.12", arch, &Args::ci()), [contained, 1]);
            assert_eq!(of("5.10", arch, &Args::default()), [0, 0]);
            let scene = Args {
                scene: vec!["a".into()],
                ..Args::default()
            };
            assert_eq!(of("6.12", arch, &scene), [0, 0]);
            let asked = Args {
                containers: true,
                simulate: true,
                ..scene
            };
            assert_eq!(of("6.12", arch, &asked), [contained, 1]);
        }
    }
}
