//! Commands, one file each, and their wiring.

pub mod assemble;
pub mod calibrate;
pub mod check;
pub mod demo;
pub mod evaluate;
pub mod interval;
pub mod lines;
pub mod serve;
pub mod train;
pub mod workload;
