//! Connections for bytes: an endpoint is chosen once, for the connection's whole life.

use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::call::NEVER;
use super::{Cluster, Outbound, Reach, Stack};
use crate::Cause;
use crate::balance::{Outcome, Pick};
use crate::connect::Counted;
use crate::matching::Head;
use crate::observe::{Event, Name, Side};
use crate::resource::{Kind, Tls};
use crate::snapshot::Service;
use crate::splice::Joint;

impl Outbound {
    /// Joins `io` with an endpoint of `service` until one side ends, nothing moves for the route's idle time, nobody
    /// talks to the service any more, or it could not be reached. Why not is an event.
    pub async fn tunnel(
        &self,
        service: &str,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<(), Cause> {
        let stack = &self.0;
        let outcome = stack.tunnel(service, io).await;
        if let Err(cause) = outcome {
            let (source, destination) = (stack.source.clone(), service.into());
            let side = Side::Outbound;
            stack.plane().observe(&Event::ConnectionFailed { side, source, destination, cause });
        }
        outcome
    }
}

impl Stack {
    async fn tunnel(
        self: &Arc<Stack>,
        service: &str,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<(), Cause> {
        let service = self.service(service).ok_or(Cause::NotAllowed)?;
        let Some(Kind::Tcp { idle }) = service.routes().first().map(|route| route.kind) else {
            return Err(Cause::NotAllowed);
        };
        if service.is_denied {
            return Err(Cause::NotAllowed);
        }
        if service.spec.tls == Tls::Off {
            let (method, headers) = (Method::CONNECT, HeaderMap::new());
            let head = Head { host: "", method: &method, path: "/", query: None, headers: &headers };
            self.judge(&service, &head)?;
        }
        let cluster = self.cluster(&service).ok_or(Cause::NoEndpoint)?;
        let until = Instant::now() + cluster.spec.concurrency.wait;
        let place =
            cluster.gate.enter(None, until).await.map_err(|reason| self.shed(&service.name, reason))?;
        let (pick, upstream) = reach(&cluster, &service, until).await?;
        let (side, destination) = (Side::Outbound, service.name.clone());
        let joint = Joint { side, destination, idle, life: NEVER, cut: Some(cluster.cut.clone()) };
        joint.carry(&self.plane, io, upstream).await;
        drop((pick, place));
        Ok(())
    }
}

/// A connection to an endpoint. Nothing has moved yet, so others may be tried after one that cannot be reached.
async fn reach(
    cluster: &Cluster,
    service: &Service,
    until: Instant,
) -> Result<(Pick<Reach>, Counted), Cause> {
    let mut avoid: Vec<Name> = Vec::new();
    for _ in 0..=service.routes()[0].spec.retry.attempts {
        let mut pick = cluster.pick(None, &avoid, until).await.ok_or(Cause::NoEndpoint)?;
        let started = Instant::now();
        let opened = open(pick.target()).await;
        let outcome = match opened {
            Ok(_) => Outcome::Success,
            Err(Cause::Overloaded) => Outcome::Overload { retry_after: None },
            Err(_) => Outcome::Unreachable,
        };
        pick.finish(outcome, started.elapsed(), Instant::now());
        match opened {
            Ok(upstream) => return Ok((pick, upstream)),
            Err(_) => avoid.push(pick.key().clone()),
        }
    }
    Err(Cause::Unreachable)
}

async fn open(reach: &Reach) -> Result<Counted, Cause> {
    match reach {
        Reach::Local(_) => Err(Cause::Unreachable),
        Reach::Remote(transport) => transport.open().await,
    }
}
