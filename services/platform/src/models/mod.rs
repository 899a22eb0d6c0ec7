//! What the platform database holds, a file per kind; each adds its operations to [`crate::Platform`].

pub mod document;
pub mod inbox;
pub mod keys;
mod logins;
pub mod project;
mod secrets;
mod usage;
