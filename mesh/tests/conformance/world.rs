//! The two worlds, and what a case may do in them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Clock, Random, Result};
use mesh::identity::Credentials;
use mesh::observe::trace::Sampler;
use mesh::observe::{Exchange, Observer};
use mesh::resource::Mesh;
use mesh::{DataPlane, Outbound, Parts};

use crate::ask::Ask;
use crate::pki::{Authority, TRUST_DOMAIN};
use crate::program::{self, Stage};
use crate::remote::Remote;
use crate::seen::{self, Seen};

/// Programs, the way to them, and who watches.
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) stage: Arc<Stage>,
    pub(crate) seen: Seen,
    /// Each answer as a line.
    pub(crate) answers: Mutex<Vec<String>>,
    mesh: Mutex<Mesh>,
    callers: DataPlane,
    /// The callers' and every other one: all of them get each configuration.
    planes: Vec<DataPlane>,
    outbounds: Mutex<HashMap<String, Outbound>>,
    remote: Option<Remote>,
}

/// Longer than any case takes: what hangs fails.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs `case` in both worlds, at the same time; what it saw must be the same.
pub(crate) async fn conform(config: &str, case: impl AsyncFn(&World)) {
    let [local, remote] = in_each(config, case).await;
    assert_eq!(local.answers(), remote.answers(), "answers of the local and the remote world");
    let same = |_: &Seen| local.seen.lines() == remote.seen.lines();
    if !(remote.seen.until(same).await || local.seen.until(same).await) {
        let [local, remote] = [&local, &remote].map(|world| seen::folded(&world.seen.lines()));
        assert_eq!(local, remote, "events of the local and the remote world");
    }
}

/// Runs `case` in both worlds without comparing them: for what differs by nature.
pub(crate) async fn in_each(config: &str, case: impl AsyncFn(&World)) -> [World; 2] {
    let worlds = [World::local(config), World::remote(config, 1).await];
    let [local, remote] = &worlds;
    // boxed: a case holds many exchanges, and a test's stack is small
    tokio::join!(in_time(local, Box::pin(case(local))), in_time(remote, Box::pin(case(remote))));
    worlds
}

async fn in_time(world: &World, case: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(LIMIT, case).await;
    assert!(ended.is_ok(), "it takes too long in the {} world", world.name);
}

/// A configuration whose only service is `echo`, with these lines under its routes.
pub(crate) fn routes(lines: &str) -> String {
    echo(&format!("callers: [gateway]\nroutes:\n{lines}"))
}

/// A configuration whose only service is `echo`.
pub(crate) fn echo(spec: &str) -> String {
    format!("services:\n  echo:\n{}", indented(spec, 4))
}

/// `text` with each line moved to the right.
fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().map(|line| format!("{:by$}{line}\n", ""));
    lines.collect()
}

fn parse(config: &str) -> Mesh {
    let head = format!("trust_domain: {TRUST_DOMAIN}\nasserts: {{ gateway: [x-meshbase-project] }}\n");
    Mesh::parse(&format!("{head}{config}")).unwrap_or_else(|error| panic!("{error}\n{config}"))
}

/// The services that are programs.
pub(crate) fn programs(mesh: &Mesh) -> impl Iterator<Item = &String> {
    mesh.services.iter().filter(|(_, service)| !service.routes.is_empty()).map(|(name, _)| name)
}

/// What a plane of the callers is given; what a sidecar makes of `telemetry`, it gets too.
fn parts(mesh: &Mesh, observer: Observer) -> Parts {
    let parts = Parts::new(observer, Clock::system(), &Random::system());
    parts.sampling.set(mesh.telemetry.otlp.as_ref().map(|otlp| Sampler::new(otlp.sample).unwrap()));
    parts
}

