//! Pages of a list, by number.

use base::Result;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::contact::filled;
use crate::error::VALIDATION_FAILED;

const PER_PAGE: i64 = 50;
const MAX_PER_PAGE: i64 = 1000;
/// Pages counted at all: beyond, the offset would not fit.
const MAX_PAGE: i64 = 1_000_000_000;

/// A page of users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// From 1.
    page: Option<String>,
    /// 1 to 1000, 50 if not given.
    per_page: Option<String>,
    /// Part of an address.
    pub(super) filter: Option<String>,
}

impl Page {
    /// Number and size of the page.
    pub(super) fn parse(&self) -> Result<(i64, i64)> {
        let number = |text: &Option<String>, default: i64, most: i64| match filled(text.as_deref()) {
            None => Ok(default),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if number >= 1 => Ok(number.min(most)),
                _ => Err(VALIDATION_FAILED.error(format!("Bad Pagination Parameters: {text:?}"))),
            },
        };
        Ok((number(&self.page, 1, MAX_PAGE)?, number(&self.per_page, PER_PAGE, MAX_PER_PAGE)?))
    }
}

/// The `Link` header (RFC 8288). Clients read the number behind the first `=`, so `page` comes first.
pub(super) fn links(base_url: &str, page: i64, per_page: i64, total: i64) -> String {
    let last = (total + per_page - 1) / per_page;
    let link = |page, rel| format!("<{base_url}/admin/users?page={page}&per_page={per_page}>; rel=\"{rel}\"");
    let mut links = Vec::new();
    if page < last {
        links.push(link(page + 1, "next"));
    }
    links.push(link(last.max(1), "last"));
    links.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_the_next_and_the_last_page() {
        assert_eq!(
            links("http://x/auth/v1", 1, 2, 5),
            "<http://x/auth/v1/admin/users?page=2&per_page=2>; rel=\"next\", \
             <http://x/auth/v1/admin/users?page=3&per_page=2>; rel=\"last\""
        );
        assert_eq!(links("", 3, 2, 5), "</admin/users?page=3&per_page=2>; rel=\"last\"");
        assert_eq!(links("", 1, 50, 0), "</admin/users?page=1&per_page=50>; rel=\"last\"");
    }

    #[test]
    fn pages_start_at_one_and_are_bounded() {
        let page = |page: &str, per_page: &str| {
            let query =
                Page { page: Some(page.to_owned()), per_page: Some(per_page.to_owned()), filter: None };
            query.parse().ok()
        };
        assert_eq!(page("", ""), Some((1, 50)));
        assert_eq!(page("3", "10"), Some((3, 10)));
        assert_eq!(page("9223372036854775807", "100000"), Some((MAX_PAGE, MAX_PER_PAGE)));
        assert_eq!(page("0", ""), None);
        assert_eq!(page("x", ""), None);
        assert_eq!(page("1", "-1"), None);
    }
}
