//! Black-box tests over HTTP against the same start function as `meshbase up`: one installation for all, a project
//! with a fresh database for each. What only a process shows is in `up`, `crash` and `contract`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(unreachable_pub, reason = "one binary: `pub` is what the harness offers its modules")]

mod support;

mod auth;
mod bad_input;
mod console;
mod contract;
mod control;
mod crash;
mod data;
mod drop_in;
mod gateway;
mod isolation;
mod layout;
mod mesh;
mod queries;
mod storage;
mod transactions;
mod up;