impl World {
    /// Everything in this process, on one data plane.
    pub(crate) fn local(config: &str) -> World {
        let (mesh, stage, seen) = (parse(config), Stage::new(), Seen::new());
        let plane = DataPlane::new(mesh.clone(), parts(&mesh, seen.observer())).unwrap();
        for name in programs(&mesh) {
            plane.serve_locally(name, program::router(name, &stage));
        }
        World::new("local", mesh, stage, seen, vec![plane], None)
    }

    /// The programs on sockets behind `sidecars` proxies, the callers on a data plane of their own.
    pub(crate) async fn remote(config: &str, sidecars: usize) -> World {
        let (mut mesh, stage, seen) = (parse(config), Stage::new(), Seen::new());
        let remote = Remote::start(&mut mesh, sidecars, &stage, &seen).await;
        let callers = DataPlane::new(mesh.clone(), parts(&mesh, seen.observer())).unwrap();
        let planes = [callers].into_iter().chain(remote.planes()).collect();
        World::new("remote", mesh, stage, seen, planes, Some(remote))
    }

    fn new(
        name: &'static str,
        mesh: Mesh,
        stage: Arc<Stage>,
        seen: Seen,
        planes: Vec<DataPlane>,
        remote: Option<Remote>,
    ) -> World {
        let credentials = |name: &str| credentials(remote.as_ref().map(Remote::authority), name);
        let theirs = planes.last().unwrap();
        let outbound = |name: &String| (name.clone(), theirs.outbound(name, credentials(name)));
        stage.connect(programs(&mesh).map(outbound).collect());
        World {
            name,
            stage,
            seen,
            answers: Mutex::default(),
            mesh: Mutex::new(mesh),
            callers: planes[0].clone(),
            planes,
            outbounds: Mutex::default(),
            remote,
        }
    }

    /// The outbound stack of `source`: always the same one.
    pub(crate) fn outbound(&self, source: &str) -> Outbound {
        let mut outbounds = self.outbounds.lock().unwrap();
        let make = || {
            let authority = self.remote.as_ref().map(Remote::authority);
            self.callers.outbound(source, credentials(authority, source))
        };
        outbounds.entry(source.to_owned()).or_insert_with(make).clone()
    }

    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask<'_> {
        Ask::new(self, method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    /// Puts a changed configuration in force everywhere.
    ///
    /// Errors: it was refused; the one before is still in force.
    pub(crate) fn apply(&self, change: impl Fn(&mut Mesh)) -> Result<()> {
        let mut mesh = self.mesh.lock().unwrap();
        let mut next = mesh.clone();
        change(&mut next);
        for plane in self.planes.iter().rev() {
            plane.apply(next.clone())?;
        }
        *mesh = next;
        Ok(())
    }

    /// Every event so far must be one of `expected`, and every one of them must come; see [`seen::expected`].
    pub(crate) async fn told(&self, expected: &str) {
        let expected = seen::expected(expected);
        if !self.seen.until(|seen| seen.lines() == expected).await {
            let [seen, expected] = [self.seen.lines(), expected].map(|lines| seen::folded(&lines));
            assert_eq!(seen, expected, "events of the {} world", self.name);
        }
    }

    /// These events must come, whatever else does.
    pub(crate) async fn told_among_others(&self, expected: &str) {
        for expected in seen::expected(expected) {
            let told = |seen: &Seen| seen.lines().contains(&expected);
            assert!(self.seen.until(told).await, "no {expected:?} in the {} world", self.name);
        }
    }

    /// The exchanges, once there are `count`.
    pub(crate) async fn exchanges(&self, count: usize) -> Vec<Exchange> {
        assert!(self.seen.until(|seen| seen.exchanges().len() == count).await, "in the {} world", self.name);
        self.seen.exchanges()
    }

    fn answers(&self) -> Vec<String> {
        let mut answers = self.answers.lock().unwrap().clone();
        answers.sort_unstable();
        answers
    }
}

/// Who a caller can prove to be; nothing is proven within a process.
fn credentials(authority: Option<&Authority>, name: &str) -> Option<Credentials> {
    authority.map(|authority| authority.credentials(name))
}
