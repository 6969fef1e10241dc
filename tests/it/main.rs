//! Integration tests, in one binary: a module per behaviour.

mod catalogue;
mod config;
