//! A project as one service sees it: where its database is, which keys prove a caller, how it is set up.

use std::fmt;
use std::str::FromStr;

use base::{Secret, error};
use jsonwebtoken::jwk::Jwk;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

/// The name a project has in hosts, headers and keys: 1 to 40 of `a-z 0-9 -`, not starting or ending with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectRef(String);

impl ProjectRef {
    /// The project that exists from the first start.
    pub fn default_project() -> ProjectRef {
        ProjectRef("default".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectRef {
    type Err = base::Error;
    fn from_str(text: &str) -> base::Result<ProjectRef> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let sized = (1..=40).contains(&text.len());
        if sized && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-') {
            Ok(ProjectRef(text.to_owned()))
        } else {
            Err(error::BAD_REQUEST.error("a project reference is 1 to 40 of a-z, 0-9 and -"))
        }
    }
}

impl TryFrom<String> for ProjectRef {
    type Error = base::Error;
    fn try_from(text: String) -> base::Result<ProjectRef> {
        text.parse()
    }
}

impl From<ProjectRef> for String {
    fn from(reference: ProjectRef) -> String {
        reference.0
    }
}

impl fmt::Display for ProjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A project's document, filtered by the platform to what the asking service may know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// Never changes, never reused: the first part of every cache and blob key.
    pub id: Uuid,
    /// The public name.
    pub reference: ProjectRef,
    /// Grows with every change of the document.
    pub version: i64,
    /// The asking service's own access to the project's database; the gateway has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Endpoint>,
    /// What proves a caller.
    pub keys: Keys,
    /// The asking service's section of the settings; read it with [`Document::settings`].
    #[serde(default)]
    pub settings: Value,
}

impl Document {
    /// The service's own settings; what is absent takes its default.
    pub fn settings<T: DeserializeOwned + Default>(&self) -> base::Result<T> {
        match &self.settings {
            Value::Null => Ok(T::default()),
            section => T::deserialize(section).map_err(|error| {
                error::INTERNAL.error("the project's settings cannot be read").caused_by(error)
            }),
        }
    }
}

/// One service's login to a project's database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// A host name, or the folder of a UNIX socket if it starts with `/`.
    pub host: String,
    /// The port; for a UNIX socket it is part of the file's name.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The service's login role.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Whether TLS is required; UNIX sockets never use it.
    #[serde(default)]
    pub tls: bool,
    /// Settings of the data service's connections as `PGOPTIONS` has them, such as `-c search_path=app`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
}

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Endpoint {
    /// The libpq URL that [`Endpoint::parse`] reads as this; a socket's folder goes into the query, as libpq has it.
    pub fn url(&self) -> Secret {
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let Endpoint { host, port, database, user, password, tls, options } = self;
        let login = format!("{}:{}", encode(user), encode(password.expose()));
        let database = encode(database);
        if host.starts_with('/') {
            let options = if options.is_empty() { options } else { &format!("&options={}", encode(options)) };
            return Secret::new(format!(
                "postgresql://{login}@/{database}?host={}&port={port}{options}",
                encode(host)
            ));
        }
        let mut query = Vec::new();
        query.extend(tls.then(|| "sslmode=require".to_owned()));
        query.extend((!options.is_empty()).then(|| format!("options={}", encode(options))));
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        Secret::new(format!("postgresql://{login}@{host}:{port}/{database}{query}"))
    }

    /// Reads a `postgres://user:password@host:port/database` URL as libpq does; `?host=` may be a socket's folder.
    pub fn parse(url: &Secret) -> base::Result<Endpoint> {
        let wrong = |what: &str| error::BAD_REQUEST.error(format!("the database URL {what}"));
        // libpq allows a user without a host, URLs do not
        let text = url.expose().replacen("@/", "@localhost/", 1);
        let url = Url::parse(&text).map_err(|error| wrong("cannot be read").caused_by(error))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("does not start with postgres://"));
        }
        let query =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let port = query("port").and_then(|port| port.parse().ok()).or(url.port()).unwrap_or(5432);
        let host =
            query("host").or_else(|| url.host_str().filter(|host| !host.is_empty()).map(str::to_owned));
        let database = decode(url.path().trim_start_matches('/'));
        let user = if url.username().is_empty() { "postgres".to_owned() } else { decode(url.username()) };
        Ok(Endpoint {
            host: host.unwrap_or_else(|| "localhost".to_owned()),
            port,
            database: if database.is_empty() { user.clone() } else { database },
            user,
            password: Secret::new(decode(url.password().unwrap_or_default())),
            tls: matches!(query("sslmode").as_deref(), Some("require" | "verify-ca" | "verify-full")),
            options: query("options").unwrap_or_default(),
        })
    }
}

