//! The tables of the `auth` schema as the routes use them. One statement is one function.

#[macro_use]
mod select;

pub(crate) mod audit;
pub(crate) mod ended_session;
pub(crate) mod identity;
pub(crate) mod moment;
pub(crate) mod one_time_token;
pub(crate) mod session;
pub(crate) mod user;

// PostgreSQL cuts column names after 63 bytes, and the types of columns are written there
pub(crate) type Json<T> = sqlx::types::Json<T>;
pub(crate) type Factors = Json<Vec<identity::Factor>>;
pub(crate) type Identities = Json<Vec<identity::Identity>>;
pub(crate) type Authentications = Json<Vec<session::Authentication>>;
pub(crate) use user::Metadata;
