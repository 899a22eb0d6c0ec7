//! What every service shares. Services use this crate and `base`, never each other and never the mesh.
//!
//! - [`project`]: a project's document, as its owner hands it to one service; [`projects`]: the client for it
//! - [`claims`]: from a token to a [`claims::Caller`], and from a caller to the settings of a transaction
//! - `context`: what a request carries along on the calls made for it
//! - [`db`]: one pool per active project, bounded over the process
//! - [`jobs`]: deferred work, written in the transaction that causes it
//! - [`outbound`]: the only way to call anybody
//! - [`service`]: what a service is given, what it gives back, and the layers around its routes
//! - [`usage`]: what a project takes up
//! - [`record`]: one record per request
//! - [`revocations`]: sessions that ended before their tokens did

pub mod claims;
mod context;
pub mod db;
pub mod jobs;
pub mod outbound;
pub mod project;
pub mod projects;
pub mod record;
pub mod revocations;
pub mod service;
pub mod usage;

pub use claims::Caller;
pub use db::{Databases, Db};
pub use outbound::Outbound;
pub use project::{Document, ProjectRef};
pub use projects::Projects;
pub use revocations::Revocations;
pub use service::{Dependencies, Project, Service};
