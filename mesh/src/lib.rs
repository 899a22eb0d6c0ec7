//! The service mesh: what stands between any two services, in process or as a sidecar.
//!
//! A call goes **outbound** (route, deadline, endpoint) on the caller's side and **inbound** (policy, limits, header
//! hygiene) on the callee's. Both sides are the same code whether the endpoint is in this process or behind mTLS, so
//! that nothing is only true in development.
//!
//! - [`resource`]: services, routes, kinds and policies as configuration; `defaults.yaml` is compiled in
//! - [`DataPlane`]: one process's mesh; [`Outbound`] and [`Inbound`]: its two stacks
//! - [`sidecar`]: the same two stacks beside a program in any language; [`admin`]: looking into it; [`steer`]: how a
//!   control plane steers it
//! - [`identity`]: who a workload is and how it proves it; `policy`: who may call what; `egress`: who may call out
//! - [`discover`] and `balance`: where endpoints are and which one is taken; `resilience`: what protects both sides
//! - `matching` and `traffic`: which requests a route means and what it does with them
//! - [`classify`] and [`Cause`]: what an answer, or a missing one, says; [`observe`]: every decision as an event

pub mod admin;
mod balance;
pub mod classify;
pub mod discover;
mod egress;
mod explain;
pub mod identity;
mod matching;
pub mod observe;
mod policy;
mod resilience;
pub mod resource;
pub mod sidecar;
pub mod steer;
mod traffic;

mod blame;
mod body;
mod cause;
mod connect;
mod hop;
mod inbound;
mod io;
mod listen;
mod outbound;
mod plane;
mod record;
mod rescue;
mod sever;
mod snapshot;
mod splice;
mod target;
mod upgrade;

pub use cause::Cause;
pub use explain::{Explained, Step, explain};
pub use identity::Identity;
pub use inbound::Inbound;
pub use outbound::Outbound;
pub use plane::{DataPlane, Load, Parts};
