//! Which columns of a view are columns of tables: what a table's keys say holds of its views too.
//!
//! PostgreSQL keeps a view as a tree of nodes, in text (`nodeToString`, src/backend/nodes/outfuncs.c). Each entry of its
//! target list says which column of which relation it shows, through subqueries, joins and common table expressions
//! (`markTargetListOrigins`, src/backend/parser/parse_target.c).

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::Name;
use super::relationship::{ForeignKey, Key, Pairs};

/// Views upon views that are followed.
const MAX_DEPTH: usize = 64;
/// Ways in which a view may show the columns of one key; each makes a relationship of its own.
const MAX_WAYS: usize = 64;

/// A column of a relation: the relation's number in the catalog, and the column's.
pub(crate) type Origin = (u32, i16);

/// A view or materialised view as the catalog has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ViewRow {
    pub(crate) oid: u32,
    pub(crate) name: Name,
    /// By number, from 1.
    pub(crate) columns: Vec<String>,
    /// The tree of its query.
    pub(crate) definition: String,
}

/// A view, and which of its columns show which columns of tables.
#[derive(Debug)]
pub(crate) struct View {
    name: Name,
    columns: HashMap<Origin, Vec<String>>,
}

/// The views, resolved down to tables however many views are between.
pub(crate) fn resolve(rows: &[ViewRow]) -> Vec<View> {
    let targets: HashMap<u32, Vec<Target>> =
        rows.iter().map(|row| (row.oid, targets(&row.definition))).collect();
    rows.iter()
        .map(|row| {
            let mut columns: HashMap<Origin, Vec<String>> = HashMap::new();
            for target in &targets[&row.oid] {
                let number = usize::try_from(target.number).unwrap_or_default();
                let shown = number.checked_sub(1).and_then(|index| row.columns.get(index));
                if let (Some(shown), Some(origin)) = (shown, table_of(target.origin, &targets)) {
                    columns.entry(origin).or_default().push(shown.clone());
                }
            }
            View { name: row.name.clone(), columns }
        })
        .collect()
}

/// The table's column that `origin` shows in the end; it may be one already.
fn table_of(mut origin: Origin, targets: &HashMap<u32, Vec<Target>>) -> Option<Origin> {
    for _ in 0..MAX_DEPTH {
        let Some(of_view) = targets.get(&origin.0) else { return (origin.0 != 0).then_some(origin) };
        origin = of_view.iter().find(|target| target.number == origin.1)?.origin;
    }
    None
}

impl View {
    /// The tables that it shows columns of.
    fn tables(&self) -> BTreeSet<u32> {
        self.columns.keys().map(|(table, _)| *table).collect()
    }

    /// The columns that show those of a key, in the key's order: once for each way. None if any is missing.
    fn ways(&self, table: u32, numbers: impl IntoIterator<Item = i16>) -> Vec<Vec<String>> {
        let mut ways = vec![Vec::new()];
        for number in numbers {
            let Some(shown) = self.columns.get(&(table, number)) else { return Vec::new() };
            let longer = ways.iter().flat_map(|way| {
                shown.iter().map(|column| [way.as_slice(), std::slice::from_ref(column)].concat())
            });
            ways = longer.take(MAX_WAYS).collect();
        }
        ways
    }
}

/// The primary keys of views: those of the tables whose keys they show whole.
pub(crate) fn primary_keys(views: &[View], keys: &[Key]) -> Vec<Key> {
    let primary = keys.iter().enumerate().filter(|(_, key)| key.primary);
    let primary: HashMap<u32, (usize, &Key)> = primary.map(|(at, key)| (key.oid, (at, key))).collect();
    let mut found = Vec::new();
    for view in views {
        let mut shown: Vec<_> = view.tables().iter().filter_map(|table| primary.get(table)).collect();
        shown.sort_by_key(|(at, _)| *at);
        let mut columns: Vec<String> = Vec::new();
        for (_, key) in shown {
            let way = view.ways(key.oid, key.numbers.iter().copied()).into_iter().next();
            columns.extend(
                way.into_iter().flatten().filter(|column| !columns.contains(column)).collect::<Vec<_>>(),
            );
        }
        if !columns.is_empty() {
            found.push(Key { table: view.name.clone(), primary: true, columns, oid: 0, numbers: Vec::new() });
        }
    }
    found
}

