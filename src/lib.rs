//! Meshbase: auth, data and storage services joined by a mesh behind one gateway, in one binary.
//!
//! This crate puts the parts together: [`up`] runs everything in one process, [`roles`] runs one service alone,
//! [`postgres`] brings the database, [`cli`] is the command line.

pub mod child;
pub mod cli;
#[cfg(feature = "control")]
mod control;
#[cfg(feature = "up")]
pub mod data_dir;
pub mod exec_child;
mod local_http;
pub mod migrate;
pub mod openapi;
#[cfg(feature = "up")]
pub mod postgres;
#[cfg(feature = "up")]
pub mod provision;
pub mod roles;
mod sidecar;
pub mod telemetry;
#[cfg(feature = "up")]
pub mod up;
#[cfg(feature = "up")]
pub mod workdir;
