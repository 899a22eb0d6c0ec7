//! The resources that a workload holds, and the configuration that they make.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EGRESS, ENDPOINTS, Endpoint, MESH, ROOTS, Resource, SERVICE, TELEMETRY};
use crate::discover::{Address, Found};
use crate::identity::Roots;
use crate::resource::{self, Mesh, Telemetry};

/// Who may assert what, and who is denied: the body of [`MESH`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Globals {
    /// As in [`Mesh::asserts`].
    #[serde(default)]
    pub asserts: BTreeMap<String, Vec<String>>,
    /// As in [`Mesh::denied`].
    #[serde(default)]
    pub denied: BTreeSet<String>,
}

/// What is held, by key. Everything in it was understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    resources: BTreeMap<String, Resource>,
}

impl Held {
    /// What of `resources` can be understood.
    pub(super) fn of(resources: BTreeMap<String, Resource>) -> Held {
        let good = resources.into_iter().filter(|(key, resource)| understand(key, &resource.body).is_ok());
        Held { resources: good.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    pub(super) fn resources(&self) -> &BTreeMap<String, Resource> {
        &self.resources
    }

    pub(super) fn versions(&self) -> BTreeMap<String, String> {
        self.resources.iter().map(|(key, resource)| (key.clone(), resource.version.clone())).collect()
    }

    /// Takes one resource in the place of the one before.
    ///
    /// Errors: it is not understood; then nothing changes.
    pub(super) fn set(&mut self, key: &str, resource: &Resource) -> Result<(), String> {
        understand(key, &resource.body)?;
        self.resources.insert(key.to_owned(), resource.clone());
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.resources.remove(key);
    }

    /// The resource of this key as it was; `None` takes it away.
    pub(super) fn put_back(&mut self, key: &str, before: Option<Resource>) {
        match before {
            Some(resource) => drop(self.resources.insert(key.to_owned(), resource)),
            None => self.remove(key),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Resource> {
        self.resources.get(key)
    }

    /// The roots, as PEM.
    pub(super) fn roots(&self) -> Option<String> {
        decode(&self.resources.get(ROOTS)?.body).ok()
    }

    /// Where `service` is, if that was told.
    pub(super) fn endpoints(&self, service: &str) -> Option<Vec<Found>> {
        let resource = self.resources.get(&format!("{ENDPOINTS}{service}"))?;
        found(&resource.body).ok()
    }

    /// Where every service is of which that was told.
    pub(super) fn all_endpoints(&self) -> impl Iterator<Item = (String, Vec<Found>)> {
        let names = self.resources.keys().filter_map(|key| key.strip_prefix(ENDPOINTS));
        names.filter_map(|name| Some((name.to_owned(), self.endpoints(name)?)))
    }

    /// Adds what is held to `mesh`.
    pub(super) fn add_to(&self, mesh: &mut Mesh) {
        for (key, Resource { body, .. }) in &self.resources {
            if let Some(name) = key.strip_prefix(SERVICE) {
                mesh.services.extend(decode(body).map(|service| (name.to_owned(), service)));
            }
        }
        let globals: Globals = self.body(MESH);
        mesh.asserts.extend(globals.asserts);
        mesh.denied.extend(globals.denied);
        let egress: Vec<resource::Egress> = self.body(EGRESS);
        mesh.egress.extend(egress);
        if self.resources.contains_key(TELEMETRY) {
            mesh.telemetry = self.body(TELEMETRY);
        }
    }

    fn body<T: DeserializeOwned + Default>(&self, key: &str) -> T {
        self.resources.get(key).and_then(|resource| decode(&resource.body).ok()).unwrap_or_default()
    }
}

/// Errors: what `body` is not.
fn understand(key: &str, body: &Value) -> Result<(), String> {
    match key {
        MESH => decode::<Globals>(body).map(drop),
        EGRESS => decode::<Vec<resource::Egress>>(body).map(drop),
        TELEMETRY => decode::<Telemetry>(body).map(drop),
        ROOTS => Roots::from_pem(decode::<String>(body)?.as_bytes()).map(drop).map_err(|e| e.to_string()),
        _ if key.starts_with(SERVICE) => decode::<resource::Service>(body).map(drop),
        _ if key.starts_with(ENDPOINTS) => found(body).map(drop),
        _ => Err(format!("there are no resources of the kind {key:?}")),
    }
}

fn decode<T: DeserializeOwned>(body: &Value) -> Result<T, String> {
    T::deserialize(body).map_err(|error| error.to_string())
}

fn found(body: &Value) -> Result<Vec<Found>, String> {
    let endpoints: Vec<Endpoint> = decode(body)?;
    // one that says it wrongly, or would have us connect to something on our own machine, is not everybody's trouble
    let one = |endpoint: Endpoint| {
        let address: std::net::SocketAddr = endpoint.address.parse().ok()?;
        let zone = endpoint.zone.map(Into::into);
        Some(Found { address: Address::Tcp(address), zone, weight: endpoint.weight, priority: 0 })
    };
    Ok(endpoints.into_iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(body: Value) -> Resource {
        Resource { version: "1".to_owned(), body }
    }

    #[test]
    fn resources_make_a_configuration() {
        let mut held = Held::default();
        let service = json!({ "callers": ["gateway"], "routes": [{ "kind": "unary", "deadline_ms": 5 }] });
        held.set("service/data", &resource(service)).unwrap();
        held.set(MESH, &resource(json!({ "denied": ["spiffe://t/z"], "asserts": { "gateway": ["x-a"] } })))
            .unwrap();
        held.set(EGRESS, &resource(json!([{ "from": ["data"], "host": "a.example.com" }]))).unwrap();
        held.set(TELEMETRY, &resource(json!({ "access_log": true }))).unwrap();
        let endpoints = json!([{ "address": "10.0.0.1:1", "zone": "a", "weight": 2 }]);
        held.set("endpoints/data", &resource(endpoints)).unwrap();

        let mut mesh = Mesh::parse("trust_domain: t\nservices: {}").unwrap();
        held.add_to(&mut mesh);

        assert_eq!(mesh.services["data"].callers, ["gateway"]);
        assert!(mesh.denied.contains("spiffe://t/z") && mesh.telemetry.access_log && mesh.egress.len() == 1);
        assert_eq!(held.endpoints("data").unwrap()[0].weight, 2);
        assert_eq!(held.endpoints("auth"), None);
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        let mut held = Held::default();
        let good = resource(json!({ "routes": [] }));
        held.set("service/data", &good).unwrap();

        for (key, body) in [
            ("service/data", json!({ "from_the_future": 1 })),
            ("endpoints/data", json!([{ "address": 7 }])),
            (ROOTS, json!("no PEM")),
            ("planet/mars", json!({})),
        ] {
            assert!(held.set(key, &resource(body)).is_err(), "{key}");
        }

        assert_eq!(held.resources().len(), 1);
        assert_eq!(held.get("service/data"), Some(&good));
    }

    #[test]
    fn one_endpoint_that_is_none_hides_no_others() {
        let mut held = Held::default();
        let all = ["nowhere", "unix:/run/other.sock", "10.0.0.7:9443"]
            .map(|a| json!({ "address": a, "weight": 1 }));

        held.set("endpoints/data", &resource(json!(all))).unwrap();

        let found = held.endpoints("data").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, "10.0.0.7:9443".parse().unwrap());
    }

    #[test]
    fn a_file_of_a_newer_version_gives_what_can_be_understood() {
        let kept = [
            ("service/data".to_owned(), resource(json!({ "routes": [] }))),
            ("service/auth".to_owned(), resource(json!({ "from_the_future": 1 }))),
        ];

        let held = Held::of(kept.into());

        assert_eq!(held.versions().into_keys().collect::<Vec<_>>(), ["service/data"]);
    }
}
