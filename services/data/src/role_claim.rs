//! Where in a token its role is: a JSONPath (RFC 9535), or the notation that PostgREST had before.

use common::claims::Claims;
use serde_json::Value;
use serde_json_path::JsonPath;

/// Where a token's role is.
#[derive(Debug, Default)]
pub(crate) struct RoleClaim(Option<JsonPath>);

/// Where it usually is.
const USUAL: &str = "$.role";
/// Longest path, in bytes, and most parentheses in one: the parser goes a level deeper for each.
const MAX_BYTES: usize = 256;
const MAX_NESTING: usize = 8;

impl RoleClaim {
    /// Reads a path such as `$.app.roles[0]`, `.app.roles[0]`, `."https://example.com/role"` or
    /// `.roles[?(@ ^== "api_")]`.
    ///
    /// Errors: what of it is no path.
    pub(crate) fn parse(text: &str) -> Result<RoleClaim, String> {
        if text == USUAL || text == ".role" {
            return Ok(RoleClaim(None));
        }
        // a project writes it, and every request of the project's waits for it
        if text.len() > MAX_BYTES || text.matches('(').count() > MAX_NESTING || text.contains("..") {
            return Err(
                "a role is not that far away: the path is short, and descends step by step".to_owned()
            );
        }
        let path = if text.starts_with('.') { modern(text) } else { text.to_owned() };
        let path = JsonPath::parse(&path).map_err(|error| format!("{text} is no JSONPath: {error}"))?;
        Ok(RoleClaim(Some(path)))
    }

    /// The role that a token names: the first text that the path finds.
    pub(crate) fn of(&self, claims: &Claims) -> Option<String> {
        let Some(path) = &self.0 else { return text(claims.get("role")?) };
        let claims = Value::Object(claims.clone());
        text(path.query(&claims).first()?)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The old notation as JSONPath: keys in quotes are in brackets now, and comparisons of a text's parts are patterns.
fn modern(old: &str) -> String {
    let mut path = String::from("$");
    let mut rest = old;
    while !rest.is_empty() {
        if let Some((key, after)) = rest.strip_prefix(".\"").and_then(|quoted| quoted.split_once('"')) {
            path.push_str(&format!("[\"{key}\"]"));
            rest = after;
        } else if let Some((part, pattern)) = rest.strip_prefix("[?(").and_then(part_of_text) {
            path.push_str(&format!("[?{part}(@, {})]", Value::from(pattern)));
            rest = "";
        } else {
            let first = rest.chars().next().map_or(0, char::len_utf8);
            path.push_str(&rest[..first]);
            rest = &rest[first..];
        }
    }
    path
}

/// `@ ^== "text")]` and the like: the function and the pattern (RFC 9485) that say the same.
fn part_of_text(filter: &str) -> Option<(&'static str, String)> {
    let (operator, quoted) = filter.strip_suffix(")]")?.trim().strip_prefix('@')?.trim().split_once(' ')?;
    let text = quoted.trim().strip_prefix('"')?.strip_suffix('"')?;
    let escaped: String = text
        .chars()
        .flat_map(|c| {
            let special = "\\.+*?()|[]{}^$-".contains(c);
            special.then_some('\\').into_iter().chain([c])
        })
        .collect();
    match operator {
        "^==" => Some(("match", format!("{escaped}.*"))),
        "==^" => Some(("match", format!(".*{escaped}"))),
        "*==" => Some(("search", escaped)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(path: &str) -> Option<String> {
        let claims = serde_json::json!({
            "role": "plain",
            "app": {"roles": ["reader", "api_writer", "ops.admin"]},
            "https://example.com/role": "named",
            "number": 1,
        });
        RoleClaim::parse(path).unwrap().of(claims.as_object().unwrap())
    }

    #[test]
    fn a_path_leads_to_the_role_in_either_notation() {
        for (path, expected) in [
            ("$.role", Some("plain")),
            (".role", Some("plain")),
            ("$.app.roles[1]", Some("api_writer")),
            (".app.roles[0]", Some("reader")),
            (".\"https://example.com/role\"", Some("named")),
            ("$['https://example.com/role']", Some("named")),
            ("$.app.roles[?@ == 'reader']", Some("reader")),
            (".app.roles[?(@ == \"reader\")]", Some("reader")),
            (".app.roles[?(@ != \"reader\")]", Some("api_writer")),
            (".app.roles[?(@ ^== \"api_\")]", Some("api_writer")),
            (".app.roles[?(@ ==^ \".admin\")]", Some("ops.admin")),
            (".app.roles[?(@ ==^ \"xadmin\")]", None),
            (".app.roles[?(@ *== \"_wri\")]", Some("api_writer")),
            ("$.number", None),
            ("$.nothing", None),
        ] {
            assert_eq!(role(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["role", "$.", ".a[", "$.roles[?@ ~ 1]", "", "$..role", "$..*..*"] {
            assert!(RoleClaim::parse(path).is_err(), "{path}");
        }
        assert!(RoleClaim::parse(&format!("$[?{}", "(".repeat(200_000))).is_err());
        assert!(RoleClaim::parse(&format!("$[?{}", "(".repeat(100))).is_err());
        assert!(RoleClaim::parse(&format!("$.{}", "a".repeat(300))).is_err());
    }
}
