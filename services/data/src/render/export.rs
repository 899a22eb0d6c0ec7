//! The statement of an answer that is sent while PostgreSQL still makes it: one row for each line.

use super::sql::Sql;
use super::{body, call, select};
use crate::plan::negotiate::BodyFormat;
use crate::plan::read::SOURCE;
use crate::plan::{Operation, Plan};

/// The rows as lines. Each has two columns: the line, and on the first, as a JSON array of texts, what stands above the
/// lines, and the headers and the status that functions set.
pub(crate) fn export(plan: &Plan) -> Sql {
    let mut sql = Sql::new();
    if let Operation::Call(call) = &plan.operation {
        sql.push("WITH ").push(SOURCE).push(" AS (");
        call::call(&mut sql, call);
        sql.push(") ");
    }
    sql.push("SELECT ");
    let is_csv = plan.format.body == BodyFormat::Csv;
    if is_csv {
        sql.push(body::CSV_LINE);
    } else {
        body::line(&mut sql, plan.function());
    }
    sql.push(" AS line, CASE WHEN row_number() OVER () = 1 THEN json_build_array(");
    sql.push(if is_csv {
        "(SELECT string_agg(k, ',') FROM json_object_keys(row_to_json(_postgrest_t)) AS k)"
    } else {
        "NULL::text"
    });
    sql.push(", nullif(current_setting('response.headers', true), ''), ");
    sql.push("nullif(current_setting('response.status', true), '')) END AS first FROM (");
    select::rows(&mut sql, &plan.read);
    sql.push(") _postgrest_t");
    sql
}

/// How many rows there are, of which `most` and one more are counted at most.
pub(crate) fn count(plan: &Plan, most: Option<u64>) -> Sql {
    let mut sql = Sql::new();
    sql.push("SELECT pg_catalog.count(*) FROM (");
    select::counted(&mut sql, &plan.read);
    if let Some(most) = most {
        sql.push(" LIMIT ").bind_number(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1));
    }
    sql.push(") AS pgrst_source_count");
    sql
}
