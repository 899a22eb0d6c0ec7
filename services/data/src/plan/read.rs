//! The rows an answer shows: one plan per relation, recursively.

mod planner;

use super::condition::Condition;
use super::field::{self, PlannedColumn, PlannedOrder};
use super::page::Page;
use super::spread::Output;
use crate::request::range::{self, Range};
use crate::request::select::{Distinct, Join, SelectColumn};
use crate::schema::{Cardinality, Name, Relationship, Table};
pub(crate) use planner::{of_relation, of_result};

/// The common table expression that holds what was written or returned.
pub(crate) const SOURCE: &str = "pgrst_source";

/// A selection from one relation.
#[derive(Debug)]
pub(crate) struct ReadPlan {
    pub(crate) from: From,
    /// What the relation's columns are qualified with.
    pub(crate) qualifier: Name,
    pub(crate) columns: Vec<PlannedColumn>,
    pub(crate) conditions: Vec<Condition>,
    /// What ties it to the parent.
    pub(crate) joined_by: Vec<JoinPair>,
    pub(crate) order: Vec<PlannedOrder>,
    pub(crate) distinct: Option<Distinct>,
    pub(crate) range: Range,
    pub(crate) embeds: Vec<Embed>,
    /// Whether what the rows are ordered by is selected beside them, for the lists that they become.
    pub(crate) keyed: bool,
    /// The page of the rows, if one is wanted.
    pub(crate) page: Option<Page>,
    /// How many questions about related rows its conditions are written as.
    pub(crate) weight: usize,
}

/// Where rows come from.
#[derive(Debug)]
pub(crate) enum From {
    /// A relation, perhaps under an alias.
    Relation { name: Name, alias: Option<String> },
    /// A relation and the junction that leads to it.
    Through { name: Name, junction: Name },
    /// A function over a row of the parent: `function(row::type) AS alias`.
    Computed { function: Name, row: String, row_type: Name, alias: String },
}

/// Two columns that must be equal, each with its qualifier.
#[derive(Debug)]
pub(crate) struct JoinPair {
    pub(crate) left: (Name, String),
    pub(crate) right: (Name, String),
}

/// A relation embedded in another.
#[derive(Debug)]
pub(crate) struct Embed {
    pub(crate) plan: ReadPlan,
    pub(crate) relationship: Relationship,
    /// The name in the answer.
    pub(crate) label: String,
    /// The name in the statement.
    pub(crate) alias: String,
    pub(crate) join: Join,
    /// Its columns are the parent's: values of a relation to-one, lists of one to-many.
    pub(crate) spread: bool,
    /// Those columns.
    pub(crate) outputs: Vec<Output>,
}

impl Embed {
    /// The names of what its parent shows of it.
    fn labels(&self) -> Vec<&str> {
        match self.spread {
            true => self.outputs.iter().map(Output::label).collect(),
            false if self.plan.is_empty() => Vec::new(),
            false => vec![&self.label],
        }
    }
}

impl ReadPlan {
    /// Some columns of what was written to a relation.
    pub(crate) fn of_written(table: &Table, columns: &[String]) -> ReadPlan {
        let columns = columns.iter().map(|name| field::column(&SelectColumn::named(name), Some(table)));
        ReadPlan {
            from: From::Relation { name: Name::bare(SOURCE), alias: Some(table.name.name.clone()) },
            qualifier: Name::bare(&*table.name.name),
            columns: columns.collect(),
            conditions: Vec::new(),
            joined_by: Vec::new(),
            order: Vec::new(),
            distinct: None,
            range: range::ALL,
            embeds: Vec::new(),
            keyed: false,
            page: None,
            weight: 0,
        }
    }

    /// The columns that must be there for the answer and for what it embeds; `*` alone when all are needed.
    pub(crate) fn needed_columns<'a>(&'a self, besides: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let computed = |embed: &Embed| matches!(embed.relationship.cardinality, Cardinality::Computed { .. });
        let all = self.columns.iter().any(|column| column.field.column == "*");
        if all || self.embeds.iter().any(computed) {
            return vec!["*"];
        }
        let selected = self.columns.iter().map(|column| column.field.column.as_str());
        let keys = self.embeds.iter().flat_map(|embed| embed.relationship.source_columns());
        let mut needed: Vec<&str> = selected.chain(keys).chain(besides).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// The names of what its rows show.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(PlannedColumn::name).chain(self.embeds.iter().flat_map(Embed::labels))
    }

    /// Whether its rows are groups.
    pub(crate) fn aggregates(&self) -> bool {
        let outputs = self.embeds.iter().flat_map(|embed| &embed.outputs);
        self.columns.iter().any(|column| column.aggregate.is_some()) || { outputs }
            .any(|output| output.aggregate.is_some())
    }

    /// Whether neither columns nor anything embedded are wanted, at any depth.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.embeds.iter().all(|embed| embed.plan.is_empty())
    }
}
