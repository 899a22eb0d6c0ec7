//! How the answer is written: the first accepted media type that can be produced.

use base::Result;

use crate::error;
use crate::media::{Explain, MediaType};
use crate::request::ApiRequest;
use crate::schema::{Handler, Handlers, Name};

/// How rows become a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) media_type: MediaType,
    pub(crate) body: BodyFormat,
}

/// What the database makes of the rows.
#[derive(Clone, Debug, PartialEq)]
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
    /// An object on each line.
    Lines,
    /// A feature collection (RFC 7946), by PostGIS.
    GeoJson,
    /// What the project's own function makes of them.
    Custom(Handler),
}

/// What can be produced of the rows of one relation or of one function's result.
pub(crate) struct Offer<'a> {
    pub(crate) handlers: &'a Handlers,
    /// What the rows are of.
    pub(crate) target: &'a Name,
    /// Whether plans are shown.
    pub(crate) plans: bool,
}

impl Offer<'_> {
    /// Chooses the format.
    ///
    /// Errors: PGRST107 if nothing accepted can be produced.
    pub(crate) fn choose(&self, request: &ApiRequest) -> Result<Format> {
        // what takes rows of a relation cannot take a part of their columns
        let whole = request.query.selects_whole_rows();
        let format = request.accept.iter().find_map(|accepted| self.format(accepted, whole));
        format.ok_or_else(|| {
            error::media_type(&request.accept.iter().map(MediaType::to_string).collect::<Vec<_>>())
        })
    }

    fn format(&self, accepted: &MediaType, whole: bool) -> Option<Format> {
        let body = match accepted {
            MediaType::StrippedArray => BodyFormat::Json { stripped: true },
            MediaType::Object { stripped } => BodyFormat::Object { stripped: *stripped },
            MediaType::Plan(explain) => return self.plan(explain, whole),
            other => return self.written(other, whole),
        };
        Some(Format { media_type: accepted.clone(), body })
    }

    fn plan(&self, explain: &Explain, whole: bool) -> Option<Format> {
        let explained = self.format(&explain.of, whole).filter(|_| self.plans)?;
        Some(Format { media_type: MediaType::Plan(Box::new(explain.clone())), ..explained })
    }

    /// Types that the project may write in its own way.
    fn written(&self, accepted: &MediaType, whole: bool) -> Option<Format> {
        let own = self.handlers.of_target(self.target, accepted).filter(|_| whole);
        if let Some(handler) = own.or_else(|| self.handlers.of_any(accepted)) {
            let body = BodyFormat::Custom(handler.clone());
            return Some(Format { media_type: handler.media_type(), body });
        }
        let (media_type, body) = match accepted {
            MediaType::Any | MediaType::Json => (MediaType::Json, BodyFormat::Json { stripped: false }),
            MediaType::Csv => (MediaType::Csv, BodyFormat::Csv),
            MediaType::Lines => (MediaType::Lines, BodyFormat::Lines),
            MediaType::GeoJson => (MediaType::GeoJson, BodyFormat::GeoJson),
            _ => return None,
        };
        Some(Format { media_type, body })
    }
}

impl Format {
    /// The same, with nothing in the body if so.
    pub(crate) fn without_body_if(self, nothing: bool) -> Format {
        if nothing { Format { body: BodyFormat::None, ..self } } else { self }
    }
}
