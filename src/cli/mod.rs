//! Commands, one file each, and their wiring.

pub mod assemble;
pub mod check;
pub mod demo;
pub mod export;
mod lines;
pub mod serve;
pub mod train;
pub mod workload;
