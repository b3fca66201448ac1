//! `exec-session-token-open`

use crate::{
    audit::{
        Actor, OpenCase,
        ruling::{Input, Ruling},
    },
    cluster::Pod,
    event::Severity,
};

/// How much of argv the kernel half takes, in bytes with a NUL after each argument. Longer ones are cut off.
const ARGV_LIMIT: usize = 512;

/// The opener came from outside the container (kubectl exec, nsenter) and does not descend from its init. Probes and lifecycle hooks of the
/// pod's spec come that way too, and start others; argv can be forged, so they are told, not hidden.
pub fn exec_session_token_open(case: &OpenCase<'_>) -> Ruling {
    match case.process.exec_session {
        Some(true) => {}
        Some(false) => return Ruling::Clear,
        // Not known in shared and host pid namespaces, and mostly no session. Elsewhere the way up to the init was too
        // long, which nobody needs who has nothing to hide.
        None => {
            let is_told_by_the_spec = case.actor.pod().is_none_or(|pod| {
                pod.share_process_namespace || pod.host_pid || case.process.host_namespaces
            });
            return if is_told_by_the_spec {
                Ruling::Clear
            } else {
                Ruling::Lacks(Input::Process)
            };
        }
    }
    let pod = match case.actor {
        Actor::Pod { pod, .. } => pod,
        Actor::UnlistedPod { .. } => return Ruling::Lacks(Input::Pod),
        Actor::Host | Actor::Conflict { .. } | Actor::Unknown => return Ruling::Clear,
    };
    if case.token.owner.is_none() {
        return Ruling::Lacks(Input::Owner);
    }
    let (actor, owner) = (case.describe_actor(), case.describe_owner());
    let mut argvs = std::iter::once(&case.process.args).chain(case.ancestors_args);
    if argvs.any(|args| is_own_command(pod, case.actor.container_name(), args)) {
        let message = format!("a probe or hook of {actor} opened the token of {owner}");
        return Ruling::finding(Severity::Info, message);
    }
    let comm = &case.process.comm;
    Ruling::finding(
        Severity::High,
        format!("an exec session in {actor} ({comm}) opened the token of {owner}"),
    )
}

/// An exec probe or lifecycle hook of this container, or of any where it is not known.
fn is_own_command(pod: &Pod, container: Option<&str>, args: &[String]) -> bool {
    pod.containers
        .iter()
        .filter(|c| container.is_none_or(|name| *c.name == *name))
        .flat_map(|c| &c.commands)
        .any(|command| is_same_argv(command, args))
}

/// The same command, or the script that it names run by its interpreter (fs/binfmt_script.c puts that before).
fn is_same_argv(command: &[String], args: &[String]) -> bool {
    is_same(command, args)
        || (1..=2).any(|extra| {
            args.get(extra..)
                .is_some_and(|script| is_same(command, script))
        }) && command.first().is_some_and(|name| name.starts_with('/'))
        || shell_text(command).is_some_and(|text| is_last_command(text, args))
}

/// The text of `sh -c TEXT`.
fn shell_text(command: &[String]) -> Option<&str> {
    match command {
        [shell, option, text] if shell.ends_with("sh") && option.ends_with('c') => Some(text),
        _ => None,
    }
}

/// A shell replaces itself with the last command of its text, and then is no parent whose argv could be looked at.
fn is_last_command(text: &str, args: &[String]) -> bool {
    let last = text
        .rsplit([';', '&', '|', '\n'])
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = last
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']))
        .collect();
    let words = words.strip_prefix(&["exec"]).unwrap_or(&words);
    // The shell expands its variables.
    let is_same_word = |(word, arg): (&&str, &String)| *word == arg || word.contains('$');
    !words.is_empty() && words.len() == args.len() && words.iter().zip(args).all(is_same_word)
}

