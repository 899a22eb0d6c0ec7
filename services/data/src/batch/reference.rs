//! References to the results of earlier requests: `name`, then `.key`, `[3]` or `[*]` as often as needed.
//!
//! In a body `{"$result": "list[0].id"}` stands for the value; in a path `{{list[0].id}}` does, if its braces are not
//! encoded. What a program puts into an address it encodes, and texts in bodies are left alone: so no text of a user
//! becomes a reference. An object of a user with that one key would.

use std::collections::{BTreeMap, HashMap};

use base::error::PAYLOAD_TOO_LARGE;
use base::{Error, Result};
use serde_json::value::RawValue;

use crate::error::BATCH;
use crate::request::body::depth;
use crate::request::query::encode;

/// Different references of one batch.
const MAX_REFERENCES: usize = 200;
/// Largest result that may be referred to, in bytes.
const MAX_RESULT: usize = 1024 * 1024;
/// Longest reference, in bytes.
const MAX_LENGTH: usize = 256;
/// Steps of one reference.
const MAX_STEPS: usize = 8;
/// Bytes that are looked through for the references of one batch.
const MAX_WALKED: usize = 64 * 1024 * 1024;
/// The key of an object that stands for a result.
const KEY: &str = "$result";

/// What earlier requests returned, by their names.
#[derive(Default)]
pub(super) struct Results {
    /// `None` for a body that is no JSON, or too large.
    bodies: HashMap<String, Option<Box<RawValue>>>,
    found: HashMap<String, Box<RawValue>>,
    /// Bytes that were looked through.
    walked: usize,
}

/// One step into a document.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    Each,
}

impl Results {
    /// Remembers what a request returned.
    pub(super) fn add(&mut self, name: &str, body: Option<&RawValue>) {
        let body = body.filter(|body| body.get().len() <= MAX_RESULT).map(ToOwned::to_owned);
        self.bodies.insert(name.to_owned(), body);
    }

    /// A body with values in place of references, of at most `max` bytes.
    ///
    /// Errors: MB100 for a reference to nothing, PGRST102 for a body too deep, 413.
    pub(super) fn in_body(&mut self, body: &RawValue, max: usize) -> Result<String> {
        // what is written level by level must not be deeper than any body may be
        if depth::exceeds(body.get().as_bytes(), depth::MAX) {
            return Err(crate::error::body("Empty or invalid json"));
        }
        let mut out = String::with_capacity(body.get().len());
        self.write(body, max, &mut out)?;
        Ok(out)
    }

