//! Relational inserts: rows, and rows of other relations that belong to them, in one request.
//!
//! Each relation is inserted by a statement of its own, so that policies and triggers of the later ones see the rows
//! of those before. What a row refers to comes before it, what refers to it after it; the keys that tie them are what
//! PostgreSQL returned, in the order in which the rows were sent.

mod rows;

use std::collections::BTreeSet;

use base::{Error, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use crate::error::{self, NESTED};
use crate::execute::session::Session;
use crate::execute::{Outcome, Series, check};
use crate::plan::nested::{insertion, relation};
use crate::plan::write::{Rows, WriteKind};
use crate::plan::{Operation, Plan};
use crate::request::preferences::{Missing, Return};
use crate::request::{ApiRequest, Payload};
use crate::schema::relationship::Pairs;
use crate::schema::{Cardinality, Junction, Name, Relationship, SchemaCache, Table};
use rows::Row;

/// Levels of relations inside relations.
const MAX_DEPTH: usize = 8;
/// Statements of one request.
const MAX_STATEMENTS: usize = 100;

/// Inserts what a nested plan is about. Returns the plan of what the answer shows, and its outcome.
///
/// Errors: PGRST102 for rows of the wrong form, PGRST201 and PGRST204 for keys, MB101 for what cannot be inserted.
pub(crate) async fn insert(
    series: &mut Series,
    session: Session<'_>,
    mut plan: Plan,
) -> Result<(Plan, Outcome)> {
    let Session { request, schema, .. } = session;
    let Operation::Write(write) = &mut plan.operation else { return Err(NESTED.error("this is no insert")) };
    let table = table(schema, &write.table)?;
    let rows = first_level(request)?;
    let page = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let key = match request.preferences.returns {
        Some(Return::Representation | Return::HeadersOnly) => table.primary_key.clone(),
        Some(Return::Minimal) | None => Vec::new(),
    };
    let mut inserter = Inserter { series, session, statements: 0, rows: 0, set: (None, None) };
    let mut inserted = inserter.insert(table, rows, key, 0).await?;
    for row in &mut inserted {
        row.retain(|column, _| table.primary_key.contains(column));
    }
    let keys = rows::document(&inserted)?;
    if request.preferences.wants_representation() {
        if let WriteKind::Nested(again) = &mut write.kind {
            again.json = keys;
        }
        let outcome = inserter.step(&plan).await?;
        return Ok((plan, outcome));
    }
    let location = match (&inserted[..], request.preferences.returns) {
        ([one], Some(Return::HeadersOnly)) if !one.is_empty() => Some(rows::texts(one)?),
        _ => None,
    };
    let (headers, status) = inserter.set;
    let outcome = Outcome { page, location, headers, status, ..Outcome::default() };
    for check in check::of(request, &plan) {
        check.verify(&outcome)?;
    }
    Ok((plan, outcome))
}

fn first_level(request: &ApiRequest) -> Result<Vec<Row>> {
    let Payload::Json(json) = &request.body.payload else { return Ok(Vec::new()) };
    let mut rows = rows::of_body(json)?;
    for row in &mut rows {
        row.retain(|key, _| request.body.columns.contains(key));
    }
    Ok(rows)
}

fn table<'a>(schema: &'a SchemaCache, name: &Name) -> Result<&'a Table> {
    schema.tables.get(name).ok_or_else(|| error::missing::table(schema, name))
}

struct Inserter<'a> {
    series: &'a mut Series,
    session: Session<'a>,
    statements: usize,
    rows: usize,
    /// Headers and status that functions set on the way.
    set: (Option<String>, Option<String>),
}

/// Rows of a relation that belong to rows of another: each with the place of the row that it belongs to.
struct Relatives<'a> {
    relationship: &'a Relationship,
    rows: Vec<Row>,
    places: Vec<usize>,
}

