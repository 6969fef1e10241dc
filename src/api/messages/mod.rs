//! `POST /v1/messages`: Anthropic's client protocol, translated into OpenAI's and back, so that everything between has
//! one shape to deal with.

mod blocks;
mod reply;
mod request;
mod sources;
mod stream;
mod turns;

pub use reply::{error, reply};
pub use request::{countable, request, request_with};
pub use stream::Stream;
