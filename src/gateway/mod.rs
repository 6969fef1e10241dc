//! The request path, readable on one screen, and the end-of-stream guard.

mod settings;

pub use settings::{DEFAULT_ATTEMPTS, DEFAULT_DEADLINES, RouteSettings, Settings};
