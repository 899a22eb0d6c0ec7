//! From text to types and back.

mod arbitrary;
mod docs;
mod read;
