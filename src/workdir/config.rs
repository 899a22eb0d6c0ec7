//! `config.toml`: what of it we understand, as the services' settings; the rest is named in a warning.

use serde_json::{Map, Value, json};

/// What a folder's `config.toml` means to us.
#[derive(Clone, Debug)]
pub struct ProjectConfig {
    /// Service → settings, in the names that the services read.
    pub settings: Vec<(&'static str, Value)>,
    /// Schemas that the data API shows.
    pub exposed_schemas: Vec<String>,
    /// `[db.migrations] enabled`.
    pub migrations_enabled: bool,
    /// `[db.seed] enabled`.
    pub seed_enabled: bool,
    /// `[db.seed] sql_paths`, relative to the folder `supabase`.
    pub seed_paths: Vec<String>,
    /// Sections and keys that have no effect yet.
    pub unsupported: Vec<String>,
}

impl Default for ProjectConfig {
    fn default() -> ProjectConfig {
        ProjectConfig::parse("").expect("an empty configuration is valid")
    }
}

/// (section, key) pairs that reach a service's settings under the same name.
const SUPPORTED: [(&str, &str, &[&str]); 4] = [
    ("data", "api", &["schemas", "extra_search_path", "max_rows"]),
    (
        "auth",
        "auth",
        &[
            "site_url",
            "additional_redirect_urls",
            "jwt_expiry",
            "enable_signup",
            "enable_anonymous_sign_ins",
            "minimum_password_length",
            "enable_refresh_token_rotation",
            "refresh_token_reuse_interval",
        ],
    ),
    (
        "auth",
        "auth.email",
        &[
            "enable_signup",
            "enable_confirmations",
            "double_confirm_changes",
            "max_frequency",
            "otp_length",
            "otp_expiry",
        ],
    ),
    ("storage", "storage", &["file_size_limit"]),
];

/// Keys that we read ourselves, or that only say where another tool's parts are.
const OURS: [(&str, &[&str]); 4] = [
    ("", &["project_id"]),
    ("db.migrations", &["enabled"]),
    ("db.seed", &["enabled", "sql_paths"]),
    ("api", &["enabled"]),
];

impl ProjectConfig {
    /// Reads a `config.toml`. `env(NAME)` is the environment variable of that name.
    pub fn parse(text: &str) -> Result<ProjectConfig, toml::de::Error> {
        let table: toml::Table = toml::from_str(text)?;
        let mut config = ProjectConfig {
            settings: Vec::new(),
            exposed_schemas: vec!["public".to_owned(), "graphql_public".to_owned()],
            migrations_enabled: flag(&table, &["db", "migrations", "enabled"]),
            seed_enabled: flag(&table, &["db", "seed", "enabled"]),
            seed_paths: strings(&table, &["db", "seed", "sql_paths"])
                .unwrap_or(vec!["./seed.sql".to_owned()]),
            unsupported: Vec::new(),
        };
        let mut settings: Map<String, Value> = Map::new();
        config.walk("", &table, &mut settings);
        if let Some(schemas) = strings(&table, &["api", "schemas"]) {
            config.exposed_schemas = schemas;
        }
        for service in ["auth", "data", "storage"] {
            let section = settings.remove(service).unwrap_or_else(|| json!({}));
            config.settings.push((service, section));
        }
        Ok(config)
    }

    fn walk(&mut self, section: &str, table: &toml::Table, settings: &mut Map<String, Value>) {
        for (key, value) in table {
            let path = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match value {
                toml::Value::Table(inner) if knows_below(&path) => self.walk(&path, inner, settings),
                toml::Value::Table(_) => self.unsupported.push(format!("[{path}]")),
                value => match service_of(section, key) {
                    Some(service) => put(settings, service, section, key, resolve(value)),
                    None if is_ours(section, key) => {}
                    None => self.unsupported.push(match meant(section, key) {
                        Some(near) => format!("{path} (did you mean {near}?)"),
                        None => path,
                    }),
                },
            }
        }
    }
}

/// The key that was probably meant by an unknown one of this section.
fn meant(section: &str, key: &str) -> Option<&'static str> {
    let supported = SUPPORTED.iter().filter(|(_, name, _)| *name == section).flat_map(|(_, _, keys)| *keys);
    let ours = OURS.iter().filter(|(name, _)| *name == section).flat_map(|(_, keys)| *keys);
    base::config::nearest(key, supported.chain(ours).copied())
}

