//! All objects of an API server, and what has become of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::kubernetes::api::Api;

/// `RESOURCE NAMESPACE/NAME`, with the API group behind the resource, or `RESOURCE NAME`.
pub type Name = String;

/// What controllers make of others' objects; an admin never sees them in what is applied.
const MADE: [&str; 3] = ["pods ", "replicasets.apps ", "controllerrevisions.apps "];
/// Neither is anybody's: what happened, and what components say of themselves.
const NOBODYS: [&str; 2] = ["events", "componentstatuses"];

/// Annotations in which controllers count what was applied.
const COUNTERS: [&str; 2] = [
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
];

/// Every object that can be listed, without its status and what the server counts.
#[derive(Clone)]
pub struct Snapshot(BTreeMap<Name, Value>);

impl Snapshot {
    pub fn take(api: &Api) -> Result<Self> {
        let mut objects = BTreeMap::new();
        for (path, resource) in resources(api)? {
            let listed = api.get(&path)?;
            for item in listed["items"].as_array().context("no list")? {
                let name = name_of(&resource, item)?;
                objects.insert(name, without_counters(item.clone()));
            }
        }
        Ok(Self(objects))
    }

    pub fn get(&self, name: &str) -> Result<&Value> {
        self.0
            .get(name)
            .with_context(|| format!("there is no {name}"))
    }
}

/// Where each resource is listed, and its name with the group; once, where several versions or groups have it.
fn resources(api: &Api) -> Result<BTreeMap<String, String>> {
    let mut versions = vec![("/api/v1".to_owned(), String::new())];
    let groups = api.get("/apis")?;
    for group in groups["groups"].as_array().context("no groups")? {
        let name = group["name"].as_str().context("no name")?;
        let version = group["preferredVersion"]["groupVersion"].as_str();
        // Its ingresses are those of networking.k8s.io.
        if name != "extensions" {
            versions.push((
                format!("/apis/{}", version.context("no version")?),
                format!(".{name}"),
            ));
        }
    }
    let mut found = BTreeMap::new();
    for (path, group) in versions {
        let answer = api.get(&path)?;
        for resource in answer["resources"].as_array().context("no resources")? {
            let name = resource["name"].as_str().context("no name")?;
            let verbs = resource["verbs"].as_array().context("no verbs")?;
            if verbs.iter().any(|verb| verb == "list") && !NOBODYS.contains(&name) {
                found.insert(format!("{path}/{name}"), format!("{name}{group}"));
            }
        }
    }
    ensure!(found.len() > 30, "the server has these only: {found:?}");
    Ok(found)
}

fn name_of(resource: &str, object: &Value) -> Result<Name> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().context("no name")?;
    Ok(match metadata["namespace"].as_str() {
        Some(namespace) => format!("{resource} {namespace}/{name}"),
        None => format!("{resource} {name}"),
    })
}

/// The name of an object as it is applied.
pub fn applied_name(object: &Value) -> Result<Name> {
    let kind = object["kind"].as_str().context("no kind")?.to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let version = object["apiVersion"].as_str().context("no apiVersion")?;
    let resource = match version.split_once('/') {
        Some((group, _)) => format!("{plural}.{group}"),
        None => plural,
    };
    name_of(&resource, object)
}

fn without_counters(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for counter in ["managedFields", "resourceVersion", "generation", "selfLink"] {
            metadata.remove(counter);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.retain(|name, _| !COUNTERS.contains(&name.as_str()));
        }
    }
    object
}

/// Between two snapshots.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub created: BTreeSet<Name>,
    pub changed: BTreeSet<Name>,
    /// By the UID: deleted and made anew under the same name.
    pub recreated: BTreeSet<Name>,
    pub deleted: BTreeSet<Name>,
}

impl Changes {
    /// All of them, those that controllers made included.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let mut this = Self::default();
        for (name, object) in &after.0 {
            let set = match before.0.get(name) {
                None => &mut this.created,
                Some(old) if old["metadata"]["uid"] != object["metadata"]["uid"] => {
                    &mut this.recreated
                }
                Some(old) if old != object => &mut this.changed,
                Some(_) => continue,
            };
            set.insert(name.clone());
        }
        let gone = before.0.keys().filter(|name| !after.0.contains_key(*name));
        this.deleted.extend(gone.cloned());
        this
    }

    /// Without what controllers make of what was applied.
    #[must_use]
    pub fn applied(mut self) -> Self {
        let sets = [
            &mut self.created,
            &mut self.changed,
            &mut self.recreated,
            &mut self.deleted,
        ];
        for set in sets {
            set.retain(|name| !MADE.iter().any(|made| name.starts_with(made)));
        }
        self
    }

    pub fn ensure(&self, created: &[&str], changed: &[&str], deleted: &[&str]) -> Result<()> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wanted = Self {
            created: set(created),
            changed: set(changed),
            recreated: BTreeSet::new(),
            deleted: set(deleted),
        };
        ensure!(*self == wanted, "{self}\nbut these were meant:\n{wanted}");
        Ok(())
    }

    pub fn ensure_none(&self) -> Result<()> {
        self.ensure(&[], &[], &[])
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let sets = [
            ("created", &self.created),
            ("changed", &self.changed),
            ("recreated", &self.recreated),
            ("deleted", &self.deleted),
        ];
        let mut is_first = true;
        for (what, names) in sets.into_iter().filter(|(_, names)| !names.is_empty()) {
            if !is_first {
                writeln!(f)?;
            }
            is_first = false;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            write!(f, "{what}: {}", names.join(", "))?;
        }
        if is_first {
            write!(f, "nothing")?;
        }
        Ok(())
    }
}

