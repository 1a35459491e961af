//! The wire: bytes to commands and results to bytes. Pure functions; nothing here knows a socket,
//! a cache or a configuration.

pub(crate) mod admin;
pub(crate) mod base64;
pub(crate) mod binary;
pub(crate) mod dump;
pub(crate) mod log;
pub(crate) mod meta;
pub(crate) mod number;
pub(crate) mod reply;
pub(crate) mod text;
