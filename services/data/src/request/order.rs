//! `order`: columns, JSON paths and columns of embedded relations, each with direction and place of nulls.

use super::field::{Field, field};
use super::scanner::{Scan, Scanner};

/// One thing to order by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderTerm {
    /// The embedded relation whose column it is, if not the own.
    pub(crate) relation: Option<String>,
    pub(crate) field: Field,
    pub(crate) direction: Option<Direction>,
    pub(crate) nulls: Option<Nulls>,
}

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// Where nulls stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    First,
    Last,
}

/// The whole parameter.
pub(crate) fn terms(scanner: &mut Scanner<'_>) -> Scan<Vec<OrderTerm>> {
    let mut terms = vec![term(scanner)?];
    while scanner.eat(",") {
        terms.push(term(scanner)?);
    }
    if scanner.is_done() { Ok(terms) } else { Err(scanner.fail("\",\" or end of input")) }
}

fn term(scanner: &mut Scanner<'_>) -> Scan<OrderTerm> {
    scanner.skip_space();
    let (relation, field) = match scanner.attempt(related) {
        Some((relation, field)) => (Some(relation), field),
        None => (None, field(scanner)?),
    };
    let direction = if scanner.eat(".asc") {
        Some(Direction::Ascending)
    } else if scanner.eat(".desc") {
        Some(Direction::Descending)
    } else {
        None
    };
    let nulls = if scanner.eat(".nullsfirst") {
        Some(Nulls::First)
    } else if scanner.eat(".nullslast") {
        Some(Nulls::Last)
    } else {
        None
    };
    scanner.skip_space();
    if scanner.eat(".") {
        return Err(scanner.fail(match direction {
            None => "\"asc\", \"desc\", \"nullsfirst\" or \"nullslast\"",
            Some(_) => "\"nullsfirst\" or \"nullslast\"",
        }));
    }
    if !scanner.is_done() && !scanner.sees(",") {
        return Err(scanner.fail("\",\" or end of input"));
    }
    Ok(OrderTerm { relation, field, direction, nulls })
}

/// `relation(column)`.
fn related(scanner: &mut Scanner<'_>) -> Scan<(String, Field)> {
    let relation = scanner.name()?;
    scanner.expect("(", "\"(\"")?;
    let field = field(scanner)?;
    scanner.expect(")", "\")\"")?;
    Ok((relation, field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Scan<Vec<OrderTerm>> {
        terms(&mut Scanner::new(text))
    }

    #[test]
    fn terms_have_direction_and_nulls() {
        let terms = parse("a.desc.nullslast,b.nullsfirst,c,d->x->>y.asc").unwrap();

        assert_eq!(terms[0].direction, Some(Direction::Descending));
        assert_eq!(terms[0].nulls, Some(Nulls::Last));
        assert_eq!((terms[1].direction, terms[1].nulls), (None, Some(Nulls::First)));
        assert_eq!((terms[2].direction, terms[2].nulls), (None, None));
        assert_eq!(terms[3].field.path.len(), 2);
    }

    #[test]
    fn a_term_may_be_an_embedded_relations() {
        let terms = parse("client(name).desc,id").unwrap();

        assert_eq!(terms[0].relation.as_deref(), Some("client"));
        assert_eq!(terms[0].field.name, "name");
        assert_eq!(terms[1].relation, None);
    }

    #[test]
    fn broken_orders_fail() {
        for text in [
            "",
            "id.ac",
            "id.descc",
            "id.nulsfirst",
            "id.asc.smth",
            "id.nullslastt",
            "c(name,id)",
            "a,,b",
            "a;b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
