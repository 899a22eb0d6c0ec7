//! Where a request came from and under which address we were called: believed only as far as configured.

use std::net::{IpAddr, SocketAddr};

use base::Request;
use base::serve::RemoteAddr;
use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;

use crate::config::{Block, Config};

/// What is known of the client.
pub(crate) struct Client {
    /// Its address; behind trusted proxies the first one that none of them is.
    pub(crate) ip: Option<IpAddr>,
    /// `http` or `https`, as the client spoke it.
    pub(crate) scheme: &'static str,
    /// The host it asked for.
    pub(crate) host: Option<Authority>,
}

pub(crate) struct Origins {
    trusted: Vec<Block>,
    public_url: Option<String>,
}

impl Origins {
    pub(crate) fn new(config: &Config) -> Origins {
        let public_url = config.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
        Origins { trusted: config.trusted_proxies.clone(), public_url }
    }

    pub(crate) fn client(&self, request: &Request) -> Client {
        let remote = request.extensions().get::<RemoteAddr>().map(|RemoteAddr(addr)| addr.ip());
        let headers = request.headers();
        let behind_proxy = remote.is_some_and(|ip| self.trusts(ip));
        let scheme = headers.get("x-forwarded-proto").filter(|_| behind_proxy);
        Client {
            ip: if behind_proxy { self.forwarded_for(headers).or(remote) } else { remote },
            scheme: if scheme.is_some_and(|scheme| scheme == "https") { "https" } else { "http" },
            host: host(request),
        }
    }

    /// The address that links start with. Another host than a loopback one is not believed: whoever asks for a
    /// password reset must not choose where its link points.
    pub(crate) fn public(&self, client: &Client) -> Option<String> {
        if let Some(url) = &self.public_url {
            return Some(url.clone());
        }
        let host = client.host.as_ref().filter(|host| is_loopback(host.host()))?;
        Some(format!("{}://{host}", client.scheme))
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|block| block.holds(ip))
    }

    /// Read from the right: each trusted proxy vouches for the address before its own.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
        let addresses = hops.iter().rev().map_while(|hop| address(hop.trim()));
        let mut last = None;
        for ip in addresses {
            last = Some(ip);
            if !self.trusts(ip) {
                break;
            }
        }
        last
    }
}

fn address(hop: &str) -> Option<IpAddr> {
    let ip = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// The one host that the request names; the request line's if it has one.
fn host(request: &Request) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(one), None) => one.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// Whether a host name can only mean this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use base::Body;

    use super::*;

    fn origins(trusted: &[&str]) -> Origins {
        let trusted_proxies = trusted.iter().map(|block| block.parse().unwrap()).collect();
        Origins::new(&Config { trusted_proxies, ..Config::default() })
    }

    fn request(remote: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = http::Request::builder().uri("/");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(Body::empty()).unwrap();
        request.extensions_mut().insert(RemoteAddr(format!("{remote}:1").parse().unwrap()));
        request
    }

    #[test]
    fn forwarded_headers_of_strangers_are_not_believed() {
        let request =
            request("203.0.113.9", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);

        let client = origins(&["10.0.0.0/8"]).client(&request);

        assert_eq!(client.ip, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(client.scheme, "http");
    }

    #[test]
    fn behind_trusted_proxies_the_first_stranger_from_the_right_is_the_client() {
        let forwarded =
            [("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.0.0.2"), ("x-forwarded-proto", "https")];

        let client = origins(&["10.0.0.0/8"]).client(&request("10.0.0.1", &forwarded));

        assert_eq!(client.ip, Some("198.51.100.7".parse().unwrap()));
        assert_eq!(client.scheme, "https");
    }

    #[test]
    fn links_never_point_to_a_host_that_the_client_made_up() {
        let public =
            |host| origins(&[]).public(&origins(&[]).client(&request("127.0.0.1", &[("host", host)])));

        assert_eq!(public("shop.localhost:54321").as_deref(), Some("http://shop.localhost:54321"));
        assert_eq!(public("127.0.0.1:54321").as_deref(), Some("http://127.0.0.1:54321"));
        assert_eq!(public("evil.example"), None);
        assert_eq!(public("localhost.evil.example"), None);
    }
}
