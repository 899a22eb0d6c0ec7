//! What is done to requests on purpose: headers and paths changed, callers sent elsewhere, trouble made, services
//! split.

pub mod edit;
pub mod fault;
pub mod hash;
pub mod split;
