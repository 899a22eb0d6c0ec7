//! What a request's statement returned.

use base::Result;
use bytes::Bytes;

use super::wire::Row;
use crate::error::envelope::internal;

/// The one row of a request's statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// All rows there are, if they were counted.
    pub(crate) total: Option<i64>,
    /// The rows of this answer.
    pub(crate) page: i64,
    /// The primary key of the one inserted row, or the ends of a page, as JSON.
    pub(crate) location: Option<String>,
    /// The body, as PostgreSQL wrote it.
    pub(crate) body: Bytes,
    /// `response.headers`.
    pub(crate) headers: Option<String>,
    /// `response.status`.
    pub(crate) status: Option<String>,
    /// The rows that an upsert inserted.
    pub(crate) inserted: Option<i64>,
}

impl Outcome {
    /// Reads the row.
    pub(crate) fn of(rows: &[Row]) -> Result<Outcome> {
        let [row] = rows else { return Err(internal(format!("the statement returned {} rows", rows.len()))) };
        Ok(Outcome {
            total: row.integer(0),
            page: row.integer(1).ok_or_else(|| internal("the statement counted no rows"))?,
            location: row.text(3),
            body: row.bytes(2).unwrap_or_default(),
            headers: row.text(4),
            status: row.text(5),
            inserted: row.integer(6),
        })
    }

    /// Reads a plan: a document, or lines of text.
    pub(crate) fn of_plan(rows: &[Row]) -> Outcome {
        let lines: Vec<&[u8]> = rows.iter().filter_map(|row| row.slice(0)).collect();
        Outcome { body: lines.join(&b'\n').into(), ..Outcome::default() }
    }

    /// Takes the planner's estimate for the total: always if nothing was counted, or if it is the larger of two
    /// when the count stopped at `most` rows or has no such bound.
    pub(crate) fn estimated(mut self, rows: &[Row], most: Option<u64>) -> Result<Outcome> {
        let estimate = planned_rows(rows)?;
        let stopped = |total: i64| most.is_none_or(|most| u64::try_from(total).unwrap_or(0) > most);
        self.total = match self.total {
            None => estimate,
            Some(total) if stopped(total) => Some(estimate.map_or(total, |estimate| estimate.max(total))),
            counted => counted,
        };
        Ok(self)
    }
}

/// `Plan Rows` of `EXPLAIN (FORMAT JSON)`.
fn planned_rows(rows: &[Row]) -> Result<Option<i64>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let plan: serde_json::Value =
        serde_json::from_slice(row.slice(0).unwrap_or_default()).map_err(internal)?;
    Ok(plan[0]["Plan"]["Plan Rows"].as_i64())
}
