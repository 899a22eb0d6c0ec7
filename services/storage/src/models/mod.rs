//! Statements on buckets and objects; row-level security decides what they see.

pub(crate) mod bucket;
pub(crate) mod listing;
pub(crate) mod object;
pub(crate) mod usage;
