//! Bodies that are more than a text.

use std::convert::Infallible;
use std::time::Duration;

use base::{Body, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A chunk of the bodies that are larger than any buffer.
pub(crate) const CHUNK: usize = 256 * 1024;

/// A small body as it is, of a larger one what tells it apart.
pub(crate) fn digest(body: &[u8]) -> String {
    if body.len() <= 64
        && let Ok(text) = std::str::from_utf8(body)
    {
        return format!("'{text}'");
    }
    let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{} bytes #{sum:x}", body.len())
}

/// `size` bytes, none like its neighbours.
pub(crate) fn pattern(size: usize) -> Bytes {
    (0..size).map(|n| (n % 251) as u8).collect()
}

/// `count` chunks, made when they are asked for.
pub(crate) fn chunks(count: usize) -> Body {
    let chunk = Bytes::from(vec![7; CHUNK]);
    Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(chunk.clone()))))
}

/// `count` dots, each `pause` after it was asked for.
pub(crate) fn drip(pause: Duration, count: usize) -> Body {
    Body::from_stream(stream::unfold(0, move |n| async move {
        tokio::time::sleep(pause).await;
        (n < count).then_some((Ok::<_, Infallible>(Bytes::from_static(b".")), n + 1))
    }))
}

/// One dot, then nothing for ever.
pub(crate) fn open() -> Body {
    let dot = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"."))]);
    Body::from_stream(dot.chain(stream::pending()))
}

pub(super) fn of(verb: &str, argument: &str) -> Body {
    match verb {
        "bytes" => Body::from(pattern(argument.parse().unwrap())),
        "drip" => drip(Duration::from_millis(argument.parse().unwrap()), 10),
        "open" => open(),
        // the byte goes out before the rest breaks off
        _ => Body::from_stream(stream::unfold(0, |n| async move {
            match n {
                0 => Some((Ok(Bytes::from_static(b".")), 1)),
                _ => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Err(std::io::Error::other("on purpose")), 2))
                }
            }
        })),
    }
}

/// Reads chunks as they come and answers with as many.
pub(super) async fn count(body: Body) -> Response {
    let mut chunks = body.into_data_stream();
    let mut total = 0;
    while let Some(chunk) = chunks.next().await {
        total += chunk.unwrap().len();
    }
    Response::new(self::chunks(total / CHUNK))
}

/// A gRPC answer: a message, and the status in the trailers with `others` beside it.
pub(super) fn grpc(status: &str, others: Vec<(HeaderName, HeaderValue)>) -> Response {
    let status = (GRPC_STATUS, status.parse().unwrap());
    let trailers = HeaderMap::from_iter([status].into_iter().chain(others));
    let frames = [Frame::data(Bytes::from_static(b"message")), Frame::trailers(trailers)];
    let frames = stream::iter(frames.map(Ok::<_, Infallible>));
    grpc_answer(Body::new(StreamBody::new(frames)))
}

/// A gRPC answer without a message: the status in the head.
pub(super) fn bare_grpc(status: &str) -> Response {
    let mut response = grpc_answer(Body::empty());
    response.headers_mut().insert(GRPC_STATUS, status.parse().unwrap());
    response
}

fn grpc_answer(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
