//! The API server is killed, compacted and away.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};

use super::{Health, Scene, annotated, own, peek, running, unnamed};
use crate::kubernetes::{play::Stage, server::Door};

/// Longer than the client's first attempts take together.
const AWAY: Duration = Duration::from_secs(22);

pub const SCENES: &[Scene] = &[
    Scene {
        name: "killed",
        about: "kube-apiserver is killed and started again; a known pod reads meanwhile, a new one right after",
        health: Health::MayEndOk,
        play: |stage| {
            let known = running(stage, "known")?;
            stage.control.server.kill_apiserver()?;
            peek(stage, &known)?;
            restart(stage, &[])?;
            let new = running(stage, "new")?;
            peek(stage, &new)?;
            peek(stage, &known)?;
            Ok(vec![own(&known), own(&new), own(&known)])
        },
    },
    Scene {
        name: "changed-unseen",
        about: "a pod is created and reads, and another is deleted and reads, while the auditor reaches no API server",
        health: Health::MayEndOk,
        play: |stage| {
            let deleted = running(stage, "unseen-deleted")?;
            let spec = annotated(stage, "unseen-created")?;
            stage.control.server.kill_apiserver()?;
            let back = Door::Back;
            stage
                .control
                .server
                .start_apiserver(&stage.control.lab, back, &[])?;
            let api = stage.control.server.api(back);
            let spec = stage.control.create(&api, spec)?;
            let (namespace, name) = (&deleted.spec.namespace, &deleted.spec.name);
            api.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}"))?;
            let created = stage.control.lab.start_unlisted(spec)?;
            peek(stage, &created)?;
            peek(stage, &deleted)?;
            stage.control.server.kill_apiserver()?;
            restart(stage, &[])?;
            peek(stage, &deleted)?;
            Ok(vec![unnamed(own(&created)), own(&deleted), own(&deleted)])
        },
    },
    Scene {
        name: "compacted",
        about: "etcd forgets the revision that the auditor watches from (410); a known pod reads, then a new one",
        health: Health::MayEndOk,
        play: |stage| {
            let known = running(stage, "compacted")?;
            let api = stage.control.api();
            let listed = api.get("/api/v1/pods?limit=1")?;
            let old = listed["metadata"]["resourceVersion"].to_string();
            let old = old.trim_matches('"');
            stage.control.server.kill_apiserver()?;
            let revision = stage.control.server.compact()?;
            // Without its own cache the server watches in etcd itself.
            restart(stage, &["--watch-cache=false"])?;
            let query = format!("watch=1&resourceVersion={old}&timeoutSeconds=1");
            let answer = api.get(&format!("/api/v1/pods?{query}"));
            let gone = match &answer {
                Ok(event) => event["object"]["code"] == 410,
                Err(e) => format!("{e:#}").contains("410"),
            };
            ensure!(
                gone,
                "compacted at {revision}, but {old} can be watched from: {answer:?}"
            );
            peek(stage, &known)?;
            let new = running(stage, "after-compaction")?;
            peek(stage, &new)?;
            Ok(vec![own(&known), own(&new)])
        },
    },
    Scene {
        name: "away",
        about: "kube-apiserver and etcd are away for 22 s while known pods read; then they are back with a new pod",
        health: Health::MayEndOk,
        play: |stage| {
            let known = [running(stage, "away-1")?, running(stage, "away-2")?];
            let mut expected = Vec::new();
            for pod in &known {
                peek(stage, pod)?;
                expected.push(own(pod));
            }
            // Their ServiceAccounts have been read, then.
            thread::sleep(Duration::from_secs(2));
            stage.control.server.kill_apiserver()?;
            stage.control.server.kill_etcd()?;
            for _ in 0..11 {
                for pod in &known {
                    peek(stage, pod)?;
                    expected.push(own(pod));
                }
                thread::sleep(AWAY / 11);
            }
            stage.await_health("cluster", "degraded", "pods")?;
            stage.control.server.start_etcd(&stage.control.lab)?;
            restart(stage, &[])?;
            stage.await_health("cluster", "ok", "")?;
            let new = running(stage, "after-away")?;
            peek(stage, &new)?;
            expected.push(own(&new));
            Ok(expected)
        },
    },
];

pub fn restart(stage: &mut Stage, flags: &[&str]) -> Result<()> {
    let control = &mut stage.control;
    control
        .server
        .start_apiserver(&control.lab, Door::Front, flags)
}
