//! `select`: columns with aliases, casts, JSON paths and aggregates, and embedded relations.

use super::field::{Field, json_path};
use super::scanner::{MAX_DEPTH, Scan, Scanner, is_word};

/// One thing to select.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SelectItem {
    Column(SelectColumn),
    Relation(SelectRelation),
}

/// A column; `*` is one whose name is `*`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelectColumn {
    pub(crate) field: Field,
    pub(crate) alias: Option<String>,
    pub(crate) cast: Option<Cast>,
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) aggregate_cast: Option<Cast>,
}

/// A relation to embed, with what to select of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelectRelation {
    pub(crate) name: String,
    pub(crate) alias: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) join: Option<Join>,
    /// `...relation(…)`: its columns become the parent's.
    pub(crate) spread: bool,
    pub(crate) items: Vec<SelectItem>,
}

impl SelectColumn {
    /// A column as it is.
    pub(crate) fn named(name: &str) -> SelectColumn {
        let field = Field { name: name.to_owned(), path: Vec::new() };
        SelectColumn { field, alias: None, cast: None, aggregate: None, aggregate_cast: None }
    }
}

impl SelectItem {
    /// Whether it aggregates anything, at any depth.
    pub(crate) fn aggregates(&self) -> bool {
        match self {
            SelectItem::Relation(relation) => relation.items.iter().any(SelectItem::aggregates),
            SelectItem::Column(column) => column.aggregate.is_some(),
        }
    }

    /// The relation, if it is one.
    pub(crate) fn relation(&self) -> Option<&SelectRelation> {
        match self {
            SelectItem::Relation(relation) => Some(relation),
            SelectItem::Column(_) => None,
        }
    }
}

impl SelectRelation {
    /// Whether filters, orders and limits may call it `name`.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.alias.as_deref() == Some(name)
    }
}

/// Which rows count as the same, so that one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distinct {
    /// Those that look the same.
    Rows,
    /// Those that are the same in these columns: the first of them in the order stays.
    By(Vec<String>),
}

/// Whether rows without a related one stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    Left,
    Inner,
}

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    Avg,
    Count,
    Max,
    Min,
}

impl Aggregate {
    /// Its name, which a column without an alias has too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Aggregate::Sum => "sum",
            Aggregate::Avg => "avg",
            Aggregate::Count => "count",
            Aggregate::Max => "max",
            Aggregate::Min => "min",
        }
    }
}

/// A type's name as people write it without quotes, letters folded to lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cast(String);

