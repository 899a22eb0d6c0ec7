//! What a project takes up: asked of the services that keep it.

use base::error::OrInternal;
use base::{Body, Result, header};
use common::project::ProjectRef;
use common::usage::Usage;
use http::HeaderValue;

use crate::Platform;
use crate::models::project::not_found;

impl Platform {
    /// What the project's objects take up. Its database is woken if it sleeps.
    ///
    /// Errors: `project_not_found` (404); unavailable if storage does not answer.
    pub async fn usage(&self, reference: &ProjectRef) -> Result<Usage> {
        self.find(reference).await?.ok_or_else(|| not_found(reference))?;
        let request = http::Request::get("http://storage.mesh/internal/usage")
            .header(header::PROJECT, HeaderValue::from_str(reference.as_str()).or_internal()?)
            .body(Body::empty());
        self.0.outbound.json(request.or_internal()?).await
    }
}
