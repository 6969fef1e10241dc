//! Offline evaluation: what a policy would have cost and how good it would have been. Pure: a seed is an argument.

pub mod online;
