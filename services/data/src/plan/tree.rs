//! The tree of relations that `select` names, with the filters, orders and limits of each where they belong.

use base::{Error, Result};
use serde_json::Value;

use crate::error::{NOT_EMBEDDED, QUERY};
use crate::request::logic::Logic;
use crate::request::order::OrderTerm;
use crate::request::query::Path;
use crate::request::range::{self, Range};
use crate::request::select::{Distinct, Join, SelectColumn, SelectItem, SelectRelation};
use crate::request::{ApiRequest, Query};

/// One relation and what is wanted of it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) join: Option<Join>,
    pub(crate) spread: bool,
    pub(crate) columns: Vec<SelectColumn>,
    pub(crate) conditions: Vec<Logic>,
    pub(crate) order: Vec<OrderTerm>,
    pub(crate) distinct: Option<Distinct>,
    pub(crate) range: Range,
    pub(crate) children: Vec<Node>,
}

/// The tree of a request whose first level is the relation `name`.
///
/// On a write, the filters of the first level say which rows to write and are not part of the tree, and there are
/// no limits. Errors: PGRST108 for a path that `select` does not embed, PGRST100 for a write made distinct.
pub(crate) fn of(request: &ApiRequest, name: &str) -> Result<Node> {
    let Query { select, filters, logic, order, distinct, ranges, .. } = &request.query;
    let is_write = request.target.action.is_write();
    let here = |path: &Path| !is_write || !path.is_empty();
    let mut root = Node::new(name);
    root.select(select);
    for (path, tree) in logic.iter().filter(|(path, _)| here(path)) {
        root.at(path)?.conditions.push(tree.clone());
    }
    for (path, filter) in filters.iter().filter(|(path, _)| here(path)) {
        root.at(path)?.conditions.push(Logic::One(filter.clone()));
    }
    for (path, terms) in order {
        let node = root.at(path)?;
        if node.order.is_empty() {
            node.order.clone_from(terms);
        }
    }
    for (path, distinct) in distinct {
        if !here(path) {
            return Err(QUERY.error("what is written is not made distinct"));
        }
        root.at(path)?.distinct = Some(distinct.clone());
    }
    if !is_write {
        for (path, range) in ranges {
            root.at(path)?.range = *range;
        }
        root.range = request.range;
    }
    Ok(root)
}

impl Node {
    fn new(name: &str) -> Node {
        Node {
            name: name.to_owned(),
            alias: None,
            hint: None,
            join: None,
            spread: false,
            columns: Vec::new(),
            conditions: Vec::new(),
            order: Vec::new(),
            distinct: None,
            range: range::ALL,
            children: Vec::new(),
        }
    }

    fn select(&mut self, items: &[SelectItem]) {
        for item in items {
            match item {
                SelectItem::Column(column) => self.columns.push(column.clone()),
                SelectItem::Relation(relation) => self.children.push(Node::of(relation)),
            }
        }
    }

    fn of(relation: &SelectRelation) -> Node {
        let mut node = Node {
            alias: relation.alias.clone(),
            hint: relation.hint.clone(),
            join: relation.join,
            spread: relation.spread,
            ..Node::new(&relation.name)
        };
        node.select(&relation.items);
        node
    }

    /// The name under which the answer shows it.
    pub(crate) fn label(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// The node at a path of aliases or names.
    fn at(&mut self, path: &[String]) -> Result<&mut Node> {
        let mut node = self;
        for name in path {
            node = node
                .children
                .iter_mut()
                .find(|child| child.name == *name || child.alias.as_deref() == Some(name))
                .ok_or_else(|| not_embedded(name))?;
        }
        Ok(node)
    }
}

/// The query speaks of a relation that has an alias.
pub(crate) fn passed_alias(name: &str, alias: &str) -> Error {
    NOT_EMBEDDED
        .error(format!("'{name}' is not an embedded resource in this request"))
        .with_details(Value::String(
            "Target names are not allowed in filters if they have an alias".to_owned(),
        ))
        .with_hint(format!("Change '{name}' to '{alias}' in filters, orders or limits."))
}

/// The query speaks of a relation that `select` does not embed.
pub(crate) fn not_embedded(name: &str) -> Error {
    NOT_EMBEDDED
        .error(format!("'{name}' is not an embedded resource in this request"))
        .with_hint(format!("Verify that '{name}' is included in the 'select' query parameter."))
}
