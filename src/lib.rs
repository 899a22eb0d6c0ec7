//! Meshbase: auth, data and storage services joined by a mesh behind one gateway, in one binary.
//!
//! This crate puts the parts together: [`up`] runs everything in one process, [`roles`] runs one service alone,
//! [`postgres`] brings the database, [`cli`] is the command line.

pub mod child;
pub mod cli;
#[cfg(feature = "control")]
mod control;
#[cfg(feature = "platform")]
pub mod data_dir;
#[cfg(feature = "platform")]
mod default_project;
#[cfg(feature = "data")]
mod drop_in;
pub mod exec_child;
#[cfg(feature = "platform")]
pub mod info;
#[cfg(all(feature = "platform", feature = "control"))]
pub mod init;
mod local_http;
pub mod migrate;
pub mod openapi;
#[cfg(feature = "platform")]
mod platform_role;
#[cfg(feature = "platform")]
pub mod postgres;
#[cfg(feature = "platform")]
pub mod provision;
pub mod roles;
#[cfg(any(feature = "platform", feature = "control"))]
mod secret_file;
mod sidecar;
pub mod telemetry;
#[cfg(feature = "up")]
pub mod up;
#[cfg(feature = "up")]
pub mod workdir;
