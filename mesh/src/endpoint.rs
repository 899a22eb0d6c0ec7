//! One instance of a service: in this process behind its inbound stack, or (with identities) elsewhere.

use base::{Request, Response};

use crate::identity::Identity;
use crate::inbound::Inbound;
use crate::outbound::Cause;
use crate::resource::Kind;

/// Where a call ends up.
#[derive(Clone)]
pub enum Endpoint {
    /// The callee's inbound stack in this process; the caller's identity is passed instead of proven.
    Local(Inbound),
}

impl Endpoint {
    /// Calls the endpoint as `source`.
    pub async fn call(&self, source: &Identity, kind: Kind, request: Request) -> Result<Response, Cause> {
        match self {
            Endpoint::Local(inbound) => match kind {
                Kind::Upgrade { .. } => crate::upgrade::call(inbound, source, request).await,
                _ => inbound.call(source, request).await,
            },
        }
    }
}