fn is_same(command: &[String], args: &[String]) -> bool {
    // The kubelet expands these from the container's environment.
    let is_same_arg = |(command, arg): (&String, &String)| command == arg || command.contains("$(");
    if command.len() == args.len() && command.iter().zip(args).all(is_same_arg) {
        return true;
    }
    let joined = |argv: &[String]| {
        argv.iter()
            .map(|arg| format!("{arg}\0"))
            .collect::<String>()
    };
    let (command, args) = (joined(command), joined(args));
    // Where argv was cut off: no NUL, and perhaps half a character, which decoding replaced.
    let seen = args.trim_end_matches(['\0', char::REPLACEMENT_CHARACTER]);
    let missing_at_most = "\0".len() + "\u{10ffff}".len() - 1;
    seen.len() + missing_at_most >= ARGV_LIMIT && command.starts_with(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose},
        event::TokenKind,
    };

    fn session(args: &[&str]) -> Scene {
        Scene::new()
            .edit(|s| {
                s.process.exec_session = Some(true);
                s.process.args = args.iter().map(|&arg| arg.to_owned()).collect();
            })
            .edit_pod("web", |pod| {
                let long = vec!["/bin/check".to_owned(), "x".repeat(1000)];
                let probe = vec!["/bin/check".to_owned(), "--live".to_owned()];
                pod.containers[0].commands = vec![probe, long];
                let mut sidecar = pod.containers[0].clone();
                sidecar.name = "sidecar".into();
                sidecar.commands = vec![vec!["/bin/drain".to_owned()]];
                pod.containers.push(sidecar);
            })
    }

    #[test]
    fn cases() {
        let high = Said::Finds(Severity::High);
        let info = Said::Finds(Severity::Info);
        let web = Whose::Pod("web");
        let cut = "x".repeat(ARGV_LIMIT - "/bin/check".len() - 2);
        let cut_in_two = format!("{}\u{fffd}", &cut[..cut.len() - 2]);
        let short = "x".repeat(100);
        for (args, who, whose, expected) in [
            (vec!["sh"], Who::Pod("web"), web, high),
            (vec!["sh"], Who::Pod("web"), Whose::Pod("api"), high),
            (vec!["sh"], Who::Pod("web"), Whose::Untold("u"), high),
            (
                vec!["sh"],
                Who::Pod("web"),
                Whose::Nobody,
                Said::Lacks(Input::Owner),
            ),
            (vec!["/bin/check", "--live"], Who::Pod("web"), web, info),
            (vec!["/bin/check", "--dead"], Who::Pod("web"), web, high),
            (vec!["/bin/check"], Who::Pod("web"), web, high),
            (vec!["/bin/check", "--live", ""], Who::Pod("web"), web, high),
            (vec!["/bin/check --live"], Who::Pod("web"), web, high),
            (vec!["/bin/check", &cut], Who::Pod("web"), web, info),
            (vec!["/bin/check", &cut_in_two], Who::Pod("web"), web, info),
            (vec!["/bin/check", &short], Who::Pod("web"), web, high),
            (vec!["/bin/drain"], Who::Pod("web"), web, high),
            (vec![], Who::Pod("web"), web, high),
            (vec!["/bin/check", "--live"], Who::Pod("api"), web, high),
            (
                vec!["sh"],
                Who::Unlisted("uid-web"),
                web,
                Said::Lacks(Input::Pod),
            ),
            (vec!["sh"], Who::Host, web, Said::Clear),
            (vec!["sh"], Who::Conflict, web, Said::Clear),
            (vec!["sh"], Who::Unknown, web, Said::Clear),
        ] {
            let scene = session(&args);
            let kind = TokenKind::ServiceAccount;
            let said = scene.open(who, whose, kind, exec_session_token_open);
            assert_eq!(said, expected, "{args:?} {who:?} {whose:?}");
        }
    }

    #[test]
    fn without_a_session_there_is_none() {
        let (who, whose) = (Who::Pod("web"), Whose::Pod("web"));
        let said = |exec_session, host_namespaces| {
            let scene = session(&["sh"]).edit(|s| {
                s.process.exec_session = exec_session;
                s.process.host_namespaces = host_namespaces;
            });
            scene.open(who, whose, TokenKind::Irsa, exec_session_token_open)
        };
        assert_eq!(said(Some(false), false), Said::Clear);
        assert_eq!(
            said(None, true),
            Said::Clear,
            "no container's init to descend from"
        );
        assert_eq!(
            said(None, false),
            Said::Lacks(Input::Process),
            "too many ancestors"
        );
    }

    #[test]
    fn scripts_and_expanded_variables_are_still_the_specs_command() {
        let argv = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        for (command, args, expected) in [
            (&["/probe.sh"][..], &["/bin/sh", "/probe.sh"][..], true),
            (
                &["/probe.sh", "a"],
                &["/usr/bin/env", "bash", "/probe.sh", "a"],
                true,
            ),
            (&["sh", "-c", "cat /t"], &["cat", "/t"], true),
            (
                &["/bin/bash", "-ec", "test -f /x && exec cat \"$TOKEN\""],
                &["cat", "/t"],
                true,
            ),
            (&["sh", "-c", "cat /t"], &["cat", "/other"], false),
            (&["sh", "-c", ""], &[], false),
            (&["/check", "$(PORT)"], &["/check", "8080"], true),
            (&["/check", "$(PORT)"], &["/check", "8080", "more"], false),
            (&["/probe.sh"], &["/bin/sh", "/other.sh"], false),
            (&["sh"], &["bash", "sh"], false),
            (&["/probe.sh"], &["a", "b", "c", "/probe.sh"], false),
        ] {
            assert_eq!(
                is_same_argv(&argv(command), &argv(args)),
                expected,
                "{command:?} {args:?}"
            );
        }
    }
}
