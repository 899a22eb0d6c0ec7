//! Connections for bytes: policy and limits are asked once, and policy again whenever it changes.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Inbound;
use super::live::Live;
use crate::Cause;
use crate::identity::Identity;
use crate::observe::{Event, Side};
use crate::outbound::NEVER;
use crate::resource::Kind;
use crate::sever::Shears;
use crate::splice::Joint;

impl Inbound {
    /// Joins the connection of `peer` with the program, for services that speak no HTTP. Why not is an event.
    pub(crate) async fn tunnel(
        &self,
        peer: &Identity,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
        shears: &Shears,
    ) {
        if let Err(cause) = self.joined(peer, io, shears).await {
            self.0.plane.0.observe(&Event::ConnectionFailed {
                side: Side::Inbound,
                source: self.name_of(peer),
                destination: self.0.name.clone(),
                cause,
            });
        }
    }

    async fn joined(
        &self,
        peer: &Identity,
        io: impl AsyncRead + AsyncWrite + Send + 'static,
        shears: &Shears,
    ) -> Result<(), Cause> {
        let stack = &*self.0;
        let service = stack.plane.0.snapshot().service(&stack.name).cloned().ok_or(Cause::NotAllowed)?;
        let live = Live::connection();
        let route = service.routes().first().ok_or(Cause::NotAllowed)?;
        let Kind::Tcp { idle } = route.kind else { return Err(Cause::NotAllowed) };
        if !self.allows(&service, peer, &live.head()) {
            return Err(Cause::NotAllowed);
        }
        let _held = self.limited(&service, route, peer, &live.head(), None).map_err(|_| Cause::Overloaded)?;
        let _under_way = stack.under_way.token();
        let program = stack.program.open().await?;
        let (side, destination) = (Side::Inbound, stack.name.clone());
        let joint = Joint { side, destination, idle, life: NEVER, cut: None };
        let joined = joint.carry(&stack.plane, io, program);
        tokio::pin!(joined);
        tokio::select! {
            () = &mut joined => {}
            () = self.denied(peer.clone(), live) => { shears.cut(); joined.await }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use base::{Clock, Random};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpListener;

    use super::*;
    use crate::connect::{Dialer, Open, Transport};
    use crate::discover::Address;
    use crate::inbound::Program;
    use crate::observe::Observer;
    use crate::resource::{Mesh, Protocol};
    use crate::{DataPlane, Parts};

    /// A service that says what it hears, one connection at a time; what was told of it.
    async fn echo() -> (Inbound, Arc<Mutex<Vec<&'static str>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let mesh = "trust_domain: t.local\nservices:\n  web: {}\n  echo:\n    protocol: tcp\n    callers: [web]\n    \
                    limits: [{ name: one, per: all, concurrent: 1 }]\n    routes: [{ kind: tcp, idle_ms: 60000 }]\n";
        let told = Arc::<Mutex<Vec<&'static str>>>::default();
        let seen = told.clone();
        let observer = Observer::new(move |event| seen.lock().unwrap().push(event.name()));
        let parts = Parts::new(observer, Clock::system(), &Random::system());
        let plane = DataPlane::new(Mesh::parse(mesh).unwrap(), parts).unwrap();
        let dialer = Dialer::new(address, "echo".into(), None, Observer::none(), Open::new(10));
        let program = Program::Socket(Box::new(Transport::new(dialer, Protocol::Http1)));
        (Inbound::new(plane, "echo", program), told)
    }

    /// The caller's end of a connection to `inbound`.
    fn connect(inbound: &Inbound, caller: &str) -> DuplexStream {
        let (near, far) = duplex(1024);
        let (inbound, peer) = (inbound.clone(), Identity::new("t.local", caller));
        tokio::spawn(async move {
            let shears = Shears::default();
            let far = shears.around(far);
            inbound.tunnel(&peer, far, &shears).await;
        });
        near
    }

    async fn is_open(connection: &mut DuplexStream) -> bool {
        let mut heard = [0; 2];
        connection.write_all(b"hi").await.is_ok() && connection.read_exact(&mut heard).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_is_held_to_the_services_limits() {
        let (inbound, told) = echo().await;
        let mut first = connect(&inbound, "web");
        assert!(is_open(&mut first).await);

        assert!(!is_open(&mut connect(&inbound, "web")).await);
        assert!(["limited", "connection_failed"].iter().all(|name| told.lock().unwrap().contains(name)));

        first.shutdown().await.unwrap();
        first.read_to_end(&mut Vec::new()).await.unwrap();
        // its place is given back once the tunnel's task has seen the end
        while !is_open(&mut connect(&inbound, "web")).await {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_may_not_connect_is_told_of() {
        let (inbound, told) = echo().await;

        assert!(!is_open(&mut connect(&inbound, "stranger")).await);

        let told = told.lock().unwrap();
        assert!(told.ends_with(&["denied", "connection_failed"]), "{told:?}");
    }
}
