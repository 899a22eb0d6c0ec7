//! The requests this service answers: one file for each group of them.

pub(crate) mod admin;
pub(crate) mod logout;
pub(crate) mod mail;
pub(crate) mod public;
pub(crate) mod revocations;
pub(crate) mod signup;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod verify;
