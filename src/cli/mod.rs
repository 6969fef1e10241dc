//! (see lib.rs)

pub mod demo;
pub mod train;