/// That the server kept each field as it was applied: one that it does not know is dropped in silence. What is empty need not be kept.
pub fn ensure_kept(applied: &Value, live: &Value, path: &str) -> Result<()> {
    match (applied, live) {
        (Value::Object(applied), Value::Object(live)) => {
            for (key, value) in applied {
                let path = format!("{path}.{key}");
                match live.get(key) {
                    Some(live) => ensure_kept(value, live, &path)?,
                    None if is_empty(value) => {}
                    None => bail!("{path} was dropped: {value}"),
                }
            }
        }
        (Value::Array(applied), Value::Array(live)) if applied.len() == live.len() => {
            for (index, (value, live)) in applied.iter().zip(live).enumerate() {
                ensure_kept(value, live, &format!("{path}[{index}]"))?;
            }
        }
        _ => ensure!(applied == live, "{path} was {applied}, and is {live}"),
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(objects: &[(&str, Value)]) -> Snapshot {
        let objects = objects.iter();
        Snapshot(
            objects
                .map(|(name, object)| ((*name).to_owned(), object.clone()))
                .collect(),
        )
    }

    fn object(uid: &str, data: &str) -> Value {
        json!({"metadata": {"uid": uid}, "data": data})
    }

    #[test]
    fn tells_the_changed_from_the_recreated() {
        let before = snapshot(&[
            ("configmaps n/same", object("1", "a")),
            ("configmaps n/changed", object("2", "a")),
            ("configmaps n/recreated", object("3", "a")),
            ("configmaps n/deleted", object("4", "a")),
            ("pods n/ended", object("5", "a")),
        ]);
        let after = snapshot(&[
            ("configmaps n/same", object("1", "a")),
            ("configmaps n/changed", object("2", "b")),
            ("configmaps n/recreated", object("9", "a")),
            ("configmaps n/created", object("6", "a")),
        ]);
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.deleted.len(), 2);
        let changes = changes.applied();
        assert_eq!(
            changes.to_string(),
            "created: configmaps n/created\nchanged: configmaps n/changed\nrecreated: configmaps n/recreated\n\
             deleted: configmaps n/deleted"
        );
        let created = ["configmaps n/created"];
        let (changed, deleted) = (["configmaps n/changed"], ["configmaps n/deleted"]);
        // Whatever is made anew is wrong.
        assert!(changes.ensure(&created, &changed, &deleted).is_err());
        let mut changes = changes;
        changes.recreated.clear();
        changes.ensure(&created, &changed, &deleted).unwrap();
        assert!(changes.ensure(&[], &changed, &deleted).is_err());
        assert!(changes.ensure(&created, &changed, &[]).is_err());
    }

    #[test]
    fn counters_and_status_are_no_change() {
        let object = |version: &str, ready: u32| {
            without_counters(
                json!({"metadata": {"uid": "1", "resourceVersion": version, "managedFields": []},
                "status": {"ready": ready}}),
            )
        };
        assert_eq!(object("1", 0), object("2", 3));
    }

    #[test]
    fn a_field_that_was_dropped_is_named() {
        let applied =
            json!({"spec": {"list": [{"a": 1, "b": {"c": true}}], "none": [], "off": false}});
        let live = json!({"spec": {"list": [{"a": 1, "b": {"c": true, "defaulted": 1}}]}});
        ensure_kept(&applied, &live, "x").unwrap();
        let lost = json!({"spec": {"list": [{"a": 1, "b": {}}]}});
        let error = ensure_kept(&applied, &lost, "x").unwrap_err().to_string();
        assert!(error.contains("x.spec.list[0].b.c"), "{error}");
        let longer = json!({"spec": {"list": [{"a": 1, "b": {"c": true}}, {}]}});
        assert!(ensure_kept(&applied, &longer, "x").is_err());
    }
}
