//! Uploads as `multipart/form-data`: a few fields, then the file, which is streamed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use base::{Error, Result};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use http::HeaderMap;
use multer::{Field, Multipart};

use crate::error::{ENTITY_TOO_LARGE, INVALID_REQUEST, malformed};
use crate::incoming::{About, Chunks, MAX_USER_METADATA_BYTES, broken_off, servable, user_metadata};
use crate::mime::Mime;

/// Fields before the file.
const MAX_FIELDS: usize = 10;
/// What may come before the file's bytes, in bytes: the user's metadata and some small fields.
const MAX_HEAD_BYTES: usize = MAX_USER_METADATA_BYTES + 64 * 1024;
/// The parser reads this much before it must look at what it has, in bytes.
const STRIDE_BYTES: usize = 256 * 1024;

/// Reads the fields, up to where the file's bytes begin.
pub(crate) async fn read(kind: &str, headers: &HeaderMap, body: Chunks) -> Result<(About, Chunks)> {
    let boundary = multer::parse_boundary(kind).map_err(refused)?;
    let in_file = Arc::new(AtomicBool::new(false));
    let body = Paced { body, in_file: in_file.clone(), head_bytes: 0, stride_bytes: 0 };
    let mut form = Multipart::new(body, boundary);
    let mut about = About::from_headers(&without_form_headers(headers))?;
    let mut mime = None;
    for _ in 0..=MAX_FIELDS {
        let Some(field) = form.next_field().await.map_err(refused)? else {
            return Err(INVALID_REQUEST.error("No content provided"));
        };
        if is_file(&field) {
            let own = field.content_type().map(|kind| Mime::parse(kind.as_ref())).transpose()?;
            about.mime = mime.or(own).unwrap_or_else(Mime::octet_stream);
            in_file.store(true, Ordering::Relaxed);
            return Ok((about, field.map(|chunk| chunk.map_err(refused)).boxed()));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let text = field.text().await.map_err(refused)?;
        match name.as_str() {
            "cacheControl" => about.cache_control = servable("cacheControl", &format!("max-age={text}"))?,
            "contentEncoding" => about.content_encoding = Some(servable("contentEncoding", &text)?),
            "contentType" => mime = Some(Mime::parse(&text)?),
            "metadata" | "userMetadata" => about.user_metadata = user_metadata(&text)?,
            _ => {}
        }
    }
    Err(malformed(format!("a form has at most {MAX_FIELDS} fields before its file")))
}

/// A form's own headers describe the form: what they say of type and caching is not about the file.
fn without_form_headers(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [http::header::CONTENT_TYPE, http::header::CACHE_CONTROL, http::header::CONTENT_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// The file has a file name, or no name at all, as the JavaScript client sends it.
fn is_file(field: &Field<'_>) -> bool {
    field.file_name().is_some() || field.name().is_none_or(str::is_empty)
}

fn refused(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<Error>() {
            Ok(error) => *error,
            Err(cause) => broken_off(cause),
        },
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => broken_off(error),
        error => malformed(format!("the form is invalid: {error}")),
    }
}

/// Bounds what the parser holds: it reads for as long as bytes are ready, before it gives any out.
struct Paced {
    body: Chunks,
    in_file: Arc<AtomicBool>,
    head_bytes: usize,
    stride_bytes: usize,
}

impl Stream for Paced {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.stride_bytes >= STRIDE_BYTES {
            self.stride_bytes = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = std::task::ready!(self.body.poll_next_unpin(cx));
        if let Some(Ok(bytes)) = &chunk {
            self.stride_bytes += bytes.len();
            if !self.in_file.load(Ordering::Relaxed) {
                self.head_bytes += bytes.len();
                // what is read of the file while its head is parsed counts too, one stride at most
                if self.head_bytes > MAX_HEAD_BYTES + 2 * STRIDE_BYTES {
                    return Poll::Ready(Some(Err(ENTITY_TOO_LARGE.error("The form's fields are too large"))));
                }
            }
        }
        Poll::Ready(chunk)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};
    use serde_json::json;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=X";

    fn part(head: &str, body: &str) -> String {
        format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    }

    /// Sends `text` in small pieces, as a network would.
    async fn send(text: String) -> Result<(About, Vec<u8>)> {
        let pieces: Vec<Result<Bytes>> =
            text.into_bytes().chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let (about, chunks) = read(KIND, &HeaderMap::new(), stream::iter(pieces).boxed()).await?;
        let file = chunks
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend(chunk);
                Ok(all)
            })
            .await?;
        Ok((about, file))
    }

    #[tokio::test]
    async fn fields_before_the_file_describe_it() {
        let text = part("name=\"cacheControl\"", "3600")
            + &part("name=\"metadata\"", r#"{"a":1}"#)
            + &part("name=\"\"; filename=\"blob\"\r\nContent-Type: image/png", "bytes")
            + "--X--\r\n";

        let (about, file) = send(text).await.unwrap();

        assert_eq!(about.cache_control, "max-age=3600");
        assert_eq!(about.user_metadata, Some(json!({"a": 1})));
        assert_eq!(about.mime.as_str(), "image/png");
        assert_eq!(file, b"bytes");
    }

    #[tokio::test]
    async fn a_declared_type_wins_over_the_parts_own() {
        let text = part("name=\"contentType\"", "text/csv")
            + &part("name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png", "x")
            + "--X--\r\n";

        assert_eq!(send(text).await.unwrap().0.mime.as_str(), "text/csv");
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_or_has_no_file_is_an_error() {
        assert!(send(part("name=\"\"; filename=\"blob\"", "bytes")).await.is_err());
        assert!(
            send(part("name=\"\"; filename=\"blob\"", "bytes").replace("\r\nbytes\r\n", "\r\nbyt"))
                .await
                .is_err()
        );
        assert!(send(part("name=\"cacheControl\"", "1") + "--X--\r\n").await.is_err());
        assert!(send(String::new()).await.is_err());
    }

    #[tokio::test]
    async fn fields_are_bounded_in_number_and_size() {
        let many: String = (0..=MAX_FIELDS).map(|n| part(&format!("name=\"f{n}\""), "x")).collect();
        assert!(send(many + &part("name=\"\"; filename=\"b\"", "x") + "--X--\r\n").await.is_err());

        let endless_head =
            format!("--X\r\nContent-Disposition: form-data; name=\"{}", "a".repeat(4 * 1024 * 1024));
        let error = send(endless_head).await.err().unwrap();
        assert_eq!(error.code, ENTITY_TOO_LARGE);
    }

    #[tokio::test]
    async fn the_parser_holds_a_bounded_part_of_a_file_that_is_all_ready() {
        let head = Bytes::from(part("name=\"\"; filename=\"blob\"", "").trim_end().to_owned() + "\r\n\r\n");
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let ready =
            stream::iter(std::iter::once(head).chain(std::iter::repeat_n(piece, 1000)).map(Ok)).boxed();
        let (_, mut chunks) = read(KIND, &HeaderMap::new(), ready).await.unwrap();

        let mut largest = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            largest = largest.max(chunk.len());
        }

        assert!(largest <= 3 * STRIDE_BYTES, "{largest}");
    }
}
