//! Kubernetes objects held against each other: two renderings, and what one names of another.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

/// `kind/name` in a namespace; none: of the whole cluster.
pub type Key = (String, Option<String>);

pub fn key(object: &Value) -> Key {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{}/{}", text(&object["kind"]), text(&metadata["name"]));
    (name, metadata["namespace"].as_str().map(str::to_owned))
}

fn by_key(objects: &[Value]) -> Result<BTreeMap<Key, &Value>> {
    let mut found = BTreeMap::new();
    for object in objects {
        let key = key(object);
        ensure!(
            found.insert(key.clone(), object).is_none(),
            "{} is there twice",
            key.0
        );
    }
    Ok(found)
}

/// That both are the same objects, value by value.
///
/// # Errors
/// Names the first differences, by their paths.
pub fn ensure_same(one: &[Value], other: &[Value], names: [&str; 2]) -> Result<()> {
    const MOST: usize = 5;
    let (one, other) = (by_key(one)?, by_key(other)?);
    let mut found = Vec::new();
    for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
        match (one.get(key), other.get(key)) {
            (Some(one), Some(other)) => differences(one, other, &key.0, names, &mut found),
            (Some(_), None) => found.push(format!("{} is in {} only", key.0, names[0])),
            _ => found.push(format!("{} is in {} only", key.0, names[1])),
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let number = found.len();
    found.truncate(MOST);
    bail!("{number} differences: {}", found.join("; "))
}

fn differences(one: &Value, other: &Value, path: &str, names: [&str; 2], found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let of = |object: &'_ serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or_default()
                };
                let (left, right) = (&of(one), &of(other));
                differences(left, right, &format!("{path}.{key}"), names, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, &format!("{path}[{index}]"), names, found);
            }
        }
        _ if one == other => {}
        _ => {
            let (one, other) = (short(one), short(other));
            found.push(format!(
                "{path}: {one} in {}, {other} in {}",
                names[0], names[1]
            ));
        }
    }
}

