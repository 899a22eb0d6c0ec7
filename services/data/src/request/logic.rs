//! Trees of filters: what `and` and `or` make.

use super::field::field;
use super::filter::{Filter, negatable, quoted_element};
use super::scanner::{MAX_DEPTH, Scan, Scanner};

/// A filter, or filters joined by `and` or `or`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Logic {
    One(Filter),
    Many {
        negated: bool,
        junction: LogicOperator,
        parts: Vec<Logic>,
    },
    /// What must hold of some row of an embedded relation.
    Related {
        relation: String,
        part: Box<Logic>,
    },
}

/// How the parts of a tree are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogicOperator {
    And,
    Or,
}

/// `[not.]and(…)` or `[not.]or(…)`, whose parts are filters and trees, perhaps of an embedded relation; at most
/// [`MAX_DEPTH`] deep.
pub(crate) fn logic(scanner: &mut Scanner<'_>, depth: usize) -> Scan<Logic> {
    if depth > MAX_DEPTH {
        return Err(scanner.fail("fewer nested conditions"));
    }
    if let Some(filter) = scanner.attempt(logic_filter) {
        return Ok(Logic::One(filter));
    }
    if let Some(related) = scanner.attempt(|scanner| related(scanner, depth)) {
        return Ok(related);
    }
    let negated = scanner.eat("not.");
    let junction = if scanner.eat("and") {
        LogicOperator::And
    } else if scanner.eat("or") {
        LogicOperator::Or
    } else if negated {
        return Err(scanner.fail("logic operator (and, or)"));
    } else {
        return Err(scanner
            .fail("field name (* or [a..z0..9_$]), negation operator (not) or logic operator (and, or)"));
    };
    scanner.skip_space();
    scanner.expect("(", "\"(\"")?;
    scanner.skip_space();
    let mut parts = vec![logic(scanner, depth + 1)?];
    scanner.skip_space();
    while scanner.eat(",") {
        scanner.skip_space();
        parts.push(logic(scanner, depth + 1)?);
        scanner.skip_space();
    }
    scanner.expect(")", "\",\" or \")\"")?;
    scanner.skip_space();
    Ok(Logic::Many { negated, junction, parts })
}

/// `relation.column.eq.1` or `relation.and(…)`. A name that an operator follows is a column's.
fn related(scanner: &mut Scanner<'_>, depth: usize) -> Scan<Logic> {
    let relation = scanner.name()?;
    if relation == "not" {
        return Err(scanner.fail("a relation"));
    }
    scanner.expect(".", "delimiter (.)")?;
    let part = Box::new(logic(scanner, depth + 1)?);
    Ok(Logic::Related { relation, part })
}

fn logic_filter(scanner: &mut Scanner<'_>) -> Scan<Filter> {
    let field = field(scanner)?;
    scanner.expect(".", "delimiter (.)")?;
    let (negated, operation) = negatable(scanner, logic_value)?;
    Ok(Filter { field, negated, operation })
}

/// A value inside a logic tree: quoted, an array in braces, or everything up to `,` or `)`.
fn logic_value(scanner: &mut Scanner<'_>) -> Scan<String> {
    if let Some(value) = scanner.attempt(quoted_element) {
        return Ok(value);
    }
    let array = scanner.attempt(|scanner| {
        scanner.expect("{", "{")?;
        let inner = scanner.take_while(|c| !matches!(c, '{' | '}'));
        scanner.expect("}", "}")?;
        Ok(format!("{{{inner}}}"))
    });
    Ok(array.unwrap_or_else(|| scanner.take_while(|c| !matches!(c, ',' | ')')).to_owned()))
}

impl Logic {
    /// The embedded relation that it asks about, if it does.
    pub(crate) fn relation(&self) -> Option<&str> {
        match self {
            Logic::One(_) => None,
            Logic::Many { parts, .. } => parts.iter().find_map(Logic::relation),
            Logic::Related { relation, .. } => Some(relation),
        }
    }
}
