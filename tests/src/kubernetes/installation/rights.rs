//! What the two ServiceAccounts may do, asked with their own tokens: every rule that the server knows for them, and requests.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::kubernetes::{
    api::{Api, JSON, MERGE},
    rbac::NAMESPACE,
    syncer::CONFIG_MAP,
};

const NODE: &str = "credential-auditor";
const SYNC: &str = "credential-auditor-sync";
/// Nobody bound anything to it.
const NOBODY: &str = "default";

/// Rules, as [`rule`] writes them: in the namespace of the installation, and in any other.
struct Expected {
    account: &'static str,
    here: &'static [&'static str],
    elsewhere: &'static [&'static str],
}

const EVERYWHERE: &[&str] = &["get serviceaccounts", "list,watch pods"];
const RIGHTS: [Expected; 2] = [
    Expected {
        account: NODE,
        here: &[
            "get serviceaccounts",
            "get,list,watch configmaps pod-identity-associations",
            "list,watch pods",
        ],
        elsewhere: EVERYWHERE,
    },
    Expected {
        account: SYNC,
        here: &[
            "create configmaps",
            "create leases.coordination.k8s.io",
            "get,update configmaps pod-identity-associations",
            "get,update leases.coordination.k8s.io pod-identity-associations",
        ],
        elsewhere: &[],
    },
];
const ACK: &str = "list,watch podidentityassociations.eks.services.k8s.aws";

/// All rules of both: nothing more, nothing less.
pub fn check_rules(cluster: &Cluster, with_ack: bool) -> Result<()> {
    for expected in RIGHTS {
        let extra = (with_ack && expected.account == SYNC).then_some(ACK);
        for (namespace, rules) in [
            (NAMESPACE, expected.here),
            ("kube-system", expected.elsewhere),
        ] {
            let mut wanted: Vec<&str> = rules.iter().copied().chain(extra).collect();
            wanted.sort_unstable();
            let nobodys = rules_of(&cluster.as_account(NOBODY)?, namespace)?;
            let mut found = rules_of(&cluster.as_account(expected.account)?, namespace)?;
            found.retain(|rule| !nobodys.contains(rule));
            ensure!(
                found == wanted,
                "{} may do in {namespace}: {found:?}; meant was {wanted:?}",
                expected.account
            );
        }
    }
    Ok(())
}

fn rules_of(api: &Api, namespace: &str) -> Result<Vec<String>> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace}});
    let answer = api.create(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        &review,
    )?;
    let status = &answer["status"];
    ensure!(
        status["incomplete"] == false,
        "not all rules are known: {status}"
    );
    let mut rules = Vec::new();
    for kind in ["resourceRules", "nonResourceRules"] {
        let found = status[kind].as_array().context("no rules")?;
        rules.extend(found.iter().map(rule));
    }
    ensure!(!rules.is_empty(), "everybody may ask this much");
    rules.sort();
    Ok(rules)
}

