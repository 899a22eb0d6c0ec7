//! Connections for bytes: an endpoint is chosen once, for the connection's whole life.

use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::call::NEVER;
use super::{Outbound, Reach};
use crate::Cause;
use crate::balance::Outcome;
use crate::io::Io;
use crate::matching::Head;
use crate::observe::{Name, Side};
use crate::resource::{Kind, Tls};
use crate::splice::splice;

impl Outbound {
    /// Joins `io` with an endpoint of `service` until one side ends, nothing moves for the route's idle time, or it
    /// could not be reached.
    pub async fn tunnel(
        &self,
        service: &str,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
    ) -> Result<(), Cause> {
        let stack = &self.0;
        let service = stack.service(service).ok_or(Cause::NotAllowed)?;
        let Some(Kind::Tcp { idle }) = service.routes().first().map(|route| route.kind) else {
            return Err(Cause::NotAllowed);
        };
        if service.is_denied {
            return Err(Cause::NotAllowed);
        }
        if service.spec.tls == Tls::Off {
            let (method, headers) = (Method::CONNECT, HeaderMap::new());
            let head = Head { host: "", method: &method, path: "/", query: None, headers: &headers };
            stack.judge(&service, &head)?;
        }
        let cluster = stack.cluster(&service).ok_or(Cause::NoEndpoint)?;
        let until = Instant::now() + cluster.spec.concurrency.wait;
        let place =
            cluster.gate.enter(None, until).await.map_err(|reason| stack.shed(&service.name, reason))?;
        let mut avoid: Vec<Name> = Vec::new();
        let attempts = service.routes()[0].spec.retry.attempts;
        // nothing has moved yet, so every endpoint may be tried
        for _ in 0..=attempts {
            let mut pick = cluster.pick(None, &avoid, until).await.ok_or(Cause::NoEndpoint)?;
            let started = Instant::now();
            match open(pick.target()).await {
                Ok(upstream) => {
                    pick.finish(Outcome::Success, started.elapsed(), Instant::now());
                    let ended = splice(io, upstream, idle, NEVER).await;
                    stack.plane().observe(&ended.event(Side::Outbound, service.name.clone()));
                    drop((pick, place));
                    return Ok(());
                }
                Err(_) => {
                    pick.finish(Outcome::Unreachable, started.elapsed(), Instant::now());
                    avoid.push(pick.key().clone());
                }
            }
        }
        Err(Cause::Unreachable)
    }
}

async fn open(reach: &Reach) -> Result<Io, Cause> {
    match reach {
        Reach::Local(_) => Err(Cause::Unreachable),
        Reach::Remote(transport) => transport.open().await,
    }
}
