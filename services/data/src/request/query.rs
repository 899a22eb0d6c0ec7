//! The query string: reserved keys, filters, and a function's arguments.

use std::collections::BTreeSet;

use base::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::cursor::{Cursor, Position, Side};
use super::field::field;
use super::filter::{Filter, operation};
use super::logic::{Logic, logic};
use super::order::{OrderTerm, terms};
use super::range::Range;
use super::scanner::{Scan, Scanner};
use super::select::{Distinct, SelectItem, items};
use crate::error::{CURSOR, QUERY};

/// Where in the tree of embedded relations something applies; empty for the first level.
pub(crate) type Path = Vec<String>;

/// A query string, read.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) select: Vec<SelectItem>,
    pub(crate) filters: Vec<(Path, Filter)>,
    pub(crate) logic: Vec<(Path, Logic)>,
    pub(crate) order: Vec<(Path, Vec<OrderTerm>)>,
    pub(crate) distinct: Vec<(Path, Distinct)>,
    /// `limit` and `offset`.
    pub(crate) ranges: Vec<(Path, Range)>,
    /// Which page of rows.
    pub(crate) cursor: Option<Cursor>,
    /// The columns to write, if named.
    pub(crate) columns: Option<BTreeSet<String>>,
    pub(crate) on_conflict: Option<Vec<String>>,
    /// A function's arguments, repeated ones in order.
    pub(crate) arguments: Vec<(String, String)>,
    /// The keys of all filters as they were written, for PUT's check against the primary key.
    pub(crate) filter_keys: BTreeSet<String>,
    /// The same query with its keys in order, encoded.
    pub(crate) canonical: String,
}

/// Most parameters of a query; each may be a list of any length.
const MAX_PARAMETERS: usize = 1000;
/// Most relations that a query embeds, at all depths together.
const MAX_RELATIONS: usize = 500;

/// What form encoding leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Query {
    /// Reads `text`; with `arguments`, a value that starts with no operator is a function's argument.
    ///
    /// Errors: PGRST100 for everything that cannot be read.
    pub(crate) fn parse(text: &str, arguments: bool) -> Result<Query> {
        let pairs = decode(text)?;
        if pairs.len() > MAX_PARAMETERS {
            return Err(QUERY.error(format!("the query has more than {MAX_PARAMETERS} parameters")));
        }
        let mut query = Query { canonical: canonical(&pairs), ..Query::default() };
        let mut select = None;
        let mut bounds = Vec::new();
        for (key, value) in pairs.iter().filter_map(|(key, value)| Some((key, value.as_deref()?))) {
            let last = key.rsplit('.').next().unwrap_or_default();
            match (key.as_str(), last) {
                ("select", _) => select = select.or(Some(value)),
                ("columns", _) => {
                    let names =
                        names(value).map_err(|failure| failure.into_error("columns parameter", value))?;
                    query.columns.get_or_insert_with(|| names.into_iter().collect());
                }
                ("on_conflict", _) => {
                    let names =
                        names(value).map_err(|failure| failure.into_error("on_conflict parameter", value))?;
                    query.on_conflict.get_or_insert(names);
                }
                (_, "order") => query.order.push((path(key)?, order(value)?)),
                // a column or an argument may have that name
                (_, "distinct") if !arguments && operation(&mut Scanner::new(value)).is_err() => {
                    query.distinct.push((self::path(key)?, distinct(value)?));
                }
                ("after" | "before", side) if !arguments && operation(&mut Scanner::new(value)).is_err() => {
                    query.cursor = Some(cursor(&query, side, value, &pairs)?);
                }
                (_, "limit" | "offset") => bounds.push((path(key)?, last, value)),
                (_, "and" | "or") => query.logic.push(logic_tree(key, value)?),
                _ => query.add_filter(key, value, arguments)?,
            }
        }
        query.select = select_items(select.unwrap_or("*"))?;
        query.ranges = ranges(&bounds);
        Ok(query)
    }

    fn add_filter(&mut self, key: &str, value: &str, arguments: bool) -> Result<()> {
        let mut scanner = Scanner::new(key);
        let parsed = tree_path(&mut scanner).map_err(|failure| failure.into_error("tree path", key))?;
        let (path, field) = parsed;
        self.filter_keys.insert(key.to_owned());
        match operation(&mut Scanner::new(value)) {
            Ok((negated, operation)) => self.filters.push((path, Filter { field, negated, operation })),
            Err(failure) if arguments && failure.at == 0 => {
                self.arguments.push((field.name, value.to_owned()))
            }
            Err(failure) => return Err(failure.into_error("filter", value)),
        }
        Ok(())
    }

    /// Whether anything is aggregated, at any depth.
    pub(crate) fn aggregates(&self) -> bool {
        self.select.iter().any(SelectItem::aggregates)
    }

    /// Whether all columns of the relation are selected and nothing besides.
    pub(crate) fn selects_whole_rows(&self) -> bool {
        match self.select.as_slice() {
            [SelectItem::Column(column)] => column.field.name == "*" && column.aggregate.is_none(),
            _ => false,
        }
    }

    /// Relations that filters, orders and limits name although they have an alias: (name, alias).
    pub(crate) fn passed_aliases(&self) -> BTreeSet<(&str, &str)> {
        let paths = (self.filters.iter().map(|(path, _)| path))
            .chain(self.logic.iter().map(|(path, _)| path))
            .chain(self.order.iter().map(|(path, _)| path))
            .chain(self.distinct.iter().map(|(path, _)| path))
            .chain(self.ranges.iter().map(|(path, _)| path));
        let mut passed = BTreeSet::new();
        for path in paths {
            let mut items = &self.select;
            for name in path {
                let relations = items.iter().filter_map(SelectItem::relation);
                let Some(relation) = { relations }.find(|relation| relation.answers_to(name)) else { break };
                if let Some(alias) = relation.alias.as_deref().filter(|alias| alias != name) {
                    passed.insert((&*relation.name, alias));
                }
                items = &relation.items;
            }
        }
        passed
    }

    /// The filters of the first level: those that say which rows to write.
    pub(crate) fn root_filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.iter().filter(|(path, _)| path.is_empty()).map(|(_, filter)| filter)
    }

    /// The trees of the first level.
    pub(crate) fn root_logic(&self) -> impl Iterator<Item = &Logic> {
        self.logic.iter().filter(|(path, _)| path.is_empty()).map(|(_, logic)| logic)
    }
}

