//! How relations refer to each other: from foreign keys to every way one relation can be embedded in another.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Name;
use super::view::{self, View};

/// Pairs of columns that must be equal: of the one side, of the other.
pub(crate) type Pairs = Vec<(String, String)>;

/// One way to embed `target` in `source`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Relationship {
    pub(crate) source: Name,
    pub(crate) target: Name,
    pub(crate) cardinality: Cardinality,
}

/// How many rows of the target belong to one row of the source, and by which columns (source, target).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) enum Cardinality {
    /// The source holds the key.
    ManyToOne { constraint: String, columns: Pairs },
    /// The target holds the key.
    OneToMany { constraint: String, columns: Pairs },
    /// Either holds the key – the source, if it is `held` –, and it is unique there.
    OneToOne { constraint: String, columns: Pairs, held: bool },
    /// A third relation holds a key to each.
    ManyToMany(Junction),
    /// A function over the source's row type returns rows of the target.
    Computed { function: Name, to_one: bool },
}

/// The relation between two others, with the columns (of the other side, of the junction).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Junction {
    pub(crate) table: Name,
    pub(crate) source_constraint: String,
    pub(crate) target_constraint: String,
    pub(crate) source_columns: Pairs,
    pub(crate) target_columns: Pairs,
}

impl Relationship {
    /// Whether at most one row of the target belongs to a row of the source.
    pub(crate) fn is_to_one(&self) -> bool {
        match &self.cardinality {
            Cardinality::ManyToOne { .. } | Cardinality::OneToOne { .. } => true,
            Cardinality::Computed { to_one, .. } => *to_one,
            Cardinality::OneToMany { .. } | Cardinality::ManyToMany(_) => false,
        }
    }

    /// Whether a relation refers to itself.
    pub(crate) fn is_self(&self) -> bool {
        self.source == self.target
    }

    /// The source's columns that the relationship needs.
    pub(crate) fn source_columns(&self) -> Vec<&str> {
        let pairs = match &self.cardinality {
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns,
            Cardinality::ManyToMany(junction) => &junction.source_columns,
            Cardinality::Computed { .. } => return Vec::new(),
        };
        pairs.iter().map(|(source, _)| source.as_str()).collect()
    }
}

/// A foreign key as the catalog has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ForeignKey {
    pub(crate) constraint: String,
    pub(crate) table: Name,
    pub(crate) target: Name,
    pub(crate) columns: Pairs,
    /// The table's number in the catalog, the target's, and those of their columns.
    pub(crate) oid: u32,
    pub(crate) target_oid: u32,
    pub(crate) numbers: Vec<(i16, i16)>,
    /// Whether the columns are unique in the table; known once its keys are.
    #[serde(skip)]
    pub(crate) unique: bool,
}

impl ForeignKey {
    fn own_columns(&self) -> BTreeSet<&str> {
        self.columns.iter().map(|(own, _)| own.as_str()).collect()
    }
}

/// A primary key or unique constraint as the catalog has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) table: Name,
    pub(crate) primary: bool,
    pub(crate) columns: Vec<String>,
    /// The table's number in the catalog, and those of the columns.
    pub(crate) oid: u32,
    pub(crate) numbers: Vec<i16>,
}

impl Key {
    fn column_set(&self) -> BTreeSet<&str> {
        self.columns.iter().map(String::as_str).collect()
    }
}

/// A function over a row type, as the catalog has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ComputedRelation {
    pub(crate) function: Name,
    pub(crate) source: Name,
    pub(crate) target: Name,
    pub(crate) to_one: bool,
}

