//! Who a workload is: a SPIFFE id of the form `spiffe://<trust domain>/<service>`.

use std::fmt;

/// A workload's identity. In one process it is synthetic; between processes a certificate proves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    trust_domain: String,
    service: String,
}

impl Identity {
    /// The identity of `service` in `trust_domain`.
    pub fn new(trust_domain: impl Into<String>, service: impl Into<String>) -> Identity {
        Identity { trust_domain: trust_domain.into(), service: service.into() }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.trust_domain, self.service)
    }
}
