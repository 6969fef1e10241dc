//! (see lib.rs)

pub mod settings;
