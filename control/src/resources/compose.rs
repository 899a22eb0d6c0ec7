//! Documents → one mesh, checked as a file would be.

use std::collections::BTreeMap;

use base::Result;
use mesh::resource::{self, Mesh};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    AssertionSpec, FallbackSpec, FaultSpec, INVALID_RESOURCE, Key, Kind, LimitSpec, PolicySpec, Resources,
    RouteSpec, SplitSpec,
};

/// What documents make.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The mesh, without who is denied.
    pub mesh: Mesh,
    /// Documents that were left out, and why: of a version that this one does not understand.
    pub left_out: BTreeMap<Key, String>,
}

impl Resources {
    /// The mesh of `trust_domain` that the documents make. What cannot be understood, or hangs on nothing, is left out:
    /// a store that a newer version wrote to must not stop an older one.
    pub fn compose(&self, trust_domain: &str) -> Composed {
        let mut composing = Composing { mesh: Mesh::of(trust_domain) };
        let mut left_out = BTreeMap::new();
        // services come first: `Kind` is ordered so
        for (key, spec) in self.iter() {
            if let Err(reason) = composing.add(key, spec) {
                left_out.insert(key.clone(), reason);
            }
        }
        Composed { mesh: composing.mesh, left_out }
    }

    /// The same, if nothing is left out and nothing is wrong with the whole.
    ///
    /// Errors: [`INVALID_RESOURCE`], a line for each mistake; `at` says where a document was written.
    pub fn checked(&self, trust_domain: &str, at: impl Fn(&Key) -> Option<String>) -> Result<Mesh> {
        let Composed { mesh, left_out } = self.compose(trust_domain);
        let place = |key: &Key| at(key).map_or_else(|| key.to_string(), |at| format!("{at}: {key}"));
        let mut mistakes: Vec<String> =
            left_out.iter().map(|(key, reason)| format!("{}: {reason}", place(key))).collect();
        if mistakes.is_empty()
            && let Err(error) = mesh.check()
        {
            mistakes.extend(error.into_iter().map(|(path, reason)| match self.owner(&path) {
                Some(key) => format!("{}: {path}: {reason}", place(&key)),
                None => format!("{path}: {reason}"),
            }));
        }
        match mistakes.is_empty() {
            true => Ok(mesh),
            false => Err(INVALID_RESOURCE.error(mistakes.join("\n"))),
        }
    }

    /// The document that a place in the mesh comes from, as far as its path tells: `services.NAME…` is that service's,
    /// or the one document that hangs on it.
    fn owner(&self, path: &str) -> Option<Key> {
        let mut parts = path.split('.');
        let (Some("services"), Some(service)) = (parts.next(), parts.next()) else { return None };
        let part = parts.next().unwrap_or_default();
        let kind = match part.split('[').next() {
            Some("policies" | "callers") => Kind::Policy,
            Some("limits") => Kind::Limit,
            _ => Kind::Service,
        };
        let hangs_on = |(key, spec): &(&Key, &Value)| key.kind == kind && spec["service"] == *service;
        let hanging: Vec<_> = self.iter().filter(hangs_on).collect();
        let index = part.split(['[', ']']).nth(1).and_then(|index| index.parse::<usize>().ok());
        let own = self.get(&Key { kind: Kind::Service, name: service.to_owned() })?;
        let of_service = own[part.split('[').next().unwrap_or_default()].as_array().map_or(0, Vec::len);
        match index.and_then(|index| hanging.get(index.checked_sub(of_service)?)) {
            Some((key, _)) => Some((*key).clone()),
            None => Some(Key { kind: Kind::Service, name: service.to_owned() }),
        }
    }
}

struct Composing {
    mesh: Mesh,
}

impl Composing {
    fn add(&mut self, key: &Key, spec: &Value) -> Result<(), String> {
        match key.kind {
            Kind::Service => drop(self.mesh.services.insert(key.name.clone(), decode(spec)?)),
            Kind::Route => {
                let RouteSpec { service, mut route } = decode(spec)?;
                route.name = key.name.clone();
                let routes = &mut self.service(&service)?.routes;
                // before the last one, which matches everything
                let last = routes.len().saturating_sub(1);
                routes.insert(last, route);
            }
            Kind::Policy => {
                let PolicySpec { service, policy } = decode(spec)?;
                self.service(&service)?.policies.push(policy);
            }
            Kind::Limit => {
                let LimitSpec { service, limit } = decode(spec)?;
                self.service(&service)?.limits.push(limit);
            }
            Kind::Split => {
                let SplitSpec { service, route, split } = decode(spec)?;
                self.route(&service, &route)?.split = Some(split);
            }
            Kind::Fault => {
                let FaultSpec { service, route, fault } = decode(spec)?;
                self.route(&service, &route)?.fault = Some(fault);
            }
            Kind::Fallback => {
                let FallbackSpec { service, route, fallback } = decode(spec)?;
                self.route(&service, &route)?.fallback = fallback;
            }
            Kind::Egress => self.mesh.egress.push(decode(spec)?),
            Kind::Telemetry => self.mesh.telemetry = decode(spec)?,
            Kind::Assertion => {
                let AssertionSpec { caller, headers } = decode(spec)?;
                self.mesh.asserts.entry(caller).or_default().extend(headers);
            }
        }
        Ok(())
    }

    fn service(&mut self, name: &str) -> Result<&mut resource::Service, String> {
        self.mesh.services.get_mut(name).ok_or_else(|| format!("no service is called {name:?}"))
    }

    fn route(&mut self, service: &str, name: &str) -> Result<&mut resource::Route, String> {
        let known = self.service(service)?;
        let names: Vec<String> = known.routes.iter().map(|route| route.name.clone()).collect();
        let index = names.iter().position(|known| known == name);
        let index =
            index.ok_or_else(|| format!("{service} has no route {name:?}, only {}", names.join(", ")))?;
        Ok(&mut known.routes[index])
    }
}

fn decode<T: DeserializeOwned>(spec: &Value) -> Result<T, String> {
    T::deserialize(spec).map_err(|error| error.to_string())
}
