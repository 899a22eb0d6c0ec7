//! What a workload says, before it is believed: it has an identity, and may still be broken or in the wrong hands.
//!
//! One workload must not spoil the store for everybody, nor speak for another.

use std::net::SocketAddr;

use mesh::steer::{Edge, FromProxy, Presence, Summary, is_own};
use serde_json::Value;
use uuid::Uuid;

use crate::world::World;

/// Edges of one summary.
const MAX_EDGES: usize = 10_000;
/// Events of a tap that are told at once.
const MAX_LINES: usize = 256;
/// Parts of a latency.
const MAX_PARTS: usize = 32;
/// Characters of a name or a reason.
const MAX_TEXT: usize = 500;
/// The largest weight: it is a share beside others'.
const MAX_WEIGHT: u32 = 1_000_000;

/// What `service` says, without what it has no business to say.
///
/// Errors: what no proxy of ours says.
pub(crate) fn checked(service: &str, world: &World, said: FromProxy) -> Result<FromProxy, String> {
    Ok(match said {
        FromProxy::Hello { instance, versions } => {
            Uuid::parse_str(&instance).map_err(|_| "its instance is no UUID".to_owned())?;
            FromProxy::Hello { instance, versions }
        }
        FromProxy::Serves(presence) => FromProxy::Serves(place(presence)?),
        FromProxy::Nack { nonce, rejected } => {
            let told = rejected.into_iter().map(|(key, reason)| (text(&key), text(&reason)));
            FromProxy::Nack { nonce, rejected: told.collect() }
        }
        FromProxy::Saw(summary) => FromProxy::Saw(seen(service, world, summary)),
        FromProxy::Tapped { tap, mut lines } => {
            lines.retain(|line| is_own(service, line));
            lines.truncate(MAX_LINES);
            lines.iter_mut().for_each(clean);
            FromProxy::Tapped { tap, lines }
        }
        other => other,
    })
}

fn place(presence: Presence) -> Result<Presence, String> {
    let Presence { address, zone, weight } = presence;
    address.parse::<SocketAddr>().map_err(|_| "its address is not ip:port".to_owned())?;
    if zone.as_ref().is_some_and(|zone| *zone != text(zone)) {
        return Err("its zone is no name".to_owned());
    }
    Ok(Presence { address, zone, weight: weight.min(MAX_WEIGHT) })
}

/// Of what was seen, what was seen from the workload's own side.
fn seen(service: &str, world: &World, mut summary: Summary) -> Summary {
    summary.edges.retain(|edge| match edge.side.as_str() {
        "outbound" => edge.source == service,
        "inbound" => edge.destination == service,
        _ => false,
    });
    summary.edges.truncate(MAX_EDGES);
    for Edge { source, destination, route, latency, .. } in &mut summary.edges {
        [source, destination, route].into_iter().for_each(|name| *name = text(name));
        latency.truncate(MAX_PARTS);
    }
    let known = &world.applied.mesh.services;
    summary.waiting.retain(|name, _| known.contains_key(name));
    summary
}