/// Every relationship that follows from the keys and functions, by source.
///
/// Only relations that are shown can be junctions: the caller may not be able to use others.
/// A computed relation takes the place of a detected one that the same name would select.
pub(crate) fn derive(
    foreign_keys: &[ForeignKey],
    keys: &[Key],
    views: &[View],
    computed: Vec<ComputedRelation>,
    is_shown: impl Fn(&Name) -> bool,
) -> HashMap<Name, Vec<Relationship>> {
    let mut keys_of: HashMap<&Name, Vec<&Key>> = HashMap::new();
    for key in keys {
        keys_of.entry(&key.table).or_default().push(key);
    }
    let keys_of = |table: &Name| keys_of.get(table).map(Vec::as_slice).unwrap_or_default();
    let is_unique = |foreign_key: &ForeignKey| {
        keys_of(&foreign_key.table).iter().any(|key| key.column_set() == foreign_key.own_columns())
    };
    let mut foreign_keys: Vec<ForeignKey> = foreign_keys
        .iter()
        .map(|foreign_key| ForeignKey { unique: is_unique(foreign_key), ..foreign_key.clone() })
        .collect();
    foreign_keys.extend(view::foreign_keys(&foreign_keys, views, &is_shown));
    // lists before single rows: of several that are meant, they are told in this order
    let (forth, back): (Vec<_>, Vec<_>) = foreign_keys.iter().map(both_ways).unzip();
    let mut all = [back, forth].concat();
    all.extend(through_junctions(&foreign_keys, |table| {
        keys_of(table).iter().find(|key| key.primary && is_shown(table)).copied()
    }));

    let mut by_source: HashMap<Name, Vec<Relationship>> = HashMap::new();
    for relationship in all {
        by_source.entry(relationship.source.clone()).or_default().push(relationship);
    }
    for ComputedRelation { function, source, target, to_one } in computed {
        let siblings = by_source.entry(source.clone()).or_default();
        siblings.retain(|detected| {
            matches!(detected.cardinality, Cardinality::Computed { .. })
                || detected.target.name != function.name
        });
        siblings.push(Relationship {
            source,
            target,
            cardinality: Cardinality::Computed { function, to_one },
        });
    }
    by_source
}

/// The relationship that a foreign key makes, and its inverse.
fn both_ways(foreign_key: &ForeignKey) -> (Relationship, Relationship) {
    let ForeignKey { constraint, table, target, columns, unique, .. } = foreign_key.clone();
    let inverse: Pairs = columns.iter().map(|(own, theirs)| (theirs.clone(), own.clone())).collect();
    let (forth, back) = if unique {
        (
            Cardinality::OneToOne { constraint: constraint.clone(), columns, held: true },
            Cardinality::OneToOne { constraint, columns: inverse, held: false },
        )
    } else {
        (
            Cardinality::ManyToOne { constraint: constraint.clone(), columns },
            Cardinality::OneToMany { constraint, columns: inverse },
        )
    };
    (
        Relationship { source: table.clone(), target: target.clone(), cardinality: forth },
        Relationship { source: target, target: table, cardinality: back },
    )
}

/// Many-to-many: each pair of foreign keys of one table that lie within its primary key.
fn through_junctions<'a>(
    foreign_keys: &'a [ForeignKey],
    primary_key_of: impl Fn(&Name) -> Option<&'a Key>,
) -> Vec<Relationship> {
    let mut within: HashMap<&Name, Vec<&ForeignKey>> = HashMap::new();
    for foreign_key in foreign_keys {
        let primary_key = primary_key_of(&foreign_key.table);
        if primary_key.is_some_and(|key| foreign_key.own_columns().is_subset(&key.column_set())) {
            within.entry(&foreign_key.table).or_default().push(foreign_key);
        }
    }
    let mut found = Vec::new();
    for (table, candidates) in within {
        for one in &candidates {
            for other in &candidates {
                if one.constraint != other.constraint {
                    found.push(through(table, one, other));
                }
            }
        }
    }
    // the catalog's order decides nothing, but equal databases shall give equal caches
    let through = |relationship: &Relationship| match &relationship.cardinality {
        Cardinality::ManyToMany(Junction { table, source_constraint, target_constraint, .. }) => {
            Some((table.clone(), source_constraint.clone(), target_constraint.clone()))
        }
        _ => None,
    };
    found.sort_by_cached_key(|found| (found.source.clone(), found.target.clone(), through(found)));
    found
}