    fn write(&mut self, value: &RawValue, max: usize, out: &mut String) -> Result<()> {
        let text = value.get();
        if !refers(text) {
            out.push_str(text);
        } else if text.starts_with('{') {
            let members: BTreeMap<String, &RawValue> = parsed(text)?;
            if let Some(reference) = one_reference(&members) {
                out.push_str(self.find(&reference)?.get());
                return bounded(out, max);
            }
            for (index, (key, member)) in members.iter().enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                self.write(member, max, out)?;
            }
            out.push('}');
        } else if text.starts_with('[') {
            for (index, element) in parsed::<Vec<&RawValue>>(text)?.into_iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                self.write(element, max, out)?;
            }
            out.push(']');
        } else {
            out.push_str(text);
        }
        bounded(out, max)
    }

    /// A path with values in place of references: encoded, and in quotes where parentheses make a list.
    ///
    /// Errors: MB100 for a reference to nothing, for a value that no filter could hold, and for one inside quotes or braces,
    /// where it could be more than one value.
    pub(super) fn in_path(&mut self, path: &str, max: usize) -> Result<String> {
        let mut out = String::with_capacity(path.len());
        let (mut rest, mut scope) = (path, Scope::default());
        while let Some((before, reference, after)) = next_reference(rest) {
            out.push_str(before);
            scope.pass(before);
            let value = self.find(reference)?;
            let text = match scope {
                Scope { quoted: false, braces: 0, parentheses: 0, .. } => scalar(value.get()),
                Scope { quoted: false, braces: 0, .. } => list(value),
                Scope { .. } => None,
            };
            out.push_str(&encode(&text.ok_or_else(|| unfit(reference))?).to_string());
            bounded(&out, max)?;
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn find(&mut self, reference: &str) -> Result<&RawValue> {
        if !self.found.contains_key(reference) {
            if self.found.len() == MAX_REFERENCES {
                return Err(BATCH.error(format!("a batch has {MAX_REFERENCES} different references at most")));
            }
            let found = self.look_up(reference)?;
            self.walked += self.cost(reference);
            if self.walked > MAX_WALKED {
                return Err(BATCH.error("the references of the batch look through too much"));
            }
            self.found.insert(reference.to_owned(), found);
        }
        Ok(&self.found[reference])
    }

    /// How many bytes its steps look through at most.
    fn cost(&self, reference: &str) -> usize {
        let Some((name, steps)) = parse(reference) else { return 0 };
        let size = self.bodies.get(name).and_then(Option::as_ref).map_or(0, |body| body.get().len());
        size * (steps.len() + 1)
    }

    fn look_up(&self, reference: &str) -> Result<Box<RawValue>> {
        let (name, steps) = parse(reference)
            .ok_or_else(|| BATCH.error(format!("'{reference}' is no reference such as list[0].id")))?;
        let body = self.bodies.get(name).ok_or_else(|| {
            BATCH.error(format!("'{reference}' refers to '{name}', which is no earlier request"))
        })?;
        let body = body.as_deref().ok_or_else(|| {
            BATCH
                .error(format!(
                    "'{reference}' refers to '{name}', whose answer is no JSON or over {MAX_RESULT} bytes"
                ))
                .with_hint("A write returns its rows with Prefer: return=representation.")
        })?;
        let nothing = || BATCH.error(format!("there is no '{reference}'"));
        if !steps.contains(&Step::Each) {
            return walk(body, &steps).map(ToOwned::to_owned).ok_or_else(nothing);
        }
        let mut all = Vec::new();
        each(body, &steps, &mut all).ok_or_else(nothing)?;
        serde_json::value::to_raw_value(&all).map_err(crate::error::envelope::internal)
    }
}

/// Whether a path has references.
pub(super) fn path_refers(path: &str) -> bool {
    next_reference(path).is_some()
}

/// Whether a body may have references.
pub(super) fn refers(text: &str) -> bool {
    text.contains("\"$result\"")
}

fn bounded(out: &str, max: usize) -> Result<()> {
    if out.len() > max {
        return Err(PAYLOAD_TOO_LARGE.error(format!("a request with its references is over {max} bytes")));
    }
    Ok(())
}

fn parsed<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| crate::error::body("Empty or invalid json"))
}

fn one_reference(members: &BTreeMap<String, &RawValue>) -> Option<String> {
    if members.len() != 1 {
        return None;
    }
    serde_json::from_str(members.get(KEY)?.get()).ok()
}

/// The first reference: what is before, the reference, what is after. Braces that hold none are left alone, because
/// arrays have them too.
fn next_reference(path: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in path.match_indices("{{") {
        let inside = &path[at + 2..];
        let near =
            inside.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_LENGTH).unwrap_or(inside.len());
        let Some(end) = inside[..near].find("}}") else { continue };
        if parse(&inside[..end]).is_some_and(|(_, steps)| !steps.is_empty()) {
            return Some((&path[..at], &inside[..end], &inside[end + 2..]));
        }
    }
    None
}

/// Where a place in a path stands in its parameter.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    in_query: bool,
    quoted: bool,
    escaped: bool,
    parentheses: usize,
    braces: usize,
}

