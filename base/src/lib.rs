//! What every crate of the suite shares: time, randomness, errors, headers, serving, rate limits, secrets.
//!
//! A leaf: it depends on no other crate of ours.

pub mod clock;
pub mod config;
mod connection;
pub mod error;
pub mod gcra;
pub mod header;
pub mod seal;
pub mod secret;
pub mod serve;

pub use clock::{Clock, Random, Timestamp};
pub use error::{Code, Error, Result};
pub use secret::Secret;

/// The one body type of requests and responses, in process and on the wire.
pub type Body = axum_core::body::Body;
/// A request as the mesh, the gateway and the services pass it on.
pub type Request = http::Request<Body>;
/// A response as the mesh, the gateway and the services pass it on.
pub type Response = http::Response<Body>;
