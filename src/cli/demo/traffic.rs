//! The demo's client: sends each puzzle to the gateway, scores the answer's text, and reports the score back.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::models::{INSTRUCTION, LADDER};
use super::puzzles::Puzzle;
use super::scorer;
use super::tally::Answered;
use crate::api::usage::WireUsage;
use crate::catalog::Usage;

/// Requests under way at a time.
const CONCURRENCY: usize = 8;
/// Every so many-th request is streamed.
const STREAMED: usize = 4;

/// A client for the loopback, which keeps its connections.
pub type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// The gateway did not do what its contract says.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    #[error("the gateway could not be reached: {0}")]
    Unreachable(#[from] legacy::Error),
    #[error("the gateway's answer broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
    #[error("the gateway's address is none: {0}")]
    Address(#[from] http::Error),
    #[error("the gateway answered {status} to {path}: {body}")]
    Refused { path: &'static str, status: u16, body: String },
    #[error("the gateway's answer lacks {0}")]
    Lacks(&'static str),
}

/// Without proxies, which the loopback has none of, and without TLS.
pub fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).build(connector)
}

/// Answers to `puzzles`, scored and reported, in the order in which they come.
pub fn drive<'a>(
    client: &'a Client,
    gateway: &'a str,
    puzzles: &'a [Puzzle],
) -> impl Stream<Item = Result<Answered, TrafficError>> + 'a {
    stream::iter(puzzles.iter().enumerate())
        .map(move |(number, puzzle)| one(client, gateway, number, puzzle))
        .buffer_unordered(CONCURRENCY)
}

async fn one(client: &Client, gateway: &str, number: usize, puzzle: &Puzzle) -> Result<Answered, TrafficError> {
    let asked = chat(&puzzle.prompt, number.is_multiple_of(STREAMED));
    let response = post(client, gateway, "/v1/chat/completions", &asked).await?;
    let answered = answered(number, puzzle, response.headers(), &read(&response)?)?;
    let score = json!({"trace_id": answered.trace_id, "name": "quality", "value": answered.right});
    post(client, gateway, "/v1/feedback", &score).await?;
    Ok(answered)
}

