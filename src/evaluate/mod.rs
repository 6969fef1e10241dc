//! What a policy is worth, found offline. Pure.

pub mod off_policy;
