//! A scripted upstream: a real HTTP server on its own port whose answers, down to the byte and the moment, a test
//! writes beforehand, and which remembers what it was asked.
//!
//! ```ignore
//! let upstream = Scripted::start().await;
//! upstream.on("gpt-small", [Answer::status(503, "busy"), Answer::completion("hello")]);
//! ```
//!
//! It works in paused time: nothing in it sleeps, and moments are [`Gate`]s.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use satisfice::catalog::quirks::Quirks;
use satisfice::upstream::settings::{OwnDeadlines, ProviderSettings, Wire};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The key that [`Scripted::provider`] gives.
pub const KEY: &str = "sk-test-0123456789abcdef";

/// The server. Dropping it closes its port and all its connections.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// An answer that depends on what is asked.
type Reply = dyn Fn(&Seen) -> Answer + Send;

struct Shared {
    scripts: Mutex<HashMap<String, Vec<Answer>>>,
    replies: Mutex<HashMap<String, Box<Reply>>>,
    seen: watch::Sender<Vec<Seen>>,
    connections: watch::Sender<usize>,
    hung_up: watch::Sender<usize>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and path, such as `POST /v1/chat/completions`.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the gateway sends JSON")
    }

    /// The model of the body, else of the path (`…/models/NAME:method`), else the path's end.
    pub fn model(&self) -> String {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        let named = body.as_ref().and_then(|body| body["model"].as_str());
        let path = self.line.split(['?', ' ']).nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        named.unwrap_or_else(|| path.split(':').next().unwrap_or_default()).to_owned()
    }
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            scripts: Mutex::default(),
            replies: Mutex::default(),
            seen: watch::Sender::new(vec![]),
            connections: watch::Sender::new(0),
            hung_up: watch::Sender::new(0),
        });
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// This server as a provider of that name, with [`KEY`].
    pub fn provider(&self, name: &str) -> ProviderSettings {
        ProviderSettings {
            name: name.into(),
            wire: Wire::OpenAi,
            base_url: self.base_url().parse().unwrap(),
            api_keys: vec![KEY.into()],
            deadlines: OwnDeadlines::default(),
            service_account: None,
            headers: HeaderMap::new(),
            aws: None,
            quirks: Quirks::default(),
            api_version: None,
            collects_data: true,
        }
    }

    /// The answers to requests for `model` (`""`: for any other), in turn; the last one repeats. A model without a
    /// script says `ok`, whole or streamed, as it is asked.
    pub fn on(&self, model: &str, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a script has at least one answer");
        answers.reverse();
        self.shared.scripts.lock().unwrap().insert(model.into(), answers);
    }

    /// The answer to each request for `model`, by what is asked; it comes before [`on`](Self::on).
    pub fn on_each(&self, model: &str, reply: impl Fn(&Seen) -> Answer + Send + 'static) {
        self.shared.replies.lock().unwrap().insert(model.into(), Box::new(reply));
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// How many requests there were for each of these models.
    pub fn counts<const N: usize>(&self, models: [&str; N]) -> [usize; N] {
        let seen = self.seen();
        models.map(|model| seen.iter().filter(|request| request.model() == model).count())
    }

    /// Waits until `count` requests have come.
    pub async fn until_seen(&self, count: usize) {
        self.shared.seen.subscribe().wait_for(|seen| seen.len() >= count).await.unwrap();
    }

    /// Waits until the caller has hung up on `count` answers that were not at their end.
    pub async fn until_hung_up(&self, count: usize) {
        self.shared.hung_up.subscribe().wait_for(|gone| *gone >= count).await.unwrap();
    }

    /// How many connections were ever made.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A moment that the test decides: an answer waits at a closed gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one waiting answer pass, or the next to come.
    pub fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// What the server does with one request: steps, one after another.
#[derive(Debug, Clone, Default)]
pub struct Answer(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    Wait(Gate),
    /// Says nothing more, and keeps the connection.
    Hang,
    /// Closes the connection.
    Close,
    /// Breaks the connection (RST).
    Reset,
}

/// Whole answers.
impl Answer {
    pub fn whole(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len().to_string();
        let mut bytes = head(status, &[headers, &[("content-length", &length)]].concat());
        bytes.extend_from_slice(body.as_ref());
        Self(vec![Step::Send(bytes)])
    }

    /// 200 with this JSON.
    pub fn json(body: impl AsRef<[u8]>) -> Self {
        Self::whole(200, &[("content-type", "application/json")], body)
    }

    /// An error of OpenAI's shape.
    pub fn status(status: u16, message: &str) -> Self {
        Self::status_with(status, &[], message)
    }

    pub fn status_with(status: u16, headers: &[(&str, &str)], message: &str) -> Self {
        let error = json!({"error": {"message": message, "type": "test_error", "param": null, "code": "test"}});
        Self::whole(status, &[headers, &[("content-type", "application/json")]].concat(), error.to_string())
    }

    /// A chat completion with this text; 10 tokens in, 5 out.
    pub fn completion(text: &str) -> Self {
        let reply = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null},
                         "logprobs": null, "finish_reason": "stop"}],
            "usage": usage(),
        });
        Self::json(reply.to_string())
    }
}