impl<'a> Inserter<'a> {
    /// Inserts rows and all that belongs to them; returns some of each row's columns, in order.
    fn insert(
        &mut self,
        table: &'a Table,
        mut rows: Vec<Row>,
        wanted: Vec<String>,
        depth: usize,
    ) -> BoxFuture<'_, Result<Vec<Row>>> {
        async move {
            let (before, after) = self.relatives(table, &mut rows, depth)?;
            for relatives in before {
                self.insert_referred(relatives, &mut rows, depth).await?;
            }
            let mut returning = wanted;
            let needed = after.iter().flat_map(|relatives| relatives.relationship.source_columns());
            returning.extend(needed.map(str::to_owned));
            returning.sort_unstable();
            returning.dedup();
            let inserted = self.insert_own(table, &rows, returning).await?;
            for relatives in after {
                self.insert_referring(relatives, &inserted, depth).await?;
            }
            Ok(inserted)
        }
        .boxed()
    }

    /// Takes the relations out of the rows: those that the rows refer to, and the others.
    fn relatives(
        &self,
        table: &'a Table,
        rows: &mut [Row],
        depth: usize,
    ) -> Result<(Vec<Relatives<'a>>, Vec<Relatives<'a>>)> {
        let keys: BTreeSet<String> = rows.iter().flat_map(|row| row.keys().cloned()).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(relationship) = relation(self.session.schema, table, &key)? else { continue };
            if depth == MAX_DEPTH {
                return Err(NESTED.error(format!("relations are inserted {MAX_DEPTH} levels deep at most")));
            }
            let relatives = Relatives::taken(relationship, &key, rows)?;
            if refers(relationship) { before.push(relatives) } else { after.push(relatives) }
        }
        Ok((before, after))
    }

    /// Inserts rows that others refer to, and makes those refer to them.
    async fn insert_referred(
        &mut self,
        relatives: Relatives<'a>,
        referring: &mut [Row],
        depth: usize,
    ) -> Result<()> {
        let Relatives { relationship, rows, places } = relatives;
        let pairs = pairs(relationship);
        let target = table(self.session.schema, &relationship.target)?;
        let wanted = pairs.iter().map(|(_, target)| target.clone()).collect();
        let inserted = self.insert(target, rows, wanted, depth + 1).await?;
        for (row, place) in inserted.iter().zip(places) {
            tie(&mut referring[place], pairs.iter().map(|(own, target)| (own, target)), row)?;
        }
        // those that refer to none say so, because all rows of a statement have the same columns
        for row in referring {
            for (own, _) in pairs {
                row.entry(own.clone()).or_insert_with(|| RawValue::NULL.to_owned());
            }
        }
        Ok(())
    }

    /// Inserts rows that refer to others, or that a junction joins with them.
    async fn insert_referring(
        &mut self,
        relatives: Relatives<'a>,
        referred: &[Row],
        depth: usize,
    ) -> Result<()> {
        let Relatives { relationship, mut rows, places } = relatives;
        let target = table(self.session.schema, &relationship.target)?;
        let Cardinality::ManyToMany(junction) = &relationship.cardinality else {
            for (row, place) in rows.iter_mut().zip(places) {
                tie(row, pairs(relationship).iter().map(|(source, own)| (own, source)), &referred[place])?;
            }
            self.insert(target, rows, Vec::new(), depth + 1).await?;
            return Ok(());
        };
        let Junction { source_columns, target_columns, .. } = junction;
        let wanted = target_columns.iter().map(|(target, _)| target.clone()).collect();
        let inserted = self.insert(target, rows, wanted, depth + 1).await?;
        let mut joining = Vec::new();
        for (row, place) in inserted.iter().zip(places) {
            let mut joined = Row::new();
            tie(&mut joined, source_columns.iter().map(|(source, own)| (own, source)), &referred[place])?;
            tie(&mut joined, target_columns.iter().map(|(target, own)| (own, target)), row)?;
            joining.push(joined);
        }
        self.insert_own(table(self.session.schema, &junction.table)?, &joining, Vec::new()).await?;
        Ok(())
    }

    /// Runs a statement. One request has one beginning: its settings, and the function that runs before.
    async fn step(&mut self, plan: &Plan) -> Result<Outcome> {
        let step = self.session.step(plan);
        self.statements += 1;
        match self.statements {
            1 => self.series.step(&step).await,
            _ => self.series.next(&step).await,
        }
    }

    /// Inserts rows of columns alone; where a row lacks what another has, the column's default stands.
    async fn insert_own(&mut self, table: &Table, rows: &[Row], returning: Vec<String>) -> Result<Vec<Row>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.statements == MAX_STATEMENTS {
            return Err(NESTED.error(format!("one request inserts into {MAX_STATEMENTS} relations at most")));
        }
        self.rows += rows.len();
        if self.rows > rows::MAX_ROWS {
            return Err(rows::too_many());
        }
        let keys: BTreeSet<&String> = rows.iter().flat_map(Row::keys).collect();
        let differ = rows.iter().any(|row| row.len() != keys.len());
        let column = |key: &&String| {
            table.columns.get(*key).cloned().ok_or_else(|| error::missing::column(&table.name.name, key))
        };
        let columns = keys.iter().map(column).collect::<Result<_>>()?;
        let returns = !returning.is_empty();
        let defaults = differ || self.session.request.preferences.missing == Some(Missing::Default);
        let rows_of = Rows { json: rows::document(rows)?, columns, defaults };
        let plan = insertion(table, rows_of, returning);
        let outcome = self.step(&plan).await?;
        self.set = (outcome.headers, outcome.status);
        if usize::try_from(outcome.page) != Ok(rows.len()) {
            return Err(not_all(table));
        }
        if returns { rows::returned(&outcome.body) } else { Ok(vec![Row::new(); rows.len()]) }
    }
}