/// Whether any supported key is in this section or below it.
fn knows_below(path: &str) -> bool {
    let below = |section: &str| section == path || section.starts_with(&format!("{path}."));
    SUPPORTED.iter().any(|(_, section, _)| below(section)) || OURS.iter().any(|(section, _)| below(section))
}

fn service_of(section: &str, key: &str) -> Option<&'static str> {
    SUPPORTED
        .iter()
        .find(|(_, name, keys)| *name == section && keys.contains(&key))
        .map(|(service, _, _)| *service)
}

fn is_ours(section: &str, key: &str) -> bool {
    OURS.iter().any(|(name, keys)| *name == section && keys.contains(&key))
}

/// Puts `[auth.email] otp_length` at `auth → email → otp_length`.
fn put(settings: &mut Map<String, Value>, service: &str, section: &str, key: &str, value: Value) {
    let mut at = settings.entry(service).or_insert_with(|| json!({}));
    for part in section.split('.').skip(1) {
        at = at.as_object_mut().expect("only objects are put here").entry(part).or_insert_with(|| json!({}));
    }
    at.as_object_mut().expect("only objects are put here").insert(key.to_owned(), value);
}

/// The JSON form of a value, with `env(NAME)` resolved.
fn resolve(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => {
            match text.strip_prefix("env(").and_then(|rest| rest.strip_suffix(')')) {
                Some(name) => Value::String(std::env::var(name).unwrap_or_default()),
                None => Value::String(text.clone()),
            }
        }
        toml::Value::Array(items) => Value::Array(items.iter().map(resolve).collect()),
        other => serde_json::to_value(other).unwrap_or(Value::Null),
    }
}

fn at<'a>(table: &'a toml::Table, path: &[&str]) -> Option<&'a toml::Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?;
    parent.get(*last)
}

/// A flag that is on unless it is off.
fn flag(table: &toml::Table, path: &[&str]) -> bool {
    at(table, path).and_then(toml::Value::as_bool).unwrap_or(true)
}

fn strings(table: &toml::Table, path: &[&str]) -> Option<Vec<String>> {
    let items = at(table, path)?.as_array()?;
    Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_keys_reach_their_service_and_the_rest_is_named() {
        let config = ProjectConfig::parse(
            r#"
            project_id = "shop"
            [api]
            port = 54321
            schemas = ["public", "shop"]
            [auth]
            site_url = "http://localhost:5173"
            enable_singup = true
            [auth.email]
            enable_confirmations = true
            [auth.sms]
            enable_signup = true
            [functions.hello]
            enabled = true
            "#,
        )
        .unwrap();

        assert_eq!(config.exposed_schemas, ["public", "shop"]);
        assert_eq!(
            config.unsupported,
            ["api.port", "auth.enable_singup (did you mean enable_signup?)", "[auth.sms]", "[functions]"]
        );
        assert_eq!(
            config.settings,
            [
                (
                    "auth",
                    json!({"site_url": "http://localhost:5173", "email": {"enable_confirmations": true}})
                ),
                ("data", json!({"schemas": ["public", "shop"]})),
                ("storage", json!({})),
            ]
        );
    }

    #[test]
    fn an_unreadable_file_says_where() {
        let error = ProjectConfig::parse("[auth\nsite_url = 1").unwrap_err().to_string();

        assert!(error.contains("line 1"), "{error}");
    }
}
