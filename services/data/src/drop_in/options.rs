//! PostgREST's options: which there are, what they are by default, and what they mean here.
//!
//! Source: docs.postgrest.org/en/v14/references/configuration.html and what version 16 added.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::db::Budget;
use common::project::{Endpoint, Keys};
use http::HeaderName;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};

use crate::given::Given;
use crate::settings::{Settings, TransactionEnd};

/// The options that are followed, besides those that are a project's.
const FOLLOWED: [&str; 17] = [
    "admin-server-host",
    "admin-server-port",
    "client-error-verbosity",
    "db-pool",
    "db-pool-acquisition-timeout",
    "db-pool-max-idletime",
    "db-uri",
    "jwt-secret",
    "jwt-secret-is-base64",
    "server-cors-allowed-origins",
    "server-host",
    "server-port",
    "server-trace-header",
    "server-unix-socket",
    // what they ask for is what is done anyhow
    "db-channel-enabled",
    "db-prepared-statements",
    "log-level",
];

/// Other names of the same.
const ALIASES: [(&str, &str); 8] = [
    ("db-schema", "db-schemas"),
    ("db-pool-timeout", "db-pool-max-idletime"),
    ("max-rows", "db-max-rows"),
    ("pre-request", "db-pre-request"),
    ("secret-is-base64", "jwt-secret-is-base64"),
    ("role-claim-key", "jwt-role-claim-key"),
    ("root-spec", "db-root-spec"),
    ("server-proxy-uri", "openapi-server-proxy-uri"),
];

/// A shared secret shorter than this is guessed too soon (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;

/// Where the service listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A host and a port.
    Tcp(String, u16),
    /// A socket's path.
    Unix(PathBuf),
}

/// Everything that the options say.
pub(crate) struct Options {
    pub(crate) database: Endpoint,
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    pub(crate) place: Place,
    /// Where it tells of itself.
    pub(crate) admin: Option<Place>,
    /// Pages that may read answers; all if empty.
    pub(crate) allowed_origins: Vec<String>,
    /// Whether errors say no more than they must.
    pub(crate) brief_errors: bool,
    /// A header that comes back with each answer.
    pub(crate) trace_header: Option<HeaderName>,
    /// Options that are not followed.
    pub(crate) ignored: Vec<String>,
}

impl Options {
    /// Reads options by their names. Values that begin with `@` are in the file that they name, where that is usual.
    ///
    /// Errors: which option cannot be, and why.
    pub(crate) fn of(given: BTreeMap<String, String>) -> Result<Options, String> {
        let named = |key: String| match ALIASES.iter().find(|(alias, _)| *alias == key) {
            Some((_, name)) => (*name).to_owned(),
            None => key,
        };
        let all = Given(given.into_iter().map(|(key, value)| (named(key), value)).collect());
        let is_followed = |key: &&String| FOLLOWED.contains(&key.as_str()) || Given::is_of_project(key);
        let ignored = all.0.keys().filter(|key| !is_followed(key)).cloned().collect();
        let url = Secret::new(all.content("db-uri")?.unwrap_or_else(|| "postgresql://".to_owned()));
        let database = Endpoint::parse(&url).map_err(|error| format!("db-uri: {}", error.message))?;
        let verbosities = [("verbose", false), ("minimal", true)];
        Ok(Options {
            database,
            keys: all.keys()?,
            settings: all.over(unless_said())?,
            budget: all.budget()?,
            place: all.place()?,
            admin: all.admin()?,
            allowed_origins: all.list("server-cors-allowed-origins").unwrap_or_default(),
            brief_errors: all.word("client-error-verbosity", &verbosities)?.unwrap_or(false),
            trace_header: all.trace_header()?,
            ignored,
        })
    }
}

/// What concerns the process alone.
impl Given {
    /// A value, or the content of the file that `@PATH` names.
    fn content(&self, key: &str) -> Result<Option<String>, String> {
        match self.text(key) {
            Some(text) => match text.strip_prefix('@') {
                Some(path) => {
                    let read = std::fs::read_to_string(path);
                    let content = read.map_err(|error| format!("{key}: cannot read {path}: {error}"))?;
                    Ok(Some(content.trim_end_matches(['\r', '\n']).to_owned()))
                }
                None => Ok(Some(text.to_owned())),
            },
            None => Ok(None),
        }
    }

    fn trace_header(&self) -> Result<Option<HeaderName>, String> {
        let Some(name) = self.text("server-trace-header") else { return Ok(None) };
        name.parse().map(Some).map_err(|_| format!("server-trace-header: {name} is no header's name"))
    }

