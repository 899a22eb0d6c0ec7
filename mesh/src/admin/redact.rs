//! The configuration as it may be shown: without what is secret.

use serde_json::{Value, json};

use crate::resource::Mesh;

/// In the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The words that the name of a header, a query parameter or a setting with a secret has in it.
const SECRET_WORDS: [&str; 8] =
    ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "credential"];

/// `{version, mesh}`: the configuration in force with the values of credentials hidden.
pub fn config(version: &str, mesh: &Mesh) -> Value {
    let mut shown = serde_json::to_value(mesh).unwrap_or_else(|error| json!(error.to_string()));
    hide(&mut shown, "");
    // whatever they are called: an exporter's headers are there to carry credentials
    if let Some(headers) = shown.pointer_mut("/telemetry/otlp/headers").and_then(Value::as_object_mut) {
        headers.values_mut().for_each(|value| *value = json!(HIDDEN));
    }
    json!({ "version": version, "mesh": shown })
}

/// `value` with what is secret hidden.
pub fn redacted(mut value: Value) -> Value {
    hide(&mut value, "");
    value
}

/// Hides each text under a name that tells of a secret.
fn hide(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| hide(value, name)),
        Value::Array(values) => values.iter_mut().for_each(|value| hide(value, name)),
        Value::String(text) if is_secret(name) => HIDDEN.clone_into(text),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_wherever_they_are_written() {
        let mesh: Mesh = serde_json::from_value(json!({
            "trust_domain": "mesh",
            "telemetry": { "otlp": { "endpoint": "http://collector:4318", "headers": { "x-any": "hunter2" } } },
            "services": { "data": { "routes": [{
                "match": { "prefix": "/", "headers": { "Authorization": "Bearer hunter2" }, "query": { "token": "hunter2" } },
                "kind": "unary",
                "deadline_ms": 1000,
                "request_headers": { "set": { "x-api-key": "hunter2", "x-plain": "shown" } },
            }] } },
        }))
        .unwrap();

        let shown = config("v1", &mesh);

        let text = shown.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("shown") && text.contains("x-api-key") && text.contains("collector:4318"),
            "{text}"
        );
        assert_eq!(shown["version"], "v1");
    }
}
