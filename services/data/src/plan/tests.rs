//! Planning against a small schema: users, their todos, profile, teams and messages; and some functions.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::*;
use crate::plan::read::{Embed, From};
use crate::request;
use crate::schema::relationship::{ComputedRelation, ForeignKey, Key, derive};
use crate::schema::{Column, ColumnType, Parameter, Table, function::Returns};

fn name(name: &str) -> Name {
    Name::new("public", name)
}

fn table(relation: &str, key: &[&str], columns: &[(&str, &str)]) -> (Name, Table) {
    let columns = columns.iter().map(|(column, type_name)| {
        let default = (*column == "id").then(|| "nextval('ids')".into());
        let column = Column {
            name: (*column).to_owned(),
            description: None,
            r#type: Arc::new(ColumnType { input: (*type_name).into(), ..ColumnType::default() }),
            nullable: true,
            default,
            max_length: None,
        };
        (column.name.clone(), column)
    });
    let table = Table {
        name: name(relation),
        description: None,
        is_view: false,
        insertable: true,
        updatable: true,
        deletable: true,
        primary_key: key.iter().map(|&column| column.to_owned()).collect(),
        columns: columns.collect(),
    };
    (table.name.clone(), table)
}

fn foreign_key(relation: &str, column: &str, target: &str) -> ForeignKey {
    ForeignKey {
        constraint: format!("{relation}_{column}_fkey"),
        table: name(relation),
        target: name(target),
        columns: vec![(column.to_owned(), "id".to_owned())],
        oid: 0,
        target_oid: 0,
        numbers: Vec::new(),
        unique: false,
    }
}

fn key(relation: &str, columns: &[&str]) -> Key {
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    Key { table: name(relation), primary: true, columns, oid: 0, numbers: Vec::new() }
}

pub(crate) fn function(function: &str, parameters: &[(&str, &str, bool)], returns: Returns) -> Function {
    let parameters = parameters.iter().map(|(name, type_name, required)| Parameter {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
        cast: (*type_name).into(),
        required: *required,
        variadic: *name == "rest",
    });
    Function {
        name: name(function),
        description: None,
        parameters: parameters.collect(),
        returns,
        volatility: Volatility::Stable,
        settings: Vec::new(),
    }
}

fn returns(type_name: Name, set: bool, composite: bool) -> Returns {
    Returns { type_name, set, composite }
}

pub(crate) fn cache() -> SchemaCache {
    let tables = [
        table("users", &["id"], &[("id", "bigint"), ("name", "text"), ("data", "jsonb"), ("tags", "text[]")]),
        table(
            "todos",
            &["id"],
            &[
                ("id", "bigint"),
                ("user_id", "bigint"),
                ("title", "text"),
                ("parent_id", "bigint"),
                ("body", "tsvector"),
            ],
        ),
        table("profiles", &["id"], &[("id", "bigint"), ("bio", "text")]),
        table("teams", &["id"], &[("id", "bigint"), ("name", "text")]),
        table("members", &["team_id", "user_id"], &[("team_id", "bigint"), ("user_id", "bigint")]),
        table("messages", &["id"], &[("id", "bigint"), ("sender", "bigint"), ("recipient", "bigint")]),
    ];
    let foreign_keys = [
        foreign_key("todos", "user_id", "users"),
        foreign_key("todos", "parent_id", "todos"),
        foreign_key("profiles", "id", "users"),
        foreign_key("members", "team_id", "teams"),
        foreign_key("members", "user_id", "users"),
        foreign_key("messages", "sender", "users"),
        foreign_key("messages", "recipient", "users"),
    ];
    let keys = [key("profiles", &["id"]), key("members", &["team_id", "user_id"])];
    let computed = ComputedRelation {
        function: name("open_todos"),
        source: name("users"),
        target: name("todos"),
        to_one: false,
    };
    let int = || returns(Name::new("pg_catalog", "int4"), false, false);
    let functions = [
        function("add", &[("a", "integer", true), ("b", "integer", false)], int()),
        function("pick", &[("a", "integer", true)], int()),
        function("pick", &[("a", "text", true)], int()),
        function("echo", &[("", "json", true)], int()),
        function("sum", &[("rest", "integer[]", true)], int()),
        function("list_todos", &[], returns(name("todos"), true, true)),
    ];
    let tables: std::collections::HashMap<_, _> = tables.into_iter().collect();
    let mut cache = SchemaCache {
        generation: 1,
        relationships: derive(&foreign_keys, &keys, &[], vec![computed], |name| tables.contains_key(name)),
        tables,
        ..SchemaCache::default()
    };
    for function in functions {
        cache.functions.entry(function.name.clone()).or_default().push(function);
    }
    cache
}

