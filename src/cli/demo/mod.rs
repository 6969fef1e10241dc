//! `satisfice demo`

pub mod models;
pub mod puzzles;
pub mod scorer;
