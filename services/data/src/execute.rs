//! Execute: connections, transactions and the schema cache of every active project.

pub(crate) mod active;
pub(crate) mod check;
pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod ended;
pub(crate) mod export;
pub(crate) mod introspect;
pub(crate) mod kept;
pub(crate) mod lease;
pub(crate) mod listener;
pub(crate) mod outcome;
pub(crate) mod prepared;
pub(crate) mod session;
pub(crate) mod step;
pub(crate) mod tls;
pub(crate) mod transaction;
pub(crate) mod turns;
pub(crate) mod wire;

pub(crate) use active::{Active, Actives};
pub(crate) use export::Export;
pub(crate) use outcome::Outcome;
pub(crate) use step::Step;
pub(crate) use transaction::{Frame, Series};
