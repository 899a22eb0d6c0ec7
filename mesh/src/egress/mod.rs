//! Hosts outside of the mesh: who may call which, and to which addresses that may lead.
//!
//! A program chooses the host, and whoever owns the name chooses its addresses. So both are checked: the name
//! against the rules, and every address that it leads to against what must not be reached from inside. What was
//! checked is what is connected to; the name is not looked up again.

mod guard;
mod host;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::{fmt, io};

pub(crate) use guard::{Forbidden, guard};

use self::host::Host;
use crate::cause::Cause;
use crate::matching::HostPattern;
use crate::resource::{Egress, Mesh};

/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// The hosts that each service may call; none otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct EgressRules(HashMap<Box<str>, Vec<Rule>>);

#[derive(Clone, Debug)]
struct Rule {
    host: Pattern,
    ports: Box<[u16]>,
    private: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    Name(HostPattern),
    Address(IpAddr),
}

impl EgressRules {
    /// Compiles the rules. One whose host is none, or is `*.` and a single label, allows nothing.
    pub(crate) fn compile(mesh: &Mesh) -> EgressRules {
        let mut rules: HashMap<Box<str>, Vec<Rule>> = HashMap::new();
        for egress in &mesh.egress {
            let Some(rule) = Rule::compile(egress) else { continue };
            for source in &egress.from {
                rules.entry(source.as_str().into()).or_default().push(rule.clone());
            }
        }
        EgressRules(rules)
    }

    /// Leave for `source`, a service of ours, to call `host`, a name or an address without port.
    ///
    /// Errors: [`EgressDenied::Host`] if it is neither, [`EgressDenied::NoRule`].
    pub(crate) fn allows(&self, source: &str, host: &str, port: u16) -> Result<Permit, EgressDenied> {
        let host = Host::parse(host).ok_or_else(|| EgressDenied::Host(host.to_owned()))?;
        let mut rules = self.0.get(source).into_iter().flatten();
        match rules.find(|rule| rule.ports.contains(&port) && rule.host.matches(&host)) {
            Some(rule) => Ok(Permit { private: rule.private, host, port }),
            None => Err(EgressDenied::NoRule { host: host.to_string(), port }),
        }
    }
}

impl Rule {
    fn compile(egress: &Egress) -> Option<Rule> {
        let host = match egress.host.strip_prefix("*.") {
            None => match Host::parse(&egress.host)? {
                Host::Address(address) => Pattern::Address(address),
                Host::Name(name) => Pattern::Name(HostPattern::compile(&name)),
            },
            Some(suffix) => match Host::parse(suffix)? {
                Host::Name(name) if name.contains('.') => {
                    Pattern::Name(HostPattern::compile(&format!("*.{name}")))
                }
                _ => return None,
            },
        };
        Some(Rule { host, ports: egress.ports.clone().into(), private: egress.private })
    }
}

impl Pattern {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Pattern::Name(pattern), Host::Name(name)) => pattern.matches(name),
            (Pattern::Address(ours), Host::Address(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// Leave to call one host at one port.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    host: Host,
    port: u16,
    private: bool,
}

impl Permit {
    /// The addresses to connect to, and no others. `lookup` finds those of a name; an address needs none.
    ///
    /// If one of them must not be reached, none is: a name that leads to both is somebody's trick.
    /// Errors: [`EgressDenied::Address`], [`EgressDenied::Lookup`].
    pub(crate) async fn resolve<F>(
        &self,
        lookup: impl FnOnce(String) -> F,
    ) -> Result<Vec<SocketAddr>, EgressDenied>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        let failed = |detail| EgressDenied::Lookup { host: self.host.to_string(), detail };
        let found = match &self.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => lookup(name.to_string()).await.map_err(|e| failed(e.to_string()))?,
        };
        if found.is_empty() {
            return Err(failed("the name has no address".to_owned()));
        }
        for address in &found {
            guard(*address, self.private)
                .map_err(|forbidden| EgressDenied::Address { host: self.host.to_string(), forbidden })?;
        }
        let addresses = found.iter().take(MAX_ADDRESSES);
        Ok(addresses.map(|address| SocketAddr::new(address.to_canonical(), self.port)).collect())
    }
}

/// Why a call out of the mesh is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EgressDenied {
    /// It is neither a name nor an address in its usual notation.
    Host(String),
    /// No rule lets the service call it.
    NoRule {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The host leads to an address that must not be reached.
    Address {
        /// The host.
        host: String,
        /// The address, and what it is.
        forbidden: Forbidden,
    },
    /// The host leads nowhere, or that cannot be found out.
    Lookup {
        /// The host.
        host: String,
        /// Why.
        detail: String,
    },
}

impl EgressDenied {
    /// What the caller is answered for.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            EgressDenied::Lookup { .. } => Cause::Unreachable,
            _ => Cause::NotAllowed,
        }
    }
}

impl fmt::Display for EgressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EgressDenied::Host(host) => write!(f, "{host:?} is neither a host name nor a plain address"),
            EgressDenied::NoRule { host, port } => write!(f, "no rule allows {host}:{port}"),
            EgressDenied::Address { host, forbidden } => write!(f, "{host} leads to {forbidden}"),
            EgressDenied::Lookup { host, detail } => write!(f, "{host} cannot be looked up: {detail}"),
        }
    }
}

impl std::error::Error for EgressDenied {}

#[cfg(test)]
mod tests;
