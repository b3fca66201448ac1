//! The rights of `manifests/rbac`, as they are shipped.

use anyhow::{Context, Result};

use super::api::{Api, YAML};

pub const NAMESPACE: &str = "credential-auditor";
const NODE: &str = include_str!("../../../manifests/rbac/node.yaml");
const SYNC: &str = include_str!("../../../manifests/rbac/sync.yaml");

/// Creates what the manifests hold.
pub fn apply(api: &Api) -> Result<()> {
    for document in [NODE, SYNC].into_iter().flat_map(documents) {
        let path = collection(document)?;
        api.ask("POST", &path, Some((YAML, document)))?;
    }
    Ok(())
}

fn documents(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .split("\n---\n")
        .filter(|text| text.contains("kind:"))
}

/// Where objects of this kind are created. The manifests are ours: block style, two blanks.
fn collection(document: &str) -> Result<String> {
    let kind = field(document, "kind: ").context("no kind")?;
    let plural = format!("{}s", kind.to_lowercase());
    let api = match field(document, "apiVersion: ").context("no apiVersion")? {
        "v1" => "/api/v1".to_owned(),
        group => format!("/apis/{group}"),
    };
    Ok(match field(document, "  namespace: ") {
        Some(namespace) if !kind.starts_with("Cluster") => {
            format!("{api}/namespaces/{namespace}/{plural}")
        }
        _ => format!("{api}/{plural}"),
    })
}

fn field<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    document.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_has_its_place() {
        let paths: Vec<String> = [NODE, SYNC]
            .into_iter()
            .flat_map(documents)
            .map(|document| collection(document).unwrap())
            .collect();
        let namespaced = "/apis/rbac.authorization.k8s.io/v1/namespaces/credential-auditor";
        assert_eq!(
            paths,
            [
                "/api/v1/namespaces/credential-auditor/serviceaccounts",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                &format!("{namespaced}/roles"),
                &format!("{namespaced}/rolebindings"),
                "/api/v1/namespaces/credential-auditor/serviceaccounts",
                &format!("{namespaced}/roles"),
                &format!("{namespaced}/rolebindings"),
            ]
        );
    }
}
