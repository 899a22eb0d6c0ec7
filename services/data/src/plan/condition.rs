//! Conditions: filters, trees of them, and what must hold of embedded relations.

use base::Result;

use super::field::{PlannedField, field};
use super::read::Embed;
use super::tree::not_embedded;
use crate::request::filter::{Filter, IsValue, Operation};
use crate::request::logic::{Logic, LogicOperator};
use crate::schema::{SchemaCache, Table};

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Filter {
        field: PlannedField,
        negated: bool,
        operation: Operation,
    },
    /// Whether an embedded relation has rows, by its alias in the statement.
    Embedded {
        alias: String,
        present: bool,
    },
    /// Whether some row of an embedded relation fulfils a condition of its own.
    Related {
        alias: String,
        part: Box<Condition>,
    },
    Many {
        negated: bool,
        junction: LogicOperator,
        parts: Vec<Condition>,
    },
}

/// Plans a filter.
pub(crate) fn filter(filter: &Filter, table: Option<&Table>) -> Condition {
    let mut planned = field(&filter.field, table);
    if let Operation::Search(_, language, _) = &filter.operation {
        let searchable = table.and_then(|table| table.columns.get(&filter.field.name));
        // what the cache does not know may be a tsvector already, and to_tsvector(tsvector) does not exist
        planned.to_tsvector =
            searchable.filter(|column| !column.r#type.is_tsvector()).map(|_| language.clone());
    }
    Condition::Filter { field: planned, negated: filter.negated, operation: filter.operation.clone() }
}

/// Plans a tree of filters of `table`, in which `embeds` are embedded.
///
/// Errors: PGRST108 for a relation that is not.
pub(crate) fn logic(
    logic: &Logic,
    table: Option<&Table>,
    embeds: &[Embed],
    cache: &SchemaCache,
) -> Result<Condition> {
    match logic {
        Logic::One(one) => Ok(embedded(one, embeds).unwrap_or_else(|| filter(one, table))),
        Logic::Many { negated, junction, parts } => Ok(Condition::Many {
            negated: *negated,
            junction: *junction,
            parts: parts.iter().map(|part| self::logic(part, table, embeds, cache)).collect::<Result<_>>()?,
        }),
        Logic::Related { relation, part } => {
            let embed = embeds.iter().find(|embed| embed.label == *relation);
            let Embed { plan, relationship, alias, .. } = embed.ok_or_else(|| not_embedded(relation))?;
            let table = cache.tables.get(&relationship.target);
            let part = Box::new(self::logic(part, table, &plan.embeds, cache)?);
            Ok(Condition::Related { alias: alias.clone(), part })
        }
    }
}

/// How many questions about related rows a condition is written as: each asks its relation's own conditions again.
pub(crate) fn weight(condition: &Condition, embeds: &[Embed]) -> usize {
    let of = |alias: &str| embeds.iter().find(|embed| embed.alias == alias).map(|embed| &embed.plan);
    match condition {
        Condition::Filter { .. } => 0,
        Condition::Embedded { alias, .. } => of(alias).map_or(0, |plan| 1 + plan.weight),
        Condition::Related { alias, part } => {
            of(alias).map_or(0, |plan| 1 + plan.weight + weight(part, &plan.embeds))
        }
        Condition::Many { parts, .. } => parts.iter().map(|part| weight(part, embeds)).sum(),
    }
}

/// `relation=is.null` asks whether the embedded relation has rows, not for a column.
fn embedded(filter: &Filter, embeds: &[Embed]) -> Option<Condition> {
    if filter.operation != Operation::Is(IsValue::Null) || !filter.field.path.is_empty() {
        return None;
    }
    let embed = embeds.iter().find(|embed| embed.label == filter.field.name)?;
    Some(Condition::Embedded { alias: embed.alias.clone(), present: filter.negated })
}

impl Condition {
    /// The columns of the own relation that it needs.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Condition::Filter { field, .. } => vec![&field.column],
            Condition::Embedded { .. } | Condition::Related { .. } => Vec::new(),
            Condition::Many { parts, .. } => parts.iter().flat_map(Condition::columns).collect(),
        }
    }
}
