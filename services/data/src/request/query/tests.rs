//! Whole query strings.

use super::*;
use crate::request::filter::{Operation, Quantifiable};
use crate::request::logic::LogicOperator;

fn parse(text: &str) -> Query {
    Query::parse(text, false).unwrap()
}

#[test]
fn keys_are_sorted_into_their_kinds() {
    let query = parse(
        "select=id,todos(*)&id=eq.1&todos.id=gt.2&todos.order=id.desc&or=(a.eq.1,b.eq.2)&todos.not.and=(c.eq.1)&limit=5&todos.offset=2&columns=a,%22b%22&on_conflict=x,y",
    );

    assert_eq!(query.select.len(), 2);
    assert_eq!(query.filters.len(), 2);
    assert_eq!(query.filters[1].0, ["todos"]);
    assert_eq!(query.order[0].0, ["todos"]);
    assert!(
        matches!(&query.logic[0], (path, Logic::Many { junction: LogicOperator::Or, negated: false, .. }) if path.is_empty())
    );
    assert!(matches!(&query.logic[1], (path, Logic::Many { negated: true, .. }) if path == &["todos"]));
    assert_eq!(query.columns, Some(["a".to_owned(), "b".to_owned()].into()));
    assert_eq!(query.on_conflict, Some(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(query.ranges.len(), 2);
}

#[test]
fn the_canonical_form_is_sorted_and_encoded() {
    assert_eq!(parse("b=eq.2&a=eq.%C3%A4+x&select=a%2Cb").canonical, "a=eq.%C3%A4%20x&b=eq.2&select=a%2Cb");
    assert_eq!(parse("d").canonical, "d=");
}

#[test]
fn a_stray_percent_stands_for_itself() {
    let query = parse("a=like.100%&b=eq.%zz");

    assert!(
        matches!(&query.filters[0].1.operation, Operation::Quantified(Quantifiable::Like, _, v) if v == "100%")
    );
    assert!(matches!(&query.filters[1].1.operation, Operation::Quantified(_, _, v) if v == "%zz"));
}

#[test]
fn what_is_not_text_is_bad_input() {
    for text in ["a=eq.%ff", "%c3%28=eq.1", "a=eq.%00", "a%00=eq.1"] {
        assert_eq!(Query::parse(text, false).unwrap_err().status(), 400, "{text}");
    }
}

#[test]
fn values_without_an_operator_are_arguments_of_functions_alone() {
    let call = Query::parse("a=1&b=eq.2&a=3&c=", true).unwrap();

    assert_eq!(
        call.arguments,
        [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "3".to_owned()), ("c".to_owned(), String::new())]
    );
    assert_eq!(call.filters.len(), 1);
    let error = Query::parse("a=0", false).unwrap_err();
    assert_eq!(error.message, "\"failed to parse filter (0)\" (line 1, column 1)");
    assert_eq!(error.details, Some("unexpected \"0\" expecting \"not\" or operator (eq, gt, ...)".into()));
}

#[test]
fn a_json_path_belongs_to_the_last_name() {
    let query = parse("todos.data->a.b->>c=eq.1");

    // a dot ends a key, so the rest of the path is not part of the field
    assert_eq!(query.filters[0].0, ["todos"]);
    assert_eq!(query.filters[0].1.field.name, "data");
}

#[test]
fn limits_that_are_no_numbers_do_not_count() {
    assert!(parse("limit=abc").ranges[0].1.is_all());
    assert_eq!(parse("limit=99999999999999999999&offset=1").ranges[0].1.offset(), 1);
}

#[test]
fn nothing_a_query_string_holds_makes_the_parser_panic() {
    use proptest::prelude::*;
    proptest!(|(text in "\\PC*", arguments: bool)| {
        let _ = Query::parse(&text, arguments);
    });
    proptest!(|(text in r#"[a-z.,()"\\!:*>=&%0-9 -]{0,60}"#)| {
        let _ = Query::parse(&text, true);
        let _ = Query::parse(&format!("select={text}&or={text}&order={text}&a={text}"), false);
    });
}
