//! (see lib.rs)

pub mod check;
pub mod demo;
pub mod train;