/// The foreign keys that hold between views, and between views and tables, because they hold between what these show.
pub(crate) fn foreign_keys(
    foreign_keys: &[ForeignKey],
    views: &[View],
    is_shown: impl Fn(&Name) -> bool,
) -> Vec<ForeignKey> {
    let mut showing: HashMap<u32, Vec<&View>> = HashMap::new();
    for view in views.iter().filter(|view| is_shown(&view.name)) {
        for table in view.tables() {
            showing.entry(table).or_default().push(view);
        }
    }
    let mut found = Vec::new();
    for key in foreign_keys {
        let (own, theirs): (Vec<i16>, Vec<i16>) = key.numbers.iter().copied().unzip();
        let (own_names, their_names): (Vec<String>, Vec<String>) = key.columns.iter().cloned().unzip();
        let sides =
            |oid: u32, numbers: &[i16], table: &Name, names: Vec<String>| -> Vec<(Name, Vec<String>)> {
                let itself = is_shown(table).then(|| (table.clone(), names));
                let shown = showing.get(&oid).into_iter().flatten().flat_map(|view| {
                    view.ways(oid, numbers.iter().copied()).into_iter().map(|way| (view.name.clone(), way))
                });
                itself.into_iter().chain(shown).collect()
            };
        let sources = sides(key.oid, &own, &key.table, own_names);
        let targets = sides(key.target_oid, &theirs, &key.target, their_names);
        for (table, own) in &sources {
            for (target, theirs) in &targets {
                if (table, target) == (&key.table, &key.target) {
                    continue;
                }
                let columns: Pairs = own.iter().cloned().zip(theirs.iter().cloned()).collect();
                found.push(ForeignKey {
                    table: table.clone(),
                    target: target.clone(),
                    columns,
                    ..key.clone()
                });
            }
        }
    }
    found
}

/// An entry of a target list: the view's column, and what it shows; no relation if it is computed.
#[derive(Debug, Default, PartialEq)]
struct Target {
    number: i16,
    origin: Origin,
}

