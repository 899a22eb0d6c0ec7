//! The grammar of conditions, table by table.

use super::*;
use crate::request::field::{JsonOperand, field};
use crate::request::logic::{Logic, LogicOperator, logic};
use crate::request::scanner::MAX_DEPTH;

fn op(text: &str) -> Scan<(bool, Operation)> {
    operation(&mut Scanner::new(text))
}

fn tree(text: &str) -> Scan<Logic> {
    logic(&mut Scanner::new(text), 0)
}

fn key(key: &str) -> JsonOperand {
    JsonOperand::Key(key.to_owned())
}

fn index(index: &str) -> JsonOperand {
    JsonOperand::Index(index.to_owned())
}

#[test]
fn every_operator_is_known() {
    for name in ["eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch"] {
        assert!(matches!(op(&format!("{name}.v")), Ok((false, Operation::Quantified(_, None, _)))), "{name}");
        assert!(matches!(
            op(&format!("{name}(any).v")),
            Ok((false, Operation::Quantified(_, Some(Quantifier::Any), _)))
        ));
    }
    for name in ["neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"] {
        assert!(matches!(op(&format!("not.{name}.v")), Ok((true, Operation::Compare(..)))), "{name}");
        assert!(op(&format!("{name}(any).v")).is_err());
    }
    for name in ["fts", "plfts", "phfts", "wfts"] {
        let language = Some("german".to_owned());
        assert!(
            matches!(op(&format!("{name}(german).v")), Ok((_, Operation::Search(_, l, _))) if l == language)
        );
    }
}

#[test]
fn an_unknown_operator_fails_where_it_stands() {
    for text in ["noop.1", "1", "", "eq", "eqq.1", "is(any).null", "fts().x"] {
        assert_eq!(op(text).unwrap_err().at, 0, "{text}");
    }
    assert_eq!(op("not.noop.1").unwrap_err().at, 4);
}

#[test]
fn a_value_is_everything_after_the_operator() {
    assert_eq!(
        op("eq.a.b,(c)\"'--"),
        Ok((false, Operation::Quantified(Quantifiable::Equal, None, "a.b,(c)\"'--".to_owned())))
    );
}

#[test]
fn lists_take_quotes_and_stray_ones() {
    let list = |text| match op(text) {
        Ok((_, Operation::In(list))) => list,
        other => panic!("{text}: {other:?}"),
    };

    assert_eq!(list("in.(1,2)"), ["1", "2"]);
    assert_eq!(list(r#"in.("a,b","c\"d",e"f)"#), ["a,b", "c\"d", "e\"f"]);
    assert_eq!(list("in.()"), [""]);
    assert_eq!(list("in.(a b, c)"), ["a b", " c"]);
    assert!(op("in.1,2").is_err());
    assert!(op("in.(1").is_err());
}

#[test]
fn is_takes_five_words_in_any_case() {
    assert_eq!(op("is.NULL"), Ok((false, Operation::Is(IsValue::Null))));
    assert_eq!(op("not.is.not_null"), Ok((true, Operation::Is(IsValue::NotNull))));
    assert_eq!(op("is.Unknown"), Ok((false, Operation::Is(IsValue::Unknown))));
    assert_eq!(op("isdistinct.1"), Ok((false, Operation::IsDistinct("1".to_owned()))));
    assert!(op("is.nil").is_err());
    assert!(op("is.nü").is_err());
}

#[test]
fn json_paths_have_keys_and_indexes() {
    let path = |text| {
        let mut scanner = Scanner::new(text);
        field(&mut scanner).map(|field| field.path)
    };

    let steps = path("data->a->0->>b-c->>-1").unwrap();
    assert_eq!(
        steps.iter().map(|step| step.operand.clone()).collect::<Vec<_>>(),
        [key("a"), index("0"), key("b-c"), index("-1")]
    );
    assert_eq!(steps.iter().map(|step| step.as_text).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(path("data->12ab").unwrap()[0].operand, key("12ab"));
    assert_eq!(path("data->!@#$%^&*_a").unwrap()[0].operand, key("!@#$%^&*_a"));
    assert_eq!(path(r#"data->"a.b""#).unwrap()[0].operand, key("a.b"));
    assert!(path("data->>--34").is_err());
    assert!(path("data->").is_err());
}

#[test]
fn trees_nest_and_negate() {
    let Ok(Logic::Many { negated, junction, parts }) =
        tree(r#"not.or(a.eq.1,and(b.not.in.(1,2),c.cs.{x,y}),d->>e.eq."1,)")"#)
    else {
        panic!("a tree")
    };

    assert!(negated);
    assert_eq!(junction, LogicOperator::Or);
    assert_eq!(parts.len(), 3);
    let Logic::Many { parts: inner, .. } = &parts[1] else { panic!("a tree") };
    assert!(
        matches!(&inner[0], Logic::One(Filter { negated: true, operation: Operation::In(list), .. }) if list.len() == 2)
    );
    assert!(
        matches!(&inner[1], Logic::One(Filter { operation: Operation::Compare(_, value), .. }) if value == "{x,y}")
    );
    assert!(
        matches!(&parts[2], Logic::One(Filter { operation: Operation::Quantified(_, _, value), .. }) if value == "1,)")
    );
}

#[test]
fn a_column_may_be_called_and_or_not() {
    assert!(
        matches!(tree("and(and.eq.1,or.eq.2,not.eq.3)"), Ok(Logic::Many { parts, .. }) if parts.len() == 3)
    );
}

#[test]
fn broken_trees_fail() {
    for text in [
        "or()",
        "or)(",
        "or(id.in.1,2,id.eq.3)",
        "and(ord(id.eq.1))",
        "or(a.eq.1",
        "or(a.eq.1,not.xor(b.eq.1))",
    ] {
        assert!(tree(text).is_err(), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| format!("{}a.eq.1{}", "and(".repeat(n), ")".repeat(n));

    assert!(tree(&deep(MAX_DEPTH)).is_ok());
    assert!(tree(&deep(MAX_DEPTH + 1)).is_err());
    assert!(tree(&deep(10_000)).is_err());
}

#[test]
fn trees_ask_about_embedded_relations() {
    let Ok(Logic::Many { parts, .. }) =
        tree("or(a.b.c.not.eq.1,x.and(y.eq.1,z.or(a.is.null,b.eq.2)),d.eq.eq.1)")
    else {
        panic!("a tree")
    };

    let Logic::Related { relation, part } = &parts[0] else { panic!("a relation") };
    assert_eq!(relation, "a");
    assert!(matches!(&**part, Logic::Related { relation, part } if relation == "b"
        && matches!(&**part, Logic::One(Filter { negated: true, .. }))));
    assert_eq!(parts[1].relation(), Some("x"));
    // what an operator follows is a column, as it ever was
    assert_eq!(parts[2].relation(), None);
    for wrong in ["or(a.b)", "or(a.b.c)", "or(not.a.b.eq.1)", "or(a.b.and.eq)", "or(a..eq.1)"] {
        assert!(tree(wrong).is_err(), "{wrong}");
    }
    let deep = format!("or({}b.eq.1)", "a.".repeat(1000));
    assert!(tree(&deep).is_err());
}
