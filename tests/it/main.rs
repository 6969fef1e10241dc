//! Integration tests, in one binary: a module per behaviour.

mod catalogue;
mod cli_check;
mod config;
mod demo;
mod features;
mod scripted;
mod sse;
mod train;
mod upstream_answers;
mod upstream_failures;
mod upstream_streams;
mod upstream_wire;