/// Streams: [`Answer::stream`], pieces, and an end.
impl Answer {
    /// The head of a stream of events.
    pub fn stream() -> Self {
        let headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")];
        Self(vec![Step::Send(head(200, &headers))])
    }

    /// A whole stream that says these pieces, then its usage (10 tokens in, 5 out) and `[DONE]`.
    pub fn says(pieces: &[&str]) -> Self {
        pieces.iter().fold(Self::stream(), |answer, piece| answer.text(piece)).finish().usage().event("[DONE]").end()
    }

    /// A chunk with this text.
    pub fn text(self, text: &str) -> Self {
        self.event(&chunk(json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]), Value::Null))
    }

    /// The chunk that says `finish_reason: stop`.
    pub fn finish(self) -> Self {
        self.event(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null))
    }

    /// The chunk that holds nothing but usage.
    pub fn usage(self) -> Self {
        self.event(&chunk(json!([]), usage()))
    }

    /// An event with this data.
    pub fn event(self, data: &str) -> Self {
        self.piece(format!("data: {data}\n\n"))
    }

    /// These bytes of the body, as one piece.
    pub fn piece(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.0.push(Step::Send(chunk));
        self
    }

    /// The regular end of a body in pieces; the connection stays.
    pub fn end(mut self) -> Self {
        self.0.push(Step::Send(b"0\r\n\r\n".to_vec()));
        self
    }
}

/// Moments and misbehaviour; also the whole of an answer, as in `Answer::default().close()`.
impl Answer {
    /// These very bytes, head and all.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Send(bytes.as_ref().to_vec())])
    }

    /// This one's steps, then those of `next`.
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    pub fn wait(mut self, gate: &Gate) -> Self {
        self.0.push(Step::Wait(gate.clone()));
        self
    }

    /// A black hole from here on.
    pub fn hang(mut self) -> Self {
        self.0.push(Step::Hang);
        self
    }

    pub fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }

    pub fn reset(mut self) -> Self {
        self.0.push(Step::Reset);
        self
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
}

fn chunk(choices: Value, usage: Value) -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
           "choices": choices, "usage": usage})
    .to_string()
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Scripted\r\n{lines}\r\n").into_bytes()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        shared.connections.send_modify(|count| *count += 1);
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

/// Answers one connection's requests until it ends.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = read_request(&mut stream).await {
        let answer = shared.answer(&request);
        shared.seen.send_modify(|seen| seen.push(request));
        for step in answer.0 {
            if !perform(step, &mut stream, &shared).await {
                return;
            }
        }
    }
}

/// False: the connection is over.
async fn perform(step: Step, stream: &mut TcpStream, shared: &Shared) -> bool {
    let waiting = match step {
        Step::Send(bytes) => return stream.write_all(&bytes).await.is_ok() || shared.hang_up(),
        Step::Close => return false,
        Step::Reset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
            return false;
        }
        Step::Wait(gate) => gate,
        Step::Hang => Gate::closed(),
    };
    tokio::select! {
        () = waiting.pass() => true,
        // A caller sends nothing before its answer has ended: whatever there is to read is its leaving.
        _ = stream.read_u8() => shared.hang_up(),
    }
}

impl Shared {
    fn answer(&self, request: &Seen) -> Answer {
        if let Some(reply) = self.replies.lock().unwrap().get(&request.model()) {
            return reply(request);
        }
        let mut scripts = self.scripts.lock().unwrap();
        let script = if scripts.contains_key(&request.model()) { request.model() } else { String::new() };
        match scripts.get_mut(&script) {
            Some(answers) if answers.len() > 1 => answers.pop().unwrap(),
            Some(answers) => answers[0].clone(),
            None if serde_json::from_slice::<Value>(&request.body).is_ok_and(|body| body["stream"] == true) => {
                Answer::says(&["ok"])
            }
            None => Answer::completion("ok"),
        }
    }

    fn hang_up(&self) -> bool {
        self.hung_up.send_modify(|count| *count += 1);
        false
    }
}

/// `None`: the caller closed the connection.
async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: HeaderMap = lines.filter_map(|line| line.split_once(": ")).map(parse_header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { line, headers, body })
}

fn parse_header((name, value): (&str, &str)) -> (HeaderName, HeaderValue) {
    (name.parse().unwrap(), value.parse().unwrap())
}
