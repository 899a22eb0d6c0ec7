//! Fields: columns, and the ways into their JSON.

use std::cmp::Ordering;

use super::scanner::{Failure, Scan, Scanner};

/// What a key is made of, for people.
const KEY: &str = "any non reserved character different from: .,>()";
/// What an arrow points at, for people.
const OPERAND: &str = "\"-\", digit or any non reserved character different from: .,>()";

/// A column, or a way into its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) path: Vec<JsonStep>,
}

/// One arrow of a JSON path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonStep {
    /// `->>` instead of `->`.
    pub(crate) as_text: bool,
    pub(crate) operand: JsonOperand,
}

/// What an arrow points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonOperand {
    /// A key of an object.
    Key(String),
    /// An index of an array: digits, perhaps after a `-`.
    Index(String),
}

/// A field: a name and perhaps a JSON path.
pub(crate) fn field(scanner: &mut Scanner<'_>) -> Scan<Field> {
    scanner.skip_space();
    let name = scanner.name()?;
    let path = json_path(scanner)?;
    scanner.skip_space();
    Ok(Field { name, path })
}

/// Any number of arrows.
pub(crate) fn json_path(scanner: &mut Scanner<'_>) -> Scan<Vec<JsonStep>> {
    let mut path = Vec::new();
    loop {
        let as_text = if scanner.eat("->>") {
            true
        } else if scanner.eat("->") {
            false
        } else {
            return Ok(path);
        };
        path.push(JsonStep { as_text, operand: json_operand(scanner)? });
    }
}

/// An index, or else a key; what fails later is what was meant.
fn json_operand(scanner: &mut Scanner<'_>) -> Scan<JsonOperand> {
    let start = scanner.clone();
    let no_index = match json_index(scanner) {
        Ok(index) => return Ok(JsonOperand::Index(index)),
        Err(failure) => failure,
    };
    *scanner = start;
    json_key(scanner).map(JsonOperand::Key).map_err(|no_key| match no_index.at.cmp(&no_key.at) {
        Ordering::Greater => no_index,
        Ordering::Less => no_key,
        Ordering::Equal => Failure { expecting: OPERAND, ..no_key },
    })
}

/// Digits, perhaps negative, up to where an operand ends; anything else is a key.
fn json_index(scanner: &mut Scanner<'_>) -> Scan<String> {
    let sign = if scanner.eat("-") { "-" } else { "" };
    let digits = scanner.take_while(|c| c.is_ascii_digit());
    let ends = scanner.is_done() || ["->", "::", ".", ","].iter().any(|end| scanner.sees(end));
    if digits.is_empty() {
        return Err(scanner.fail("digit"));
    }
    if !ends {
        return Err(scanner.fail("digit, \"->\", \"::\", \".\", \",\" or end of input"));
    }
    Ok(format!("{sign}{digits}"))
}

fn json_key(scanner: &mut Scanner<'_>) -> Scan<String> {
    if scanner.peek() == Some('"') {
        return scanner.quoted();
    }
    let mut key = json_word(scanner)?;
    while scanner.sees("-") && !scanner.sees("->") {
        scanner.eat("-");
        key.push('-');
        key.push_str(&json_word(scanner)?);
    }
    Ok(key)
}

fn json_word(scanner: &mut Scanner<'_>) -> Scan<String> {
    let word = scanner.take_while(|c| !matches!(c, '(' | '-' | ':' | '.' | ',' | '>' | ')'));
    if word.is_empty() {
        return Err(scanner.fail(KEY));
    }
    Ok(word.trim().to_owned())
}
