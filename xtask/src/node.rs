//! Files of a made-up node for `auditor run`: pods, ServiceAccounts, associations, token volumes.
//!
//! Shapes: v1 List as `kubectl get pods,serviceaccounts -A -o json` prints it, associations as
//! `aws eks describe-pod-identity-association` returns them, volumes as the kubelet's atomic writer lays them out.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process;

pub const NODE: &str = "xtask-node";
/// The first half of the pods uses IRSA, the second EKS Pod Identity; the volume's and the file's names follow.
const IRSA: (&str, &str) = ("aws-iam-token", "token");
const POD_IDENTITY: (&str, &str) = ("eks-pod-identity-token", "eks-pod-identity-token");
/// A pod of a real cluster is some 20 KB of JSON, much of it in this annotation.
const LAST_APPLIED_BYTES: usize = 12 << 10;

/// A directory with the files; removed when dropped.
pub struct Node {
    directory: PathBuf,
    pods: u32,
}

impl Node {
    /// Writes the files below `directory`, which must not exist.
    pub fn create(directory: &Path, pods: u32, associations: u32) -> Result<Self> {
        fs::create_dir_all(directory.join("kubelet/pods"))
            .with_context(|| directory.display().to_string())?;
        let node = Self {
            directory: directory.to_owned(),
            pods,
        };
        fs::write(node.cluster(), cluster_json(pods))?;
        fs::write(node.associations(), associations_json(pods, associations))?;
        Ok(node)
    }

    pub fn cluster(&self) -> PathBuf {
        self.directory.join("cluster.json")
    }

    pub fn associations(&self) -> PathBuf {
        self.directory.join("associations.json")
    }

    pub fn kubelet_root(&self) -> PathBuf {
        self.directory.join("kubelet")
    }

    /// Where the auditor's own log goes.
    pub fn log(&self) -> PathBuf {
        self.directory.join("auditor.log")
    }

