//! What people apply: documents of a kind, and the mesh that they make together.
//!
//! A `Service` is the root of everything about it. The other kinds hang on one, so that whoever owns a policy, a limit
//! or a fault needs not own the service's document: `Route` adds one before the last, `Policy` and `Limit` add to what
//! the service has, `Split`, `Fault` and `Fallback` set theirs on a route by its name. `Egress`, `Telemetry` and
//! `Assertion` are the mesh's own.

mod compose;
mod read;
mod schema;

use std::collections::BTreeMap;
use std::fmt;

use mesh::resource::{self, Mesh};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use compose::Composed;
pub use read::{Document, INVALID_RESOURCE, documents};
pub use schema::{mesh_schema, schema};

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A whole service.
    Service,
    /// One more route of a service.
    Route,
    /// Callers that a service lets in.
    Policy,
    /// A rate or a concurrency of a service.
    Limit,
    /// Where a route's requests go in shares.
    Split,
    /// Trouble on purpose on a route.
    Fault,
    /// What is answered when a route's service cannot.
    Fallback,
    /// A host outside of the mesh that may be called.
    Egress,
    /// What is recorded.
    Telemetry,
    /// The headers of our own that a caller may assert.
    Assertion,
}

impl Kind {
    /// Every kind, in the order in which they make a mesh.
    pub const ALL: [Kind; 10] = [
        Kind::Service,
        Kind::Route,
        Kind::Policy,
        Kind::Limit,
        Kind::Split,
        Kind::Fault,
        Kind::Fallback,
        Kind::Egress,
        Kind::Telemetry,
        Kind::Assertion,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Service => "Service",
            Kind::Route => "Route",
            Kind::Policy => "Policy",
            Kind::Limit => "Limit",
            Kind::Split => "Split",
            Kind::Fault => "Fault",
            Kind::Fallback => "Fallback",
            Kind::Egress => "Egress",
            Kind::Telemetry => "Telemetry",
            Kind::Assertion => "Assertion",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What makes a document the same one from one revision to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// Its name, unique in its kind. That of a service is the service's.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A [`Kind::Route`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSpec {
    /// The service.
    pub(crate) service: String,
    /// The route; the document's name is its name.
    pub(crate) route: resource::Route,
}

/// A [`Kind::Policy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicySpec {
    /// The service.
    pub(crate) service: String,
    /// Who, and what they may do.
    pub(crate) policy: resource::Policy,
}

/// A [`Kind::Limit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitSpec {
    /// The service.
    pub(crate) service: String,
    /// The limit.
    pub(crate) limit: resource::Limit,
}

/// A [`Kind::Split`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitSpec {
    /// The service.
    pub(crate) service: String,
    /// The route, by its name.
    pub(crate) route: String,
    /// The shares.
    pub(crate) split: resource::Split,
}

/// A [`Kind::Fault`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultSpec {
    /// The service.
    pub(crate) service: String,
    /// The route, by its name.
    pub(crate) route: String,
    /// The trouble.
    pub(crate) fault: resource::Fault,
}

/// A [`Kind::Fallback`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FallbackSpec {
    /// The service.
    pub(crate) service: String,
    /// The route, by its name.
    pub(crate) route: String,
    /// What is tried, in order.
    pub(crate) fallback: Vec<resource::Fallback>,
}

/// A [`Kind::Assertion`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionSpec {
    /// The caller.
    pub(crate) caller: String,
    /// The headers.
    pub(crate) headers: Vec<String>,
}

/// All documents of a revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources(BTreeMap<Key, Value>);

impl Resources {
    /// The documents that make `mesh`.
    pub fn of(mesh: &Mesh) -> Resources {
        let mut all = Resources::default();
        for (name, service) in &mesh.services {
            all.put(Kind::Service, name, service);
        }
        for (caller, headers) in &mesh.asserts {
            all.put(
                Kind::Assertion,
                caller,
                &AssertionSpec { caller: caller.clone(), headers: headers.clone() },
            );
        }
        for egress in &mesh.egress {
            let name = format!("{}-to-{}", egress.from.join("-"), egress.host.replace(['.', '*'], "-"));
            all.put(Kind::Egress, &name, egress);
        }
        if mesh.telemetry != resource::Telemetry::default() {
            all.put(Kind::Telemetry, "default", &mesh.telemetry);
        }
        all
    }

    fn put(&mut self, kind: Kind, name: &str, spec: &impl Serialize) {
        let spec = serde_json::to_value(spec).expect("a configuration is JSON");
        self.0.insert(Key { kind, name: name.to_owned() }, spec);
    }

    /// The documents, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.0.iter()
    }

    /// The document of this key.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.get(key)
    }

    /// These with `documents` in the place of those of the same key, and without those of `removed`.
    pub fn changed(&self, documents: impl IntoIterator<Item = (Key, Value)>, removed: &[Key]) -> Resources {
        let mut next = self.clone();
        next.0.extend(documents);
        removed.iter().for_each(|key| drop(next.0.remove(key)));
        next
    }

    /// What differs from these to `next`: added, changed, removed.
    pub fn difference<'a>(&'a self, next: &'a Resources) -> Vec<Change<'a>> {
        let added = next.0.iter().filter(|(key, _)| !self.0.contains_key(*key)).map(|(key, to)| Change {
            key,
            from: None,
            to: Some(to),
        });
        let others = self.0.iter().filter_map(|(key, from)| match next.0.get(key) {
            Some(to) if to == from => None,
            to => Some(Change { key, from: Some(from), to }),
        });
        let mut all: Vec<_> = added.chain(others).collect();
        all.sort_by_key(|change| change.key);
        all
    }
}

/// One document that is another one after a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change<'a> {
    /// Which.
    pub key: &'a Key,
    /// `None` if it is new.
    pub from: Option<&'a Value>,
    /// `None` if it is gone.
    pub to: Option<&'a Value>,
}

/// As a list of documents, `{kind, name, spec}`.
impl Serialize for Resources {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, spec)| Written {
            kind: key.kind,
            name: key.name.clone(),
            spec: spec.clone(),
        }))
    }
}

impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Resources, D::Error> {
        let all: Vec<Written> = Vec::deserialize(deserializer)?;
        let one = |Written { kind, name, spec }| (Key { kind, name }, spec);
        Ok(Resources(all.into_iter().map(one).collect()))
    }
}

/// A document as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: Kind,
    name: String,
    spec: Value,
}

#[cfg(test)]
mod tests;
