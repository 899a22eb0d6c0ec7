//! Which relationship an embedded relation means.

use base::Result;

use crate::error::missing;
use crate::schema::{Cardinality, Name, Relationship, SchemaCache};

/// The relationship from `parent` that `target` and `hint` name.
///
/// `target` is a relation, or – where a foreign key leads to it – the key's constraint or column; `hint` tells
/// several apart by constraint, column or junction. Errors: PGRST200 for none, PGRST201 for several.
pub(crate) fn find<'a>(
    cache: &'a SchemaCache,
    parent: &Name,
    target: &str,
    hint: Option<&str>,
) -> Result<&'a Relationship> {
    let found: Vec<&Relationship> =
        cache.relationships_of(parent).filter(|candidate| is_meant(cache, candidate, target, hint)).collect();
    match found.as_slice() {
        [] => Err(missing::relationship(cache, parent, target, hint)),
        [one] => Ok(one),
        several => Err(missing::ambiguous_relationship(&parent.name, target, several)),
    }
}

fn is_meant(cache: &SchemaCache, candidate: &Relationship, target: &str, hint: Option<&str>) -> bool {
    if let Cardinality::Computed { function, .. } = &candidate.cardinality {
        return target == function.name;
    }
    let named = target == candidate.target.name;
    if candidate.is_self() {
        return is_meant_of_self(candidate, named, target, hint);
    }
    match hint {
        Some(hint) => {
            named
                && (constraint(candidate) == Some(hint)
                    || source_column(candidate) == Some(hint)
                    || target_column(candidate) == Some(hint)
                    || junction(candidate) == Some(hint))
        }
        None => {
            let by_key = constraint(candidate) == Some(target) || source_column(candidate) == Some(target);
            named || (by_key && !is_view(cache, &candidate.target))
        }
    }
}

/// One key of a relation to itself gives two relationships of opposite direction: the relation's name means the
/// list, the key's column means the one.
fn is_meant_of_self(candidate: &Relationship, named: bool, target: &str, hint: Option<&str>) -> bool {
    let is_list = matches!(candidate.cardinality, Cardinality::OneToMany { .. });
    let is_one = matches!(candidate.cardinality, Cardinality::ManyToOne { .. });
    match hint {
        Some(hint) => named && is_list && target_column(candidate) == Some(hint),
        None => (named && is_list) || (is_one && source_column(candidate) == Some(target)),
    }
}

fn is_view(cache: &SchemaCache, name: &Name) -> bool {
    cache.tables.get(name).is_some_and(|table| table.is_view)
}

fn pairs(candidate: &Relationship) -> Option<(&str, &[(String, String)])> {
    match &candidate.cardinality {
        Cardinality::ManyToOne { constraint, columns }
        | Cardinality::OneToMany { constraint, columns }
        | Cardinality::OneToOne { constraint, columns, .. } => Some((constraint, columns)),
        Cardinality::ManyToMany(_) | Cardinality::Computed { .. } => None,
    }
}

fn constraint(candidate: &Relationship) -> Option<&str> {
    pairs(candidate).map(|(constraint, _)| constraint)
}

/// The source's column, if it is one alone.
fn source_column(candidate: &Relationship) -> Option<&str> {
    match pairs(candidate)?.1 {
        [(source, _)] => Some(source),
        _ => None,
    }
}

/// The target's column, if it is one alone.
fn target_column(candidate: &Relationship) -> Option<&str> {
    match pairs(candidate)?.1 {
        [(_, target)] => Some(target),
        _ => None,
    }
}

fn junction(candidate: &Relationship) -> Option<&str> {
    match &candidate.cardinality {
        Cardinality::ManyToMany(junction) => Some(&junction.table.name),
        _ => None,
    }
}
