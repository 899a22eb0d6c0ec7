//! What is done to requests on purpose: headers and paths changed, callers sent elsewhere, trouble made, services
//! split.

pub(crate) mod edit;
pub(crate) mod fault;
pub(crate) mod hash;
pub(crate) mod split;
