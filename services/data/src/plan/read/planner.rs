//! From the tree of a request to the plan of each of its relations.

use base::Result;

use super::{Embed, From, JoinPair, ReadPlan, SOURCE};
use crate::error::{AGGREGATES, QUERY, RELATED_ORDER};
use crate::plan::embed::find;
use crate::plan::field::{self, PlannedColumn, PlannedOrder};
use crate::plan::tree::{self, Node, not_embedded};
use crate::plan::{condition, page, spread};
use crate::request::ApiRequest;
use crate::request::select::{Distinct, Join};
use crate::schema::{Cardinality, Junction, Name, Relationship, SchemaCache, Table};
use crate::settings::Settings;

/// Questions about related rows in the conditions of one relation, with those that each asks again.
const MAX_WEIGHT: usize = 1000;

/// Plans the rows of a relation.
pub(crate) fn of_relation(
    request: &ApiRequest,
    name: &Name,
    cache: &SchemaCache,
    settings: &Settings,
) -> Result<ReadPlan> {
    let tree = tree::of(request, &name.name)?;
    let from = From::Relation { name: name.clone(), alias: None };
    let place = Place { qualifier: name.clone(), joined_by: Vec::new(), depth: 0, in_lists: false };
    let written_out = request.query.aggregates() || request.query.cursor.is_some();
    let mut plan = Planner { cache, settings, capped: true, written_out }.node(tree, from, name, place)?;
    if let (Some(cursor), Some(table)) = (&request.query.cursor, cache.tables.get(name)) {
        page::turn(&mut plan, table, cursor)?;
    }
    Ok(plan)
}

/// Plans the rows of what was written to `relation`, or of what a function returned of it.
pub(crate) fn of_result(
    request: &ApiRequest,
    relation: &Name,
    cache: &SchemaCache,
    settings: &Settings,
) -> Result<ReadPlan> {
    let tree = tree::of(request, &relation.name)?;
    let from = From::Relation { name: Name::bare(SOURCE), alias: Some(relation.name.clone()) };
    let qualifier = Name::bare(&*relation.name);
    let place = Place { qualifier, joined_by: Vec::new(), depth: 0, in_lists: false };
    // the rows of a write are counted by its filters, those of a function by the project's limit
    let capped = request.target.action.is_call();
    let written_out = request.query.aggregates();
    Planner { cache, settings, capped, written_out }.node(tree, from, relation, place)
}

/// Where a selection stands in the statement.
struct Place {
    /// What its columns are qualified with.
    qualifier: Name,
    /// What ties it to the parent.
    joined_by: Vec<JoinPair>,
    depth: usize,
    /// Whether its columns become lists, in this relation or one that it is spread in.
    in_lists: bool,
}

struct Planner<'a> {
    cache: &'a SchemaCache,
    settings: &'a Settings,
    capped: bool,
    /// Whether `*` is written out as columns everywhere.
    written_out: bool,
}

impl Planner<'_> {
    /// Plans a node whose rows are `relation`'s and come from `from`.
    fn node(&self, node: Node, from: From, relation: &Name, place: Place) -> Result<ReadPlan> {
        let table = self.cache.tables.get(relation);
        let columns: Vec<PlannedColumn> =
            node.columns.iter().map(|column| field::column(column, table)).collect();
        self.check_aggregates(&columns)?;
        let mut embeds = Vec::new();
        for child in node.children {
            embeds.push(self.embed(child, relation, &place)?);
        }
        let conditions =
            node.conditions.iter().map(|logic| condition::logic(logic, table, &embeds, self.cache));
        let conditions = conditions.collect::<Result<Vec<_>>>()?;
        let weight = conditions.iter().map(|condition| condition::weight(condition, &embeds)).sum();
        if weight > MAX_WEIGHT {
            return Err(
                QUERY.error(format!("the conditions ask about related rows more than {MAX_WEIGHT} times"))
            );
        }
        let distinct = node.distinct;
        let order = node
            .order
            .iter()
            .map(|term| related_order(field::order(term, table), &relation.name, &embeds))
            .collect::<Result<_>>()?;
        let order = match &distinct {
            Some(Distinct::By(columns)) => ordered_first(columns, order),
            Some(Distinct::Rows) | None => order,
        };
        let range = if self.capped { node.range.at_most(self.settings.max_rows) } else { node.range };
        let columns = expanded(columns, table, place.in_lists || self.written_out);
        let Place { qualifier, joined_by, .. } = place;
        Ok(ReadPlan {
            from,
            qualifier,
            columns,
            conditions,
            joined_by,
            order,
            distinct,
            range,
            embeds,
            keyed: false,
            page: None,
            weight,
        })
    }

    fn check_aggregates(&self, columns: &[PlannedColumn]) -> Result<()> {
        if columns.iter().all(|column| column.aggregate.is_none()) {
            return Ok(());
        }
        if !self.settings.aggregates_enabled {
            return Err(AGGREGATES.error("Use of aggregate functions is not allowed"));
        }
        Ok(())
    }

    fn embed(&self, node: Node, parent: &Name, above: &Place) -> Result<Embed> {
        let relationship = find(self.cache, parent, &node.name, node.hint.as_deref())?.clone();
        let (target, depth) = (relationship.target.clone(), above.depth + 1);
        let (from, qualifier) = source(&relationship, &above.qualifier, depth);
        let joined_by = join_pairs(&relationship, &above.qualifier, &qualifier);
        let label = node.label().to_owned();
        let alias = format!("{}_{label}_{depth}", relationship.source.name);
        let join = node.join.unwrap_or(Join::Left);
        let spread = node.spread;
        let spreads_lists = spread && !relationship.is_to_one();
        let in_lists = spreads_lists || (spread && above.in_lists);
        let plan = self.node(node, from, &target, Place { qualifier, joined_by, depth, in_lists })?;
        let mut plan = ReadPlan { keyed: spreads_lists, ..plan };
        let outputs = match (spread, spreads_lists) {
            (false, _) => Vec::new(),
            (true, false) => spread::of_one(&mut plan),
            (true, true) => spread::of_many(&mut plan)?,
        };
        Ok(Embed { plan, relationship, label, alias, join, spread, outputs })
    }
}

