//! What keeps one trouble from becoming everybody's: bounds on what is under way, on what is tried again, and on how
//! long anything may take.

pub(crate) mod adaptive;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod deadline;
pub(crate) mod gate;
pub(crate) mod limits;
pub(crate) mod replay;
pub(crate) mod stale;
