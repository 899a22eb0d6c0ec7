//! Where a request came from and under which address we were called: believed only as far as configured.

use std::net::{IpAddr, SocketAddr};

use base::error::BAD_REQUEST;
use base::serve::RemoteAddr;
use base::{Error, Request, Result};
use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use url::Url;

use crate::config::{Block, Config};

/// What is known of the client.
pub(crate) struct Client {
    /// Its address; behind trusted proxies the first one that none of them is.
    pub(crate) ip: Option<IpAddr>,
    /// `http` or `https`, as the client spoke it.
    pub(crate) scheme: &'static str,
    /// The host it asked for, in the one spelling of [`host`].
    pub(crate) host: Option<Authority>,
}

pub(crate) struct Origins {
    trusted: Vec<Block>,
    public_url: Option<Url>,
    domain: String,
}

impl Origins {
    pub(crate) fn new(config: &Config) -> Origins {
        let domain = config.domain.trim_end_matches('.').to_ascii_lowercase();
        Origins { trusted: config.trusted_proxies.clone(), public_url: config.public_url.clone(), domain }
    }

    /// Errors: 400 for a host that cannot be told.
    pub(crate) fn client(&self, request: &Request) -> Result<Client> {
        let remote = request.extensions().get::<RemoteAddr>().map(|RemoteAddr(addr)| addr.ip());
        let headers = request.headers();
        let behind_proxy = remote.is_some_and(|ip| self.trusts(ip));
        let scheme = headers.get("x-forwarded-proto").filter(|_| behind_proxy);
        Ok(Client {
            ip: if behind_proxy { self.forwarded_for(headers).or(remote) } else { remote },
            scheme: if scheme.is_some_and(|scheme| scheme == "https") { "https" } else { "http" },
            host: host(request)?,
        })
    }

    /// The address that links start with. Another host than a loopback one, or a project's below our domain, is not
    /// believed: whoever asks for a password reset must not choose where its link points. Without a better one links
    /// lead to this machine, until `--public-url` says where it is; everything else works meanwhile.
    pub(crate) fn public(&self, client: &Client) -> String {
        if let Some(url) = &self.public_url {
            let mut url = url.clone();
            // a link without a key finds its project by the host, if that is where the public address leads
            let leads_here = url.host_str().is_some_and(|host| self.is_ours(host));
            let of_project = client.host.as_ref().filter(|host| self.is_of_a_project(host.host()));
            if let Some(host) = of_project.filter(|_| leads_here) {
                let _ = url.set_host(Some(host.host()));
            }
            return url.as_str().trim_end_matches('/').to_owned();
        }
        match client.host.as_ref().filter(|host| is_loopback(host.host())) {
            Some(host) => format!("{}://{host}", client.scheme),
            None => "http://localhost".to_owned(),
        }
    }

    /// Whether it is one label below our domain.
    fn is_of_a_project(&self, host: &str) -> bool {
        let label = host.strip_suffix(self.domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }

    /// Whether what is below our domain leads to where `host` does.
    fn is_ours(&self, host: &str) -> bool {
        let above = host.strip_suffix(self.domain.as_str());
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            || (is_loopback(host) && is_loopback(&self.domain))
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

/// The one host that the request names, the request line's if it has one: in lower case, without the root's dot and
/// without a user. Whoever decides by host asks here, so that no two of us read the same request differently.
///
/// Errors: 400 for more than one `Host`, or one that is no host (RFC 9112 §3.2).
fn host(request: &Request) -> Result<Option<Authority>> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (header, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(bad_host());
    }
    let named = match (request.uri().authority(), header) {
        (Some(authority), _) => authority.clone(),
        (None, Some(header)) if !header.is_empty() => {
            Authority::try_from(header.as_bytes()).map_err(|_| bad_host())?
        }
        (None, _) => return Ok(None),
    };
    let name = named.host().trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() {
        return Err(bad_host());
    }
    let plain = named.port_u16().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    plain.parse().map(Some).map_err(|_| bad_host())
}

fn bad_host() -> Error {
    BAD_REQUEST.error("the request names no single host")
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

        let client = origins(&["10.0.0.0/8"]).client(&request).unwrap();

        assert_eq!(client.ip, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(client.scheme, "http");
    }

    #[test]
    fn behind_trusted_proxies_the_first_stranger_from_the_right_is_the_client() {
        let forwarded =
            [("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.0.0.2"), ("x-forwarded-proto", "https")];

        let client = origins(&["10.0.0.0/8"]).client(&request("10.0.0.1", &forwarded)).unwrap();

        assert_eq!(client.ip, Some("198.51.100.7".parse().unwrap()));
        assert_eq!(client.scheme, "https");
    }

    #[test]
    fn a_host_has_one_spelling() {
        let named = |value: &str| host(&request("127.0.0.1", &[("host", value)])).map(|host| host.unwrap());

        for spelling in
            ["shop.localhost:80", "shop.LOCALHOST:80", "Shop.localhost.:80", "me@shop.localhost..:80"]
        {
            assert_eq!(named(spelling).unwrap(), "shop.localhost:80", "{spelling}");
        }
        assert_eq!(named("[::1]:80").unwrap(), "[::1]:80");
        for bad in [".", "a b", "a/b", ":80"] {
            assert_eq!(named(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert!(host(&request("127.0.0.1", &[])).unwrap().is_none());
        let two = request("127.0.0.1", &[("host", "a.localhost"), ("host", "b.localhost")]);
        assert_eq!(host(&two).unwrap_err().status(), 400);
    }

    #[test]
    fn links_never_point_to_a_host_that_the_client_made_up() {
        let public = |host| {
            origins(&[]).public(&origins(&[]).client(&request("127.0.0.1", &[("host", host)])).unwrap())
        };

        assert_eq!(public("shop.localhost:54321"), "http://shop.localhost:54321");
        assert_eq!(public("127.0.0.1:54321"), "http://127.0.0.1:54321");
        assert_eq!(public("evil.example"), "http://localhost");
        assert_eq!(public("localhost.evil.example"), "http://localhost");
    }

    #[test]
    fn behind_a_public_address_a_project_keeps_its_host() {
        let config = Config {
            domain: "api.example".to_owned(),
            public_url: Some("https://api.example:8443/base/".parse().unwrap()),
            ..Config::default()
        };
        let origins = Origins::new(&config);
        let public = |host| origins.public(&origins.client(&request("10.0.0.1", &[("host", host)])).unwrap());

        assert_eq!(public("shop.api.example"), "https://shop.api.example:8443/base");
        for other in
            ["api.example", "evil.example", "shop.api.example.evil", "a.b.api.example", "xapi.example"]
        {
            assert_eq!(public(other), "https://api.example:8443/base", "{other}");
        }
    }

    #[test]
    fn a_public_address_elsewhere_than_our_domain_keeps_its_host() {
        for (public, link) in [
            ("https://api.example", "https://api.example"),
            ("https://notlocalhost", "https://notlocalhost"),
            ("http://127.0.0.1:5", "http://shop.localhost:5"),
            ("http://localhost:5", "http://shop.localhost:5"),
        ] {
            let public_url = Some(public.parse().unwrap());
            let origins = Origins::new(&Config { public_url, ..Config::default() });
            let client = origins.client(&request("10.0.0.1", &[("host", "shop.localhost")])).unwrap();

            assert_eq!(origins.public(&client), link, "{public}");
        }
    }
}
