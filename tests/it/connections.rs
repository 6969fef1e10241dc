//! Connections that are of no use, and clients that take nothing of their answers: both end.

use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use satisfice::trace::{Event, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::gateway::{Running, ask_stream};
use crate::scripted::{Answer, Gate};

/// Paused time: longer than all that a connection may take.
const LONG: Duration = Duration::from_secs(600);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The stream window that an [`Http2`] client gives, bytes; the connection's is HTTP/2's own 65,535.
const WINDOW: u32 = 1000;

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let running = Running::start().await;
    for opening in [&b""[..], b"PRI * HTT", PREFACE, b"GET /health HT", b"GET /health HTTP/1.1\r\nhost: localhost\r\n"]
    {
        let (began, mut connection) = (Instant::now(), running.connect().await);
        connection.write_all(opening).await.unwrap();
        until_closed(&mut connection).await;
        let took = began.elapsed().as_secs();
        assert!((29..32).contains(&took), "{took} s after {}", String::from_utf8_lossy(opening));
    }
}

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_keep_operators_out() {
    let running = Running::start().await;
    let operators = running.operators().await;
    let began = Instant::now();
    let mut silent = vec![];
    for _ in 0..17 {
        silent.push(TcpStream::connect(operators.trim_start_matches("http://")).await.unwrap());
    }
    let scraped = client().build().unwrap().get(format!("{operators}/metrics")).send().await.unwrap();
    assert_eq!((scraped.status().as_u16(), began.elapsed().as_secs()), (200, 0));
    until_closed(&mut silent[0]).await;
    let took = began.elapsed().as_secs();
    assert!((4..7).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_had_a_request_may_be_idle_for_longer() {
    let running = Running::start().await;
    let (began, mut connection) = (Instant::now(), running.connect().await);
    connection.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until_closed(&mut connection).await;
    let took = began.elapsed().as_secs();
    assert!((119..122).contains(&took), "HTTP/1: {took} s");

    let (began, mut client) = (Instant::now(), Http2::connect(&running).await);
    client.send(1, "GET", "/health", b"").await;
    let heard = timeout(LONG, client.rest()).await.expect("an end");
    let took = began.elapsed().as_secs();
    assert!(heard.contains(&(frame::HEADERS, 1)) && (120..300).contains(&took), "HTTP/2: {took} s, {heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_outlives_what_an_idle_connection_may_take() {
    let (mut running, gate) = (Running::start().await, Gate::closed());
    let slow = (0..12).fold(Answer::stream(), |answer, _| answer.text("more").wait(&gate));
    running.upstream.on("small-upstream", [slow.finish().event("[DONE]").end()]);
    let http2 = client().http2_prior_knowledge().build().unwrap();
    for client in [client().build().unwrap(), http2] {
        let request = client.post(format!("{}/v1/chat/completions", running.url)).body(ask_stream("small").to_string());
        let whole = async { request.send().await.unwrap().text().await.unwrap() };
        let pace = async {
            loop {
                tokio::time::sleep(Duration::from_secs(40)).await;
                gate.open();
            }
        };
        let began = Instant::now();
        let text = tokio::select! { text = whole => text, () = pace => unreachable!("it does not end") };
        assert!(text.ends_with("data: [DONE]\n\n") && began.elapsed() > Duration::from_secs(400), "{text}");
        assert_eq!(running.finished().await.outcome, Outcome::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_counts_as_gone() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [flood(32, 1 << 20)]);
    let mut connection = running.connect().await;
    let body = ask_stream("small").to_string();
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    timeout(LONG, running.upstream.until_hung_up(1)).await.expect("the upstream call is cancelled");
    assert_eq!(running.finished().await.outcome, Outcome::ClientGone);
    let rest = running.stop().await;
    assert!(!rest.iter().any(|event| matches!(event, Event::Finished(_))), "it is recorded once");
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_is_not_taken_ends_and_the_others_on_its_connection_do_not() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [flood(8, WINDOW as usize).hang()]);
    let mut client = Http2::connect(&running).await;
    client.send(1, "POST", "/v1/chat/completions", ask_stream("small").to_string().as_bytes()).await;
    tokio::select! {
        () = running.upstream.until_hung_up(1) => {}
        heard = timeout(LONG, client.rest()) => panic!("the upstream call is not cancelled: {heard:?}"),
    }
    assert_eq!(running.finished().await.outcome, Outcome::ClientGone);
    client.send(3, "GET", "/health", b"").await;
    timeout(LONG, client.until(|frame| frame == (frame::HEADERS, 3))).await.expect("an answer");
    drop(client);
    let rest = running.stop().await;
    assert!(!rest.iter().any(|event| matches!(event, Event::Finished(_))), "it is recorded once");
}

#[tokio::test]
async fn an_answer_that_was_taken_leaves_nothing_behind() {
    const ANSWERS: usize = 20;
    let running = Running::start().await;
    let mut client = Http2::connect(&running).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for stream in (1..).step_by(2).take(ANSWERS) {
        client.send(stream, "GET", "/health", b"").await;
        client.until(|frame| frame == (frame::DATA, stream)).await;
    }
    // The connection has a task, and the newest answer's may not have ended.
    assert!(tasks() < before + ANSWERS / 2, "{before} tasks became {}", tasks());
}

fn client() -> ClientBuilder {
    drop(crate::gateway::client());
    Client::builder().no_proxy()
}

/// A stream of so many long pieces.
fn flood(count: usize, bytes: usize) -> Answer {
    let piece = "x".repeat(bytes);
    (0..count).fold(Answer::stream(), |answer, _| answer.text(&piece))
}

/// Reads what comes until the server closes.
async fn until_closed(connection: &mut TcpStream) {
    let mut heard = vec![];
    // An error is an end as well: the server had not read all.
    let _ = timeout(LONG, connection.read_to_end(&mut heard)).await.expect("an end");
}

/// A client of HTTP/2 with prior knowledge that answers pings, and gives no more room than [`WINDOW`].
struct Http2 {
    connection: TcpStream,
    heard: Vec<u8>,
}

/// Types of frames.
mod frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
}

/// A frame's type, and its stream.
type Frame = (u8, u32);

impl Http2 {
    async fn connect(running: &Running) -> Self {
        let mut client = Self { connection: running.connect().await, heard: vec![] };
        client.connection.write_all(PREFACE).await.unwrap();
        let initial_window_size = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
        client.frame((frame::SETTINGS, 0), 0, &initial_window_size).await;
        client
    }

    /// A whole request.
    async fn send(&mut self, stream: u32, method: &str, path: &str, body: &[u8]) {
        // HPACK: `:scheme: http` from the static table, the others as literals with their names from there.
        let literal = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
        let head = [vec![0x86], literal(0x02, method), literal(0x04, path), literal(0x01, "localhost")].concat();
        self.frame((frame::HEADERS, stream), 0x4, &head).await;
        self.frame((frame::DATA, stream), 0x1, body).await;
    }

    async fn frame(&mut self, (kind, stream): Frame, flags: u8, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let bytes = [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat();
        self.connection.write_all(&bytes).await.unwrap();
    }

    /// The next frame; `None`: the server closed. May be cancelled.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let [a, b, c, kind, flags, stream @ ..] = &self.heard[..] {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if let Some(stream) = stream.first_chunk().filter(|_| self.heard.len() >= 9 + length) {
                    let (frame, flags) = ((*kind, u32::from_be_bytes(*stream)), *flags);
                    let payload: Vec<u8> = self.heard.drain(..9 + length).skip(9).collect();
                    if frame.0 == frame::PING && flags == 0 {
                        self.frame(frame, 1, &payload).await;
                    }
                    return Some(frame);
                }
            }
            if self.connection.read_buf(&mut self.heard).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn until(&mut self, is_it: impl Fn(Frame) -> bool) {
        while !is_it(self.next().await.expect("the frame")) {}
    }

    /// All frames until the server closes.
    async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = vec![];
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}
