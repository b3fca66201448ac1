//! From the API's shapes to ours.

use std::{collections::BTreeMap, sync::Arc};

use crate::report::{LINE_LIMIT, cut_map};

use super::{
    Container, CredentialEnv, Mount, Pod, ProjectedVolume, ServiceAccount, TokenSource, raw,
};

/// Of JSON, for the labels of a pod.
const LABELS: usize = LINE_LIMIT;

/// A field that must be there and is not: its path within the object.
pub struct Missing(pub &'static str);

pub fn pod(
    metadata: raw::Metadata,
    spec: raw::PodSpec,
    status: raw::PodStatus,
) -> Result<Pod, Missing> {
    let ips = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|ip| ip.ip.parse().ok())
        .collect();
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let statuses: Vec<raw::ContainerStatus> = [
        status.init_container_statuses,
        status.container_statuses,
        status.ephemeral_container_statuses,
    ]
    .into_iter()
    .flatten()
    .flatten()
    .collect();
    let containers = [
        spec.init_containers,
        spec.containers,
        spec.ephemeral_containers,
    ]
    .into_iter()
    .flatten()
    .flatten()
    .map(|c| container(c, &statuses))
    .collect();
    let volumes = spec.volumes.into_iter().flatten().filter_map(volume);
    let mirror_hash: Option<Arc<str>> =
        optional(metadata.annotations.unwrap_or_default().config_mirror)
            .filter(|hash| is_config_hash(hash));
    Ok(Pod {
        name: required(metadata.name, "metadata.name")?,
        uid: required(metadata.uid, "metadata.uid")?,
        namespace: optional(metadata.namespace).unwrap_or_else(|| "default".into()),
        // A static pod has no ServiceAccount: admission, which would set `default`, does not touch mirror pods.
        service_account: optional(spec.service_account_name)
            .unwrap_or_else(|| if mirror_hash.is_some() { "" } else { "default" }.into()),
        mirror_hash,
        owner: metadata
            .owner_references
            .into_iter()
            .flatten()
            .find(|o| o.controller == Some(true))
            .map(|o| format!("{}/{}", o.kind, o.name)),
        labels: bounded(metadata.labels.unwrap_or_default()),
        created: metadata.creation_timestamp,
        node_name: optional(spec.node_name),
        host_network: spec.host_network.unwrap_or_default(),
        host_pid: spec.host_pid.unwrap_or_default(),
        share_process_namespace: spec.share_process_namespace.unwrap_or_default(),
        ips,
        active: !ended,
        containers,
        volumes: volumes.collect(),
    })
}

/// Keeps what can come out: no line has room for more, and an object may hold a mebibyte of them.
fn bounded(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    cut_map(&mut labels, LABELS);
    labels
}

/// FNV-128 in hex (pkg/kubelet/config/common.go `generatePodName`'s hash), which no UID of the API server looks like: anybody
/// may write the annotation.
fn is_config_hash(hash: &str) -> bool {
    let is_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    hash.len() == 32 && hash.bytes().all(is_hex)
}

pub fn service_account(metadata: raw::Metadata) -> Result<ServiceAccount, Missing> {
    let annotations = metadata.annotations.unwrap_or_default();
    Ok(ServiceAccount {
        name: required(metadata.name, "metadata.name")?,
        namespace: optional(metadata.namespace).unwrap_or_else(|| "default".into()),
        uid: optional(metadata.uid),
        role_arn: optional(annotations.role_arn),
        audience: optional(annotations.audience),
    })
}

fn container(raw: raw::Container, statuses: &[raw::ContainerStatus]) -> Container {
    let status = statuses.iter().find(|s| s.name == raw.name);
    let lifecycle = raw.lifecycle.map(|l| [l.post_start, l.pre_stop]);
    let commands = [raw.liveness_probe, raw.readiness_probe, raw.startup_probe]
        .into_iter()
        .chain(lifecycle.into_iter().flatten())
        .filter_map(|handler| handler?.exec?.command)
        .filter(|command| !command.is_empty())
        .collect();
    Container {
        name: raw.name.into(),
        image: raw.image.unwrap_or_default().into(),
        id: status.and_then(|s| runtime_id(s.container_id.as_deref()?)),
        previous_id: status.and_then(|s| {
            let terminated = s.last_state.as_ref()?.terminated.as_ref()?;
            runtime_id(terminated.container_id.as_deref()?)
        }),
        env: credential_env(raw.env.unwrap_or_default()),
        commands,
        mounts: raw
            .volume_mounts
            .into_iter()
            .flatten()
            .map(|m| Mount {
                volume: m.name.into(),
                mount_path: m.mount_path.into(),
                sub_path: optional(m.sub_path),
            })
            .collect(),
    }
}

/// `containerd://<id>` without its scheme; empty before the container was made.
fn runtime_id(id: &str) -> Option<Arc<str>> {
    let id = id.rsplit_once("//").map_or(id, |(_, id)| id);
    (!id.is_empty()).then(|| id.into())
}

fn credential_env(env: Vec<raw::EnvVar>) -> CredentialEnv {
    let mut known = CredentialEnv::default();
    // Of a name given twice the last one counts, as in the kubelet.
    for raw::EnvVar { name, value } in env {
        let field = match name.as_str() {
            "AWS_ROLE_ARN" => &mut known.role_arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE" => &mut known.web_identity_token_file,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI" => &mut known.container_credentials_full_uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" => {
                &mut known.container_authorization_token_file
            }
            "AWS_REGION" => &mut known.region,
            "AWS_DEFAULT_REGION" => &mut known.default_region,
            "AWS_ACCESS_KEY_ID" => {
                known.static_keys = true;
                continue;
            }
            _ => continue,
        };
        *field = optional(value);
    }
    known
}

/// Null for a volume that is not projected.
fn volume(raw: raw::Volume) -> Option<ProjectedVolume> {
    let mut volume = ProjectedVolume {
        name: raw.name.into(),
        ..ProjectedVolume::default()
    };
    for source in raw.projected?.sources.into_iter().flatten() {
        volume
            .tokens
            .extend(source.service_account_token.map(token));
        for keyed in [source.config_map, source.secret].into_iter().flatten() {
            match keyed.items.filter(|items| !items.is_empty()) {
                Some(items) => volume.other_files.extend(items.into_iter().map(path)),
                None => volume.unnamed_files = true,
            }
        }
        let downward = source.downward_api.and_then(|d| d.items);
        volume
            .other_files
            .extend(downward.into_iter().flatten().map(path));
        volume
            .other_files
            .extend(source.cluster_trust_bundle.map(path));
        if let Some(certificate) = source.pod_certificate {
            let paths = [
                certificate.credential_bundle_path,
                certificate.key_path,
                certificate.certificate_chain_path,
            ];
            volume
                .other_files
                .extend(paths.into_iter().filter_map(optional));
        }
    }
    Some(volume)
}

fn token(raw: raw::ServiceAccountToken) -> TokenSource {
    TokenSource {
        path: raw.path.into(),
        audience: optional(raw.audience),
        expiration_seconds: raw.expiration_seconds,
    }
}

fn path(item: raw::Item) -> Arc<str> {
    item.path.into()
}

fn required(value: Option<String>, field: &'static str) -> Result<Arc<str>, Missing> {
    optional(value).ok_or(Missing(field))
}

/// The API leaves out what is empty; a file by hand may not.
fn optional(value: Option<String>) -> Option<Arc<str>> {
    value.filter(|v| !v.is_empty()).map(Into::into)
}
