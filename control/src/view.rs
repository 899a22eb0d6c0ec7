//! The part of the world that one identity gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::resource::Egress;
use mesh::steer::{EGRESS, ENDPOINTS, MESH, ROOTS, Resource, SERVICE, TELEMETRY};

use crate::world::{World, pushed};

/// What `service` should hold, by key: itself, what it may call, and where those are that it `needs`.
pub(crate) fn view(
    world: &World,
    roots: &Arc<Resource>,
    service: &str,
    needs: &BTreeSet<String>,
) -> BTreeMap<String, Arc<Resource>> {
    let mut view = BTreeMap::from([
        (MESH.to_owned(), world.globals.clone()),
        (TELEMETRY.to_owned(), world.applied.telemetry.clone()),
        (ROOTS.to_owned(), roots.clone()),
    ]);
    let egress: Vec<&Egress> = world
        .applied
        .mesh
        .egress
        .iter()
        .filter(|egress| egress.from.iter().any(|from| from == service))
        .collect();
    if !egress.is_empty() {
        view.insert(EGRESS.to_owned(), pushed(&egress));
    }
    let own = service.to_owned();
    for name in std::iter::once(&own).chain(world.applied.callable(service)) {
        if let Some(resource) = world.applied.services.get(name) {
            view.insert(format!("{SERVICE}{name}"), resource.clone());
        }
        if needs.contains(name)
            && let Some(resource) = world.endpoints.get(name)
        {
            view.insert(format!("{ENDPOINTS}{name}"), resource.clone());
        }
    }
    view
}
