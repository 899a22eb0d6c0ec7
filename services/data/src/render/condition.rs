//! `WHERE`: filters, trees of them, and what ties an embedded relation to its parent.

use super::field::field;
use super::select::existing;
use super::sql::{Sql, array};
use crate::plan::ReadPlan;
use crate::plan::condition::Condition;
use crate::plan::read::{Embed, JoinPair};
use crate::request::filter::{Comparison, IsValue, Operation, Quantifiable, Quantifier, SearchKind};
use crate::request::logic::LogicOperator;
use crate::schema::Name;

/// Where a condition stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// What its columns are qualified with.
    pub(super) qualifier: &'a Name,
    /// The relations that it may ask about.
    pub(super) embeds: &'a [Embed],
    /// Whether those are joined, so that their aliases stand for their rows.
    pub(super) joined: bool,
}

/// Writes one condition.
pub(super) fn condition(sql: &mut Sql, scope: Scope<'_>, condition: &Condition) {
    let Scope { qualifier, embeds, joined } = scope;
    let plan_of = |alias: &str| embeds.iter().find(|embed| embed.alias == alias).map(|embed| &embed.plan);
    match condition {
        Condition::Embedded { alias, present } if joined => {
            sql.identifier(alias).push(if *present {
                " IS DISTINCT FROM NULL"
            } else {
                " IS NOT DISTINCT FROM NULL"
            });
        }
        Condition::Embedded { alias, present } => {
            sql.push(if *present { "" } else { "NOT " });
            exists(sql, plan_of(alias), None);
        }
        Condition::Related { alias, part } => exists(sql, plan_of(alias), Some(part)),
        Condition::Filter { field: filtered, negated, operation: operator } => {
            sql.push(if *negated { "NOT " } else { "" });
            field(sql, qualifier, filtered);
            operation(sql, operator, filtered.read_by.as_ref());
        }
        Condition::Many { negated, junction, parts } => {
            sql.push(if *negated { "NOT (" } else { "(" });
            let separator = match junction {
                LogicOperator::And => " AND ",
                LogicOperator::Or => " OR ",
            };
            sql.list(parts, separator, |sql, part| self::condition(sql, scope, part));
            sql.push(")");
        }
    }
}

/// Conditions of a statement that embeds nothing.
pub(super) fn conditions(sql: &mut Sql, qualifier: &Name, all: &[Condition]) {
    let scope = Scope { qualifier, embeds: &[], joined: false };
    sql.list(all, " AND ", |sql, one| condition(sql, scope, one));
}

/// Whether an embedded relation has a row – its own conditions hold of it –, and of which another holds too.
pub(super) fn exists(sql: &mut Sql, plan: Option<&ReadPlan>, also: Option<&Condition>) {
    match plan {
        Some(plan) => {
            sql.push("EXISTS (");
            existing(sql, plan, also);
            sql.push(")");
        }
        // a condition is planned with what it asks about
        None => drop(sql.push("false")),
    }
}

/// `a.b = c.d`.
pub(crate) fn join(sql: &mut Sql, pair: &JoinPair) {
    sql.column(&pair.left.0, &pair.left.1).push(" = ").column(&pair.right.0, &pair.right.1);
}

/// A value to compare with, as its function reads it if it has one.
fn value<'a>(sql: &'a mut Sql, text: String, read_by: Option<&Name>) -> &'a mut Sql {
    match read_by {
        Some(function) => sql.name(function).push("(").bind(text).push(")"),
        None => sql.bind(text),
    }
}

fn operation(sql: &mut Sql, operation: &Operation, read_by: Option<&Name>) {
    match operation {
        Operation::Compare(operator, text) => {
            value(sql.push(comparison(*operator)), text.clone(), read_by);
        }
        Operation::Quantified(operator, quantifier, text) => {
            sql.push(quantifiable(*operator));
            // a pattern is no value of the column's type
            let (text, read_by) = match operator {
                Quantifiable::Like | Quantifiable::CaselessLike => (text.replace('*', "%"), None),
                Quantifiable::Match | Quantifiable::CaselessMatch => (text.clone(), None),
                _ => (text.clone(), read_by),
            };
            match quantifier {
                None => value(sql, text, read_by),
                Some(Quantifier::Any) => sql.push("ANY(").bind(text).push(")"),
                Some(Quantifier::All) => sql.push("ALL(").bind(text).push(")"),
            };
        }
        // one array instead of a list: the text is the same for any number of elements, and none is possible
        Operation::In(elements) if elements.len() == 1 && elements[0].is_empty() => {
            sql.push(" = ANY('{}')");
        }
        Operation::In(elements) if read_by.is_some() => {
            sql.push(" = ANY (ARRAY[").list(elements, ", ", |sql, element| {
                value(sql, element.clone(), read_by);
            });
            sql.push("])");
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
        Operation::IsDistinct(text) => {
            value(sql.push(" IS DISTINCT FROM "), text.clone(), read_by);
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
