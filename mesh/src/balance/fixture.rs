//! What the tests of this module share: a balancer whose events are kept, and a clock that stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::balancer::Balancer;
use super::pick::{Outcome, Pick};
use crate::discover::{Address, Found};
use crate::observe::{Event, Name, Observer};
use crate::resource;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SEC: Duration = Duration::from_secs(1);

/// A balancer of endpoints that are known by their port numbers.
pub(super) struct Fixture {
    pub(super) balancer: Balancer<u16>,
    pub(super) now: Instant,
    told: Arc<Mutex<Vec<Event>>>,
}

/// An endpoint by its port.
pub(super) fn found(port: u16) -> Found {
    Found::at(Address::Tcp(([10, 0, 0, 1], port).into()))
}

pub(super) fn weighted(port: u16, weight: u32) -> Found {
    Found { weight, ..found(port) }
}

pub(super) fn spec(kind: resource::BalancerKind) -> resource::Balancer {
    resource::Balancer { kind, ..resource::Balancer::default() }
}

impl Fixture {
    /// With own zone `near`, the default ejection, and these endpoints.
    pub(super) fn new(spec: &resource::Balancer, set: impl IntoIterator<Item = Found>) -> Fixture {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let observer = Observer::new(move |event| sink.lock().unwrap().push(event.clone()));
        let ejection = resource::Ejection::default();
        let zone = Some(Name::from("near"));
        let balancer = Balancer::new(spec, &ejection, zone, "data".into(), observer, 42);
        let fixture = Fixture { balancer, now: Instant::now(), told };
        fixture.update(set);
        fixture
    }

    pub(super) fn update(&self, set: impl IntoIterator<Item = Found>) {
        self.balancer.update(set.into_iter().collect(), port);
    }

    pub(super) fn pick(&self) -> Option<Pick<u16>> {
        self.balancer.pick(None, &[], self.now)
    }

    /// Picks until it is `port`'s turn.
    pub(super) fn pick_of(&self, port: u16) -> Pick<u16> {
        let found = (0..10_000).find_map(|_| self.pick().filter(|pick| *pick.target() == port));
        found.unwrap_or_else(|| panic!("{port} is never picked"))
    }

    /// Has an endpoint say so, as if a request had come to it before.
    pub(super) fn say(&self, port: u16, outcome: Outcome) {
        let member = self.member(port);
        Pick::new(member, self.balancer.clone(), None).finish(outcome, 10 * MS, self.now);
    }

    /// As many faults in a row as eject.
    pub(super) fn fail(&self, port: u16) {
        (0..5).for_each(|_| self.say(port, Outcome::Fault));
    }

    /// As active checks would.
    pub(super) fn set_healthy(&self, port: u16, healthy: bool) {
        self.balancer.set_healthy(&self.member(port), healthy, "");
    }

    pub(super) fn member(&self, port: u16) -> Arc<super::Member<u16>> {
        let members = self.balancer.members();
        members.iter().find(|member| *member.target() == port).expect("it is in the set").clone()
    }

    /// How many of `picks` requests, each over before the next, each endpoint gets.
    pub(super) fn shares(&self, picks: u32) -> BTreeMap<u16, f64> {
        let mut shares = BTreeMap::new();
        for _ in 0..picks {
            let mut pick = self.pick().expect("one is usable");
            pick.finish(Outcome::Success, 10 * MS, self.now);
            *shares.entry(*pick.target()).or_insert(0.0) += 1.0 / f64::from(picks);
        }
        shares
    }

    pub(super) fn ejected(&self) -> usize {
        self.balancer.members().iter().filter(|member| member.health().is_ejected()).count()
    }

    /// The events so far, by name and endpoint.
    pub(super) fn events(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter()
            .map(|event| match event {
                Event::Ejected { endpoint, reason, .. } => format!("ejected {endpoint} {reason:?}"),
                Event::Restored { endpoint, .. } => format!("restored {endpoint}"),
                Event::EndpointsChanged { count, .. } => format!("{count} endpoints"),
                Event::HealthChanged { endpoint, healthy, .. } => format!("{endpoint} healthy: {healthy}"),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn port(found: &Found) -> u16 {
    match &found.address {
        Address::Tcp(address) => address.port(),
        other => panic!("{other}"),
    }
}
