//! Filters: `column=op.value`.

use super::field::Field;
use super::scanner::{Scan, Scanner, is_word};

/// A condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) field: Field,
    pub(crate) negated: bool,
    pub(crate) operation: Operation,
}

/// The right side of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An operator and a value.
    Compare(Comparison, String),
    /// An operator that may be asked of any or all elements of an array.
    Quantified(Quantifiable, Option<Quantifier>, String),
    /// Equal to one of a list.
    In(Vec<String>),
    /// `IS`.
    Is(IsValue),
    /// `IS DISTINCT FROM`.
    IsDistinct(String),
    /// Full-text search, perhaps in a language.
    Search(SearchKind, Option<String>, String),
}

/// Operators that take one value as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    NotEqual,
    Contains,
    ContainedBy,
    Overlaps,
    StrictlyLeft,
    StrictlyRight,
    NotExtendsRight,
    NotExtendsLeft,
    Adjacent,
}

/// Operators that may be quantified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifiable {
    Equal,
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    Like,
    CaselessLike,
    Match,
    CaselessMatch,
}

/// How many elements must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    Any,
    All,
}

/// What `is` may be followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsValue {
    Null,
    NotNull,
    True,
    False,
    Unknown,
}

/// How a full-text query is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchKind {
    Query,
    Plain,
    Phrase,
    Web,
}

const OPERATOR: &str = "\"not\" or operator (eq, gt, ...)";

/// `[not.]op.value` to the end of the text: negated or not, and the operation.
pub(crate) fn operation(scanner: &mut Scanner<'_>) -> Scan<(bool, Operation)> {
    negatable(scanner, |scanner| Ok(scanner.take_rest().to_owned()))
}

/// `[not.]op.value`, where `value` reads the value.
pub(super) fn negatable(
    scanner: &mut Scanner<'_>,
    value: impl Fn(&mut Scanner<'_>) -> Scan<String>,
) -> Scan<(bool, Operation)> {
    let negated = scanner.eat("not.");
    let start = scanner.clone();
    let name = scanner.take_while(|c| c.is_ascii_lowercase());
    if let Some(operator) = quantifiable(name) {
        let quantifier = quantifier(scanner);
        delimiter(scanner, &start)?;
        return Ok((negated, Operation::Quantified(operator, quantifier, value(scanner)?)));
    }
    if let Some(kind) = search_kind(name) {
        let language = scanner.attempt(language);
        delimiter(scanner, &start)?;
        return Ok((negated, Operation::Search(kind, language, value(scanner)?)));
    }
    let comparison = comparison(name);
    if comparison.is_none() && !matches!(name, "in" | "is" | "isdistinct") {
        *scanner = start;
        return Err(scanner.fail(OPERATOR));
    }
    delimiter(scanner, &start)?;
    let operation = match (comparison, name) {
        (Some(operator), _) => Operation::Compare(operator, value(scanner)?),
        (None, "in") => Operation::In(list(scanner)?),
        (None, "is") => Operation::Is(is_value(scanner)?),
        (None, _) => Operation::IsDistinct(value(scanner)?),
    };
    Ok((negated, operation))
}

/// The dot after an operator; without it, the operator was none.
fn delimiter<'a>(scanner: &mut Scanner<'a>, start: &Scanner<'a>) -> Scan<()> {
    if scanner.eat(".") {
        return Ok(());
    }
    *scanner = start.clone();
    Err(scanner.fail(OPERATOR))
}

fn quantifiable(name: &str) -> Option<Quantifiable> {
    Some(match name {
        "eq" => Quantifiable::Equal,
        "gte" => Quantifiable::GreaterOrEqual,
        "gt" => Quantifiable::Greater,
        "lte" => Quantifiable::LessOrEqual,
        "lt" => Quantifiable::Less,
        "like" => Quantifiable::Like,
        "ilike" => Quantifiable::CaselessLike,
        "match" => Quantifiable::Match,
        "imatch" => Quantifiable::CaselessMatch,
        _ => return None,
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "neq" => Comparison::NotEqual,
        "cs" => Comparison::Contains,
        "cd" => Comparison::ContainedBy,
        "ov" => Comparison::Overlaps,
        "sl" => Comparison::StrictlyLeft,
        "sr" => Comparison::StrictlyRight,
        "nxr" => Comparison::NotExtendsRight,
        "nxl" => Comparison::NotExtendsLeft,
        "adj" => Comparison::Adjacent,
        _ => return None,
    })
}

fn search_kind(name: &str) -> Option<SearchKind> {
    Some(match name {
        "fts" => SearchKind::Query,
        "plfts" => SearchKind::Plain,
        "phfts" => SearchKind::Phrase,
        "wfts" => SearchKind::Web,
        _ => return None,
    })
}

fn quantifier(scanner: &mut Scanner<'_>) -> Option<Quantifier> {
    if scanner.eat("(any)") {
        Some(Quantifier::Any)
    } else if scanner.eat("(all)") {
        Some(Quantifier::All)
    } else {
        None
    }
}

fn language(scanner: &mut Scanner<'_>) -> Scan<String> {
    scanner.expect("(", "(")?;
    let language = scanner.take_while(is_word).trim().to_owned();
    if language.is_empty() {
        return Err(scanner.fail("language"));
    }
    scanner.expect(")", ")")?;
    Ok(language)
}

/// `null`, `not_null`, `true`, `false` or `unknown`, in any case.
fn is_value(scanner: &mut Scanner<'_>) -> Scan<IsValue> {
    let values = [
        ("not_null", IsValue::NotNull),
        ("null", IsValue::Null),
        ("true", IsValue::True),
        ("false", IsValue::False),
        ("unknown", IsValue::Unknown),
    ];
    for (word, value) in values {
        let found = scanner.rest().get(..word.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(word));
        if found {
            let taken = scanner.rest()[..word.len()].to_owned();
            scanner.eat(&taken);
            return Ok(value);
        }
    }
    Err(scanner.fail("isVal: (null, not_null, true, false, unknown)"))
}

/// `(a,"b,c",…)`; `()` is one empty element, which stands for none.
fn list(scanner: &mut Scanner<'_>) -> Scan<Vec<String>> {
    scanner.skip_space();
    scanner.expect("(", "\"(\"")?;
    scanner.skip_space();
    let mut elements = vec![element(scanner)];
    while scanner.eat(",") {
        elements.push(element(scanner));
    }
    scanner.skip_space();
    scanner.expect(")", "\",\" or \")\"")?;
    scanner.skip_space();
    Ok(elements)
}

/// A quoted value that ends at `,` or `)`, or else everything up to there.
fn element(scanner: &mut Scanner<'_>) -> String {
    scanner
        .attempt(quoted_element)
        .unwrap_or_else(|| scanner.take_while(|c| !matches!(c, ',' | ')')).to_owned())
}

/// A quoted value that an element's end follows.
pub(super) fn quoted_element(scanner: &mut Scanner<'_>) -> Scan<String> {
    let value = scanner.quoted()?;
    if scanner.is_done() || scanner.sees(",") || scanner.sees(")") {
        Ok(value)
    } else {
        Err(scanner.fail(","))
    }
}

#[cfg(test)]
mod tests;
