//! `WHERE`: filters, trees of them, and what ties an embedded relation to its parent.

use super::field::field;
use super::sql::{Sql, array};
use crate::plan::field::Condition;
use crate::plan::read::JoinPair;
use crate::request::filter::{Comparison, IsValue, Operation, Quantifiable, Quantifier, SearchKind};
use crate::request::logic::LogicOperator;
use crate::schema::Name;

/// Writes one condition; `embedded` writes the test whether an embedded relation has rows.
pub(crate) fn condition(
    sql: &mut Sql,
    qualifier: &Name,
    condition: &Condition,
    embedded: &dyn Fn(&mut Sql, &str, bool),
) {
    match condition {
        Condition::Embedded { alias, present } => embedded(sql, alias, *present),
        Condition::Filter { field: filtered, negated, operation: operator } => {
            sql.push(if *negated { "NOT " } else { "" });
            field(sql, qualifier, filtered);
            operation(sql, operator);
        }
        Condition::Many { negated, junction, parts } => {
            sql.push(if *negated { "NOT (" } else { "(" });
            let separator = match junction {
                LogicOperator::And => " AND ",
                LogicOperator::Or => " OR ",
            };
            sql.list(parts, separator, |sql, part| self::condition(sql, qualifier, part, embedded));
            sql.push(")");
        }
    }
}

/// Conditions of a statement that embeds nothing.
pub(crate) fn conditions(sql: &mut Sql, qualifier: &Name, all: &[Condition]) {
    sql.list(all, " AND ", |sql, one| {
        condition(sql, qualifier, one, &|sql, alias, present| embedded_alias(sql, alias, present));
    });
}

/// Whether the alias of an embedded relation stands for rows.
pub(crate) fn embedded_alias(sql: &mut Sql, alias: &str, present: bool) {
    sql.identifier(alias).push(if present { " IS DISTINCT FROM NULL" } else { " IS NOT DISTINCT FROM NULL" });
}

/// `a.b = c.d`.
pub(crate) fn join(sql: &mut Sql, pair: &JoinPair) {
    sql.column(&pair.left.0, &pair.left.1).push(" = ").column(&pair.right.0, &pair.right.1);
}

fn operation(sql: &mut Sql, operation: &Operation) {
    match operation {
        Operation::Compare(operator, value) => {
            sql.push(comparison(*operator)).bind(value.clone());
        }
        Operation::Quantified(operator, quantifier, value) => {
            sql.push(quantifiable(*operator));
            let value = if matches!(operator, Quantifiable::Like | Quantifiable::CaselessLike) {
                value.replace('*', "%")
            } else {
                value.clone()
            };
            match quantifier {
                None => sql.bind(value),
                Some(Quantifier::Any) => sql.push("ANY(").bind(value).push(")"),
                Some(Quantifier::All) => sql.push("ALL(").bind(value).push(")"),
            };
        }
        // one array instead of a list: the text is the same for any number of elements, and none is possible
        Operation::In(elements) if elements.len() == 1 && elements[0].is_empty() => {
            sql.push(" = ANY('{}')");
        }
        Operation::In(elements) => {
            sql.push(" = ANY (").bind(array(elements.iter().map(String::as_str))).push(")");
        }
        Operation::Is(value) => {
            sql.push(match value {
                IsValue::Null => " IS NULL",
                IsValue::NotNull => " IS NOT NULL",
                IsValue::True => " IS TRUE",
                IsValue::False => " IS FALSE",
                IsValue::Unknown => " IS UNKNOWN",
            });
        }
        Operation::IsDistinct(value) => {
            sql.push(" IS DISTINCT FROM ").bind(value.clone());
        }
        Operation::Search(kind, language, query) => {
            sql.push(search(*kind)).push("(");
            if let Some(language) = language {
                sql.bind(language.clone()).push(", ");
            }
            sql.bind(query.clone()).push(")");
        }
    }
}

fn comparison(operator: Comparison) -> &'static str {
    match operator {
        Comparison::NotEqual => " <> ",
        Comparison::Contains => " @> ",
        Comparison::ContainedBy => " <@ ",
        Comparison::Overlaps => " && ",
        Comparison::StrictlyLeft => " << ",
        Comparison::StrictlyRight => " >> ",
        Comparison::NotExtendsRight => " &< ",
        Comparison::NotExtendsLeft => " &> ",
        Comparison::Adjacent => " -|- ",
    }
}

fn quantifiable(operator: Quantifiable) -> &'static str {
    match operator {
        Quantifiable::Equal => " = ",
        Quantifiable::GreaterOrEqual => " >= ",
        Quantifiable::Greater => " > ",
        Quantifiable::LessOrEqual => " <= ",
        Quantifiable::Less => " < ",
        Quantifiable::Like => " like ",
        Quantifiable::CaselessLike => " ilike ",
        Quantifiable::Match => " ~ ",
        Quantifiable::CaselessMatch => " ~* ",
    }
}

fn search(kind: SearchKind) -> &'static str {
    match kind {
        SearchKind::Query => " @@ to_tsquery",
        SearchKind::Plain => " @@ plainto_tsquery",
        SearchKind::Phrase => " @@ phraseto_tsquery",
        SearchKind::Web => " @@ websearch_to_tsquery",
    }
}
