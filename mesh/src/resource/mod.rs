//! The mesh's configuration as types: what `defaults.yaml` holds and, later, what the control plane pushes.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Error, Result};
use serde::Deserialize;

/// A whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mesh {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Caller → the headers of our own that it may assert.
    #[serde(default)]
    pub asserts: BTreeMap<String, Vec<String>>,
    /// Every service by name.
    pub services: BTreeMap<String, Service>,
}

/// One service: who may call it, and how its routes behave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The callers that are let in; nobody else is.
    pub callers: Vec<String>,
    /// The first match wins; the last one matches everything.
    pub routes: Vec<Route>,
}

/// A part of a service's paths and the kind of exchange that happens there.
///
/// Routes attach to a service, never to a public path: those are the gateway's edge table.
#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    /// A path prefix; empty matches every path.
    #[serde(default)]
    pub path: String,
    /// The kind and its times.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What an exchange looks like in time, and with it which of its timeouts make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// One request, one answer, both small: a deadline for the whole.
    Unary {
        /// From the request's arrival to the last byte of the answer.
        #[serde(rename = "deadline_ms", with = "millis")]
        deadline: Duration,
    },
    /// Bodies of any length, never buffered: no total, but neither side may stall.
    Stream {
        /// From the end of the request's body to the head of the answer.
        #[serde(rename = "response_ms", with = "millis")]
        response: Duration,
        /// Longest pause within a body, per direction.
        #[serde(rename = "idle_ms", with = "millis")]
        idle: Duration,
    },
    /// A connection that leaves HTTP, such as a WebSocket.
    Upgrade {
        /// From the request to the answer `101`.
        #[serde(rename = "response_ms", with = "millis")]
        response: Duration,
        /// Longest time without a byte in either direction.
        #[serde(rename = "idle_ms", with = "millis")]
        idle: Duration,
        /// Longest life.
        #[serde(rename = "life_ms", with = "millis")]
        life: Duration,
    },
}

impl Mesh {
    /// The configuration that is compiled in.
    pub fn defaults() -> Mesh {
        Mesh::parse(include_str!("../../defaults.yaml")).expect("a test parses defaults.yaml")
    }

    /// Reads and checks a configuration.
    ///
    /// Errors: what is wrong and where, for the person who wrote it.
    pub fn parse(yaml: &str) -> Result<Mesh> {
        let mesh: Mesh = yaml_serde::from_str(yaml)
            .map_err(|error| base::error::BAD_REQUEST.error(format!("mesh configuration: {error}")))?;
        for (name, service) in &mesh.services {
            let last = service.routes.last();
            if !last.is_some_and(|route| route.path.is_empty()) {
                return Err(invalid(format!("the last route of service {name} must have no path")));
            }
            if let Some(caller) = service.callers.iter().find(|caller| !mesh.knows(caller)) {
                return Err(invalid(format!("service {name} lets in {caller}, which is nobody")));
            }
        }
        Ok(mesh)
    }

    fn knows(&self, caller: &str) -> bool {
        caller == "gateway" || self.services.contains_key(caller)
    }
}

impl Service {
    /// The kind of exchange at `path`.
    pub fn kind_of(&self, path: &str) -> Kind {
        let route = self.routes.iter().find(|route| path.starts_with(&route.path));
        route.expect("the last route matches everything").kind
    }
}

fn invalid(message: String) -> Error {
    base::error::BAD_REQUEST.error(format!("mesh configuration: {message}"))
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let mesh = Mesh::parse(include_str!("../../defaults.yaml")).unwrap();

        assert_eq!(mesh.services.len(), 4);
    }

    #[test]
    fn the_first_matching_route_decides() {
        let storage = &Mesh::defaults().services["storage"];

        assert!(matches!(storage.kind_of("/object/list/avatars"), Kind::Unary { .. }));
        assert!(matches!(storage.kind_of("/object/avatars/a.png"), Kind::Stream { .. }));
        assert!(matches!(storage.kind_of("/bucket"), Kind::Unary { .. }));
    }

    #[test]
    fn mistakes_are_named() {
        let open = "{trust_domain: a, services: {x: {callers: [], routes: [{path: /a, kind: unary, deadline_ms: 1}]}}}";
        let stranger =
            "{trust_domain: a, services: {x: {callers: [y], routes: [{kind: unary, deadline_ms: 1}]}}}";

        assert!(Mesh::parse(open).unwrap_err().message.contains("must have no path"));
        assert!(Mesh::parse(stranger).unwrap_err().message.contains("lets in y"));
        assert!(Mesh::parse("{trust_domain: a, services: {}, servces: {}}").is_err());
    }
}
