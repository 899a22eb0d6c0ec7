//! One workload's stream from its first line to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use base::error::OrInternal;
use base::{Body, Response, Result};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use mesh::identity::Identity;
use mesh::steer::{
    ALIVE_EVERY, FromControl, FromProxy, LineBuffer, MAX_SAID_BYTES, Presence, Resource, SILENCE,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::Control;
use crate::doors::Peer;
use crate::said::checked;
use crate::store::Registration;
use crate::view::view;
use crate::world::pushed;

/// Lines that wait to be sent to a workload that does not read.
const QUEUE: usize = 8;
/// What operators want of a workload that does not read.
const ASKS: usize = 8;
/// How soon an endpoint is forgotten whose stream broke off and that no other replica hears of.
const BROKEN_OFF: Duration = Duration::from_secs(5);

/// Why a stream of who is denied ends.
const DENIED: &str = "its identity is denied";

/// Numbers of streams, so that an old one of a process is not taken for its new one.
static STREAMS: AtomicU64 = AtomicU64::new(0);

/// Begins a stream.
pub(crate) async fn begin(
    State(control): State<Control>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Body,
) -> Result<Response> {
    let (sender, receiver) = mpsc::channel::<Bytes>(QUEUE);
    let (service, buffer) = (peer.service().to_owned(), LineBuffer::up_to(MAX_SAID_BYTES));
    let lines = Lines { control: control.clone(), service, body, buffer };
    let following = control.clone();
    control.spawn(async move {
        if let Err(reason) = Stream::follow(following, peer.clone(), lines, sender).await {
            tracing::info!(workload = peer.service(), reason, "a stream ended");
        }
    });
    let told = stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), receiver))
    });
    http::Response::builder()
        .header(http::header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::from_stream(told))
        .or_internal()
}

/// What the workload says, line by line.
struct Lines {
    control: Control,
    service: String,
    body: Body,
    buffer: LineBuffer,
}

impl Lines {
    /// `None` at the end.
    async fn next(&mut self) -> Result<Option<FromProxy>, String> {
        loop {
            if let Some(line) = self.buffer.take()? {
                let said =
                    serde_json::from_slice(&line).map_err(|error| format!("not understood: {error}"))?;
                return checked(&self.service, &self.control.0.worlds.now(), said).map(Some);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => self.buffer.add(frame.data_ref().map_or(&[], |bytes| &bytes[..])),
            }
        }
    }
}

/// A push that is not answered yet.
struct Pending {
    nonce: u64,
    revision: i64,
    set: BTreeMap<String, String>,
    removed: BTreeSet<String>,
}

struct Stream {
    control: Control,
    peer: Identity,
    instance: String,
    /// Which of the process's streams this is.
    number: u64,
    sender: mpsc::Sender<Bytes>,
    /// What operators want of it.
    asked: mpsc::Receiver<FromControl>,
    /// The version of each resource that is in force there.
    holds: BTreeMap<String, String>,
    /// The version of each resource that it cannot have in force.
    refused: BTreeMap<String, String>,
    needs: BTreeSet<String>,
    presence: Option<Presence>,
    pending: Option<Pending>,
    nonce: u64,
}

impl Stream {
    async fn follow(
        control: Control,
        peer: Identity,
        mut lines: Lines,
        sender: mpsc::Sender<Bytes>,
    ) -> Result<(), String> {
        let first = timeout(SILENCE, lines.next()).await.map_err(|_| "it said nothing".to_owned())??;
        let Some(FromProxy::Hello { instance, versions }) = first else {
            return Err("it did not begin with a hello".to_owned());
        };
        if is_denied(&control, &peer) {
            return Err(DENIED.to_owned());
        }
        let number = STREAMS.fetch_add(1, Ordering::Relaxed);
        let (asks, asked) = mpsc::channel(ASKS);
        // who looks already sees this one too
        for tap in control.0.taps.asked() {
            let _ = asks.try_send(tap);
        }
        control.0.proxies.begin(peer.service(), &instance, number, asks);
        let mut stream = Stream {
            control,
            peer,
            instance,
            number,
            sender,
            asked,
            holds: versions,
            refused: BTreeMap::new(),
            needs: BTreeSet::new(),
            presence: None,
            pending: None,
            nonce: 0,
        };
        let ended = stream.run(&mut lines).await;
        stream.end().await;
        ended
    }

