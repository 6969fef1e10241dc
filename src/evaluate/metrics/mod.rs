//! Figures that sum a frontier up, a file each.

mod hull;
mod pair;

pub use hull::{Hull, aiq};
pub use pair::{Pair, pair};