/// The target list of a query: of the outermost one, whatever lists are inside of it.
fn targets(definition: &str) -> Vec<Target> {
    let mut found = Vec::new();
    let (mut depth, mut field) = (0_usize, "");
    let mut entry = Target::default();
    let mut rest = definition;
    while let Some(at) = rest.find(['{', '}', ':', '\\']) {
        let (sign, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = after;
        match sign {
            b'{' => {
                depth += 1;
                if depth == 2 {
                    entry = Target::default();
                }
            }
            b'}' => {
                if depth == 2 && field == "targetList" {
                    found.push(std::mem::take(&mut entry));
                }
                depth = depth.saturating_sub(1);
            }
            // the next character only stands for itself
            b'\\' => rest = after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
            _ => {
                let mut words = after.split([' ', '}', '{', ')']);
                let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                match depth {
                    1 => field = name,
                    2 if field == "targetList" => match name {
                        "resno" => entry.number = value.parse().unwrap_or_default(),
                        "resorigtbl" => entry.origin.0 = value.parse().unwrap_or_default(),
                        "resorigcol" => entry.origin.1 = value.parse().unwrap_or_default(),
                        _ => {}
                    },
                    _ => {}
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i16, origin: Origin) -> String {
        format!(
            "{{TARGETENTRY :expr {{VAR :varno 1 :resno 9 :resorigtbl 9}} :resno {number} :resname a\\{{b \
             :ressortgroupref 0 :resorigtbl {} :resorigcol {} :resjunk false}}",
            origin.0, origin.1
        )
    }

    fn query(entries: &[String]) -> String {
        let inner = format!("{{QUERY :targetList ({})}}", entry(7, (70, 7)));
        format!(
            "({{QUERY :commandType 1 :rtable ({{RTE :subquery {inner}}}) :targetList ({}) :override 0}})",
            entries.join(" ")
        )
    }

    fn view(oid: u32, name: &str, columns: &[&str], origins: &[Origin]) -> ViewRow {
        let entries: Vec<String> =
            (1..).zip(origins).map(|(number, origin)| entry(number, *origin)).collect();
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        ViewRow { oid, name: Name::new("public", name), columns, definition: query(&entries) }
    }

    #[test]
    fn the_outermost_list_alone_counts() {
        let found = targets(&query(&[entry(1, (10, 3)), entry(2, (0, 0))]));

        assert_eq!(found, [Target { number: 1, origin: (10, 3) }, Target { number: 2, origin: (0, 0) }]);
    }

    #[test]
    fn views_upon_views_lead_to_tables() {
        let rows = [
            view(100, "outer", &["x", "y", "z"], &[(200, 2), (200, 1), (0, 0)]),
            view(200, "inner", &["a", "b"], &[(10, 1), (10, 5)]),
        ];

        let outer = &resolve(&rows)[0];

        assert_eq!(outer.columns[&(10, 5)], ["x"]);
        assert_eq!(outer.columns[&(10, 1)], ["y"]);
        assert_eq!(outer.columns.len(), 2);
    }

    #[test]
    fn views_that_would_lead_to_themselves_lead_nowhere() {
        let rows = [view(1, "a", &["x"], &[(2, 1)]), view(2, "b", &["x"], &[(1, 1)])];

        assert!(resolve(&rows).iter().all(|view| view.columns.is_empty()));
    }

    fn todos_to_users() -> ForeignKey {
        ForeignKey {
            constraint: "todos_owner_fkey".to_owned(),
            table: Name::new("public", "todos"),
            target: Name::new("private", "users"),
            columns: vec![("owner".to_owned(), "id".to_owned())],
            oid: 10,
            target_oid: 20,
            numbers: vec![(2, 1)],
            unique: false,
        }
    }

    #[test]
    fn a_foreign_key_holds_between_what_shows_its_columns() {
        let views = resolve(&[
            view(100, "todos_view", &["id", "owned_by"], &[(10, 1), (10, 2)]),
            view(200, "people", &["key", "same"], &[(20, 1), (20, 1)]),
            view(300, "titles", &["title"], &[(10, 3)]),
        ]);

        let found = foreign_keys(&[todos_to_users()], &views, |name| name.schema == "public");

        let told: Vec<String> = found
            .iter()
            .map(|key| {
                format!("{} > {}: {}={}", key.table.name, key.target.name, key.columns[0].0, key.columns[0].1)
            })
            .collect();
        assert_eq!(
            told,
            [
                "todos > people: owner=key",
                "todos > people: owner=same",
                "todos_view > people: owned_by=key",
                "todos_view > people: owned_by=same",
            ]
        );
    }

    #[test]
    fn a_view_has_the_keys_that_it_shows_whole() {
        let key = |oid, numbers: &[i16]| Key {
            table: Name::new("private", "t"),
            primary: true,
            columns: Vec::new(),
            oid,
            numbers: numbers.to_vec(),
        };
        let views = resolve(&[view(100, "both", &["a", "b", "c"], &[(10, 1), (20, 1), (20, 2)])]);

        let found = primary_keys(&views, &[key(10, &[1]), key(20, &[1, 2]), key(30, &[1])]);
        let half = primary_keys(&views, &[key(10, &[1, 2])]);

        assert_eq!(found[0].columns, ["a", "b", "c"]);
        assert!(half.is_empty());
    }
}
