//! One exchange, two worlds: what a caller and an observer see is the same whether the callee is in this process or
//! behind two proxies and mutual TLS.
//!
//! Every case is a function over a [`world::World`]. [`world::conform`] runs it in both and compares each answer
//! (status, headers, body, trailers, or the cause of a missing one) and the bag of events; the case itself says what
//! they must be, so that two worlds which are wrong in the same way are found out too. What differs by nature is left
//! out in one place, [`seen`], with the reason.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod ask;
mod pki;
mod program;
mod remote;
mod seen;
mod socket;
mod world;

mod bodies;
mod changes;
mod deadlines;
mod fallbacks;
mod headers;
mod hosts;
mod limits;
mod overload;
mod policies;
mod retries;
mod routes;
mod streams;
mod tenants;
mod traces;
mod traffic;
mod trailers;
mod upgrades;
mod upstream;
