//! Where a service's endpoints are: what may be told about them, and who tells it.

mod dns;
mod fixed;
mod follow;
mod kubernetes;
mod stable;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::stream::BoxStream;

use crate::observe::Name;

pub(crate) use dns::Dns;
pub(crate) use fixed::fixed;
pub(crate) use follow::follow;
pub(crate) use kubernetes::{Api, Kubernetes};
pub(crate) use stable::Stable;

/// Most endpoints of one service; what is told beyond is left out.
pub(crate) const MAX_ENDPOINTS: usize = 4096;

/// Tells where the endpoints of services are.
pub trait Resolve: Send + Sync {
    /// The endpoints of `service`, as whole sets: one at once, then one whenever something may have changed.
    ///
    /// An error means that it could not be found out, never that there are none.
    fn watch(&self, service: &str) -> BoxStream<'static, Result<Vec<Found>, String>>;
}

/// One endpoint as discovery tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is; what makes it the same endpoint from one set to the next.
    pub address: Address,
    /// The zone it is in, if that is known.
    pub zone: Option<Name>,
    /// Its share beside the others'; 0 counts as 1: whoever is told of is there for something (RFC 2782).
    pub weight: u32,
    /// Lower ones come first (RFC 2782); 0 where nobody says.
    pub priority: u16,
}

impl Found {
    /// An endpoint of weight 1 in no zone.
    pub fn at(address: Address) -> Found {
        Found { address, zone: None, weight: 1, priority: 0 }
    }
}

/// Where an endpoint is. Written `local`, `IP:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// In this process.
    Local,
    /// A TCP port.
    Tcp(SocketAddr),
    /// A UNIX socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Local => f.write_str("local"),
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads `IP:PORT` and `unix:PATH`. `local` is not for configurations: only the process knows what is in it.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err(format!("`{text}` names no socket")),
            Some(path) => Ok(Address::Unix(Arc::from(Path::new(path)))),
            None => text
                .parse()
                .map(Address::Tcp)
                .map_err(|_| format!("`{text}` is neither IP:PORT nor unix:PATH")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:80", "[::1]:443", "unix:/run/a.sock", "unix:relative.sock"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for text in ["", "local", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "unix:"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