/// Keys and values, decoded; a key without `=` has no value.
///
/// A `%` that starts no escape stands for itself. Errors: PGRST100 for what is not UTF-8, and for NUL, which no
/// value in PostgreSQL can hold.
pub(crate) fn decode(text: &str) -> Result<Vec<(String, Option<String>)>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((decode_part(key)?, Some(decode_part(value)?))),
            None => Ok((decode_part(pair)?, None)),
        })
        .collect()
}

fn decode_part(part: &str) -> Result<String> {
    let spaced = part.replace('+', " ");
    match percent_decode(spaced.as_bytes()).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        Ok(_) => Err(QUERY.error("the query string holds a NUL character")),
        Err(_) => Err(QUERY.error("the query string is not UTF-8 text")),
    }
}

fn canonical(pairs: &[(String, Option<String>)]) -> String {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let encoded: Vec<String> = sorted
        .into_iter()
        .map(|(key, value)| {
            let value = value.as_deref().unwrap_or_default();
            format!("{}={}", utf8_percent_encode(key, UNRESERVED), utf8_percent_encode(value, UNRESERVED))
        })
        .collect();
    encoded.join("&")
}

/// Encodes one value for a query string.
pub(crate) fn encode(value: &str) -> impl std::fmt::Display {
    utf8_percent_encode(value, UNRESERVED)
}

fn select_items(text: &str) -> Result<Vec<SelectItem>> {
    if text.matches('(').count() > MAX_RELATIONS {
        return Err(QUERY.error(format!("the query embeds more than {MAX_RELATIONS} relations")));
    }
    let mut scanner = Scanner::new(text);
    let parsed = items(&mut scanner, 0).and_then(|items| {
        if scanner.is_done() { Ok(items) } else { Err(scanner.fail("\",\" or end of input")) }
    });
    parsed.map_err(|failure| failure.into_error("select parameter", text))
}

