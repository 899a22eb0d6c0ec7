//! Where in a file something is written.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// One step from a value to one that it holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// To the value of a key.
    Key(&'a str),
    /// To an item of a list.
    Item(usize),
    /// To the first item of a list with this text, where the order was lost.
    Text(&'a str),
}

/// A place in a configuration: the steps that lead to it. It lives on the stack and costs nothing until it is needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    to: Option<(&'a Place<'a>, Step<'a>)>,
}

impl<'a> Place<'a> {
    /// The whole.
    pub(super) const TOP: Place<'static> = Place { to: None };

    pub(super) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place { to: Some((self, Step::Key(key))) }
    }

    pub(super) fn item(&'a self, index: usize) -> Place<'a> {
        Place { to: Some((self, Step::Item(index))) }
    }

    pub(super) fn text(&'a self, text: &'a str) -> Place<'a> {
        Place { to: Some((self, Step::Text(text))) }
    }

    /// The steps from the top.
    fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut place = *self;
        while let Some((parent, step)) = place.to {
            steps.push(step);
            place = *parent;
        }
        steps.reverse();
        steps
    }
}

/// A file's keys and where they are.
#[derive(Debug)]
pub(super) struct Tree {
    at: Location,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Keys(BTreeMap<String, Tree>),
    Items(Vec<Tree>),
    Text(String),
    Other,
}

/// Where a place is: line and column, and its path as far as it is written.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) path: String,
}

impl Tree {
    /// Where `place` is written; the nearest thing around it if it is not.
    pub(super) fn find(&self, place: &Place<'_>) -> Found {
        let mut path = String::new();
        let mut tree = self;
        for step in place.steps() {
            let Some((name, next)) = tree.step(step) else { break };
            if !path.is_empty() && !name.starts_with('[') {
                path.push('.');
            }
            // writing to a string does not fail
            let _ = write!(path, "{name}");
            tree = next;
        }
        Found { line: tree.at.line(), column: tree.at.column(), path }
    }

    fn step(&self, step: Step<'_>) -> Option<(String, &Tree)> {
        match (&self.holds, step) {
            (Holds::Keys(keys), Step::Key(key)) => {
                // a route's `path` is the short form of its match
                let (key, next) = keys.get_key_value(key).or_else(|| match key {
                    "match" => keys.get_key_value("path"),
                    _ => None,
                })?;
                Some((key.clone(), next))
            }
            (Holds::Items(items), Step::Item(index)) => Some((format!("[{index}]"), items.get(index)?)),
            (Holds::Items(items), Step::Text(text)) => {
                let is_it = |item: &Tree| matches!(&item.holds, Holds::Text(there) if there == text);
                let index = items.iter().position(is_it)?;
                Some((format!("[{index}]"), &items[index]))
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        let spanned = Spanned::<Holds>::deserialize(deserializer)?;
        Ok(Tree { at: spanned.defined, holds: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Holds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Holds, D::Error> {
        deserializer.deserialize_any(HoldsVisitor)
    }
}

struct HoldsVisitor;

impl<'de> Visitor<'de> for HoldsVisitor {
    type Value = Holds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Holds, A::Error> {
        let mut keys = BTreeMap::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let mut tree: Tree = map.next_value()?;
            // a mapping of several lines begins at its first key: its own key says more
            if matches!(tree.holds, Holds::Keys(_) | Holds::Items(_)) {
                tree.at = key.defined;
            }
            keys.insert(key.value, tree);
        }
        Ok(Holds::Keys(keys))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Holds, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Holds::Items(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Holds, E> {
        Ok(Holds::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Holds, E> {
        Ok(Holds::Other)
    }

    fn visit_none<E>(self) -> Result<Holds, E> {
        Ok(Holds::Other)
    }
}