/// The keys that prove a caller of one project.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Public keys of user tokens, the signing one first.
    #[serde(default)]
    pub public: Vec<Jwk>,
    /// The shared secret: tokens without a key id are checked with it (HS256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Secret>,
    /// The gateway's public key: proves the 60 s role tokens that stand for `sb_…` keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Jwk>,
    /// The private key of user tokens. The auth service alone gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningKey>,
    /// Hashes of the project's API keys. The gateway alone gets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api: Vec<ApiKey>,
}

impl Keys {
    /// Whether there is any key that a caller's token could be checked with.
    pub fn prove_callers(&self) -> bool {
        !self.public.is_empty() || self.shared.is_some() || self.gateway.is_some()
    }
}

/// An ES256 private key with its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SigningKey {
    /// The `kid` of the tokens it signs.
    pub id: String,
    /// PKCS#8, PEM.
    pub pem: Secret,
}

/// An `sb_publishable_…` or `sb_secret_…` key, hashed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// SHA-256 of the key, lower-case hex.
    pub hash: String,
    /// The database role it stands for: `anon` or `service_role`.
    pub role: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_host_labels() {
        for good in ["default", "a", "shop-2"] {
            assert!(good.parse::<ProjectRef>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "ä", "a b", &"a".repeat(41)] {
            assert!(bad.parse::<ProjectRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_its_url() {
        let endpoint = Endpoint {
            host: "/run/a b".to_owned(),
            port: 7,
            database: "d/1".to_owned(),
            user: "u@x".to_owned(),
            password: Secret::new("p&?%:ä"),
            tls: false,
            options: "-c search_path=a,b".to_owned(),
        };

        for endpoint in
            [Endpoint { host: "db.example.com".to_owned(), tls: true, ..endpoint.clone() }, endpoint]
        {
            let read = Endpoint::parse(&endpoint.url()).unwrap();

            assert_eq!((read.host, read.port, read.database), (endpoint.host, 7, "d/1".to_owned()));
            assert_eq!(read.options, endpoint.options);
            assert_eq!(
                (read.user, read.password.expose(), read.tls),
                ("u@x".to_owned(), "p&?%:ä", endpoint.tls)
            );
        }
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        let read = |url: &str| {
            let e = Endpoint::parse(&Secret::new(url)).unwrap();
            (e.host, e.port, e.database, e.user, e.password.expose().to_owned())
        };
        let expect = |host: &str, port, database: &str, user: &str, password: &str| {
            (host.to_owned(), port, database.to_owned(), user.to_owned(), password.to_owned())
        };

        assert_eq!(read("postgres://u:p%40+w@h:6/d"), expect("h", 6, "d", "u", "p@+w"));
        assert_eq!(read("postgresql://u@h"), expect("h", 5432, "u", "u", ""));
        assert_eq!(read("postgresql:///d?host=/run/pg&port=7"), expect("/run/pg", 7, "d", "postgres", ""));
        assert_eq!(read("postgresql://u:p@/d?host=/run/pg"), expect("/run/pg", 5432, "d", "u", "p"));
        assert!(Endpoint::parse(&Secret::new("mysql://h")).is_err());
        assert!(Endpoint::parse(&Secret::new("nonsense")).is_err());
    }
}
