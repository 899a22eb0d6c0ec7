//! That nothing a request holds changes a statement: a corpus of hostile text in every position, any text in every
//! position, and PostgreSQL's own parser as the judge.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use http::Method;
use proptest::prelude::*;

use super::{CACHE, render_with};
use crate::plan::plan;
use crate::plan::tests::request_with;
use crate::render::{export, main, session};
use crate::settings::Settings;

/// A statement's tokens without what names say: a quoted name is `"`, a string `'`, a bound value `$`.
///
/// Fails on text that PostgreSQL would end in the middle of, on comments and on a second statement.
fn fingerprint(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        assert!(!rest.starts_with("--") && !rest.starts_with("/*") && c != ';', "{sql}");
        let length = match c {
            '"' | '\'' => quoted(rest, c).unwrap_or_else(|| panic!("an open quote in {sql}")),
            c if c.is_alphanumeric() || matches!(c, '_' | '$' | '.') => rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.')))
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(match c {
            '"' | '\'' | '$' => c.to_string(),
            _ => rest[..length].to_owned(),
        });
        rest = &rest[length..];
    }
    tokens
}

/// The length of a quoted token whose quotes are doubled inside.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Method, address, headers and body of a request.
type Position = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Where a request's own text can stand: method, address, headers, body. `{}` is the text, encoded for its place; inside
/// quotes, as the grammar asks.
const POSITIONS: [Position; 47] = [
    ("GET", "/users?name=eq.{}", &[], ""),
    ("GET", "/users?name=like.{}", &[], ""),
    ("GET", "/users?name=neq.{}", &[], ""),
    ("GET", "/users?name=in.(a,%22{}%22)", &[], ""),
    ("GET", "/users?tags=cs.{}", &[], ""),
    ("GET", "/users?name=isdistinct.{}", &[], ""),
    ("GET", "/users?name=fts.{}", &[], ""),
    ("GET", "/users?name=fts(x).{}", &[], ""),
    ("GET", "/users?%22{}%22=eq.1", &[], ""),
    ("GET", "/users?data->%22{}%22=eq.1", &[], ""),
    ("GET", "/users?data->>%22{}%22->1=not.eq.1", &[], ""),
    ("GET", "/users?or=(name.eq.%22{}%22,%22{}%22.lt.2)", &[], ""),
    ("GET", "/users?select=%22{}%22", &[], ""),
    ("GET", "/users?select=%22{}%22:name", &[], ""),
    ("GET", "/users?select=data->%22{}%22", &[], ""),
    ("GET", "/users?select=%22{}%22:todos(%22{}%22)", &[], ""),
    ("GET", "/users?order=%22{}%22.desc,data->>%22{}%22", &[], ""),
    ("GET", "/users?select=todos(*)&todos.%22{}%22=gt.1&todos.order=%22{}%22", &[], ""),
    ("GET", "/rpc/add?a={}", &[], ""),
    ("GET", "/rpc/sum?rest={}&rest=1", &[], ""),
    ("GET", "/rpc/list_todos?%22{}%22=match.{}&select=%22{}%22", &[], ""),
    ("GET", "/users?limit=1&offset=2&name=ilike(any).{}", &[], ""),
    ("GET", "/users?select=id,todos()&or=(todos.%22{}%22.eq.%22{}%22,id.eq.1)", &[], ""),
    ("GET", "/users?select=id,%22{}%22:todos()&or=(%22{}%22.title.eq.1,id.eq.1)", &[], ""),
    ("GET", "/users?select=id,%22{}%22:todos!inner(%22{}%22)&%22{}%22=not.is.null", &[], ""),
    ("GET", "/users?select=...profiles(%22{}%22:bio)", &[], ""),
    ("GET", "/users?select=...todos(%22{}%22)&todos.order=%22{}%22", &[], ""),
    ("GET", "/todos?select=title,users(name)&order=users(%22{}%22)", &[], ""),
    ("GET", "/users?select=%22{}%22.sum(),name", &[], ""),
    ("GET", "/users?distinct=%22{}%22", &[], ""),
    ("GET", "/users?order=%22{}%22&after=", &[], ""),
    ("GET", "/users?name=eq.{}", &[("prefer", "count=estimated")], ""),
    ("GET", "/users?%22{}%22=eq.{}", &[("accept", "text/csv")], ""),
    ("GET", "/rpc/list_todos?%22{}%22=eq.{}", &[("accept", "application/x-ndjson")], ""),
    ("GET", "/users", &[("range", "{}")], ""),
    ("GET", "/users", &[("prefer", "timezone={}")], ""),
    ("GET", "/users", &[("prefer", "max-affected={}, handling=lenient")], ""),
    ("GET", "/users", &[("accept", "application/vnd.pgrst.plan; options={}")], ""),
    ("GET", "/users", &[("accept", "*/*, {}")], ""),
    ("POST", "/users", &[], r#"{"name":"{}"}"#),
    ("POST", "/users?columns=name", &[("prefer", "missing=default")], r#"[{"name":"{}","{}":1}]"#),
    ("POST", "/users?on_conflict=%22{}%22", &[("prefer", "resolution=merge-duplicates")], r#"{"name":"x"}"#),
    ("POST", "/users?select=*,%22{}%22", &[("prefer", "return=representation")], r#"{"name":"x"}"#),
    ("PATCH", "/users?%22{}%22=eq.{}", &[("prefer", "return=headers-only")], r#"{"name":"{}"}"#),
    ("DELETE", "/users?or=(name.eq.%22{}%22,%22{}%22.is.null)", &[], ""),
    ("PUT", "/users?id=eq.{}", &[], r#"{"id":"{}","name":"{}"}"#),
    ("POST", "/rpc/echo", &[], r#"{"{}":"{}"}"#),
];

static SETTINGS: LazyLock<Settings> =
    LazyLock::new(|| Settings { aggregates_enabled: true, plan_enabled: true, ..Settings::default() });

/// A position with `text` in it, rendered: the statement, if the request has one.
fn rendered((method, uri, headers, body): Position, text: &str) -> Option<String> {
    // a header that is not ASCII is as good as none
    if !text.is_ascii() && headers.iter().any(|(_, value)| value.contains("{}")) {
        return None;
    }
    let in_quotes = text.replace('\\', "\\\\").replace('"', "\\\"");
    let uri =
        uri.replace("%22{}%22", &format!("%22{}%22", encoded(&in_quotes))).replace("{}", &encoded(text));
    let json = serde_json::Value::from(text).to_string();
    let body = body.replace("{}", &json[1..json.len() - 1]);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.replace("{}", text))).collect();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = request_with(method, &uri, &headers, &body).ok()?;
    let plan = plan(&request, &CACHE, &SETTINGS).ok()?;
    let sql = if plan.is_export() { export::export(&plan) } else { main(&plan, &request, &SETTINGS) };
    Some(sql.text().to_owned())
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A name in a statement.
fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statement with x in the place of `text` in every name.
fn renamed(sql: &str, text: &str) -> String {
    let (mut out, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find('"') {
        let length = quoted(&rest[at..], '"').expect("a closed name");
        let name = rest[at + 1..at + length - 1].replace("\"\"", "\"");
        out.push_str(&rest[..at]);
        out.push_str(&quoted_name(&name.replace(text, "x")));
        rest = &rest[at + length..];
    }
    out + rest
}

/// Texts that end strings, names, comments and statements somewhere, in every combination.
fn corpus() -> BTreeSet<String> {
    const OPENINGS: [&str; 26] = [
        "", "'", "''", "\"", "\"\"", "\\", "\\'", "\\\"", "$1", "$$", "$x$", ")", "))", "]", "}", "'\"",
        "\"'", "\u{2bc}", "\u{ff07}", "\u{201c}", "\u{202e}", "%27", "%22", "/*", "--", "\n",
    ];
    const PAYLOADS: [&str; 20] = [
        "",
        "; DROP TABLE users",
        " OR 1=1",
        " OR ''=''",
        " UNION SELECT usename FROM pg_user",
        "; SELECT pg_sleep(9)",
        "; RESET ROLE",
        "; COMMIT; SET ROLE postgres",
        "::text",
        "::regclass",
        "||version()",
        ",(SELECT 1)",
        ".x",
        "->>x",
        " AS y",
        " FROM pg_shadow",
        "=eq.1",
        "(SELECT 1)",
        "E'\\x27'",
        "U&\"d\\0061t\"",
    ];
    const CLOSINGS: [&str; 12] = ["", "--", "/*", "*/", "'", "\"", ";", "\\", "$$", ")", ")--", "\r;"];
    let mut corpus = BTreeSet::new();
    for opening in OPENINGS {
        for payload in PAYLOADS {
            corpus.extend(CLOSINGS.map(|closing| format!("{opening}{payload}{closing}")));
        }
    }
    corpus.remove("");
    corpus
}

#[test]
fn hostile_text_changes_no_statement_in_any_position() {
    hostile_text_changes_nothing(10);
}

#[test]
#[ignore = "two minutes of PostgreSQL's parser"]
fn hostile_text_changes_no_statement_and_every_one_is_judged() {
    hostile_text_changes_nothing(1);
}

/// Each text in each position; PostgreSQL's parser judges one statement of `judged_of`.
fn hostile_text_changes_nothing(judged_of: usize) {
    let corpus = corpus();
    assert!(corpus.len() >= 5000, "{}", corpus.len());
    let mut judged = BTreeSet::new();
    for position in POSITIONS {
        let harmless = rendered(position, "x").unwrap_or_else(|| panic!("{position:?} has no statement"));
        let (shape, mut statements) = (fingerprint(&harmless), 0);
        judged.insert((harmless.clone(), "x".to_owned(), harmless.clone()));
        for text in &corpus {
            // what the grammar refuses reaches nobody
            let Some(sql) = rendered(position, text) else { continue };
            statements += 1;
            if sql == harmless {
                continue;
            }
            assert_eq!(fingerprint(&sql), shape, "{position:?} {text:?}");
            // what differs is a name, and nothing but the name
            assert_eq!(renamed(&sql, text), harmless, "{position:?} {text:?}");
            if statements % judged_of == 0 {
                judged.insert((sql, text.clone(), harmless.clone()));
            }
        }
        assert!(statements > 0, "{position:?} takes no text");
    }
    judge(&judged);
}

/// Asks PostgreSQL's own parser: each statement is one, and its tree is the harmless one's but for the name.
fn judge(statements: &BTreeSet<(String, String, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sql");
    if !folder.join("node_modules").exists() {
        let installed =
            Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit"]).current_dir(&folder).output();
        match installed {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(_) if std::env::var_os("CI").is_none() => return eprintln!("left out: npm is missing"),
            Err(error) => panic!("npm: {error}"),
        }
    }
    let mut node = Command::new("node");
    let mut node =
        node.arg("judge.mjs").current_dir(folder).stdin(Stdio::piped()).spawn().expect("node runs");
    let mut input = node.stdin.take().expect("it has an input");
    for statement in statements {
        writeln!(input, "{}", serde_json::to_string(statement).unwrap()).expect("it reads all");
    }
    drop(input);
    assert!(node.wait().unwrap().success(), "the parser judged otherwise");
}

#[test]
fn hostile_names_reach_no_statement_where_the_cache_knows_all() {
    for text in corpus() {
        let name = encoded(&text);
        let body = serde_json::json!({ &text: 1 }).to_string();
        assert!(render_with("", Method::GET, &format!("/{name}"), "").is_err(), "{text}");
        assert!(render_with("", Method::GET, &format!("/rpc/{name}"), "").is_err(), "{text}");
        assert!(render_with("", Method::POST, "/users", &body).is_err(), "{text}");
        assert!(render_with("", Method::POST, "/rpc/add", &body).is_err(), "{text}");
        assert!(
            render_with("", Method::GET, &format!("/users?select=%22{name}%22(*)"), "").is_err(),
            "{text}"
        );
        assert!(
            render_with("", Method::GET, &format!("/users?select=todos!%22{name}%22(*)"), "").is_err(),
            "{text}"
        );
    }
}

#[test]
fn hostile_casts_and_directions_are_no_grammar_or_names_in_quotes() {
    for text in corpus() {
        let name = encoded(&text);
        for uri in [
            format!("/users?select=id::{name}"),
            format!("/users?order=id.{name}"),
            format!("/users?id=is.{name}"),
            format!("/users?limit={name}"),
            format!("/users?id={name}.1"),
        ] {
            if let Ok(sql) = render_with("", Method::GET, &uri, "") {
                fingerprint(sql.text());
                assert!(!sql.text().replace(&quoted_name(&text), "").contains("DROP"), "{uri}");
            }
        }
    }
}

#[test]
fn settings_are_bound_whatever_they_hold() {
    let harmless = session::settings(vec![("role".into(), "x".into())]);
    for text in corpus() {
        let settings = session::settings(vec![("role".into(), text.clone().into())]);
        assert_eq!(settings.text(), harmless.text());
        let path = session::search_path([text.as_str()]);
        assert_eq!(path, quoted_name(&text));
        let function = session::pre_request(&text);
        assert_eq!(fingerprint(function.text())[..1], ["SELECT"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_text_changes_no_statement(text in "[^\\x00-\\x1f\\x7f]{1,40}") {
        // a list of digits is an index and `*` is every column: other things, not other text
        prop_assume!(text.trim() == text && !text.is_empty() && text != "*");
        for position in POSITIONS {
            let (_, uri, ..) = position;
            let is_index = uri.contains("->") && text.bytes().all(|byte| byte.is_ascii_digit());
            if let (Some(sql), false) = (rendered(position, &text), is_index) {
                let harmless = rendered(position, "x").unwrap_or_else(|| panic!("{position:?}"));
                prop_assert_eq!(fingerprint(&sql), fingerprint(&harmless), "{:?} {:?}", position, text);
            }
        }
    }
}
