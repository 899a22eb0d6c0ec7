//! The control plane as processes: its store, its replicas, and proxies that have nothing but what it gives them.
//!
//! Each test runs for a few seconds in `make test`; its long form, with the figures that are promised, is `--ignored`.

mod away;
mod beside;
mod bootstrap;
mod certificates;
mod demand;
mod documents;
mod installation;
mod joining;
mod looking;
mod push;
mod replicas;
mod revocation;
mod roles;
mod support;