fn order(text: &str) -> Result<Vec<OrderTerm>> {
    terms(&mut Scanner::new(text)).map_err(|failure| failure.into_error("order", text))
}

fn names(text: &str) -> Scan<Vec<String>> {
    names_from(&mut Scanner::new(text))
}

fn names_from(scanner: &mut Scanner<'_>) -> Scan<Vec<String>> {
    let mut names = vec![scanner.name()?];
    scanner.skip_space();
    while scanner.eat(",") {
        scanner.skip_space();
        names.push(scanner.name()?);
        scanner.skip_space();
    }
    Ok(names)
}

fn distinct(value: &str) -> Result<Distinct> {
    if value == "*" {
        return Ok(Distinct::Rows);
    }
    let mut scanner = Scanner::new(value);
    let names = names_from(&mut scanner).and_then(|names| {
        if scanner.is_done() { Ok(names) } else { Err(scanner.fail("\",\" or end of input")) }
    });
    names.map(Distinct::By).map_err(|failure| failure.into_error("distinct parameter", value))
}

/// Which page is wanted. A query in the body asks for the first or last; the address may go on from there.
fn cursor(query: &Query, side: &str, token: &str, pairs: &[(String, Option<String>)]) -> Result<Cursor> {
    let given = query.cursor.as_ref();
    if given.is_some_and(|given| given.position.is_some()) && !token.is_empty() {
        return Err(CURSOR.error("a page is either before or after one row"));
    }
    if let (Some(given), true) = (given, token.is_empty()) {
        return Ok(given.clone());
    }
    let side = if side == "after" { Side::After } else { Side::Before };
    let is_other = |(key, value): &&(String, Option<String>)| {
        let value = value.as_deref();
        !(matches!(key.as_str(), "after" | "before") && (value == Some("") || value == Some(token)))
    };
    let others: Vec<_> = pairs.iter().filter(is_other).cloned().collect();
    Ok(Cursor { side, position: Position::parse(token)?, others: canonical(&others) })
}

/// Names joined by dots; all but the last are relations.
fn tree_path(scanner: &mut Scanner<'_>) -> super::scanner::Scan<(Path, super::field::Field)> {
    let mut path = Vec::new();
    loop {
        let field = field(scanner)?;
        if field.path.is_empty() && scanner.eat(".") {
            path.push(field.name);
        } else {
            return Ok((path, field));
        }
    }
}

/// The relations before a reserved key such as `todos.order`.
fn path(key: &str) -> Result<Path> {
    let parsed = tree_path(&mut Scanner::new(key)).map_err(|failure| failure.into_error("tree path", key))?;
    Ok(parsed.0)
}

/// `and`, `or`, `not.and`, `relation.or`, `relation.not.or`: the relations, and the tree.
fn logic_tree(key: &str, value: &str) -> Result<(Path, Logic)> {
    let parsed =
        tree_path(&mut Scanner::new(key)).map_err(|failure| failure.into_error("logic path", key))?;
    let (mut path, operator) = parsed;
    let before = path.len();
    path.retain(|name| name != "not");
    let not = if path.len() < before { "not." } else { "" };
    let whole = format!("{not}{}{value}", operator.name);
    let tree = logic(&mut Scanner::new(&whole), 0)
        .map_err(|failure| failure.into_error_of("logic tree", value, &whole))?;
    Ok((path, tree))
}

/// `limit` and `offset` of each level together; the first of each counts, and what is no number does not.
fn ranges(bounds: &[(Path, &str, &str)]) -> Vec<(Path, Range)> {
    let mut ranges: Vec<(Path, Range)> = Vec::new();
    let paths: BTreeSet<&Path> = bounds.iter().map(|(path, _, _)| path).collect();
    for path in paths {
        let bound = |name: &str| {
            let given = bounds.iter().find(|(at, bound, _)| at == path && *bound == name);
            given.and_then(|(_, _, value)| integer(value))
        };
        ranges.push((path.clone(), Range::of(bound("offset"), bound("limit"))));
    }
    ranges
}

/// A whole number; one too large for PostgreSQL is as good as its largest.
fn integer(text: &str) -> Option<i64> {
    let number: i128 = text.trim().parse().ok()?;
    Some(i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests;