impl Cast {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The whole parameter.
pub(crate) fn items(scanner: &mut Scanner<'_>, depth: usize) -> Scan<Vec<SelectItem>> {
    if depth > MAX_DEPTH {
        return Err(scanner.fail("fewer nested relations"));
    }
    if scanner.is_done() || scanner.sees(")") {
        return Ok(Vec::new());
    }
    let mut items = vec![item(scanner, depth)?];
    scanner.skip_space();
    while scanner.eat(",") {
        scanner.skip_space();
        items.push(item(scanner, depth)?);
        scanner.skip_space();
    }
    Ok(items)
}

fn item(scanner: &mut Scanner<'_>, depth: usize) -> Scan<SelectItem> {
    scanner.skip_space();
    if let Some(mut relation) = scanner.attempt(relation_head) {
        scanner.expect("(", "\"(\"")?;
        relation.items = self::items(scanner, depth + 1)?;
        scanner.expect(")", "\",\" or \")\"")?;
        return Ok(SelectItem::Relation(relation));
    }
    column(scanner).map(SelectItem::Column)
}

/// A relation up to its parenthesis, which tells it from a column.
fn relation_head(scanner: &mut Scanner<'_>) -> Scan<SelectRelation> {
    let spread = scanner.eat("...");
    let alias = if spread { None } else { scanner.attempt(alias) };
    let name = scanner.name()?;
    let mut hint = None;
    let mut join = None;
    for _ in 0..2 {
        if scanner.eat("!") {
            match scanner.name()?.as_str() {
                "inner" if join.is_none() => join = Some(Join::Inner),
                "left" if join.is_none() => join = Some(Join::Left),
                other => hint = hint.or_else(|| Some(other.to_owned())),
            }
        }
    }
    scanner.skip_space();
    if !scanner.sees("(") || (name == "count" && !spread) {
        return Err(scanner.fail("\"(\""));
    }
    Ok(SelectRelation { name, alias, hint, join, spread, items: Vec::new() })
}

/// `alias:`, but not the first half of `::`.
fn alias(scanner: &mut Scanner<'_>) -> Scan<String> {
    let alias = scanner.name()?;
    scanner.expect(":", "\":\"")?;
    if scanner.sees(":") { Err(scanner.fail("alias")) } else { Ok(alias) }
}

fn column(scanner: &mut Scanner<'_>) -> Scan<SelectColumn> {
    if scanner.eat("*") {
        return finished(scanner, plain(Field { name: "*".to_owned(), path: Vec::new() }));
    }
    let alias = scanner.attempt(alias);
    if scanner.eat("count()") {
        let all = plain(Field { name: "*".to_owned(), path: Vec::new() });
        let aggregate_cast = cast(scanner)?;
        let aggregate = Some(Aggregate::Count);
        return finished(scanner, SelectColumn { alias, aggregate, aggregate_cast, ..all });
    }
    let name = scanner.name()?;
    let path = json_path(scanner)?;
    let cast_before = cast(scanner)?;
    let aggregate = aggregate(scanner)?;
    let aggregate_cast = if aggregate.is_some() { cast(scanner)? } else { None };
    let field = Field { name, path };
    finished(scanner, SelectColumn { field, alias, cast: cast_before, aggregate, aggregate_cast })
}

fn plain(field: Field) -> SelectColumn {
    SelectColumn { field, alias: None, cast: None, aggregate: None, aggregate_cast: None }
}

fn finished(scanner: &mut Scanner<'_>, column: SelectColumn) -> Scan<SelectColumn> {
    scanner.skip_space();
    if scanner.is_done() || scanner.sees(",") || scanner.sees(")") {
        return Ok(column);
    }
    Err(scanner.fail("letter, digit, \"-\", \"->>\", \"->\", \"::\", \".\", \")\", \",\" or end of input"))
}

fn cast(scanner: &mut Scanner<'_>) -> Scan<Option<Cast>> {
    if !scanner.eat("::") {
        return Ok(None);
    }
    let name = scanner.take_while(is_word);
    // one space between words, so that `double  precision` is the type it looks like
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    if name.is_empty() { Err(scanner.fail("letter or digit")) } else { Ok(Some(Cast(name))) }
}

fn aggregate(scanner: &mut Scanner<'_>) -> Scan<Option<Aggregate>> {
    if !scanner.eat(".") {
        return Ok(None);
    }
    let functions = [
        ("sum()", Aggregate::Sum),
        ("avg()", Aggregate::Avg),
        ("count()", Aggregate::Count),
        ("max()", Aggregate::Max),
        ("min()", Aggregate::Min),
    ];
    for (token, aggregate) in functions {
        if scanner.eat(token) {
            return Ok(Some(aggregate));
        }
    }
    Err(scanner.fail("aggregate function"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Scan<Vec<SelectItem>> {
        let mut scanner = Scanner::new(text);
        let items = items(&mut scanner, 0)?;
        if scanner.is_done() { Ok(items) } else { Err(scanner.fail("end of input")) }
    }

    fn column(text: &str) -> SelectColumn {
        match parse(text).as_deref() {
            Ok([SelectItem::Column(column)]) => column.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn relation(text: &str) -> SelectRelation {
        match parse(text).as_deref() {
            Ok([SelectItem::Relation(relation)]) => relation.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn columns_have_aliases_paths_and_casts() {
        let all = column("nick:data->a->>b::text");

        assert_eq!(all.alias.as_deref(), Some("nick"));
        assert_eq!(all.field.name, "data");
        assert_eq!(all.field.path.len(), 2);
        assert_eq!(all.cast, Some(Cast("text".to_owned())));
        assert_eq!(column("a::Double  Precision").cast, Some(Cast("double precision".to_owned())));
        assert_eq!(column("with space").field.name, "with space");
        assert_eq!(column(r#""a,b""#).field.name, "a,b");
    }

    #[test]
    fn aggregates_may_be_cast_before_and_after() {
        let sum = column("total:amount::numeric.sum()::text");

        assert_eq!(sum.aggregate, Some(Aggregate::Sum));
        assert_eq!(sum.cast, Some(Cast("numeric".to_owned())));
        assert_eq!(sum.aggregate_cast, Some(Cast("text".to_owned())));
        assert_eq!(column("count()").aggregate, Some(Aggregate::Count));
        assert_eq!(column("n:count()::text").alias.as_deref(), Some("n"));
        assert_eq!(column("count").aggregate, None);
    }

    #[test]
    fn relations_have_hints_joins_and_depth() {
        let embedded = relation("a:todos!fk!inner(id,list:lists!left(*),...users(name))");

        assert_eq!(embedded.alias.as_deref(), Some("a"));
        assert_eq!(embedded.hint.as_deref(), Some("fk"));
        assert_eq!(embedded.join, Some(Join::Inner));
        assert_eq!(embedded.items.len(), 3);
        assert_eq!(relation("todos!inner!fk(id)").hint.as_deref(), Some("fk"));
        assert_eq!(relation("todos!inner_fk(id)").hint.as_deref(), Some("inner_fk"));
        assert!(relation("...users!inner(name)").spread);
        assert!(relation("todos()").items.is_empty());
    }

    #[test]
    fn broken_selects_fail() {
        for text in [
            "a[]",
            "a::",
            "*!hint",
            "a!hint",
            "todos(id",
            "a,,b",
            "a::text::int",
            "a.sum",
            "a->",
            "...a",
            "(",
            ")",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}id{}", "a(".repeat(n), ")".repeat(n));

        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert!(parse(&deep(MAX_DEPTH + 1)).is_err());
        assert!(parse(&deep(20_000)).is_err());
    }

    #[test]
    fn nothing_selects_nothing() {
        assert_eq!(parse(""), Ok(Vec::new()));
    }
}
