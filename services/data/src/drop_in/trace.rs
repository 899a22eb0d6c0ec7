//! A header of the request comes back with the answer, so that both can be found in one log.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderName;

/// Answers with the header as it came.
pub(super) async fn echo(State(name): State<HeaderName>, request: Request, next: Next) -> Response {
    let given = request.headers().get(&name).cloned();
    let mut response = next.run(request).await;
    if let Some(given) = given {
        response.headers_mut().insert(name, given);
    }
    response
}
