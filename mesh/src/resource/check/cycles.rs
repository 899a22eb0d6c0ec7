//! Services that fall back to each other: with all of them away a request would go round for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Fallback;
use super::report::Report;
use super::{Mesh, Place};

/// Services of a circle that are named.
const SHOWN: usize = 8;

/// One way from a service to another: the route and the fallback that take it there.
struct Edge<'m> {
    to: &'m str,
    route: usize,
    fallback: usize,
}

/// Reports each edge that closes a circle, once. Without recursion: a chain may be as long as the file.
pub(super) fn check(report: &mut Report<'_>, mesh: &Mesh) {
    let edges: BTreeMap<&str, Vec<Edge<'_>>> =
        mesh.services.keys().map(|name| (name.as_str(), edges(mesh, name))).collect();
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        // the services on the way, each with the edge to look at next
        let mut way: Vec<(&str, usize)> = vec![(start, 0)];
        let mut on_way = BTreeSet::from([*start]);
        while let Some((from, next)) = way.last_mut() {
            let from = *from;
            let edge = edges.get(from).and_then(|edges| edges.get(*next)).filter(|_| !done.contains(from));
            *next += 1;
            match edge {
                None => {
                    done.insert(from);
                    on_way.remove(from);
                    way.pop();
                }
                Some(edge) if on_way.contains(edge.to) => {
                    let names = way.iter().map(|(name, _)| *name);
                    refuse(report, from, edge, names.skip_while(|name| *name != edge.to));
                }
                Some(edge) => {
                    on_way.insert(edge.to);
                    way.push((edge.to, 0));
                }
            }
        }
    }
}

fn edges<'m>(mesh: &'m Mesh, name: &str) -> Vec<Edge<'m>> {
    let mut edges = Vec::new();
    for (route, written) in mesh.services[name].routes.iter().enumerate() {
        for (fallback, written) in written.fallback.iter().enumerate() {
            if let Fallback::Service(to) = written {
                edges.push(Edge { to, route, fallback });
            }
        }
    }
    edges
}

fn refuse<'m>(report: &mut Report<'_>, from: &str, edge: &Edge<'_>, circle: impl Iterator<Item = &'m str>) {
    let top = Place::TOP;
    let services = top.key("services");
    let service = services.key(from);
    let routes = service.key("routes");
    let route = routes.item(edge.route);
    let fallback = route.key("fallback");
    let item = fallback.item(edge.fallback);
    let mut names: Vec<&str> = circle.collect();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…");
    }
    names.push(edge.to);
    report.refuse(&item.key("service"), format!("services fall back in a circle: {}", names.join(" -> ")));
}
