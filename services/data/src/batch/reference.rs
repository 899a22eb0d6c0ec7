//! References to the results of earlier requests: `name`, then `.key`, `[3]` or `[*]` as often as needed.
//!
//! In a body `{"$result": "list[0].id"}` stands for the value; in a path `{{list[0].id}}` does, if its braces are not
//! encoded. What a program puts into an address it encodes, and texts in bodies are left alone: so no value of a user
//! can become a reference.

use std::collections::{BTreeMap, HashMap};

use base::error::PAYLOAD_TOO_LARGE;
use base::{Error, Result};
use serde_json::value::RawValue;

use crate::error::BATCH;
use crate::request::query::encode;

/// Different references of one batch.
const MAX_REFERENCES: usize = 200;
/// Largest result that may be referred to, in bytes.
const MAX_RESULT: usize = 1024 * 1024;
/// The key of an object that stands for a result.
const KEY: &str = "$result";

/// What earlier requests returned, by their names.
#[derive(Default)]
pub(super) struct Results {
    /// `None` for a body that is no JSON, or too large.
    bodies: HashMap<String, Option<Box<RawValue>>>,
    found: HashMap<String, Box<RawValue>>,
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
    /// Errors: MB100 for a reference to nothing, 413.
    pub(super) fn in_body(&mut self, body: &RawValue, max: usize) -> Result<String> {
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
    /// Errors: MB100 for a reference to nothing, and for a value that no filter could hold.
    pub(super) fn in_path(&mut self, path: &str, max: usize) -> Result<String> {
        let mut out = String::with_capacity(path.len());
        let mut rest = path;
        while let Some((before, reference, after)) = next_reference(rest) {
            out.push_str(before);
            let parameter = out.rsplit(['&', '?']).next().unwrap_or_default();
            let value = self.find(reference)?;
            let text = filter_text(value, is_list(parameter)).ok_or_else(|| unfit(reference))?;
            out.push_str(&encode(&text).to_string());
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
            self.found.insert(reference.to_owned(), found);
        }
        Ok(&self.found[reference])
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
    let mut from = 0;
    while let Some(at) = path[from..].find("{{").map(|at| at + from) {
        let (reference, after) = path[at + 2..].split_once("}}")?;
        if parse(reference).is_some_and(|(_, steps)| !steps.is_empty()) {
            return Some((&path[..at], reference, after));
        }
        from = at + 1;
    }
    None
}

/// Whether what comes next stands in parentheses.
fn is_list(parameter: &str) -> bool {
    let text = percent_encoding::percent_decode_str(parameter).decode_utf8_lossy();
    text.matches('(').count() > text.matches(')').count()
}

/// A value as a filter has it; a list only inside parentheses.
fn filter_text(value: &RawValue, is_list: bool) -> Option<String> {
    if !is_list {
        return scalar(value.get());
    }
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
        .error(format!("'{reference}' is null or no single value, which a filter cannot hold"))
        .with_hint("A list stands in parentheses, as in id=in.({{list[*].id}}).")
}

fn parse(reference: &str) -> Option<(&str, Vec<Step<'_>>)> {
    let end = reference.find(['.', '[']).unwrap_or(reference.len());
    let (name, mut rest) = reference.split_at(end);
    let mut steps = Vec::new();
    while !rest.is_empty() {
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
