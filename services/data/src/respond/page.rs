//! `Link`: where the pages beside this one are (RFC 8288).

use base::Result;

use super::Answer;
use crate::error::envelope::internal;
use crate::plan::page::Page;
use crate::request::cursor::{Cursor, Position, Side};

/// Longest query of a link, in bytes. A longer one came in a body, and is to be sent again with the cursor in the address.
const MAX_QUERY: usize = 4096;

/// Says where the neighbours of a page are, by its first and last row.
pub(super) fn link(answer: &mut Answer, cursor: &Cursor, page: &Page, ends: Option<&str>) -> Result<()> {
    let Some(ends) = ends else { return Ok(()) };
    let (near, far, more): (Option<String>, Option<String>, bool) =
        serde_json::from_str(ends).map_err(internal)?;
    let (Some(near), Some(far)) = (near, far) else { return Ok(()) };
    let (onward, back) = match cursor.side {
        Side::After => (Side::After, Side::Before),
        Side::Before => (Side::Before, Side::After),
    };
    let mut links = Vec::new();
    if more {
        links.push(one(cursor, page, onward, &far)?);
    }
    if cursor.position.is_some() {
        links.push(one(cursor, page, back, &near)?);
    }
    if links.is_empty() { Ok(()) } else { answer.header("link", links.join(", ")) }
}

fn one(cursor: &Cursor, page: &Page, side: Side, place: &str) -> Result<String> {
    let keys = serde_json::from_str(place).map_err(internal)?;
    let token = Position { order: page.order.clone(), keys }.token()?;
    let rel = match side {
        Side::After => "next",
        Side::Before => "prev",
    };
    let others = Some(&cursor.others).filter(|others| !others.is_empty() && others.len() <= MAX_QUERY);
    let others = others.map(|others| format!("{others}&")).unwrap_or_default();
    Ok(format!("<?{others}{}={token}>; rel=\"{rel}\"", side.name()))
}
