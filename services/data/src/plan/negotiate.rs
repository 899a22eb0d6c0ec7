//! How the answer is written: the first accepted media type that we can produce.

use base::Result;

use crate::error;
use crate::request::{ApiRequest, MediaType};
use crate::schema::Function;

/// How rows become a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) media_type: MediaType,
    pub(crate) body: BodyFormat,
}

/// What the database makes of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// Nothing.
    None,
    /// An array, or what the function returns.
    Json {
        stripped: bool,
    },
    /// One object.
    Object {
        stripped: bool,
    },
    Csv,
}

/// Chooses the format.
///
/// Errors: PGRST107 if nothing accepted can be produced.
pub(crate) fn format(request: &ApiRequest, function: Option<&Function>) -> Result<Format> {
    let chosen = request.accept.iter().find_map(|accepted| match accepted {
        MediaType::Any | MediaType::Json => Some((MediaType::Json, BodyFormat::Json { stripped: false })),
        MediaType::StrippedArray => Some((accepted.clone(), BodyFormat::Json { stripped: true })),
        MediaType::Object { stripped } => {
            Some((accepted.clone(), BodyFormat::Object { stripped: *stripped }))
        }
        MediaType::Csv => Some((MediaType::Csv, BodyFormat::Csv)),
        _ => None,
    });
    let Some((media_type, body)) = chosen else {
        let accepted: Vec<String> =
            request.accept.iter().map(|accepted| accepted.name().to_owned()).collect();
        return Err(error::media_type(&accepted));
    };
    let format = Format { media_type, body };
    let no_body = request.target.action.is_head() || function.is_some_and(Function::returns_void);
    Ok(if no_body { format.without_body() } else { format })
}

impl Format {
    /// The same, with nothing in the body.
    pub(crate) fn without_body(self) -> Format {
        Format { body: BodyFormat::None, ..self }
    }
}