fn chat(prompt: &str, stream: bool) -> Value {
    let messages = json!([{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": prompt}]);
    if stream {
        json!({"model": "auto", "messages": messages, "stream": true, "stream_options": {"include_usage": true}})
    } else {
        json!({"model": "auto", "messages": messages})
    }
}

async fn post(
    client: &Client,
    gateway: &str,
    path: &'static str,
    body: &Value,
) -> Result<Response<Bytes>, TrafficError> {
    let request = Request::post(format!("{gateway}{path}")).header(CONTENT_TYPE, "application/json");
    let (head, body) = client.request(request.body(body.to_string().into())?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    match head.status.is_success() {
        true => Ok(Response::from_parts(head, body)),
        false => Err(TrafficError::Refused {
            path,
            status: head.status.as_u16(),
            body: String::from_utf8_lossy(&body).into(),
        }),
    }
}

/// What the client reads of a reply, whole or streamed.
#[derive(Default)]
struct Reply {
    text: String,
    usage: Option<WireUsage>,
}

fn read(response: &Response<Bytes>) -> Result<Reply, TrafficError> {
    let streamed = response.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    let body = String::from_utf8_lossy(response.body());
    let pieces: Vec<&str> = match streamed {
        true => body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]").collect(),
        false => vec![&body],
    };
    pieces.into_iter().try_fold(Reply::default(), Reply::with)
}

#[derive(Deserialize)]
struct Piece {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "delta")]
    message: Text,
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    content: Option<String>,
}

impl Reply {
    /// Adds a body, or one event's data.
    fn with(mut self, data: &str) -> Result<Self, TrafficError> {
        let piece: Piece =
            serde_json::from_str(data).map_err(|_| TrafficError::Lacks("the shape of a chat completion"))?;
        let said = piece.choices.into_iter().next().and_then(|choice| choice.message.content);
        self.text.push_str(&said.unwrap_or_default());
        self.usage = piece.usage.or(self.usage);
        Ok(self)
    }
}

fn answered(number: usize, puzzle: &Puzzle, headers: &HeaderMap, reply: &Reply) -> Result<Answered, TrafficError> {
    let header = |name: &'static str| headers.get(name).and_then(|v| v.to_str().ok()).ok_or(TrafficError::Lacks(name));
    let model = header("x-satisfice-model")?.rsplit('/').next().unwrap_or_default();
    let model = LADDER.iter().position(|m| m.name == model).ok_or(TrafficError::Lacks("a known model's name"))?;
    let usage = reply.usage.ok_or(TrafficError::Lacks("usage"))?;
    let usage = Usage { input_tokens: usage.prompt_tokens, output_tokens: usage.output_tokens(), ..Usage::default() };
    let assessed = header("x-satisfice-difficulty")?.parse();
    Ok(Answered {
        puzzle: number,
        model,
        right: scorer::is_right(&puzzle.answer, &reply.text),
        cost_usd: LADDER[model].price.cost(&usage),
        trace_id: header("x-satisfice-trace-id")?.to_owned(),
        decision: header("x-satisfice-decision")?.to_owned(),
        assessed: assessed.map_err(|_| TrafficError::Lacks("a number in x-satisfice-difficulty"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::provider::Provider;
    use super::super::puzzles::generate;
    use super::super::tally;
    use super::*;

    /// Asks a simulated model itself, as the gateway would.
    async fn ask(provider: &Provider, model: &str, puzzle: &Puzzle, stream: bool) -> Reply {
        let mut asked = chat(&puzzle.prompt, stream);
        asked["model"] = model.into();
        let base = provider.base_url();
        let response = post(&client(), base.trim_end_matches("/v1"), "/v1/chat/completions", &asked).await;
        read(&response.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn whole_and_streamed_say_and_bill_the_same() {
        let puzzles = generate(1, 10);
        let provider = Provider::start(&puzzles, 3, 0.0).await.unwrap();
        for puzzle in &puzzles {
            let [whole, streamed] =
                [ask(&provider, "sim-mini", puzzle, false).await, ask(&provider, "sim-mini", puzzle, true).await];
            assert_eq!(whole.text, LADDER[1].answer(puzzle, 3));
            assert_eq!(whole.text, streamed.text);
            assert_eq!(whole.usage.unwrap().output_tokens(), streamed.usage.unwrap().output_tokens());
        }
        let expected = 20.0 * tally::always(&LADDER[1], &puzzles).usd_per_1k / 1_000.0;
        assert_eq!(provider.bill().calls, 20);
        assert!((provider.bill().usd / expected - 1.0).abs() < 0.05, "{:?} for {expected}", provider.bill());
    }

    #[tokio::test]
    async fn a_simulated_model_says_what_it_does_not_know() {
        let puzzles = generate(1, 2);
        let provider = Provider::start(&puzzles[..1], 3, 0.0).await.unwrap();
        let stranger = Puzzle { prompt: "What is love?".into(), ..puzzles[1].clone() };
        assert!(ask(&provider, "sim-nano", &stranger, false).await.text.contains("simulated"));
    }

    #[tokio::test]
    async fn a_refusal_says_what_was_refused_and_why() {
        let provider = Provider::start(&[], 3, 0.0).await.unwrap();
        let base = provider.base_url();
        let asked = chat("What is 1 + 1?", false);
        let refused = post(&client(), base.trim_end_matches("/v1"), "/v1/chat/completions", &asked).await;
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("404") && message.contains("no simulated model \\\"auto\\\""), "{message}");
    }

    #[test]
    fn what_is_no_chat_completion_is_an_error() {
        for body in ["", "{}", "null", r#"{"choices": 3}"#] {
            assert!(Reply::default().with(body).is_err(), "{body}");
        }
        assert!(Reply::default().with(r#"{"choices": []}"#).is_ok());
    }
}
