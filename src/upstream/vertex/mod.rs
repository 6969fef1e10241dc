//! Vertex: Google's cloud. Gemini as [`super::gemini`] has it, at paths of a project and a place; access tokens in
//! place of a key.

mod account;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::gemini::{self, Gemini};
use super::{Asked, Events, Provider, WholeReply, WireRequest};
use crate::api::chat::ChatRequest;
use crate::api::error::{BadRequest, ErrorDetail};

pub use account::ServiceAccount;

/// `POST {base_url}/publishers/google/models/{model}:generateContent`; the base URL ends with
/// `/projects/{project}/locations/{location}`. A model may be named with its publisher (`google/…`), and a tuned one by
/// its endpoint (`endpoints/…`).
#[derive(Debug, Clone, Copy)]
pub struct Vertex;

impl Provider for Vertex {
    fn path(&self, upstream_model: &str, stream: bool) -> String {
        let place = match upstream_model.split_once('/') {
            Some(("endpoints" | "publishers", _)) => upstream_model.to_owned(),
            Some((publisher, model)) => format!("publishers/{publisher}/models/{model}"),
            None => format!("publishers/google/models/{upstream_model}"),
        };
        format!("{place}:{}", gemini::method(stream))
    }

    fn refuses(&self, request: &ChatRequest) -> Option<BadRequest> {
        Gemini.refuses(request)
    }

    fn request(&self, upstream_model: &str, request: &ChatRequest) -> Result<WireRequest, BadRequest> {
        Gemini.request(upstream_model, request)
    }

    fn reply(&self, asked: &Asked<'_>, body: Bytes) -> Result<WholeReply, String> {
        Gemini.reply(asked, body)
    }

    fn events(&self, asked: &Asked<'_>) -> Box<dyn Events> {
        Gemini.events(asked)
    }

    fn error(&self, status: StatusCode, body: &[u8]) -> ErrorDetail {
        Gemini.error(status, body)
    }

    fn true_status(&self, status: StatusCode, body: &[u8]) -> StatusCode {
        Gemini.true_status(status, body)
    }

    fn retry_after(&self, body: &[u8]) -> Option<Duration> {
        Gemini.retry_after(body)
    }
}

/// The server of a place: `global`, a region such as `europe-west4`, or one of the multi-regions `us` and `eu`.
pub fn home(location: &str) -> String {
    match location {
        "global" => "https://aiplatform.googleapis.com/v1".into(),
        "us" | "eu" => format!("https://aiplatform.{location}.rep.googleapis.com/v1"),
        region => format!("https://{region}-aiplatform.googleapis.com/v1"),
    }
}
