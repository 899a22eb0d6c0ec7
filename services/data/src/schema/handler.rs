//! Media type handlers: what in the database writes an answer as another media type than JSON.
//!
//! A domain named like a media type makes them. An aggregate that returns the domain writes rows of the type it
//! takes, of any type if it takes `anyelement`; a function that returns it has written its answer itself.
//! Source: docs.postgrest.org/en/v14/references/api/media_type_handlers.html.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{CatalogText, Name};
use crate::media::MediaType;

/// What writes an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Handler {
    /// The aggregate; the domain itself for what is written already.
    pub(crate) function: Name,
    /// The relation whose rows it takes, or the function whose result; any if none.
    pub(crate) target: Option<Name>,
    /// The media type that asks for it, `*/*` for whichever is asked for.
    accepted: String,
    /// The media type that it writes.
    written: String,
    /// The type that is sent: what the domain is over, if its bytes are an answer as they are, else `text`.
    pub(crate) sent_as: CatalogText,
}

/// All handlers of the exposed schemas.
#[derive(Debug, Default)]
pub(crate) struct Handlers(HashMap<(Option<Name>, MediaType), Handler>);

impl Handlers {
    /// By what they take and what asks for them.
    pub(crate) fn of(all: Vec<Handler>) -> Handlers {
        let key = |handler: &Handler| (handler.target.clone(), MediaType::parse(&handler.accepted));
        Handlers(all.into_iter().map(|handler| (key(&handler), handler)).collect())
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Handler> {
        self.0.values()
    }

    /// The handler of `relation`'s rows, or of a function's result, for an accepted type.
    pub(crate) fn of_target(&self, target: &Name, accepted: &MediaType) -> Option<&Handler> {
        let own = |accepted: &MediaType| self.0.get(&(Some(target.clone()), accepted.clone()));
        own(&MediaType::Any).or_else(|| own(accepted))
    }

    /// The handler of any rows for an accepted type.
    pub(crate) fn of_any(&self, accepted: &MediaType) -> Option<&Handler> {
        self.0.get(&(None, accepted.clone()))
    }
}

impl Handler {
    /// The media type of the answer.
    pub(crate) fn media_type(&self) -> MediaType {
        MediaType::parse(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(target: Option<&str>, accepted: &str) -> Handler {
        Handler {
            function: Name::bare("f"),
            target: target.map(Name::bare),
            accepted: accepted.to_owned(),
            written: accepted.to_owned(),
            sent_as: CatalogText::from("text"),
        }
    }

    #[test]
    fn one_for_whatever_is_asked_comes_first() {
        let handlers = Handlers::of(vec![
            handler(Some("shops"), "*/*"),
            handler(Some("shops"), "text/csv"),
            handler(Some("lines"), "text/csv"),
            handler(None, "text/html"),
        ]);
        let of = |target: &str, accepted: &str| {
            let found = handlers.of_target(&Name::bare(target), &MediaType::parse(accepted));
            found.map(|handler| handler.accepted.clone())
        };
        assert_eq!(of("shops", "text/csv").as_deref(), Some("*/*"));
        assert_eq!(of("lines", "text/csv").as_deref(), Some("text/csv"));
        assert_eq!(of("lines", "text/html"), None);
        assert!(handlers.of_any(&MediaType::parse("text/HTML")).is_some());
    }
}