    /// Mounts a pod's token volume as the kubelet does, and gives the path of its token. Needs root.
    pub fn mount_token(&self, pod: u32) -> Result<PathBuf> {
        let (volume, file) = kind(pod, self.pods);
        let volume = format!("pods/{}/volumes/kubernetes.io~projected/{volume}", uid(pod));
        let volume = self.kubelet_root().join(volume);
        let timestamp = "..2026_11_22_12_00_00.000000001";
        fs::create_dir_all(&volume)?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs"])
            .arg(&volume);
        process::capture(&mut mount)?;
        fs::create_dir(volume.join(timestamp))?;
        fs::write(volume.join(timestamp).join(file), "not a token")?;
        symlink(timestamp, volume.join("..data"))?;
        symlink(format!("..data/{file}"), volume.join(file))?;
        Ok(volume.join(file))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Mounts below it are the business of whoever made them; without any, nothing can be left.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn kind(pod: u32, pods: u32) -> (&'static str, &'static str) {
    if pod < pods / 2 { IRSA } else { POD_IDENTITY }
}

fn uid(pod: u32) -> String {
    format!("{pod:08x}-5eed-4000-8000-{pod:012x}")
}

fn role(pod: u32) -> String {
    format!("arn:aws:iam::111122223333:role/app-{pod}")
}

fn list(kind: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    format!("{{{kind}:[\n{}\n]}}\n", items.join(",\n"))
}

fn cluster_json(pods: u32) -> String {
    let items = (0..pods).flat_map(|pod| [pod_json(pod, pods), service_account_json(pod, pods)]);
    list(
        r#""apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items""#,
        items,
    )
}

fn service_account_json(pod: u32, pods: u32) -> String {
    let annotations = if kind(pod, pods) == IRSA {
        format!(
            r#","annotations":{{"eks.amazonaws.com/role-arn":"{}"}}"#,
            role(pod)
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"apiVersion":"v1","kind":"ServiceAccount","metadata":{{"name":"app-{pod}","namespace":"team-{}","uid":"{:08x}-5a5a-4000-8000-000000000000"{annotations}}}}}"#,
        pod % 25,
        pod
    )
}

fn pod_json(pod: u32, pods: u32) -> String {
    let (volume, file) = kind(pod, pods);
    let (audience, mount, env) = if (volume, file) == IRSA {
        let env = format!(
            r#"{{"name":"AWS_ROLE_ARN","value":"{}"}},{{"name":"AWS_WEB_IDENTITY_TOKEN_FILE","value":"/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}}"#,
            role(pod)
        );
        ("sts.amazonaws.com", "eks.amazonaws.com", env)
    } else {
        let env = r#"{"name":"AWS_CONTAINER_CREDENTIALS_FULL_URI","value":"http://169.254.170.23/v1/credentials"},{"name":"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE","value":"/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"}"#;
        (
            "pods.eks.amazonaws.com",
            "pods.eks.amazonaws.com",
            env.to_owned(),
        )
    };
    let (namespace, uid) = (pod % 25, uid(pod));
    let mut containers = String::new();
    let mut statuses = String::new();
    for (index, name) in ["app", "sidecar"].into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // write! to a String cannot fail.
        let _ = write!(
            containers,
            r#"{comma}{{"name":"{name}","image":"111122223333.dkr.ecr.us-east-1.amazonaws.com/{name}:1.{pod}","env":[{env},{{"name":"LOG_LEVEL","value":"info"}}],"resources":{{"limits":{{"memory":"256Mi"}},"requests":{{"cpu":"50m","memory":"128Mi"}}}},"volumeMounts":[{{"mountPath":"/var/run/secrets/{mount}/serviceaccount","name":"{volume}","readOnly":true}},{{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-x2b4z","readOnly":true}}]}}"#
        );
        let _ = write!(
            statuses,
            r#"{comma}{{"name":"{name}","containerID":"containerd://{:064x}","image":"{name}","imageID":"sha256:0","ready":true,"restartCount":0,"started":true,"state":{{"running":{{"startedAt":"2026-11-22T12:00:01Z"}}}}}}"#,
            u64::from(pod) * 2 + index as u64
        );
    }
    let applied = "x".repeat(LAST_APPLIED_BYTES);
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"app-{pod}-7d9c4b6f5-abcde","namespace":"team-{namespace}","uid":"{uid}","creationTimestamp":"2026-11-22T12:00:00Z","labels":{{"app":"app-{pod}","pod-template-hash":"7d9c4b6f5"}},"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{applied}"}},"ownerReferences":[{{"apiVersion":"apps/v1","controller":true,"kind":"ReplicaSet","name":"app-{pod}-7d9c4b6f5","uid":"{uid}"}}]}},"spec":{{"nodeName":"{NODE}","serviceAccountName":"app-{pod}","containers":[{containers}],"volumes":[{{"name":"{volume}","projected":{{"defaultMode":420,"sources":[{{"serviceAccountToken":{{"audience":"{audience}","expirationSeconds":86400,"path":"{file}"}}}}]}}}},{{"name":"kube-api-access-x2b4z","projected":{{"defaultMode":420,"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}]}}}}]}},"status":{{"phase":"Running","podIP":"10.0.{}.{}","startTime":"2026-11-22T12:00:00Z","containerStatuses":[{statuses}]}}}}"#,
        pod / 250,
        pod % 250 + 1
    )
}

/// The last pods' ServiceAccounts first, then bindings of the rest of the cluster.
fn associations_json(pods: u32, associations: u32) -> String {
    let items = (0..associations).map(|index| {
        let app = pods / 2 + index;
        format!(
            r#"{{"clusterName":"prod","namespace":"team-{}","serviceAccount":"app-{app}","roleArn":"{}","associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/prod/a-{index:017}","associationId":"a-{index:017}","tags":{{"team":"team-{}"}},"createdAt":1790000000.123,"modifiedAt":1790000100.5}}"#,
            app % 25,
            role(app),
            app % 25
        )
    });
    list(r#""associations""#, items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_the_numbers_asked_for() {
        let cluster = cluster_json(10);
        assert_eq!(cluster.matches(r#""kind":"Pod""#).count(), 10);
        assert_eq!(cluster.matches("eks.amazonaws.com/role-arn").count(), 5);
        assert_eq!(cluster.matches('{').count(), cluster.matches('}').count());
        let associations = associations_json(10, 7);
        assert_eq!(associations.matches("associationId").count(), 7);
        assert!(associations.contains(r#""serviceAccount":"app-5""#));
    }
}
