//! How one endpoint is reached: in this process, or by connections.

use std::sync::Arc;
use std::time::Duration;

use base::{Request, Response};

use super::Stack;
use crate::balance::Member;
use crate::connect::{Dialer, Failure, Host, Open, Transport};
use crate::discover::Found;
use crate::identity::Identity;
use crate::resource::{Kind, Protocol, Tls};
use crate::snapshot::Service;
use crate::{Cause, Inbound};

/// How an endpoint is reached.
pub(crate) enum Reach {
    /// It is in this process: the callee's inbound stack, with the caller's identity passed instead of proven.
    Local(Inbound),
    /// It is elsewhere.
    Remote(Box<Transport>),
}

impl Reach {
    pub(crate) async fn send(
        &self,
        source: &Identity,
        kind: Kind,
        host: &Host,
        mut request: Request,
    ) -> Result<Response, Failure> {
        match self {
            Reach::Local(inbound) => match kind {
                Kind::Upgrade { .. } => crate::upgrade::call(inbound, source, host, request).await,
                _ => {
                    // the callee knows its own host, not the one that was asked for
                    host.origin(&mut request);
                    inbound.call(source, request).await.map_err(|cause| match cause {
                        // why is the callee's to know
                        Cause::Cut => Cause::Reset.into(),
                        cause => cause.into(),
                    })
                }
            },
            Reach::Remote(transport) => transport.send(kind, host, request).await,
        }
    }

    /// What makes the way to an endpoint that was found; `None` if the caller has no identity to show and needs one.
    pub(super) fn maker(
        stack: &Arc<Stack>,
        service: &Service,
    ) -> Option<impl Fn(&Found) -> Reach + Clone + Send + Sync + 'static> {
        let secure = match service.cluster.tls {
            Tls::Off => None,
            Tls::Mutual => Some(stack.credentials.clone()?),
        };
        let (name, observer) = (service.name.clone(), stack.plane().parts.observer.clone());
        let (protocol, connections) = (service.cluster.protocol, service.cluster.concurrency.connections);
        Some(move |found: &Found| {
            let (secure, observer) = (secure.clone(), observer.clone());
            let dialer =
                Dialer::new(found.address.clone(), name.clone(), secure, observer, Open::new(connections));
            Reach::Remote(Box::new(Transport::new(dialer, protocol)))
        })
    }
}

/// One probe of one endpoint.
pub(super) async fn probe(
    member: &Member<Reach>,
    path: Option<String>,
    host: &Host,
    timeout: Duration,
    protocol: Protocol,
) -> Result<(), String> {
    let Reach::Remote(transport) = member.target() else { return Ok(()) };
    let Some(path) = path.filter(|_| protocol != Protocol::Tcp) else {
        return transport.probe().await.map_err(|cause| cause.to_string());
    };
    let request = http::Request::get(path).body(base::Body::empty()).map_err(|error| error.to_string())?;
    let answer = transport.send(Kind::Unary { deadline: timeout }, host, request).await;
    match answer {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("status {}", response.status().as_u16())),
        Err(failure) => Err(failure.cause.to_string()),
    }
}
