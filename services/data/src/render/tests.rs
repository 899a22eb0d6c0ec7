//! The shapes of statements.

mod injection;

use std::sync::LazyLock;

use http::Method;

use super::main;
use crate::plan::plan;
use crate::plan::tests::{cache, request};
use crate::render::Sql;
use crate::schema::SchemaCache;
use crate::settings::Settings;

static CACHE: LazyLock<SchemaCache> = LazyLock::new(cache);

fn render_with(prefer: &str, method: Method, uri: &str, body: &str) -> base::Result<Sql> {
    let settings = Settings { aggregates_enabled: true, ..Settings::default() };
    let request = request(method, uri, prefer, body)?;
    Ok(main(&plan(&request, &CACHE, &settings)?, &request, &settings))
}

fn get(uri: &str) -> String {
    render_with("", Method::GET, uri, "").unwrap().text().to_owned()
}

/// The part of a statement between its first parenthesis and what every statement ends with.
fn source(sql: &str) -> &str {
    let rest = sql.strip_prefix("WITH pgrst_source AS (").unwrap();
    &rest[..rest
        .find(") SELECT NULL::bigint AS total")
        .or_else(|| rest.find(") , pgrst_source_count"))
        .unwrap()]
}

#[test]
fn a_read_qualifies_filters_orders_and_limits() {
    assert_eq!(
        source(&get("/users?select=name,n:data->>x&id=eq.1&order=name.desc.nullslast&limit=5")),
        r#"SELECT "public"."users"."name", "public"."users"."data"->>$1 AS "n" FROM "public"."users" WHERE "public"."users"."id" = $2 ORDER BY "public"."users"."name" DESC NULLS LAST LIMIT $3 OFFSET $4"#
    );
}

#[test]
fn columns_that_are_not_json_are_converted_for_paths() {
    assert!(get("/users?select=tags->0").contains(r#"to_jsonb("public"."users"."tags")->$1::int AS "tags""#));
}

#[test]
fn an_embedded_list_is_a_lateral_join() {
    assert_eq!(
        source(&get("/users?select=name,todos(title)&limit=1")),
        concat!(
            r#"SELECT "public"."users"."name", COALESCE( "users_todos_1"."users_todos_1", '[]') AS "todos" "#,
            r#"FROM "public"."users" LEFT JOIN LATERAL ( SELECT json_agg("users_todos_1")::jsonb AS "users_todos_1" "#,
            r#"FROM (SELECT "todos_1"."title" FROM "public"."todos" AS "todos_1" "#,
            r#"WHERE "todos_1"."user_id" = "public"."users"."id"  LIMIT $1 OFFSET $2 ) AS "users_todos_1" ) "#,
            r#"AS "users_todos_1" ON TRUE  LIMIT $3 OFFSET $4"#
        )
    );
}

#[test]
fn an_inner_join_drops_parents_and_counts_as_a_condition() {
    let sql =
        render_with("count=exact", Method::GET, "/users?select=todos!inner(id)&todos.id=gt.1", "").unwrap();

    assert!(sql.text().contains(r#"ON "users_todos_1" IS NOT NULL"#));
    assert!(sql.text().contains(
        r#"pgrst_source_count AS (SELECT 1 FROM "public"."users" WHERE EXISTS (SELECT 1 FROM "public"."todos" AS "todos_1" WHERE "todos_1"."id" > $"#
    ));
}

#[test]
fn a_junction_is_joined_implicitly() {
    let sql = get("/users?select=teams(name)");

    assert!(sql.contains(
        r#"FROM "public"."teams", "public"."members" WHERE "public"."members"."team_id" = "public"."teams"."id" AND "public"."members"."user_id" = "public"."users"."id""#
    ));
}

#[test]
fn a_spread_gives_its_columns_to_the_parent() {
    let sql = get("/todos?select=title,...users(who:name)");

    assert!(sql.contains(r#"SELECT "public"."todos"."title", "todos_users_1"."who" FROM"#));
}

#[test]
fn an_aggregate_groups_by_the_rest() {
    let sql = get("/users?select=name,id.sum()::text");

    assert!(sql.contains(r#"CAST( SUM("public"."users"."id") AS "text" ) FROM"#));
    assert!(sql.contains(r#"GROUP BY "public"."users"."name""#));
}

#[test]
fn casts_are_keywords_or_names_in_quotes() {
    assert!(get("/users?select=id::int").contains(r#"CAST( "public"."users"."id" AS int )"#));
    assert!(
        get("/users?select=id::Timestamp%20with%20time%20zone").contains("AS timestamp with time zone )")
    );
    assert!(get("/users?select=id::nosuch%20type").contains(r#"AS "nosuch type" )"#));
}

#[test]
fn a_search_converts_what_is_no_tsvector() {
    assert!(
        get("/todos?title=fts(english).cat")
            .contains(r#"to_tsvector($1, "public"."todos"."title") @@ to_tsquery($2, $3)"#)
    );
    assert!(get("/todos?body=wfts.cat").contains(r#""public"."todos"."body" @@ websearch_to_tsquery($1)"#));
}

#[test]
fn writes_take_their_rows_from_the_body() {
    let sql =
        render_with("return=representation", Method::POST, "/teams?select=id", r#"[{"id":1,"name":"x"}]"#)
            .unwrap();

    assert_eq!(
        source(sql.text()),
        r#"INSERT INTO "public"."teams"("id", "name") SELECT "pgrst_body"."id", "pgrst_body"."name" FROM (SELECT $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM json_to_recordset(pgrst_payload.json_data) AS _("id" bigint, "name" text) ) pgrst_body  RETURNING "public"."teams"."id""#
    );
}

#[test]
fn an_upsert_counts_what_it_inserts() {
    let sql =
        render_with("resolution=merge-duplicates", Method::POST, "/teams", r#"{"id":1,"name":"x"}"#).unwrap();

    assert!(sql.text().contains(r#"ON CONFLICT("id") DO UPDATE SET "id" = EXCLUDED."id", "name" = EXCLUDED."name" WHERE set_config('pgrst.inserted'"#));
    assert!(
        sql.text()
            .contains("nullif(current_setting('pgrst.inserted', true), '')::bigint AS response_inserted")
    );
}

#[test]
fn defaults_stand_for_missing_keys() {
    let sql =
        render_with("missing=default", Method::POST, "/teams?columns=id,name", r#"[{"name":"x"}]"#).unwrap();

    assert!(sql.text().contains("jsonb_build_object($2::text, nextval('ids')) || elem"));
}

#[test]
fn an_update_of_nothing_touches_nothing() {
    let sql = render_with("", Method::PATCH, "/teams?id=eq.1", "{}").unwrap();

    assert_eq!(source(sql.text()), r#"SELECT NULL FROM "public"."teams" WHERE false"#);
}

#[test]
fn arguments_are_named_and_cast() {
    assert_eq!(
        source(&get("/rpc/add?a=1")),
        r#"SELECT pgrst_call.pgrst_scalar FROM (SELECT "public"."add"("a" := $1::integer) pgrst_scalar) pgrst_call"#
    );
    let posted = render_with("", Method::POST, "/rpc/add", r#"{"a":1}"#).unwrap();
    assert!(posted.text().contains(r#"json_to_record(pgrst_payload.json_data) AS _("a" integer) LIMIT 1) pgrst_body , LATERAL (SELECT "public"."add"("a" := pgrst_body."a") pgrst_scalar) pgrst_call"#));
}
