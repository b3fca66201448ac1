//! Processes that come into a container from outside.

use std::{path::Path, thread, time::Duration};

use super::{Scene, associate, associated, token_path};
use crate::{
    expect::Expected,
    node::{PodSpec, pod::POD_IDENTITY},
    wire::argv,
};

const FINDING: &str = "exec-session-token-open";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "kubectl-exec",
        about: "someone in a kubectl exec session reads payments/api-v2's own token",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "payments", "api-v2")?;
            stage
                .lab
                .exec(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("exec_session", "true")])
                    .judged("violation", &format!("{FINDING}:high")),
            ])
        },
    },
    Scene {
        name: "exec-probe-script",
        about: "the kubelet runs shop/health's exec probes, a script and `sh -c`, which read its own token",
        play: |stage| {
            if !Path::new("/bin/sh").exists() {
                stage.skipped = Some("this machine has no /bin/sh".into());
                return Ok(vec![]);
            }
            let role = associate(&mut stage.lab, "shop", "health")?;
            let mut spec = PodSpec::new("shop", "health").with_pod_identity();
            let path = spec
                .token(POD_IDENTITY)
                .map(|t| t.path())
                .unwrap_or_default();
            let peek = format!("peek {path}");
            let (script, shell) = (["/probe.sh"], ["sh", "-c", &peek]);
            spec.exec_probes.insert("readinessProbe", argv(script));
            spec.exec_probes.insert("livenessProbe", argv(shell));
            let pod = stage.lab.start(spec)?;
            let text = format!("#!/bin/sh\nread -r token <{path}\n[ -n \"$token\" ]\n");
            stage
                .lab
                .run(&pod, &["arrange", "script", "/probe.sh", &text])?;
            stage.lab.exec(&pod, &script)?;
            stage.lab.exec(&pod, &shell)?;
            let peeked = Expected::own_open(&pod, POD_IDENTITY)
                .bound("pod-identity", &role)
                .with(&[("exec_session", "true")])
                .judged("allowed", &format!("{FINDING}:info"));
            let read = peeked.clone().with(&[("comm", "probe.sh")]);
            Ok(vec![read, peeked])
        },
    },
    Scene {
        name: "exec-probe-with-a-child",
        about: "shop/pulse's exec probe, a script, has a child of its read the token, again and again",
        play: |stage| {
            if !Path::new("/bin/sh").exists() {
                stage.skipped = Some("this machine has no /bin/sh".into());
                return Ok(vec![]);
            }
            let role = associate(&mut stage.lab, "shop", "pulse")?;
            let mut spec = PodSpec::new("shop", "pulse").with_pod_identity();
            let path = spec
                .token(POD_IDENTITY)
                .map(|t| t.path())
                .unwrap_or_default();
            let script = ["/pulse.sh"];
            spec.exec_probes.insert("livenessProbe", argv(script));
            let pod = stage.lab.start(spec)?;
            // The child is the last thing it waits for: it is gone from /proc when the line is judged.
            let text = format!("#!/bin/sh\npeek {path}\nexit 0\n");
            stage
                .lab
                .run(&pod, &["arrange", "script", "/pulse.sh", &text])?;
            let mut expected = Vec::new();
            for _ in 0..5 {
                stage.lab.exec(&pod, &script)?;
                expected.push(
                    Expected::own_open(&pod, POD_IDENTITY)
                        .bound("pod-identity", &role)
                        .with(&[("exec_session", "true")])
                        .judged("allowed", &format!("{FINDING}:info")),
                );
                thread::sleep(Duration::from_millis(300));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "exec-session-with-a-child",
        about: "in a kubectl exec session, a shell that is no probe has a child of its read shop/pry's own token",
        play: |stage| {
            if !Path::new("/bin/sh").exists() {
                stage.skipped = Some("this machine has no /bin/sh".into());
                return Ok(vec![]);
            }
            let role = associate(&mut stage.lab, "shop", "pry")?;
            let mut spec = PodSpec::new("shop", "pry").with_pod_identity();
            spec.exec_probes
                .insert("livenessProbe", argv(["/pulse.sh"]));
            let pod = stage.lab.start(spec)?;
            let text = format!("peek {}; exit 0", token_path(&pod, POD_IDENTITY));
            stage.lab.exec(&pod, &["sh", "-c", &text])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("exec_session", "true")])
                    .judged("violation", &format!("{FINDING}:high")),
            ])
        },
    },
];
