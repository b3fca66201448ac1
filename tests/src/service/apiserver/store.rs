//! What the API server keeps: objects, and the history of their changes as far back as it was not compacted away.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{fields, resource::Resource, status::Status};

/// How many changes are kept.
const HISTORY: usize = 20_000;

/// Resource, namespace, name: the order of a list.
pub type Key = (Resource, String, String);

/// A change. Objects are without `kind` and `apiVersion`, as etcd's are not; a deleted one carries its deletion's version.
#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub before: Option<Arc<Value>>,
    /// `None`: deleted.
    pub after: Option<Arc<Value>>,
}

#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    /// The newest version.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    version: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// Changes up to this version are gone.
    compacted: u64,
}

impl Default for Store {
    fn default() -> Self {
        // No cluster is new.
        let version = 48_211;
        Self {
            inner: Mutex::new(Inner {
                version,
                objects: BTreeMap::new(),
                history: VecDeque::new(),
                compacted: version,
            }),
            changed: watch::Sender::new(version),
        }
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of each new version.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// Makes or replaces an object as a controller does, whatever is there.
    pub fn put(&self, resource: Resource, object: Value) {
        let key = key_of(resource, &object);
        let mut inner = self.lock();
        let known = inner.objects.get(&key).cloned();
        let mut object = object;
        complete(&mut object, known.as_deref());
        self.commit(&mut inner, key, Some(object));
    }

    /// Whether it was there.
    pub fn delete(&self, key: &Key) -> bool {
        let mut inner = self.lock();
        let found = inner.objects.contains_key(key);
        if found {
            self.commit(&mut inner, key.clone(), None);
        }
        found
    }

    /// POST.
    ///
    /// # Errors
    /// 409 where it exists.
    pub fn create(&self, key: Key, mut object: Value) -> Result<Arc<Value>, Status> {
        let mut inner = self.lock();
        if inner.objects.contains_key(&key) {
            return Err(Status::already_exists(key.0, &key.2));
        }
        complete(&mut object, None);
        let name = key.2.clone();
        let resource = key.0;
        self.commit(&mut inner, key, Some(object))
            .ok_or_else(|| Status::not_found(resource, &name))
    }

    /// PUT and PATCH: `change` gets the object as it is.
    ///
    /// # Errors
    /// 404 where there is none, 409 where the new one names another resourceVersion.
    pub fn update(
        &self,
        key: Key,
        change: impl FnOnce(&Value) -> Value,
    ) -> Result<Arc<Value>, Status> {
        let mut inner = self.lock();
        let Some(known) = inner.objects.get(&key).cloned() else {
            return Err(Status::not_found(key.0, &key.2));
        };
        let mut object = change(&known);
        let asked = &object["metadata"]["resourceVersion"];
        if !matches!(asked.as_str(), None | Some(""))
            && *asked != known["metadata"]["resourceVersion"]
        {
            return Err(Status::conflict(key.0, &key.2));
        }
        complete(&mut object, Some(&known));
        object["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
        // What changes nothing makes no version, and no event.
        if object == *known {
            return Ok(known);
        }
        let (resource, name) = (key.0, key.2.clone());
        self.commit(&mut inner, key, Some(object))
            .ok_or_else(|| Status::not_found(resource, &name))
    }

    fn commit(&self, inner: &mut Inner, key: Key, object: Option<Value>) -> Option<Arc<Value>> {
        inner.version += 1;
        let version = inner.version;
        let before = inner.objects.remove(&key);
        let after = object.map(|mut object| {
            object["metadata"]["resourceVersion"] = version.to_string().into();
            Arc::new(object)
        });
        if let Some(object) = &after {
            inner.objects.insert(key.clone(), object.clone());
        }
        inner.history.push_back(Change {
            version,
            key,
            before,
            after: after.clone(),
        });
        if inner.history.len() > HISTORY
            && let Some(oldest) = inner.history.pop_front()
        {
            inner.compacted = oldest.version;
        }
        self.changed.send_replace(version);
        after
    }

    /// Forgets all history, as etcd does every five minutes for what is older than that.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.compacted = inner.version;
        inner.history.clear();
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// All objects of a kind as of now, and the version that this is.
    #[must_use]
    pub fn all(&self, resource: Resource) -> (u64, Vec<Arc<Value>>) {
        let inner = self.lock();
        let all = inner.objects.iter().filter(|(key, _)| key.0 == resource);
        (
            inner.version,
            all.map(|(_, object)| object.clone()).collect(),
        )
    }

    /// All objects of a kind as of `version`.
    ///
    /// # Errors
    /// 410 where that was compacted away.
    pub fn all_at(&self, resource: Resource, version: u64) -> Result<Vec<Arc<Value>>, Status> {
        let inner = self.lock();
        if version < inner.compacted {
            return Err(Status::expired_continue());
        }
        let mut objects = inner.objects.clone();
        let later = inner.history.iter().rev();
        for change in later.take_while(|change| change.version > version) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        let all = objects.into_iter().filter(|(key, _)| key.0 == resource);
        Ok(all.map(|(_, object)| object).collect())
    }

    /// What changed after `version`, and the version up to which that is.
    ///
    /// # Errors
    /// 410 where a part of that was compacted away.
    pub fn since(&self, resource: Resource, version: u64) -> Result<(u64, Vec<Change>), Status> {
        let inner = self.lock();
        if version < inner.compacted {
            return Err(Status::expired(version, inner.compacted + 1));
        }
        let start = inner
            .history
            .partition_point(|change| change.version <= version);
        let changes = inner.history.range(start..);
        let changes = changes.filter(|change| change.key.0 == resource).cloned();
        Ok((inner.version, changes.collect()))
    }
}

#[must_use]
pub fn key_of(resource: Resource, object: &Value) -> Key {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (resource, text("namespace"), text("name"))
}

/// What an API server adds and keeps: `uid`, `creationTimestamp`, `managedFields`; `kind` and `apiVersion` go.
fn complete(object: &mut Value, known: Option<&Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (field, new) in [
        ("uid", uuid::Uuid::new_v4().to_string()),
        ("creationTimestamp", now.clone()),
    ] {
        let kept = known.map(|known| known["metadata"][field].clone());
        let given = &object["metadata"][field];
        if let Some(kept) = kept.filter(Value::is_string) {
            object["metadata"][field] = kept;
        } else if !given.is_string() {
            object["metadata"][field] = new.into();
        }
    }
    if !object["metadata"]["managedFields"].is_array() {
        let kept = known.map(|known| known["metadata"]["managedFields"].clone());
        object["metadata"]["managedFields"] = match kept {
            Some(kept) if kept.is_array() => kept,
            _ => json!([{
                "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields::of(object), "manager": "lab",
                "operation": "Update", "time": now,
            }]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, data: &str) -> Value {
        json!({"metadata": {"namespace": "n", "name": name}, "data": {"key": data}})
    }

    #[test]
    fn versions_conflicts_and_updates_that_change_nothing() {
        let store = Store::default();
        let key = key_of(Resource::ConfigMaps, &map("m", ""));
        let made = store.create(key.clone(), map("m", "one")).unwrap();
        assert_eq!(
            store.create(key.clone(), map("m", "two")).unwrap_err().code,
            409
        );
        let same = store.update(key.clone(), Value::clone).unwrap();
        assert_eq!(made, same);
        let mut stale = Value::clone(&made);
        stale["data"]["key"] = "two".into();
        let two = store.update(key.clone(), |_| stale.clone()).unwrap();
        assert_eq!(two["metadata"]["uid"], made["metadata"]["uid"]);
        stale["data"]["key"] = "three".into();
        assert_eq!(store.update(key, |_| stale).unwrap_err().reason, "Conflict");
    }

    #[test]
    fn the_past_is_known_until_it_is_compacted() {
        let store = Store::default();
        let start = store.version();
        store.put(Resource::ConfigMaps, map("a", "one"));
        let first = store.version();
        store.put(Resource::ConfigMaps, map("b", "one"));
        store.delete(&key_of(Resource::ConfigMaps, &map("a", "")));
        let names = |all: Vec<Arc<Value>>| -> Vec<Value> {
            all.iter().map(|o| o["metadata"]["name"].clone()).collect()
        };
        assert_eq!(names(store.all(Resource::ConfigMaps).1), ["b"]);
        assert_eq!(
            names(store.all_at(Resource::ConfigMaps, first).unwrap()),
            ["a"]
        );
        assert_eq!(store.since(Resource::ConfigMaps, start).unwrap().1.len(), 3);
        assert_eq!(store.since(Resource::Pods, start).unwrap().1.len(), 0);
        store.compact();
        assert_eq!(
            store.since(Resource::ConfigMaps, first).unwrap_err().code,
            410
        );
        assert_eq!(
            store.all_at(Resource::ConfigMaps, first).unwrap_err().code,
            410
        );
        assert!(store.since(Resource::ConfigMaps, store.version()).is_ok());
    }
}
