//! `satisfice evaluate`: policies compared before anything ships.

pub mod online;
