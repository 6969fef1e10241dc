//! Integration tests, in one binary: a module per behaviour.

mod architecture;
mod calibrate;
mod catalogue;
mod chat;
mod cli_check;
mod config;
mod crash;
mod demo;
mod errors;
mod features;
mod feedback;
mod gateway;
mod learner;
mod ledger;
mod models;
mod policy;
mod recorded;
mod scripted;
mod sse;
mod stream;
mod train;
mod upstream_answers;
mod upstream_failures;
mod upstream_streams;
mod upstream_wire;
