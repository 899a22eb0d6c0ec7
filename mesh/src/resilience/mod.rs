//! What keeps one trouble from becoming everybody's: bounds on what is under way, on what is tried again, and on how
//! long anything may take.

pub mod adaptive;
pub mod breaker;
pub mod budget;
pub mod deadline;
pub mod gate;
pub mod limits;
pub mod replay;
pub mod stale;
