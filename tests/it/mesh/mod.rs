//! The data plane as processes: sidecars, programs that fail in every way, load that does not wait for answers.
//!
//! Each test runs for a few seconds in `make test`; its long form, with the figures that are promised, is `--ignored`.

mod deadlines;
mod endpoints;
mod kinds;
mod pair;
mod readers;
mod rolling;
mod storm;
pub mod support;
mod tenants;
