//! Commands, one file each, and their wiring.

pub mod assemble;
pub mod calibrate;
pub mod check;
pub mod demo;
mod embed;
pub mod evaluate;
pub mod export;
pub mod interval;
mod lines;
pub mod model;
mod numbers;
mod output;
pub mod registry;
pub mod serve;
pub mod stdout;
mod table;
pub mod traces;
pub mod train;
mod watch;
pub mod workload;