/// Leaves texts in it that can be shown.
fn clean(value: &mut Value) {
    match value {
        Value::String(said) => *said = text(said),
        Value::Array(all) => all.iter_mut().for_each(clean),
        Value::Object(all) => {
            *all = std::mem::take(all)
                .into_iter()
                .map(|(key, mut value)| {
                    clean(&mut value);
                    (text(&key), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text that can be kept and shown: of bounded length, without control characters.
fn text(said: &str) -> String {
    said.chars().filter(|character| !character.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn edge(side: &str, source: &str, destination: &str) -> Edge {
        let names = [side, source, destination, "*"].map(str::to_owned);
        let [side, source, destination, route] = names;
        Edge { side, source, destination, route, ..Edge::default() }
    }

    fn of_web(said: FromProxy) -> Result<FromProxy, String> {
        checked("web", &World::of("trust_domain: t\nservices:\n  web: {}\n"), said)
    }

    #[test]
    fn nobody_speaks_for_another() {
        let edges = vec![
            edge("outbound", "web", "data"),
            edge("inbound", "gateway", "web"),
            edge("outbound", "data", "web"),
            edge("inbound", "web", "data"),
            edge("sideways", "web", "web"),
        ];
        let waiting = BTreeMap::from([("web".to_owned(), 1), ("nothing".to_owned(), 9)]);
        let summary = Summary { edges: edges.clone(), waiting, ..Summary::default() };

        let Ok(FromProxy::Saw(seen)) = of_web(FromProxy::Saw(summary)) else { panic!("it may say so") };

        assert_eq!(seen.edges, edges[..2]);
        assert_eq!(seen.waiting, BTreeMap::from([("web".to_owned(), 1)]));
    }

    #[test]
    fn what_is_tapped_is_the_workloads_own_and_can_be_shown() {
        let own = json!({ "event": "ended", "side": "outbound", "source": "web", "path": "/\u{1b}[2Ja" });
        let foreign = json!({ "event": "ended", "side": "outbound", "source": "data" });
        let inbound =
            json!({ "event": "ended", "side": "inbound", "source": "gateway", "destination": "data" });
        let other = json!({ "event": "limited", "service": "web", "of": ["\n", { "\r": 1 }] });
        let lines = vec![own, foreign, inbound, other];

        let Ok(FromProxy::Tapped { lines, .. }) = of_web(FromProxy::Tapped { tap: 1, lines }) else {
            panic!("it may say so")
        };

        let shown = json!([{ "event": "ended", "side": "outbound", "source": "web", "path": "/[2Ja" },
                           { "event": "limited", "service": "web", "of": ["", { "": 1 }] }]);
        assert_eq!(json!(lines), shown);
    }

    #[test]
    fn what_the_store_could_not_keep_comes_to_nothing() {
        let hello =
            |instance: &str| FromProxy::Hello { instance: instance.to_owned(), versions: BTreeMap::new() };
        assert!(of_web(hello("7b0c4a0e-6c7a-4c3e-9d5e-0a4de2f3c111")).is_ok());
        assert!(of_web(hello("a\0")).is_err());

        let rejected = BTreeMap::from([("k\0".to_owned(), "x\0".repeat(1_000))]);
        let Ok(FromProxy::Nack { rejected, .. }) = of_web(FromProxy::Nack { nonce: 1, rejected }) else {
            panic!("it may say so")
        };
        assert_eq!(rejected, BTreeMap::from([("k".to_owned(), "x".repeat(MAX_TEXT))]));

        let mut one = edge("outbound", "web", "data");
        (one.route, one.latency) = ("\0".to_owned(), vec![1; 100]);
        let summary = Summary { edges: vec![one; MAX_EDGES + 1], ..Summary::default() };
        let Ok(FromProxy::Saw(seen)) = of_web(FromProxy::Saw(summary)) else { panic!("it may say so") };
        assert_eq!((seen.edges.len(), seen.edges[0].route.as_str()), (MAX_EDGES, ""));
        assert_eq!(seen.edges[0].latency.len(), MAX_PARTS);
    }

    #[test]
    fn a_place_is_an_address_and_a_port() {
        let serves = |address: &str, zone: Option<&str>| {
            let zone = zone.map(str::to_owned);
            of_web(FromProxy::Serves(Presence { address: address.to_owned(), zone, weight: u32::MAX }))
        };
        let Ok(FromProxy::Serves(taken)) = serves("10.0.0.7:9443", Some("a")) else {
            panic!("it may say so")
        };
        assert_eq!(taken.weight, MAX_WEIGHT);
        for address in ["x", "unix:/run/other.sock", "host:9443", "10.0.0.7"] {
            assert!(serves(address, None).is_err(), "{address}");
        }
        assert!(serves("[::1]:1", Some("a\0")).is_err());
    }
}
