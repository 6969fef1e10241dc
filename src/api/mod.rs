//! Wire types of the clients' protocols. Fields that the gateway does not know are kept and forwarded.

pub mod answer;
pub mod chat;
pub mod conversation;
pub mod embeddings;
pub mod error;
pub mod feedback;
pub mod fields;
pub mod growing;
pub mod halves;
mod lengths;
pub mod messages;
pub mod metadata;
pub mod models;
pub mod naming;
pub mod preferences;
pub mod responses;
pub mod room;
pub mod sse;
pub mod usage;
mod words;