impl Scope {
    /// Passes over some text, encoded or not.
    fn pass(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            let (byte, encoded, after) = match (byte, after) {
                (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high * 16 + low, true, after),
                    _ => (b'%', false, &rest[1..]),
                },
                (byte, after) => (*byte, false, after),
            };
            rest = after;
            match byte {
                // what is encoded separates nothing
                b'?' if !encoded && !self.in_query => *self = Scope { in_query: true, ..Scope::default() },
                b'&' if !encoded => *self = Scope { in_query: self.in_query, ..Scope::default() },
                _ => self.pass_byte(byte),
            }
        }
    }

    fn pass_byte(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            b'{' | b'[' => self.braces += 1,
            b'}' | b']' => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Values as a list has them.
fn list(value: &RawValue) -> Option<String> {
    let elements: Vec<&RawValue> = match value.get().starts_with('[') {
        true => serde_json::from_str(value.get()).ok()?,
        false => vec![value],
    };
    let quoted = elements.into_iter().map(|element| {
        let text = scalar(element.get())?;
        Some(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
    });
    Some(quoted.collect::<Option<Vec<_>>>()?.join(","))
}

fn scalar(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'[' | b'{' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

fn unfit(reference: &str) -> Error {
    BATCH
        .error(format!(
            "'{reference}' is null, no single value, or inside quotes or braces, which no filter can hold"
        ))
        .with_hint("A list stands in parentheses, as in id=in.({{list[*].id}}).")
}

fn parse(reference: &str) -> Option<(&str, Vec<Step<'_>>)> {
    let end = reference.find(['.', '[']).unwrap_or(reference.len());
    let (name, mut rest) = reference.split_at(end);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS || reference.len() > MAX_LENGTH {
            return None;
        }
        if let Some(key) = rest.strip_prefix('.') {
            let end = key.find(['.', '[']).unwrap_or(key.len());
            steps.push(Step::Key(&key[..end]).filled()?);
            rest = &key[end..];
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(if index == "*" { Step::Each } else { Step::Index(index.parse().ok()?) });
            rest = after;
        }
    }
    super::document::is_name(name).then_some((name, steps))
}

impl Step<'_> {
    fn filled(self) -> Option<Self> {
        (self != Step::Key("")).then_some(self)
    }
}

fn walk<'a>(value: &'a RawValue, steps: &[Step<'_>]) -> Option<&'a RawValue> {
    let mut value = value;
    for step in steps {
        value = match step {
            Step::Key(key) => {
                serde_json::from_str::<HashMap<String, &RawValue>>(value.get()).ok()?.remove(*key)?
            }
            Step::Index(index) => {
                serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.into_iter().nth(*index)?
            }
            Step::Each => return None,
        };
    }
    Some(value)
}

/// All that the steps lead to, in one list.
fn each<'a>(value: &'a RawValue, steps: &[Step<'_>], all: &mut Vec<&'a RawValue>) -> Option<()> {
    let Some(at) = steps.iter().position(|step| *step == Step::Each) else {
        all.push(walk(value, steps)?);
        return Some(());
    };
    let list = walk(value, &steps[..at])?;
    for element in serde_json::from_str::<Vec<&RawValue>>(list.get()).ok()? {
        each(element, &steps[at + 1..], all)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn results() -> Results {
        let mut results = Results::default();
        let lists = r#"[{"id":7,"name":"a\"b,c)","n":12345678901234567890.10,"tags":[{"t":1},{"t":2}]},{"id":8,"tags":[]}]"#;
        results.add("lists", Some(&raw(lists)));
        results.add("empty", None);
        results
    }

    #[test]
    fn a_body_takes_values_and_keeps_the_rest_as_it_is() {
        let body = |json: &str| results().in_body(&raw(json), 1000);

        assert_eq!(body(r#"{"a": {"$result":"lists[0].id"} }"#).unwrap(), r#"{"a":7}"#);
        assert_eq!(body(r#"[1.10, {"$result": "lists[0].n"}]"#).unwrap(), "[1.10,12345678901234567890.10]");
        assert_eq!(body(r#"{"$result":"lists[*].id"}"#).unwrap(), "[7,8]");
        assert_eq!(body(r#"{"$result":"lists[*].tags[*].t"}"#).unwrap(), "[1,2]");
        for same in
            [r#"{"a": "{{lists[0].id}}"}"#, r#"{"$result":5}"#, r#"{"$result":"x","b":1}"#, r#""$result""#]
        {
            assert_eq!(body(same).unwrap(), same);
        }
    }

    #[test]
    fn a_path_takes_values_encoded_and_quotes_them_in_lists() {
        let path = |path: &str| results().in_path(path, 1000);

        assert_eq!(path("/t?id=eq.{{lists[0].id}}&x=1").unwrap(), "/t?id=eq.7&x=1");
        assert_eq!(path("/t?name=eq.{{lists[0].name}}").unwrap(), "/t?name=eq.a%22b%2Cc%29");
        assert_eq!(path("/t?id=in.({{lists[*].id}})").unwrap(), "/t?id=in.(%227%22%2C%228%22)");
        assert_eq!(
            path("/t?or=%28a.eq.{{lists[0].name}},b.eq.1)").unwrap(),
            "/t?or=%28a.eq.%22a%5C%22b%2Cc%29%22,b.eq.1)"
        );
        for same in
            ["/t?a=cs.{{1,2},{3,4}}", "/t?a=eq.%7B%7Blists[0].id%7D%7D", "/t?a=eq.{{lists}}", "/t?a={{", "/t"]
        {
            assert_eq!(path(same).unwrap(), same);
        }
    }

    #[test]
    fn what_leads_nowhere_is_an_error() {
        for reference in [
            "lists[2].id",
            "lists[0].nope",
            "lists.id",
            "later[0]",
            "empty[0]",
            "lists[*].nope",
            "lists[-1]",
            "lists[",
            "lists.",
            "1x[0]",
        ] {
            let body = raw(&format!(r#"{{"$result":"{reference}"}}"#));
            let error = results().in_body(&body, 1000).unwrap_err();
            assert_eq!(error.code.name(), "MB100", "{reference}");
        }
        for path in ["/t?id=eq.{{lists[*].id}}", "/t?id=eq.{{lists[0].tags}}"] {
            assert_eq!(results().in_path(path, 1000).unwrap_err().code.name(), "MB100", "{path}");
        }
    }

    #[test]
    fn what_is_deep_or_long_is_refused_and_costs_little() {
        let deep =
            format!("{}{}{}", "[".repeat(100_000), r#"{"$result":"lists[0].id"}"#, "]".repeat(100_000));
        assert_eq!(results().in_body(&raw(&deep), usize::MAX).unwrap_err().code.name(), "PGRST102");
        let braces = format!("/t?a={}{}", "{".repeat(100_000), "}}");
        assert_eq!(results().in_path(&braces, usize::MAX).unwrap(), braces);
        let steps = format!("lists{}", "[0]".repeat(MAX_STEPS + 1));
        assert!(parse(&steps).is_none());
        let mut results = Results::default();
        results.add("large", Some(&raw(&format!("[\"{}\"]", "x".repeat(MAX_RESULT - 10)))));
        let many: Vec<String> =
            (0..100).map(|n| format!("{{\"$result\":\"large[0{}]\"}}", "0".repeat(n))).collect();
        let error = results.in_body(&raw(&format!("[{}]", many.join(","))), usize::MAX).unwrap_err();
        assert_eq!(error.code.name(), "MB100");
    }

    #[test]
    fn what_references_add_is_bounded() {
        let many = format!("[{}]", vec![r#"{"$result":"lists"}"#; 50].join(","));
        assert_eq!(results().in_body(&raw(&many), 500).unwrap_err().status(), 413);
        let different: Vec<String> = (0..=MAX_REFERENCES)
            .map(|n| format!("{{\"$result\":\"lists[0{}].id\"}}", "0".repeat(n)))
            .collect();
        let error = results().in_body(&raw(&format!("[{}]", different.join(","))), 100_000).unwrap_err();
        assert_eq!(error.code.name(), "MB100");
    }
}
