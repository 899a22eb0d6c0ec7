//! What one proxy does: its listeners, the programs beside it, and their identities.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Protocol, millis};

/// One proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Where peers connect, over mutual TLS. Absent if no program here is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<SocketAddr>,
    /// The programs beside it.
    pub workloads: Vec<Workload>,
    /// The roots that peers' certificates are checked against: PEM files, read anew when they change.
    #[serde(default)]
    pub roots: Vec<PathBuf>,
    /// The roots of other trust domains, by their names: each speaks for its own domain alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub federated_roots: BTreeMap<String, Vec<PathBuf>>,
    /// The socket of `/config`, `/tap` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<PathBuf>,
    /// Where `/livez`, `/readyz` and `/startupz` are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<SocketAddr>,
    /// Where Prometheus reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// The file of the token that reading them takes: needed beyond loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<PathBuf>,
    /// Where this proxy is, for the preference of near endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long requests in flight may take when it stops.
    #[schemars(with = "u64")]
    #[serde(default = "ten_seconds", with = "millis", rename = "grace_ms")]
    pub grace: Duration,
    /// How long it goes on taking requests after it said that it stops, for those who still call.
    #[schemars(with = "u64")]
    #[serde(default = "one_second", with = "millis", rename = "lame_duck_ms")]
    pub lame_duck: Duration,
    /// The control plane that steers it; absent for a lone proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// Threads that carry requests.
    #[serde(default = "one")]
    pub workers: usize,
}

/// Where a proxy finds its control plane, and what it keeps of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its replicas, `host:port`, over mutual TLS.
    pub addresses: Vec<String>,
    /// The doors for workloads without a certificate, `host:port`.
    #[serde(default)]
    pub join: Vec<String>,
    /// The folder of the workloads' keys, certificates and last good configuration.
    pub state: PathBuf,
    /// Where peers find this proxy, if it is not the address under which it reaches the control plane and `inbound`'s port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<SocketAddr>,
}

/// One program beside the proxy, with an identity of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The service that it is: its identity is `spiffe://<trust domain>/<service>`.
    pub service: String,
    /// Where the program listens. Absent if it only calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Listen>,
    /// Where it takes its calls to others.
    #[serde(default)]
    pub outbound: Vec<OutboundListener>,
    /// Its certificate chain, a PEM file that is read anew when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The file of the token that it joins the control plane with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<PathBuf>,
    /// When the program is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
}

/// Where a program hands its calls to the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundListener {
    /// The socket. One that is not on a UNIX socket must be on loopback.
    pub listen: Listen,
    /// What is spoken on it.
    #[serde(default)]
    pub protocol: Protocol,
    /// The one service behind it, whatever host is asked for; needed for `tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A UNIX socket or a TCP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `ip:port`.
    Tcp(SocketAddr),
}

/// When a program counts as started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It accepts connections: where it listens, or where this says.
    Tcp(Option<Listen>),
    /// It answers 2xx at this path.
    Http(String),
    /// This command, run by a shell, ends with 0.
    Exec(String),
}

impl Ready {
    /// Whether it can only be told of a program of which it is known where it listens.
    pub fn needs_place(&self) -> bool {
        matches!(self, Ready::Tcp(None) | Ready::Http(_))
    }
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Listen, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs a path".to_owned()),
            Some(path) => Ok(Listen::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Listen::Tcp)
                .map_err(|_| format!("{text} is neither unix:PATH nor an address")),
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Tcp(addr) => write!(f, "{addr}"),
        }
    }
}

impl FromStr for Ready {
    type Err = String;
    fn from_str(text: &str) -> Result<Ready, String> {
        match text.split_once(':') {
            None if text == "tcp" => Ok(Ready::Tcp(None)),
            Some(("tcp", place)) => Ok(Ready::Tcp(Some(place.parse()?))),
            Some(("http", path)) if path.starts_with('/') => Ok(Ready::Http(path.to_owned())),
            Some(("exec", command)) if !command.is_empty() => Ok(Ready::Exec(command.to_owned())),
            _ => Err(format!("{text} is none of tcp, tcp:ADDR, http:/PATH, exec:COMMAND")),
        }
    }
}

impl std::fmt::Display for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ready::Tcp(None) => f.write_str("tcp"),
            Ready::Tcp(Some(place)) => write!(f, "tcp:{place}"),
            Ready::Http(path) => write!(f, "http:{path}"),
            Ready::Exec(command) => write!(f, "exec:{command}"),
        }
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}
as_text!(Listen);
as_text!(Ready);

impl Default for Sidecar {
    fn default() -> Sidecar {
        Sidecar {
            inbound: None,
            workloads: Vec::new(),
            roots: Vec::new(),
            federated_roots: BTreeMap::new(),
            admin: None,
            probes: None,
            metrics: None,
            metrics_token: None,
            zone: None,
            grace: ten_seconds(),
            lame_duck: one_second(),
            control: None,
            workers: one(),
        }
    }
}

fn one() -> usize {
    1
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
