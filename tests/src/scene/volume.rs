//! Volumes: whose files are tokens, under which names, and who may touch them unseen.

use std::collections::BTreeMap;

use super::{Scene, annotate, associate, associated, token_path};
use crate::{
    expect::Expected,
    node::{
        PodSpec, TokenVolume, kubelet,
        pod::{FileVolume, POD_IDENTITY, SubPath},
    },
    patience, token,
    volume::Plugin,
};

pub const SCENES: &[Scene] = &[
    Scene {
        name: "kubelet-sync",
        about: "the kubelet reads every projected file of every pod, three times: no line",
        play: |stage| {
            associated(&mut stage.lab, "shop", "idle")?;
            for _ in 0..3 {
                stage.lab.kubelet_do(&kubelet::Request::Sync)?;
            }
            Ok(vec![])
        },
    },
    Scene {
        name: "rotation",
        about: "the kubelet rotates shop/clock's token twice; the pod reads it after each",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "clock")?;
            let mut expected = Vec::new();
            for _ in 0..2 {
                stage.lab.rotate(&pod, POD_IDENTITY)?;
                stage
                    .lab
                    .run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
                expected.push(Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "token-by-subpath",
        about: "shop/frozen has its token by subPath; the old inode stays after a rotation",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "frozen")?;
            let mut spec = PodSpec::new("shop", "frozen").with_pod_identity();
            spec.sub_paths.push(SubPath {
                volume: POD_IDENTITY.into(),
                file: POD_IDENTITY.into(),
                target: "/etc/aws/jwt".into(),
            });
            let pod = stage.lab.start(spec)?;
            stage.lab.rotate(&pod, POD_IDENTITY)?;
            stage.lab.run(&pod, &["peek", "/etc/aws/jwt"])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role),
            ])
        },
    },
    Scene {
        name: "token-by-other-name",
        about: "shop/custom projects its tokens under names of its own choice, one in a subdirectory",
        play: |stage| {
            let role = annotate(&mut stage.lab, "shop", "custom")?;
            let sts = TokenVolume::new("irsa", "cloud", "/var/run/cloud", "id/jwt", token::STS);
            let vault = TokenVolume::new(
                "other",
                "vault-auth",
                "/var/run/vault",
                "credential.json",
                "vault",
            );
            let mut spec = PodSpec::new("shop", "custom")
                .with_token(sts.clone())
                .with_token(vault.clone());
            spec.env.insert("AWS_ROLE_ARN".into(), role.clone());
            spec.env
                .insert("AWS_WEB_IDENTITY_TOKEN_FILE".into(), sts.path());
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["peek", &sts.path()])?;
            stage.lab.run(&pod, &["peek", &vault.path()])?;
            Ok(vec![
                Expected::own_open(&pod, "cloud").bound("irsa", &role),
                Expected::own_open(&pod, "vault-auth"),
            ])
        },
    },
    Scene {
        name: "not-a-token",
        about: "shop/config reads ca.crt, its namespace, a ConfigMap, a Secret, and lists directories: no line",
        play: |stage| {
            let files =
                BTreeMap::from([("token".to_owned(), "not a ServiceAccount's\n".to_owned())]);
            let mut spec = PodSpec::new("shop", "config");
            for (plugin, name) in [
                (Plugin::ConfigMap, "settings"),
                (Plugin::Secret, "tls"),
                (Plugin::Projected, "bundle"),
            ] {
                spec.files.push(FileVolume {
                    plugin,
                    name: name.into(),
                    files: files.clone(),
                });
            }
            let dir = spec
                .tokens
                .first()
                .map(|t| t.mount_path.clone())
                .unwrap_or_default();
            let pod = stage.lab.start(spec)?;
            for file in [&format!("{dir}/ca.crt"), &format!("{dir}/namespace")] {
                stage.lab.run(&pod, &["peek", file])?;
            }
            for file in ["/etc/settings/token", "/etc/tls/token", "/etc/bundle/token"] {
                stage.lab.run(&pod, &["peek", file])?;
            }
            for dir in [&dir, &format!("{dir}/..data")] {
                stage.lab.run(&pod, &["peek", "--list", dir])?;
            }
            Ok(vec![])
        },
    },
    Scene {
        name: "orphaned-pod-token-in-shm",
        about: "shop/cache writes and reads a file 300 times in a directory `..data` of a tmpfs that it mounted itself",
        play: |stage| {
            let spec = PodSpec::new("shop", "cache").with_caps(&["SYS_ADMIN"]);
            let pod = stage.lab.start(spec)?;
            for arrange in [["tmpfs", "/shm"], ["mkdir", "/shm/..data"]] {
                stage
                    .lab
                    .run(&pod, &[&["arrange"], &arrange[..]].concat())?;
            }
            // Slow enough for an auditor that decides after the first.
            let pause = (2 * patience()).to_string();
            stage
                .lab
                .run(&pod, &["rewrite", "/shm/..data/token", "300", &pause])?;
            let mut line = Expected::own_open(&pod, "")
                .with(&[
                    ("comm", "rewrite"),
                    ("owner", "null"),
                    ("relation", "unknown"),
                ])
                .judged("undetermined", "");
            // What is left open is for the auditor to say; how many opens a line stands for, too.
            for fact in ["volume", "undetermined", "repeats"] {
                line = line.whatever(fact);
            }
            Ok(line.one_to(60))
        },
    },
];
