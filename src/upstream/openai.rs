//! OpenAI's wire.
