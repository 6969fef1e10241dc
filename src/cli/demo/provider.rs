//! The simulated models behind a real HTTP port: OpenAI's chat wire, whole and streaming, with usage.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, serve};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::models::{LADDER, SimulatedModel, usage};
use super::puzzles::Puzzle;
use crate::catalog::Usage;

/// A running provider of the simulated models. It serves until the runtime ends.
pub struct Provider {
    address: SocketAddr,
    state: Arc<Shared>,
}

struct Shared {
    puzzles: HashMap<String, Puzzle>,
    seed: u64,
    pace: f64,
    /// By model, as in [`LADDER`].
    bill: Mutex<[Billed; LADDER.len()]>,
}

/// What a provider asks its customer to pay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Billed {
    pub calls: u64,
    pub usd: f64,
}

impl Provider {
    /// Serves on a free port of the loopback. Models answer after their latency times `pace` (0: at once).
    ///
    /// # Errors
    /// The loopback cannot be listened on.
    pub async fn start(puzzles: &[Puzzle], seed: u64, pace: f64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let puzzles = puzzles.iter().map(|p| (p.prompt.clone(), p.clone())).collect();
        let state = Arc::new(Shared { puzzles, seed, pace, bill: Mutex::default() });
        let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(state.clone());
        tokio::spawn(serve(listener, app).into_future());
        Ok(Self { address, state })
    }

    /// What a configuration gives as `base_url`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What was billed so far, all calls of all models together: also those that no client saw.
    pub fn bill(&self) -> Billed {
        let bill = self.state.bill.lock().unwrap_or_else(PoisonError::into_inner);
        bill.iter().fold(Billed::default(), |sum, b| Billed { calls: sum.calls + b.calls, usd: sum.usd + b.usd })
    }
}

#[derive(Deserialize)]
struct Asked {
    model: String,
    messages: Vec<AskedMessage>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct AskedMessage {
    role: String,
    content: String,
}

async fn complete(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let asked: Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(e) => return refusal(StatusCode::BAD_REQUEST, &format!("simulated models read plain text chats: {e}")),
    };
    let Some(k) = LADDER.iter().position(|m| m.name == asked.model) else {
        return refusal(StatusCode::NOT_FOUND, &format!("there is no simulated model {:?}", asked.model));
    };
    let model = &LADDER[k];
    tokio::time::sleep(Duration::from_millis(model.latency_ms).mul_f64(shared.pace)).await;
    let text = shared.reply(model, &asked.messages);
    let prompts: Vec<&str> = asked.messages.iter().map(|m| m.content.as_str()).collect();
    let usage = usage(&prompts, &text);
    shared.charge(k, &usage);
    if asked.stream { streamed(model, &text, &usage) } else { whole(model, &text, &usage) }
}

impl Shared {
    fn reply(&self, model: &SimulatedModel, messages: &[AskedMessage]) -> String {
        let user = messages.iter().rfind(|m| m.role == "user").map_or("", |m| m.content.as_str());
        match self.puzzles.get(user) {
            Some(puzzle) => model.answer(puzzle, self.seed),
            None => format!("I am {}, a simulated model: I know this demo's puzzles and nothing else.", model.name),
        }
    }

    fn charge(&self, k: usize, usage: &Usage) {
        let mut bill = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
        bill[k].calls += 1;
        bill[k].usd += LADDER[k].price.cost(usage);
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
    json_response(status, &body)
}

fn whole(model: &SimulatedModel, text: &str, usage: &Usage) -> Response {
    let body = json!({
        "id": "chatcmpl-simulated", "object": "chat.completion", "created": 0, "model": model.name,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": wire(usage),
    });
    json_response(StatusCode::OK, &body)
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// One event per line of the text, then the end, the usage and `[DONE]`.
fn streamed(model: &SimulatedModel, text: &str, usage: &Usage) -> Response {
    let chunk = |choices: Value, usage: Value| {
        let data = json!({
            "id": "chatcmpl-simulated", "object": "chat.completion.chunk", "created": 0, "model": model.name,
            "choices": choices, "usage": usage,
        });
        format!("data: {data}\n\n")
    };
    let mut events: Vec<String> = text
        .split_inclusive('\n')
        .map(|piece| chunk(json!([{"index": 0, "delta": {"content": piece}, "finish_reason": null}]), Value::Null))
        .collect();
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null));
    events.push(chunk(json!([]), wire(usage)));
    events.push("data: [DONE]\n\n".into());
    let body = Body::from_stream(stream::iter(events.into_iter().map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn wire(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}