/// Where an embedded relation's rows come from, and what qualifies their columns.
fn source(relationship: &Relationship, parent: &Name, depth: usize) -> (From, Name) {
    let target = &relationship.target;
    let alias = format!("{}_{depth}", target.name);
    match &relationship.cardinality {
        Cardinality::ManyToMany(junction) => {
            (From::Through { name: target.clone(), junction: junction.table.clone() }, target.clone())
        }
        Cardinality::Computed { function, .. } => (
            From::Computed {
                function: function.clone(),
                row: parent.name.clone(),
                row_type: relationship.source.clone(),
                alias: alias.clone(),
            },
            Name::bare(alias),
        ),
        _ => (From::Relation { name: target.clone(), alias: Some(alias.clone()) }, Name::bare(alias)),
    }
}

/// The conditions that tie an embedded relation to its parent.
fn join_pairs(relationship: &Relationship, parent: &Name, own: &Name) -> Vec<JoinPair> {
    let pair = |left: &Name, left_column: &str, right: &Name, right_column: &str| JoinPair {
        left: (left.clone(), left_column.to_owned()),
        right: (right.clone(), right_column.to_owned()),
    };
    match &relationship.cardinality {
        Cardinality::Computed { .. } => Vec::new(),
        Cardinality::ManyToMany(Junction { table, source_columns, target_columns, .. }) => {
            let to_target =
                target_columns.iter().map(|(theirs, junction)| pair(table, junction, own, theirs));
            let to_source =
                source_columns.iter().map(|(theirs, junction)| pair(table, junction, parent, theirs));
            to_target.chain(to_source).collect()
        }
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => {
            columns.iter().map(|(source, target)| pair(own, target, parent, source)).collect()
        }
    }
}

/// An order by an embedded relation's column: the relation must be there, and to-one.
fn related_order(mut order: PlannedOrder, origin: &str, embeds: &[Embed]) -> Result<PlannedOrder> {
    let Some(name) = &order.relation else { return Ok(order) };
    let embed = embeds.iter().find(|embed| embed.label == *name).ok_or_else(|| not_embedded(name))?;
    if !embed.relationship.is_to_one() {
        return Err(RELATED_ORDER
            .error(format!("A related order on '{name}' is not possible"))
            .with_details(format!(
                "'{origin}' and '{name}' do not form a many-to-one or one-to-one relationship"
            )));
    }
    order.relation = Some(embed.alias.clone());
    Ok(order)
}

/// The order with these columns before all others, which is how PostgreSQL finds the first row of each. Those that are
/// ordered by anyhow keep their place among them, and their direction.
fn ordered_first(columns: &[String], order: Vec<PlannedOrder>) -> Vec<PlannedOrder> {
    let is_one = |term: &PlannedOrder| {
        term.relation.is_none() && term.field.path.is_empty() && columns.contains(&term.field.column)
    };
    let (mut first, others): (Vec<_>, Vec<_>) = order.into_iter().partition(is_one);
    for column in columns {
        if !first.iter().any(|term| term.field.column == *column) {
            first.push(PlannedOrder::by(column.clone()));
        }
    }
    first.extend(others);
    first
}

/// `*` beside an aggregate must be written out, because the rows are grouped by each column; and where each column
/// becomes a list of its own, or some are written in a way of their own.
fn expanded(columns: Vec<PlannedColumn>, table: Option<&Table>, in_lists: bool) -> Vec<PlannedColumn> {
    let aggregates = columns.iter().any(|column| column.aggregate.is_some());
    let is_written = |table: &&Table| {
        aggregates
            || in_lists
            || table.columns.values().any(|column| column.r#type.representation.to_json.is_some())
    };
    let Some(table) = table.filter(is_written) else { return columns };
    let mut expanded = Vec::new();
    for column in columns {
        if column.field.column == "*" && column.aggregate.is_none() {
            expanded.extend(table.columns.values().map(|known| PlannedColumn {
                field: field::PlannedField { column: known.name.clone(), ..column.field.clone() },
                shown_by: known.r#type.representation.to_json.clone(),
                ..column.clone()
            }));
        } else {
            expanded.push(column);
        }
    }
    expanded
}
