//! The whole statement of a request: one row with the counts, the body, and what functions set for the answer.

use super::sql::{Sql, array};
use super::{body, call, page, select, write};
use crate::plan::negotiate::BodyFormat;
use crate::plan::read::SOURCE;
use crate::plan::write::WriteKind;
use crate::plan::{Operation, Plan, WritePlan};
use crate::request::ApiRequest;
use crate::request::preferences::Count;
use crate::settings::Settings;

/// The statement. Its row: total, rows of this page, body, location (JSON), headers, status, inserted rows.
pub(crate) fn main(plan: &Plan, request: &ApiRequest, settings: &Settings) -> Sql {
    let mut sql = Sql::new();
    sql.push("WITH ").push(SOURCE).push(" AS (");
    match &plan.operation {
        Operation::Read(_) => select::rows(&mut sql, &plan.read),
        Operation::Write(write) => write::write(&mut sql, write),
        Operation::Call(call) => call::call(&mut sql, call),
    }
    sql.push(") ");
    let shown = shown(&mut sql, plan);
    let page_total = match plan.function() {
        Some(function) if !function.returns.set => "1::bigint",
        _ => "pg_catalog.count(_postgrest_t)",
    };
    total(&mut sql, plan, request, settings, page_total);
    sql.push(" AS total_result_set, ").push(page_total).push(" AS page_total, ");
    body::body(&mut sql, &plan.format.body, plan.function(), shown);
    sql.push(" AS body, ");
    location(&mut sql, plan);
    sql.push(" AS location, nullif(current_setting('response.headers', true), '') AS response_headers, ");
    sql.push("nullif(current_setting('response.status', true), '') AS response_status, ");
    inserted(&mut sql, plan);
    sql.push(" AS response_inserted FROM (");
    let is_read = matches!(plan.operation, Operation::Read(_));
    // nothing of `select` may fail where no row is shown
    let hidden = matches!(plan.operation, Operation::Write(_)) && plan.format.body == BodyFormat::None;
    if let (Some(page), SOURCE) = (&plan.read.page, shown) {
        page::rows(&mut sql, &plan.read, page);
    } else if is_read || hidden || shown != SOURCE {
        sql.push("SELECT * FROM ").push(shown);
    } else {
        select::rows(&mut sql, &plan.read);
    }
    sql.push(") _postgrest_t");
    match plan.format.media_type.explain() {
        Some(explain) => body::explained(explain, sql),
        None => sql,
    }
}

/// The expression whose rows the answer shows: the source, unless it has other columns and somebody asks for their names.
fn shown(sql: &mut Sql, plan: &Plan) -> &'static str {
    let is_read = matches!(plan.operation, Operation::Read(_));
    if plan.format.body != BodyFormat::Csv || (is_read && plan.read.page.is_none()) {
        return SOURCE;
    }
    sql.push(", pgrst_rows AS (");
    match &plan.read.page {
        Some(page) => page::rows(sql, &plan.read, page),
        None => select::rows(sql, &plan.read),
    }
    sql.push(") ");
    "pgrst_rows"
}

/// The count's own expression, if one is needed, and the total. Without limits the page is all there is.
fn total(sql: &mut Sql, plan: &Plan, request: &ApiRequest, settings: &Settings, page_total: &'static str) {
    let counts = request.preferences.counts() && !matches!(plan.operation, Operation::Write(_));
    if !counts {
        sql.push("SELECT NULL::bigint");
    } else if settings.max_rows.is_none() && request.range.is_all() && plan.read.page.is_none() {
        sql.push("SELECT ").push(page_total);
    } else {
        sql.push(", pgrst_source_count AS (");
        select::counted(sql, &plan.read);
        if request.preferences.count == Some(Count::Estimated)
            && let Some(max_rows) = settings.max_rows
        {
            // one more than the most, to know that there are more
            sql.push(" LIMIT ").bind_number(i64::try_from(max_rows).unwrap_or(i64::MAX).saturating_add(1));
        }
        sql.push(") SELECT (SELECT pg_catalog.count(*) FROM pgrst_source_count)");
    }
}

/// The primary key of the one inserted row, as JSON, if `Location` is wanted; or the ends of a page.
fn location(sql: &mut Sql, plan: &Plan) {
    let key = match &plan.operation {
        Operation::Write(WritePlan { kind: WriteKind::Insert(insert), .. }) if insert.wants_location => {
            &insert.primary_key
        }
        _ => {
            match &plan.read.page {
                Some(page) => page::ends(sql, page),
                None => drop(sql.push("NULL::text")),
            }
            return;
        }
    };
    sql.push(
        "CASE WHEN pg_catalog.count(_postgrest_t) = 1 THEN (SELECT json_object_agg(k.key, k.value)::text ",
    );
    sql.push("FROM (SELECT row_to_json(_) AS row FROM ").push(SOURCE).push(" AS _ LIMIT 1) AS data, ");
    sql.push("json_each_text(data.row) AS k WHERE k.key = ANY (");
    sql.bind(array(key.iter().map(String::as_str))).push("::text[])) END");
}

/// How many rows an upsert inserted.
fn inserted(sql: &mut Sql, plan: &Plan) {
    let counted = matches!(&plan.operation, Operation::Write(write) if write.counts_inserted());
    sql.push(if counted {
        "nullif(current_setting('pgrst.inserted', true), '')::bigint"
    } else {
        "NULL::bigint"
    });
}

/// What the planner expects to count, as JSON.
pub(crate) fn count_estimate(plan: &Plan) -> Sql {
    let mut sql = Sql::new();
    sql.push("EXPLAIN (FORMAT JSON) ");
    select::counted(&mut sql, &plan.read);
    sql
}