pub(crate) fn request(method: Method, uri: &str, prefer: &str, body: &str) -> Result<ApiRequest> {
    request_with(method, uri, &[("prefer", prefer.to_owned())], body)
}

/// A request with any headers; one whose headers no request could have is bad input.
pub(crate) fn request_with(
    method: Method,
    uri: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Result<ApiRequest> {
    let mut request = http::Request::builder().method(method).uri(uri.replace('>', "%3E"));
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let request = request.body(()).map_err(crate::error::envelope::internal)?;
    request::parse(&mut request.into_parts().0, Bytes::from(body.to_owned()), &Settings::default())
}

fn planned(method: Method, uri: &str, body: &str) -> Result<Plan> {
    plan(&request(method, uri, "", body)?, &cache(), &Settings::default())
}

fn get(uri: &str) -> Result<Plan> {
    planned(Method::GET, uri, "")
}

fn code(result: Result<Plan>) -> String {
    result.expect_err("an error").code.name().to_owned()
}

fn only_embed(uri: &str) -> Embed {
    let mut embeds = get(uri).unwrap().read.embeds;
    assert_eq!(embeds.len(), 1, "{uri}");
    embeds.remove(0)
}

#[test]
fn relations_embed_each_way() {
    use crate::schema::Cardinality;

    let cardinality = |uri| only_embed(uri).relationship.cardinality;
    assert!(matches!(cardinality("/todos?select=users(*)"), Cardinality::ManyToOne { .. }));
    assert!(matches!(cardinality("/users?select=todos(*)"), Cardinality::OneToMany { .. }));
    assert!(matches!(cardinality("/users?select=profiles(*)"), Cardinality::OneToOne { .. }));
    assert!(matches!(cardinality("/users?select=teams(*)"), Cardinality::ManyToMany(_)));
    assert!(matches!(cardinality("/users?select=open_todos(*)"), Cardinality::Computed { .. }));
}

#[test]
fn a_relation_may_be_named_by_its_key() {
    assert_eq!(only_embed("/todos?select=user_id(*)").relationship.target.name, "users");
    assert_eq!(only_embed("/todos?select=todos_user_id_fkey(*)").relationship.target.name, "users");
}

#[test]
fn hints_tell_relationships_apart() {
    assert_eq!(code(get("/messages?select=users(*)")), "PGRST201");
    for hint in ["sender", "messages_sender_fkey"] {
        let embed = only_embed(&format!("/messages?select=users!{hint}(*)"));
        assert_eq!(embed.relationship.source_columns(), ["sender"]);
    }
    assert_eq!(only_embed("/users?select=messages!recipient(*)").relationship.target.name, "messages");
    assert_eq!(only_embed("/users?select=teams!members(*)").relationship.target.name, "teams");
}

#[test]
fn an_ambiguous_relation_lists_the_choices() {
    let error = get("/messages?select=users(*)").unwrap_err();

    assert_eq!(error.status(), 300);
    assert_eq!(
        error.hint.as_deref(),
        Some(
            "Try changing 'users' to one of the following: 'users!messages_sender_fkey', \
             'users!messages_recipient_fkey'. Find the desired relationship in the 'details' key."
        )
    );
    assert_eq!(
        error.details.unwrap()[0],
        serde_json::json!({
            "cardinality": "many-to-one",
            "embedding": "messages with users",
            "relationship": "messages_sender_fkey using messages(sender) and users(id)",
        })
    );
}

#[test]
fn a_relation_to_itself_goes_by_name_down_and_by_column_up() {
    assert!(!only_embed("/todos?select=todos(*)").relationship.is_to_one());
    assert!(only_embed("/todos?select=parent_id(*)").relationship.is_to_one());
    assert!(!only_embed("/todos?select=todos!parent_id(*)").relationship.is_to_one());
}

#[test]
fn embeds_nest_to_any_depth() {
    let embed = only_embed("/users?select=todos(title,todos(title,parent_id(users(name))))");

    let second = &embed.plan.embeds[0];
    let third = &second.plan.embeds[0];
    assert_eq!(third.plan.embeds[0].alias, "todos_users_4");
    assert!(matches!(&third.plan.from, From::Relation { alias: Some(alias), .. } if alias == "todos_3"));
}

#[test]
fn what_is_not_there_is_not_found_and_may_be_stale() {
    for (uri, expected) in [
        ("/nope", "PGRST205"),
        ("/users?select=nope(*)", "PGRST200"),
        ("/users?select=teams!nope(*)", "PGRST200"),
        ("/rpc/nope", "PGRST202"),
        ("/rpc/add?b=1", "PGRST202"),
        ("/rpc/add?a=1&c=1", "PGRST202"),
    ] {
        let error = get(uri).unwrap_err();
        assert_eq!(error.code.name(), expected, "{uri}");
        assert!(missing::may_be_stale(&error));
    }
    assert_eq!(code(planned(Method::POST, "/users", r#"{"nope":1}"#)), "PGRST204");
}

#[test]
fn near_names_are_suggested_and_far_ones_not() {
    let hint = |uri: &str| get(uri).unwrap_err().hint;

    assert_eq!(hint("/usres?x=eq.1"), None);
    assert_eq!(hint("/user").as_deref(), Some("Perhaps you meant the table 'public.users'"));
    assert_eq!(
        hint("/users?select=todo(*)").as_deref(),
        Some("Perhaps you meant 'todos' instead of 'todo'.")
    );
    assert_eq!(
        hint("/rpc/add?a=1&bb=2").as_deref(),
        Some("Perhaps you meant to call the function public.add(a, b)")
    );
}

#[test]
fn filters_belong_to_what_select_embeds() {
    assert_eq!(code(get("/users?todos.title=eq.x")), "PGRST108");
    assert_eq!(code(get("/users?todos.order=title")), "PGRST108");
    assert_eq!(code(get("/users?todos.limit=1")), "PGRST108");
    let embed =
        only_embed("/users?select=list:todos(*)&list.title=eq.x&todos.limit=3&list.or=(id.eq.1,id.eq.2)");
    assert_eq!(embed.plan.conditions.len(), 2);
    assert_eq!(embed.plan.range.limit(), Some(3));
}

#[test]
fn null_filters_ask_for_embedded_rows() {
    let plan = get("/users?select=todos(*)&todos=not.is.null&or=(todos.is.null,name.eq.x)").unwrap();

    assert!(
        plan.read
            .conditions
            .iter()
            .any(|condition| matches!(condition, condition::Condition::Embedded { present: true, .. }))
    );
    assert!(plan.read.conditions.iter().any(|condition| matches!(
        condition,
        condition::Condition::Many { parts, .. } if matches!(parts[0], condition::Condition::Embedded { present: false, .. })
    )));
}

#[test]
fn an_order_by_a_relation_needs_one_row() {
    assert!(get("/todos?select=users(*)&order=users(name)").is_ok());
    assert_eq!(code(get("/users?select=todos(*)&order=todos(id)")), "PGRST118");
    assert_eq!(code(get("/todos?order=users(name)")), "PGRST108");
}

#[test]
fn every_level_is_capped() {
    let plan = get("/users?select=todos(*)").unwrap();

    assert_eq!(plan.read.range.limit(), Some(1000));
    assert_eq!(plan.read.embeds[0].plan.range.limit(), Some(1000));
    let write =
        plan_with("return=representation", Method::PATCH, "/users?select=*&id=eq.1", r#"{"name":"x"}"#);
    assert!(write.read.range.is_all());
}

fn plan_with(prefer: &str, method: Method, uri: &str, body: &str) -> Plan {
    plan(&request(method, uri, prefer, body).unwrap(), &cache(), &Settings::default()).unwrap()
}

#[test]
fn aggregates_are_off_unless_switched_on() {
    let request = request(Method::GET, "/users?select=count()", "", "").unwrap();
    let on = Settings { aggregates_enabled: true, ..Settings::default() };

    assert_eq!(code(plan(&request, &cache(), &Settings::default())), "PGRST123");
    assert!(plan(&request, &cache(), &on).is_ok());
}

#[test]
fn functions_are_chosen_by_their_arguments() {
    let called = |uri: &str| get(uri).unwrap().function().unwrap().name.name.clone();

    assert_eq!(called("/rpc/add?a=1"), "add");
    assert_eq!(called("/rpc/add?a=1&b=2"), "add");
    assert_eq!(code(get("/rpc/pick?a=1")), "PGRST203");
    assert_eq!(
        planned(Method::POST, "/rpc/echo", r#"{"x":1}"#).unwrap().function().unwrap().name.name,
        "echo"
    );
    assert!(matches!(
        get("/rpc/sum?rest=1&rest=2").unwrap().operation,
        Operation::Call(CallPlan { arguments: call::Arguments::Values(values), .. })
            if values[0].1 == call::Argument::Rest(vec!["1".to_owned(), "2".to_owned()])
    ));
}

#[test]
fn a_call_returns_the_columns_that_are_needed() {
    let columns = |uri: &str| match get(uri).unwrap().operation {
        Operation::Call(call) => call.columns,
        other => panic!("{other:?}"),
    };

    assert_eq!(columns("/rpc/list_todos"), ["*"]);
    assert_eq!(columns("/rpc/list_todos?select=title,users(name)&id=gt.1"), ["id", "title", "user_id"]);
}

#[test]
fn put_names_exactly_the_primary_key() {
    for uri in [
        "/users",
        "/users?id=gt.1",
        "/users?id=eq.1&name=eq.x",
        "/users?name=eq.x",
        "/users?id=not.eq.1",
        "/users?id=eq.1&or=(id.eq.1,id.eq.2)",
    ] {
        assert_eq!(code(planned(Method::PUT, uri, r#"{"id":1}"#)), "PGRST105", "{uri}");
    }
    assert!(planned(Method::PUT, "/users?id=eq.1", r#"{"id":1}"#).is_ok());
    assert!(
        planned(Method::PUT, "/members?team_id=eq.1&user_id=eq.2", r#"{"team_id":1,"user_id":2}"#).is_ok()
    );
}

#[test]
fn strict_handling_refuses_what_is_not_known() {
    let request = |prefer| request(Method::GET, "/users", prefer, "").unwrap();
    let plan = |prefer| plan(&request(prefer), &cache(), &Settings::default());

    assert!(plan("handling=lenient, nope").is_ok());
    let error = plan("handling=strict, nope, other").unwrap_err();
    assert_eq!(error.details, Some("Invalid preferences: nope, other".into()));
}

#[test]
fn reads_and_stable_calls_may_not_write() {
    assert!(get("/users").unwrap().read_only);
    assert!(planned(Method::POST, "/rpc/add", r#"{"a":1}"#).unwrap().read_only);
    assert!(!planned(Method::POST, "/users", r#"{"name":"x"}"#).unwrap().read_only);
}
