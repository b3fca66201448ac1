//! Tokens taken by those whose they are not.

use std::path::Path;

use super::{
    HOST_KUBELET, Scene, associate, associated, host_path_of, token_path, with_host_kubelet,
};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, pod::POD_IDENTITY},
};

pub const SCENES: &[Scene] = &[
    Scene {
        name: "theft-through-host-path",
        about: "shop/web reads payments/ledger's token through a hostPath of the kubelet's directory",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "ledger")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "web"))?;
            stage.lab.run(&thief, &["peek", &host_path_of(&victim)])?;
            Ok(vec![theft(&thief, &victim, &role)])
        },
    },
    Scene {
        name: "theft-through-proc-root",
        about: "ops/debug (hostPID) reads payments/billing's token through /proc/PID/root",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "billing")?;
            let mut spec = PodSpec::new("ops", "debug");
            spec.host_pid = true;
            let thief = stage.lab.start(spec)?;
            let path = format!(
                "/proc/{}/root{}",
                victim.init_pid,
                token_path(&victim, POD_IDENTITY)
            );
            stage.lab.run(&thief, &["peek", &path])?;
            Ok(vec![theft(&thief, &victim, &role)])
        },
    },
    Scene {
        name: "theft-through-symlink",
        about: "shop/ads opens a symlink of its own to payments/refunds' token with openat2",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "refunds")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "ads"))?;
            stage.lab.run(
                &thief,
                &[
                    "arrange",
                    "symlink",
                    &host_path_of(&victim),
                    "/tmp/notes.txt",
                ],
            )?;
            stage
                .lab
                .run(&thief, &["peek", "--openat2", "/tmp/notes.txt"])?;
            Ok(vec![theft(&thief, &victim, &role)])
        },
    },
    Scene {
        name: "theft-through-bind-mount",
        about: "shop/images binds payments/fraud's token to a name of its own and opens that",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "fraud")?;
            let spec = PodSpec::new("shop", "images").with_caps(&["SYS_ADMIN"]);
            let thief = with_host_kubelet(&mut stage.lab, spec)?;
            stage.lab.run(
                &thief,
                &["arrange", "bind", &host_path_of(&victim), "/tmp/cache"],
            )?;
            stage.lab.run(&thief, &["peek", "/tmp/cache"])?;
            Ok(vec![theft(&thief, &victim, &role)])
        },
    },
    Scene {
        name: "theft-through-hard-link",
        about: "shop/mail links payments/tax's token to readme.txt in its volume and opens that",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "tax")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "mail"))?;
            let volume = victim
                .spec
                .volume_id(crate::volume::Plugin::Projected, POD_IDENTITY);
            let link = volume.dir(Path::new(HOST_KUBELET)).join("readme.txt");
            let link = link.to_string_lossy();
            stage.lab.run(
                &thief,
                &["arrange", "hardlink", &host_path_of(&victim), &link],
            )?;
            stage.lab.run(&thief, &["peek", &link])?;
            // The file is named as it was opened or as the projection names it.
            Ok(vec![theft(&thief, &victim, &role).whatever("file")])
        },
    },
    Scene {
        name: "theft-of-service-account-token",
        about: "shop/promo reads payments/vault's token for the API server",
        play: |stage| {
            let victim = stage.lab.start(PodSpec::new("payments", "vault"))?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "promo"))?;
            let volume = victim
                .spec
                .tokens
                .first()
                .map(|t| t.volume.clone())
                .unwrap_or_default();
            let path = victim.token_below(Path::new(HOST_KUBELET), &volume);
            stage.lab.run(&thief, &["peek", &path.to_string_lossy()])?;
            Ok(vec![
                Expected::foreign_open(&thief, &victim, &volume, "other-pod")
                    .judged("violation", "foreign-token-open:critical"),
            ])
        },
    },
    Scene {
        name: "same-service-account",
        about: "batch/worker reads the token of another pod with its own ServiceAccount",
        play: |stage| {
            let role = associate(&mut stage.lab, "batch", "worker")?;
            let victim = stage
                .lab
                .start(PodSpec::new("batch", "worker").with_pod_identity())?;
            let other = with_host_kubelet(
                &mut stage.lab,
                PodSpec::new("batch", "worker").with_pod_identity(),
            )?;
            stage.lab.run(&other, &["peek", &host_path_of(&victim)])?;
            Ok(vec![
                Expected::foreign_open(&other, &victim, POD_IDENTITY, "same-service-account")
                    .bound("pod-identity", &role)
                    .judged("suspicious", "foreign-token-open:medium"),
            ])
        },
    },
    Scene {
        name: "host-process",
        about: "a process of the node outside every pod reads payments/books' token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "books")?;
            let path = victim.token_below(&stage.lab.kubelet_root(), POD_IDENTITY);
            stage.lab.run_on_host(&["peek", &path.to_string_lossy()])?;
            Ok(vec![
                Expected::host_open(&victim, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .judged("violation", "host-token-open:critical"),
            ])
        },
    },
    Scene {
        name: "path-only-open",
        about: "a process of the node opens payments/ink's token with O_PATH, which reads nothing: no line",
        play: |stage| {
            let (victim, _) = associated(&mut stage.lab, "payments", "ink")?;
            let path = victim.token_below(&stage.lab.kubelet_root(), POD_IDENTITY);
            stage
                .lab
                .run_on_host(&["peek", "--path-only", &path.to_string_lossy()])?;
            Ok(vec![])
        },
    },
];

fn theft(thief: &Pod, victim: &Pod, role: &str) -> Expected {
    Expected::foreign_open(thief, victim, POD_IDENTITY, "other-pod")
        .bound("pod-identity", role)
        .judged("violation", "foreign-token-open:critical")
}