fn through(table: &Name, source: &ForeignKey, target: &ForeignKey) -> Relationship {
    let flipped = |key: &ForeignKey| -> Pairs {
        key.columns.iter().map(|(own, theirs)| (theirs.clone(), own.clone())).collect()
    };
    Relationship {
        source: source.target.clone(),
        target: target.target.clone(),
        cardinality: Cardinality::ManyToMany(Junction {
            table: table.clone(),
            source_constraint: source.constraint.clone(),
            target_constraint: target.constraint.clone(),
            source_columns: flipped(source),
            target_columns: flipped(target),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new("public", name)
    }

    fn foreign_key(table: &str, column: &str, target: &str) -> ForeignKey {
        ForeignKey {
            constraint: format!("{table}_{column}_fkey"),
            table: name(table),
            target: name(target),
            columns: vec![(column.to_owned(), "id".to_owned())],
            oid: 0,
            target_oid: 0,
            numbers: Vec::new(),
            unique: false,
        }
    }

    fn key(table: &str, primary: bool, columns: &[&str]) -> Key {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Key { table: name(table), primary, columns, oid: 0, numbers: Vec::new() }
    }

    fn kinds(found: &HashMap<Name, Vec<Relationship>>, source: &str, target: &str) -> Vec<&'static str> {
        let all = found.get(&name(source)).map(Vec::as_slice).unwrap_or_default();
        all.iter()
            .filter(|relationship| relationship.target == name(target))
            .map(|relationship| match relationship.cardinality {
                Cardinality::ManyToOne { .. } => "m2o",
                Cardinality::OneToMany { .. } => "o2m",
                Cardinality::OneToOne { .. } => "o2o",
                Cardinality::ManyToMany(_) => "m2m",
                Cardinality::Computed { .. } => "computed",
            })
            .collect()
    }

    #[test]
    fn a_foreign_key_gives_many_to_one_and_back() {
        let found = derive(
            &[foreign_key("todos", "user_id", "users")],
            &[key("users", true, &["id"])],
            &[],
            vec![],
            |_| true,
        );

        assert_eq!(kinds(&found, "todos", "users"), ["m2o"]);
        assert_eq!(kinds(&found, "users", "todos"), ["o2m"]);
    }

    #[test]
    fn a_unique_foreign_key_gives_one_to_one() {
        let keys = [key("profiles", false, &["user_id"])];

        let found = derive(&[foreign_key("profiles", "user_id", "users")], &keys, &[], vec![], |_| true);

        assert_eq!(kinds(&found, "profiles", "users"), ["o2o"]);
        assert_eq!(kinds(&found, "users", "profiles"), ["o2o"]);
    }

    #[test]
    fn a_junction_counts_only_if_its_key_holds_both_foreign_keys() {
        let both = [foreign_key("members", "team_id", "teams"), foreign_key("members", "user_id", "users")];

        let joined = derive(&both, &[key("members", true, &["team_id", "user_id"])], &[], vec![], |_| true);
        let apart = derive(&both, &[key("members", true, &["id"])], &[], vec![], |_| true);

        assert_eq!(kinds(&joined, "teams", "users"), ["m2m"]);
        assert_eq!(kinds(&joined, "users", "teams"), ["m2m"]);
        assert!(kinds(&apart, "teams", "users").is_empty());
    }

    #[test]
    fn a_hidden_relation_is_no_junction() {
        let both = [foreign_key("members", "team_id", "teams"), foreign_key("members", "user_id", "users")];

        let found = derive(&both, &[key("members", true, &["team_id", "user_id"])], &[], vec![], |_| false);

        assert!(kinds(&found, "teams", "users").is_empty());
    }

    #[test]
    fn a_computed_relation_replaces_the_detected_one() {
        let computed = ComputedRelation {
            function: name("todos"),
            source: name("users"),
            target: name("todos"),
            to_one: false,
        };

        let found = derive(&[foreign_key("todos", "user_id", "users")], &[], &[], vec![computed], |_| true);

        assert_eq!(kinds(&found, "users", "todos"), ["computed"]);
        assert_eq!(kinds(&found, "todos", "users"), ["m2o"]);
    }
}