fn short(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// That what an object names is there: ServiceAccounts, ConfigMaps, roles, and pods and ports of those that select.
///
/// # Errors
/// The first that is not.
pub fn ensure_resolved(objects: &[Value]) -> Result<()> {
    let keys: BTreeSet<Key> = objects.iter().map(key).collect();
    let has = |kind: &str, name: &Value, namespace: &Value| {
        let name = format!("{kind}/{}", name.as_str().unwrap_or_default());
        keys.contains(&(name, namespace.as_str().map(str::to_owned)))
    };
    for object in objects {
        let (me, namespace) = (key(object).0, &object["metadata"]["namespace"]);
        let pod = &object["spec"]["template"]["spec"];
        if pod.is_object() {
            let account = &pod["serviceAccountName"];
            // Each namespace has one of this name, which no manifest makes. Where none is named, an update keeps the old one.
            ensure!(
                *account == "default" || has("ServiceAccount", account, namespace),
                "{me} runs as {account}, which is not there"
            );
        }
        if let Some(class) = pod["priorityClassName"].as_str() {
            ensure!(
                class.starts_with("system-") || has("PriorityClass", &json!(class), &Value::Null),
                "{me} has the priority class {class}, which is not there"
            );
        }
        for volume in list(&pod["volumes"]) {
            let map = &volume["configMap"];
            ensure!(
                map.is_null() || has("ConfigMap", &map["name"], namespace),
                "{me} mounts {map}, which is not there"
            );
        }
        let names = |list_of: &Value| -> BTreeSet<String> {
            list(list_of).map(|one| one["name"].to_string()).collect()
        };
        for container in list(&pod["initContainers"]).chain(list(&pod["containers"])) {
            let volumes = names(&pod["volumes"]);
            let mounted = names(&container["volumeMounts"]);
            ensure!(
                mounted.is_subset(&volumes),
                "{me} mounts what is no volume: {mounted:?}"
            );
        }
        if let Some(role) = object.get("roleRef") {
            let kind = role["kind"].as_str().unwrap_or_default();
            let of = if kind == "Role" {
                namespace
            } else {
                &Value::Null
            };
            ensure!(
                has(kind, &role["name"], of),
                "{me} binds {role}, which is not there"
            );
        }
        for subject in list(&object["subjects"]) {
            ensure!(
                has("ServiceAccount", &subject["name"], &subject["namespace"]),
                "{me} gives rights to {subject}, which is not there"
            );
        }
        let selects = ["NetworkPolicy", "PodMonitor", "PodDisruptionBudget"];
        if selects.iter().any(|kind| me.starts_with(kind)) {
            ensure_selects(object, &me, objects)?;
        }
    }
    Ok(())
}

/// That there are pods of those labels, and that they have the ports that are named.
fn ensure_selects(object: &Value, me: &str, objects: &[Value]) -> Result<()> {
    let spec = &object["spec"];
    let selector = spec.get("selector").unwrap_or(&spec["podSelector"]);
    let Some(labels) = selector["matchLabels"].as_object() else {
        bail!("{me} selects by no label");
    };
    let has_labels = |one: &&Value| {
        let of_pod = &one["spec"]["template"]["metadata"]["labels"];
        labels.iter().all(|(name, value)| of_pod[name] == *value)
    };
    let selected: Vec<&Value> = objects.iter().filter(has_labels).collect();
    ensure!(
        selected.len() == 1,
        "{me} selects {} workloads",
        selected.len()
    );
    let ingress = list(&spec["ingress"]).flat_map(|rule| list(&rule["ports"]));
    let ports = ingress.chain(list(&spec["podMetricsEndpoints"]));
    for port in ports.map(|port| &port["port"]) {
        let pod = &selected[0]["spec"]["template"]["spec"];
        let mut offered = list(&pod["containers"]).flat_map(|container| list(&container["ports"]));
        ensure!(
            offered.any(|one| one["name"] == *port || one["containerPort"] == *port),
            "{me} names the port {port}, which no container has"
        );
    }
    Ok(())
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon_set() -> Value {
        json!({"kind": "DaemonSet", "metadata": {"name": "a", "namespace": "n"}, "spec": {"template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"serviceAccountName": "a", "volumes": [{"name": "p", "configMap": {"name": "c"}}],
                "containers": [{"ports": [{"name": "metrics"}], "volumeMounts": [{"name": "p"}],
                    "securityContext": {"capabilities": {"add": ["BPF", "PERFMON"]}}}]}}}})
    }

    fn others() -> Vec<Value> {
        let at = |kind: &str, name: &str| json!({"kind": kind, "metadata": {"name": name, "namespace": "n"}});
        let mut policy = at("NetworkPolicy", "a");
        policy["spec"] = json!({"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{"ports": [{"port": "metrics"}]}]});
        let mut binding = at("RoleBinding", "a");
        binding["roleRef"] = json!({"kind": "Role", "name": "r"});
        binding["subjects"] = json!([{"name": "a", "namespace": "n"}]);
        let plain = [("ServiceAccount", "a"), ("ConfigMap", "c"), ("Role", "r")];
        let mut all: Vec<Value> = plain.iter().map(|(kind, name)| at(kind, name)).collect();
        all.extend([policy, binding]);
        all
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let names = ["the chart", "kustomize"];
        let one = [daemon_set()];
        ensure_same(&one, &one, names).unwrap();
        let mut other = [daemon_set()];
        other[0]["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]
            ["add"] = json!(["BPF"]);
        let error = ensure_same(&one, &other, names).unwrap_err().to_string();
        assert!(
            error.contains(
                "DaemonSet/a.spec.template.spec.containers[0].securityContext.capabilities.add"
            ),
            "{error}"
        );
        assert!(error.contains("[\"BPF\"] in kustomize"), "{error}");
        let mut other = [daemon_set()];
        other[0]["metadata"]["labels"] = json!({"x": "y"});
        assert!(ensure_same(&one, &other, names).is_err());
        let error = ensure_same(&one, &[], names).unwrap_err().to_string();
        assert!(
            error.contains("DaemonSet/a is in the chart only"),
            "{error}"
        );
        let twice = [daemon_set(), daemon_set()];
        assert!(ensure_same(&twice, &one, names).is_err());
        // The same name in another namespace is another.
        let mut other = [daemon_set()];
        other[0]["metadata"]["namespace"] = json!("m");
        assert!(ensure_same(&one, &other, names).is_err());
    }

    #[test]
    fn what_is_named_must_be_there() {
        let all = || [others(), vec![daemon_set()]].concat();
        ensure_resolved(&all()).unwrap();
        for missing in 0..3 {
            let mut objects = all();
            objects.remove(missing);
            assert!(ensure_resolved(&objects).is_err(), "{missing}");
        }
        let change = |pointer: &str, value: Value| {
            let mut objects = all();
            let found = objects
                .iter_mut()
                .find_map(|object| object.pointer_mut(pointer));
            *found.unwrap() = value;
            ensure_resolved(&objects).unwrap_err().to_string()
        };
        assert!(change("/spec/podSelector/matchLabels/app", json!("b")).contains("selects 0"));
        assert!(change("/spec/ingress/0/ports/0/port", json!("other")).contains("no container"));
        assert!(change("/subjects/0/namespace", json!("other")).contains("rights"));
        assert!(change("/roleRef/name", json!("other")).contains("binds"));
        let mounts = "/spec/template/spec/containers/0/volumeMounts/0/name";
        assert!(change(mounts, json!("other")).contains("no volume"));
        let account = "/spec/template/spec/serviceAccountName";
        assert!(change(account, json!("other")).contains("runs as"));
    }

    #[test]
    fn a_priority_class_is_the_systems_or_there() {
        let resolved = |class: &str, more: &[Value]| {
            let mut daemon_set = daemon_set();
            daemon_set["spec"]["template"]["spec"]["priorityClassName"] = json!(class);
            ensure_resolved(&[&others(), &[daemon_set][..], more].concat())
        };
        resolved("system-node-critical", &[]).unwrap();
        let error = resolved("own", &[]).unwrap_err().to_string();
        assert!(error.contains("priority class own"), "{error}");
        let class = json!({"kind": "PriorityClass", "metadata": {"name": "own"}});
        resolved("own", &[class]).unwrap();
    }

    #[test]
    fn a_workload_names_its_account() {
        let runs_as = |account: Option<&str>| {
            let mut daemon_set = daemon_set();
            let pod = daemon_set["spec"]["template"]["spec"].as_object_mut();
            match (pod.unwrap(), account) {
                (pod, Some(account)) => pod.insert("serviceAccountName".into(), json!(account)),
                (pod, None) => pod.remove("serviceAccountName"),
            };
            ensure_resolved(&[others(), vec![daemon_set]].concat())
        };
        runs_as(Some("default")).unwrap();
        let error = runs_as(None).unwrap_err().to_string();
        assert!(error.contains("runs as null"), "{error}");
    }
}