    fn keys(&self) -> Result<Keys, String> {
        let Some(secret) = self.content("jwt-secret")? else { return Ok(Keys::default()) };
        if let Some(keys) = json_keys(&secret) {
            return Ok(keys);
        }
        let bytes = match self.truth("jwt-secret-is-base64")? {
            Some(true) => {
                let text = secret.replace('-', "+").replace('_', "/").replace('.', "=");
                STANDARD.decode(text).map_err(|_| "jwt-secret: it is not in Base64".to_owned())?
            }
            _ => secret.into_bytes(),
        };
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(format!("jwt-secret: it must have at least {MIN_SECRET_BYTES} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| "jwt-secret: it is not UTF-8".to_owned())?;
        Ok(Keys { shared: Some(Secret::new(text)), ..Keys::default() })
    }

    fn budget(&self) -> Result<Budget, String> {
        // one more listens for changes of the schema
        let connections = self.number::<u32>("db-pool")?.unwrap_or(10).saturating_add(1);
        let seconds =
            |key, default| Ok::<_, String>(Duration::from_secs(self.number(key)?.unwrap_or(default)));
        Ok(Budget {
            total: connections,
            per_project: connections,
            idle: seconds("db-pool-max-idletime", 30)?,
            wait: seconds("db-pool-acquisition-timeout", 10)?,
        })
    }

    fn place(&self) -> Result<Place, String> {
        if let Some(path) = self.text("server-unix-socket") {
            return Ok(Place::Unix(PathBuf::from(path)));
        }
        Ok(Place::Tcp(self.host("server-host"), self.number("server-port")?.unwrap_or(3000)))
    }

    fn admin(&self) -> Result<Option<Place>, String> {
        let Some(port) = self.number("admin-server-port")? else { return Ok(None) };
        let key = if self.text("admin-server-host").is_some() { "admin-server-host" } else { "server-host" };
        let place = Place::Tcp(self.host(key), port);
        if place == self.place()? {
            return Err("admin-server-port: it cannot be server-port too".to_owned());
        }
        Ok(Some(place))
    }

    /// `!4` and the like are special to the original: any address, of that family if there is one.
    fn host(&self, key: &str) -> String {
        match self.text(key).unwrap_or("!4") {
            "!4" | "*4" => "0.0.0.0".to_owned(),
            "!6" | "*6" | "*" => "::".to_owned(),
            host => host.to_owned(),
        }
    }
}

/// The settings of a project of which nothing is said.
fn unless_said() -> Settings {
    Settings {
        schemas: vec!["public".to_owned()],
        extra_search_path: vec!["public".to_owned()],
        max_rows: None,
        anon_role: None,
        tx_end: TransactionEnd::Commit,
        ..Settings::default()
    }
}

/// The keys of a JWK or a set of them, if it is one.
fn json_keys(text: &str) -> Option<Keys> {
    let set = serde_json::from_str::<JwkSet>(text);
    let all =
        set.map(|set| set.keys).or_else(|_| serde_json::from_str::<Jwk>(text).map(|jwk| vec![jwk])).ok()?;
    let mut keys = Keys::default();
    for jwk in all {
        match &jwk.algorithm {
            AlgorithmParameters::OctetKey(octets) => {
                let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&octets.value).ok()?;
                keys.shared = Some(Secret::new(String::from_utf8(secret).ok()?));
            }
            _ => keys.public.push(jwk),
        }
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> Result<Options, String> {
        Options::of(given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn nothing_said_is_what_the_original_does() {
        let options = options(&[]).unwrap();

        assert_eq!(options.place, Place::Tcp("0.0.0.0".to_owned(), 3000));
        assert_eq!(options.settings.schemas, ["public"]);
        assert_eq!(options.settings.max_rows, None);
        assert_eq!(options.settings.anon_role, None);
        assert_eq!(options.settings.tx_end, TransactionEnd::Commit);
        assert!(options.keys.shared.is_none() && options.ignored.is_empty());
    }

    #[test]
    fn what_is_said_is_followed_under_either_name() {
        let options = options(&[
            ("db-uri", "postgres://me@/app?host=/run/pg&options=-c%20search_path%3Da,b"),
            ("db-schema", "api, other"),
            ("db-extra-search-path", ""),
            ("max-rows", "100"),
            ("db-anon-role", "web_anon"),
            ("db-tx-end", "rollback-allow-override"),
            ("jwt-secret", "reallyreallyreallyreallyverysafe"),
            ("app.settings.host", "localhost"),
            ("server-port", "3001"),
            ("server-host", "127.0.0.1"),
            ("log-query", "true"),
        ])
        .unwrap();

        assert_eq!((&*options.database.host, &*options.database.options), ("/run/pg", "-c search_path=a,b"));
        assert_eq!(options.settings.schemas, ["api", "other"]);
        assert!(options.settings.extra_search_path.is_empty());
        assert_eq!(options.settings.max_rows, Some(100));
        assert_eq!(options.settings.anon_role.as_deref(), Some("web_anon"));
        assert_eq!(options.settings.app_settings["host"], "localhost");
        assert_eq!(options.place, Place::Tcp("127.0.0.1".to_owned(), 3001));
        assert_eq!(options.ignored, ["log-query"]);
    }

    #[test]
    fn keys_are_a_secret_its_base64_or_a_jwk() {
        let shared = |given: &[(&str, &str)]| {
            options(given).map(|options| options.keys.shared.unwrap().expose().to_owned())
        };
        let secret = "reallyreallyreallyreallyverysafe";
        let base64 = STANDARD.encode(secret);
        let jwk = format!(
            r#"{{"kty":"oct","k":"{}"}}"#,
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret)
        );
        assert_eq!(shared(&[("jwt-secret", secret)]).unwrap(), secret);
        assert_eq!(shared(&[("jwt-secret", &base64), ("secret-is-base64", "true")]).unwrap(), secret);
        assert_eq!(shared(&[("jwt-secret", &jwk)]).unwrap(), secret);
        assert_eq!(shared(&[("jwt-secret", &format!("{{\"keys\":[{jwk}]}}"))]).unwrap(), secret);
        assert!(options(&[("jwt-secret", "short")]).is_err());
    }

    #[test]
    fn what_cannot_be_is_said_by_name() {
        for (key, value) in [
            ("db-tx-end", "never"),
            ("server-port", "70000"),
            ("db-aggregates-enabled", "maybe"),
            ("db-uri", "x:/"),
        ] {
            let refused = options(&[(key, value)]).err().unwrap_or_default();
            assert!(refused.starts_with(key), "{refused}");
        }
    }
}
