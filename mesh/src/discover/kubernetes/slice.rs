//! What the API server says of EndpointSlices, as far as we read it.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::Failure;
use crate::discover::{Address, Found};

/// The answer to a list.
#[derive(Deserialize)]
pub(super) struct SliceList {
    pub(super) metadata: ListMetadata,
    #[serde(default)]
    pub(super) items: Vec<Slice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    object: Box<RawValue>,
}

/// discovery.k8s.io/v1 EndpointSlice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    pub(super) metadata: Metadata,
    #[serde(default)]
    address_type: String,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    /// A bookmark has none.
    #[serde(default)]
    pub(super) name: String,
    pub(super) resource_version: String,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
struct Conditions {
    /// Nothing said means ready.
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct Port {
    name: Option<String>,
    port: Option<u16>,
}

/// meta/v1 Status.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl Event {
    /// The slice that it is about.
    ///
    /// Errors: it is one.
    pub(super) fn slice(&self) -> Result<Slice, Failure> {
        if self.kind == "ERROR" {
            let status: Status = serde_json::from_str(self.object.get()).map_err(Failure::unreadable)?;
            return Err(Failure::of(status.code, &status.message));
        }
        serde_json::from_str(self.object.get()).map_err(Failure::unreadable)
    }
}

impl Slice {
    /// Its endpoints that are ready, at the port of this name; at the only one if none is named.
    pub(super) fn found(&self, port: Option<&str>) -> Vec<Found> {
        if !matches!(self.address_type.as_str(), "IPv4" | "IPv6") {
            return Vec::new();
        }
        let ports = self.ports.as_deref().unwrap_or_default();
        let named = match port {
            Some(_) => ports.iter().find(|other| other.name.as_deref() == port),
            None => ports.first().filter(|_| ports.len() == 1),
        };
        let Some(port) = named.and_then(|port| port.port) else { return Vec::new() };
        let ready = self.endpoints.iter().flatten().filter(|one| one.conditions.ready != Some(false));
        // every further address is of the same endpoint
        let found = |one: &Endpoint| {
            let ip: IpAddr = one.addresses.first()?.parse().ok()?;
            let zone = one.zone.as_deref().map(Into::into);
            Some(Found { zone, ..Found::at(Address::Tcp(SocketAddr::new(ip, port))) })
        };
        ready.filter_map(found).collect()
    }
}