    async fn run(&mut self, lines: &mut Lines) -> Result<(), String> {
        let mut changes = self.control.0.worlds.changes();
        let mut ticks = interval(ALIVE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        // the first push is sent even if nothing of it is news: then the workload knows that it has everything
        let mut is_due = true;
        let mut astray = self.control.0.astray.subscribe();
        loop {
            if is_denied(&self.control, &self.peer) {
                return Err(DENIED.to_owned());
            }
            if is_due && self.pending.is_none() {
                is_due = false;
                self.push().await?;
            }
            tokio::select! {
                said = lines.next() => {
                    heard_at = Instant::now();
                    match said? {
                        None => return Ok(()),
                        Some(said) => is_due |= self.hear(said).await?,
                    }
                }
                changed = changes.changed() => {
                    changed.map_err(|_| "the control plane stops".to_owned())?;
                    is_due = true;
                }
                Some(ask) = self.asked.recv() => self.say(&ask).await?,
                Ok(()) = astray.changed() => {
                    return Err("the store is out of reach here: another replica may reach it".to_owned());
                }
                now = ticks.tick() => {
                    if heard_at + SILENCE < now {
                        return Err(format!("it was silent for {} s", SILENCE.as_secs()));
                    }
                    self.say(&FromControl::Alive).await?;
                }
            }
        }
    }

    /// Whether there may be something to push now.
    async fn hear(&mut self, said: FromProxy) -> Result<bool, String> {
        match said {
            FromProxy::Alive => Ok(false),
            FromProxy::Hello { .. } => Err("it said hello twice".to_owned()),
            FromProxy::Ack { nonce } => Ok(self.answered(nonce, BTreeMap::new())),
            FromProxy::Nack { nonce, rejected } => Ok(self.answered(nonce, rejected)),
            FromProxy::Needs { services } => Ok(std::mem::replace(&mut self.needs, services) != self.needs),
            FromProxy::Serves(presence) => {
                self.serves(presence).await;
                Ok(false)
            }
            FromProxy::Leaves => self.leaves().await.map(|()| false),
            FromProxy::Saw(summary) => {
                self.control
                    .0
                    .proxies
                    .change(self.peer.service(), &self.instance, |proxy| proxy.saw(summary));
                Ok(false)
            }
            FromProxy::Tapped { tap, lines } => {
                self.control.0.taps.show(tap, self.peer.service(), &self.instance, lines);
                Ok(false)
            }
        }
    }

    fn answered(&mut self, nonce: u64, rejected: BTreeMap<String, String>) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.nonce == nonce) else { return false };
        for (key, version) in pending.set {
            match rejected.contains_key(&key) {
                true => self.refused.insert(key, version),
                false => {
                    self.refused.remove(&key);
                    self.holds.insert(key, version)
                }
            };
        }
        for key in &pending.removed {
            self.holds.remove(key);
            self.refused.remove(key);
        }
        for (key, reason) in &rejected {
            tracing::warn!(workload = self.peer.service(), key, reason, "a resource is not in force there");
        }
        self.control.0.proxies.change(self.peer.service(), &self.instance, |proxy| {
            proxy.rejected.extend(rejected);
            proxy.revision = pending.revision;
        });
        true
    }

    /// Pushes what differs from what is in force there.
    async fn push(&mut self) -> Result<(), String> {
        let world = self.control.0.worlds.now();
        let roots = pushed(&self.control.0.authority.bundle());
        let view = view(&world, &roots, self.peer.service(), &self.needs);
        // what was refused and is not wanted any more is no trouble any more
        self.refused
            .retain(|key, version| view.get(key).is_some_and(|resource| resource.version == *version));
        let refused = self.refused.clone();
        self.control.0.proxies.change(self.peer.service(), &self.instance, |proxy| {
            proxy.rejected.retain(|key, _| refused.contains_key(key));
        });
        let is_news = |(key, resource): &(&String, &Arc<Resource>)| {
            let version = Some(&resource.version);
            self.holds.get(*key) != version && self.refused.get(*key) != version
        };
        let set: BTreeMap<String, Resource> = view
            .iter()
            .filter(is_news)
            .map(|(key, resource)| (key.clone(), Resource::clone(resource)))
            .collect();
        let removed: BTreeSet<String> =
            self.holds.keys().filter(|key| !view.contains_key(*key)).cloned().collect();
        if set.is_empty() && removed.is_empty() && self.nonce > 0 {
            self.control.0.proxies.change(self.peer.service(), &self.instance, |proxy| {
                proxy.revision = world.applied.revision;
            });
            return Ok(());
        }
        self.nonce += 1;
        let versions = set.iter().map(|(key, resource)| (key.clone(), resource.version.clone())).collect();
        let nonce = self.nonce;
        self.pending = Some(Pending {
            nonce,
            revision: world.applied.revision,
            set: versions,
            removed: removed.clone(),
        });
        self.say(&FromControl::Push { nonce, set, removed, complete: true }).await
    }

    async fn serves(&mut self, presence: Presence) {
        let (service, instance) = (self.peer.service().to_owned(), self.instance.clone());
        self.presence = Some(presence.clone());
        let told = Some(presence.clone());
        self.control.0.proxies.change(&service, &instance, |proxy| proxy.presence = told);
        let registration = Registration { service, instance, presence };
        let (replica, lease) = (self.control.0.replica, self.control.lease().as_secs_f64());
        if let Err(error) = self.control.0.store.register(&registration, replica, lease).await {
            // it is tried again with the leases
            tracing::warn!(error = %base::error::chain(&error), "an endpoint is not registered yet");
        }
    }

    async fn leaves(&mut self) -> Result<(), String> {
        // it may have said where it is over another stream
        self.presence = None;
        let (service, instance) = (self.peer.service(), &self.instance);
        self.control.0.proxies.change(service, instance, |proxy| proxy.presence = None);
        let gone = self.control.0.store.deregister(service, instance).await;
        gone.map_err(|error| base::error::chain(&error))?;
        self.say(&FromControl::Left).await
    }

    async fn say(&self, said: &FromControl) -> Result<(), String> {
        let mut line = serde_json::to_vec(said).map_err(|error| error.to_string())?;
        line.push(b'\n');
        let sent = timeout(SILENCE, self.sender.send(line.into())).await;
        sent.map_err(|_| "it does not read".to_owned())?.map_err(|_| "it is gone".to_owned())
    }

    /// An endpoint whose stream broke off is forgotten soon, unless it begins another one.
    async fn end(&mut self) {
        let (service, instance) = (self.peer.service().to_owned(), self.instance.clone());
        let is_last = self.control.0.proxies.end(&service, &instance, self.number);
        if is_last && self.presence.is_some() && !self.control.0.ended.is_cancelled() {
            let (replica, within) = (self.control.0.replica, BROKEN_OFF.as_secs_f64());
            let shortened = self.control.0.store.shorten(&service, &instance, replica, within).await;
            if let Err(error) = shortened {
                tracing::debug!(error = %base::error::chain(&error), "a lease is not shortened");
            }
        }
    }
}

fn is_denied(control: &Control, peer: &Identity) -> bool {
    control.0.worlds.now().denied.iter().any(|denied| denied == peer.as_str())
}
