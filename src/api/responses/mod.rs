//! `POST /v1/responses`: OpenAI's newer client protocol, translated into chat completions and back. Nothing is stored:
//! each request carries its whole conversation.

mod input;
mod reply;
mod request;
mod stream;
mod tools;

pub use reply::reply;
pub use request::{Echo, request};
pub use stream::Stream;
