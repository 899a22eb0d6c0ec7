//! The service mesh: what stands between any two services, in process or as a sidecar.
//!
//! A call goes **outbound** (route, deadline, endpoint) on the caller's side and **inbound** (policy, header
//! hygiene, record) on the callee's. Both sides are the same code whether the endpoint is in this process or
//! behind mTLS, so that nothing is only true in development.
//!
//! - [`resource`]: services, routes, kinds and policies as configuration; `defaults.yaml` is compiled in
//! - [`identity`]: who a workload is; [`policy`]: who may call whom, and which headers they may assert
//! - [`outbound`] and [`inbound`]: the two stacks; [`endpoint`]: where a service is; [`directory`]: finding it
//! - [`classify`]: what an answer says about its endpoint; [`observe`]: every decision as an event

pub mod classify;
pub mod directory;
pub mod endpoint;
pub mod identity;
pub mod inbound;
pub mod observe;
pub mod outbound;
pub mod policy;
pub mod resource;

mod timed;
mod upgrade;

pub use directory::Directory;
pub use identity::Identity;
pub use inbound::Inbound;
pub use outbound::Outbound;