/// `VERBS RESOURCES NAMES`, or `VERBS PATHS`.
fn rule(rule: &Value) -> String {
    let list = |field: &str| -> Vec<&str> {
        let items = rule[field].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect()
    };
    let mut words = vec![list("verbs").join(",")];
    let group = list("apiGroups").join(",");
    let dot = if group.is_empty() { "" } else { "." };
    let resources = list("resources").into_iter();
    let resources: Vec<String> = resources
        .map(|name| format!("{name}{dot}{group}"))
        .collect();
    words.extend([
        resources.join(","),
        list("resourceNames").join(","),
        list("nonResourceURLs").join(","),
    ]);
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// A request, and whether it is permitted.
type Request = (bool, &'static str, String, Option<Value>);

/// What they do, and what they have no need of. The syncer has written its ConfigMap.
pub fn check_requests(cluster: &Cluster) -> Result<usize> {
    let own = format!("/api/v1/namespaces/{NAMESPACE}");
    let mut count = 0;
    for (account, requests) in [(NODE, of_node(&own)), (SYNC, of_sync(cluster, &own)?)] {
        let api = cluster.as_account(account)?;
        for (is_permitted, verb, path, body) in requests {
            let text = body.as_ref().map(Value::to_string);
            let kind = if verb == "PATCH" { MERGE } else { JSON };
            let body = text.as_deref().map(|text| (kind, text));
            let (status, answer) = api.raw(verb, &path, body)?;
            let is_right = match is_permitted {
                true => (200..300).contains(&status),
                false => status == 403,
            };
            let wanted = if is_permitted { "permitted" } else { "refused" };
            ensure!(
                is_right,
                "{account}: {verb} {path} is to be {wanted}, and is {status}: {answer}"
            );
            count += 1;
        }
    }
    Ok(count)
}

fn of_node(own: &str) -> Vec<Request> {
    let get = |is_permitted, path: String| (is_permitted, "GET", path, None);
    let pods = "/api/v1/pods?fieldSelector=spec.nodeName%3Dlinux-1";
    let map = format!("{own}/configmaps?fieldSelector=metadata.name%3D{CONFIG_MAP}");
    let mut requests = vec![
        get(true, format!("{pods}&limit=500")),
        get(true, format!("{pods}&watch=1&timeoutSeconds=1")),
        get(
            true,
            "/api/v1/namespaces/kube-system/serviceaccounts/default".into(),
        ),
        get(true, map.clone()),
        get(true, format!("{map}&watch=1&timeoutSeconds=1")),
        get(false, format!("{own}/configmaps")),
        get(false, format!("{own}/configmaps/credential-auditor-policy")),
        get(false, "/api/v1/serviceaccounts".into()),
        get(false, "/api/v1/namespaces".into()),
        get(false, "/api/v1/namespaces/kube-system/configmaps".into()),
        get(false, format!("{own}/pods/any/log")),
        get(false, format!("{own}/pods/any/exec?command=id")),
    ];
    requests.extend(of_neither(own));
    requests.push((
        false,
        "PATCH",
        format!("{own}/configmaps/{CONFIG_MAP}"),
        Some(json!({"data": {}})),
    ));
    requests
}

fn of_sync(cluster: &Cluster, own: &str) -> Result<Vec<Request>> {
    let map = format!("{own}/configmaps/{CONFIG_MAP}");
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let lease = format!("{leases}/{CONFIG_MAP}");
    let api = cluster.api();
    let (map_now, lease_now) = (api.get(&map)?, api.get(&lease)?);
    let dry = |path: &str| format!("{path}?dryRun=All");
    let other =
        |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "other"}});
    let mut requests: Vec<Request> = vec![
        (true, "GET", map.clone(), None),
        (true, "PUT", dry(&map), Some(map_now)),
        (true, "GET", lease.clone(), None),
        (true, "PUT", dry(&lease), Some(lease_now)),
        // RBAC cannot say by which name.
        (
            true,
            "POST",
            dry(&format!("{own}/configmaps")),
            Some(other("ConfigMap")),
        ),
        (
            false,
            "POST",
            "/api/v1/namespaces/kube-system/configmaps?dryRun=All".into(),
            Some(other("ConfigMap")),
        ),
        (
            false,
            "PUT",
            format!("{own}/configmaps/credential-auditor-policy"),
            Some(other("ConfigMap")),
        ),
        (false, "PATCH", map.clone(), Some(json!({"data": {}}))),
        (false, "DELETE", map, None),
        (false, "DELETE", lease, None),
        (false, "GET", leases, None),
        (false, "GET", format!("{own}/configmaps"), None),
        (
            false,
            "GET",
            format!("{own}/configmaps/credential-auditor-policy"),
            None,
        ),
        (false, "GET", "/api/v1/pods".into(), None),
        (false, "GET", format!("{own}/serviceaccounts/default"), None),
    ];
    requests.extend(of_neither(own));
    Ok(requests)
}

/// With these one would have the workloads' credentials, or other rights.
fn of_neither(own: &str) -> Vec<Request> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"},
        "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let more = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    vec![
        (false, "GET", "/api/v1/secrets".into(), None),
        (false, "GET", format!("{own}/secrets"), None),
        (false, "GET", format!("{own}/secrets/any"), None),
        (false, "GET", "/api/v1/nodes".into(), None),
        (false, "GET", format!("{own}/pods/any"), None),
        (false, "POST", format!("{own}/pods?dryRun=All"), Some(pod)),
        (
            false,
            "PATCH",
            format!("{own}/pods/any"),
            Some(json!({"metadata": {"labels": {"a": "b"}}})),
        ),
        (false, "DELETE", format!("{own}/pods/any"), None),
        (
            false,
            "POST",
            format!("{own}/serviceaccounts/{NOBODY}/token"),
            Some(token),
        ),
        (
            false,
            "PATCH",
            format!("{own}/serviceaccounts/{NOBODY}"),
            Some(json!({"metadata": {"labels": {"a": "b"}}})),
        ),
        (
            false,
            "PATCH",
            format!("{roles}/clusterroles/credential-auditor"),
            Some(more),
        ),
        (
            false,
            "DELETE",
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/credential-auditor"),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_line() {
        let leases = json!({"verbs": ["get", "update"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "resourceNames": ["a"]});
        assert_eq!(rule(&leases), "get,update leases.coordination.k8s.io a");
        let pods = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]});
        assert_eq!(rule(&pods), "list pods");
        let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez"]});
        assert_eq!(rule(&paths), "get /healthz,/livez");
    }
}