impl<'a> Relatives<'a> {
    fn taken(relationship: &'a Relationship, key: &str, rows: &mut [Row]) -> Result<Relatives<'a>> {
        let mut relatives = Relatives { relationship, rows: Vec::new(), places: Vec::new() };
        let what = format!("'{key}'");
        for (place, row) in rows.iter_mut().enumerate() {
            let Some(value) = row.shift_remove(key) else { continue };
            let taken = if relationship.is_to_one() {
                rows::optional(&value, &what)?.into_iter().collect()
            } else {
                rows::list(&value, &what)?
            };
            relatives.places.extend(std::iter::repeat_n(place, taken.len()));
            relatives.rows.extend(taken);
        }
        Ok(relatives)
    }
}

/// Whether the source's rows hold the key: then the target's must be there first.
fn refers(relationship: &Relationship) -> bool {
    matches!(
        relationship.cardinality,
        Cardinality::ManyToOne { .. } | Cardinality::OneToOne { held: true, .. }
    )
}

/// The columns that tie source and target; none where a junction does.
fn pairs(relationship: &Relationship) -> &Pairs {
    const NONE: &Pairs = &Vec::new();
    match &relationship.cardinality {
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => columns,
        Cardinality::ManyToMany(_) | Cardinality::Computed { .. } => NONE,
    }
}

/// Sets the columns of `row` to those of the row that it refers to.
fn tie<'p>(
    row: &mut Row,
    pairs: impl IntoIterator<Item = (&'p String, &'p String)>,
    referred: &Row,
) -> Result<()> {
    for (own, theirs) in pairs {
        let value =
            referred.get(theirs).ok_or_else(|| error::envelope::internal("a key was not returned"))?;
        // keys may share a column, and then agree on it
        match row.get(own) {
            Some(given) if given.get() != value.get() => {
                return Err(error::body(format!("'{own}' is given, and another follows from a relation")));
            }
            Some(_) => {}
            None => drop(row.insert(own.clone(), value.clone())),
        }
    }
    Ok(())
}

fn not_all(table: &Table) -> Error {
    NESTED
        .error(format!("not every row of '{}' was inserted", table.name.name))
        .with_hint("A trigger or rule may have left rows out; then nobody knows what belongs to which row.")
}
