//! One streamed call that several requests hear at the same time: as it comes, whoever leaves, however it ends.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use satisfice::gateway::{AnswerBody, AnswerStream, How, Wishes};
use satisfice::trace::{Outcome, Trace};
use serde_json::{Value, json};
use tokio::runtime;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::cache::{calls, hit, in_flight, is_hit, metric, start};
use crate::gateway::{Running, ask, ask_stream, header};
use crate::scripted::{Answer, Gate};

/// Generous: only a test that fails takes as long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Chunks of a stream that is three times as long as what is kept, and each one's length.
const LONG: (usize, usize) = (48, 64 << 10);

/// The upstream says `Hel`, waits at the gate, and goes on with `rest`.
fn half(running: &Running, rest: Answer) -> Gate {
    let gate = Gate::closed();
    running
        .upstream
        .on("small-upstream", [Answer::stream().text("Hel").wait(&gate).then(rest), Answer::says(&["new"])]);
    gate
}

/// The rest of `Hello`; an [`Answer`] without a head.
fn lo() -> Answer {
    Answer::default().text("lo").finish().usage().event("[DONE]").end()
}

/// A client that asks `small` for a stream, at the gateway itself: it hears nothing but what it polls for, and leaves
/// when it is dropped.
struct Client {
    stream: AnswerStream,
    shared: bool,
}

/// The chunk's text, or why there is none: `done`, or the error.
type Heard = Result<String, String>;

impl Client {
    async fn of(running: &Running) -> Self {
        Self::asking(running, &ask_stream("small")).await
    }

    async fn asking(running: &Running, body: &Value) -> Self {
        let body = Bytes::from(body.to_string());
        let answer = running.gateway.chat(body, Wishes::default()).await.unwrap_or_else(|error| panic!("{error}"));
        let AnswerBody::Stream(stream) = answer.body else { panic!("a stream was asked for") };
        Self { stream: *stream, shared: answer.facts.cache == Some(How::Shared) }
    }

    async fn hear(&mut self) -> Heard {
        heard(self.stream.next().await)
    }

    /// All that is left, and how it ended.
    async fn rest(mut self) -> (String, String) {
        let mut said = String::new();
        loop {
            match self.hear().await {
                Ok(text) => said += &text,
                Err(end) => return (said, end),
            }
        }
    }
}

fn heard(item: Option<Result<Bytes, satisfice::upstream::UpstreamError>>) -> Heard {
    let data = item.expect("an end before the end").map_err(|error| error.to_string())?;
    if &data[..] == b"[DONE]" {
        return Err("done".into());
    }
    let chunk: Value = serde_json::from_slice(&data).unwrap();
    Ok(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
}

/// The records of so many requests: that of the call, then those who heard it.
async fn finished(running: &mut Running, count: usize) -> Vec<Trace> {
    let mut traces = vec![];
    for _ in 0..count {
        traces.push(running.finished().await);
    }
    traces.sort_by_key(|trace| trace.attempts.is_empty());
    traces
}

async fn until(response: &mut reqwest::Response, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) {
        heard += std::str::from_utf8(&response.chunk().await.unwrap().expect("more")).unwrap();
    }
    heard
}

#[tokio::test]
async fn whoever_asks_the_same_hears_the_stream_as_it_comes() {
    let mut running = start().await;
    let gate = half(&running, lo());
    let mut first = running.chat(ask_stream("small")).await;
    assert!(!is_hit(&first));
    let mut said = until(&mut first, "Hel").await;

    let mut late = running.chat(ask_stream("small")).await;
    assert!(is_hit(&late));
    for (name, value) in [("cache", "shared"), ("attempts", "0"), ("cost-usd", "0"), ("model", "test/small")] {
        assert_eq!(header(&late, &format!("x-satisfice-{name}")), Some(value));
    }
    let mut late_said = until(&mut late, "Hel").await;
    let whole = tokio::spawn(running.post("/v1/chat/completions", ask("small").to_string()).send());
    in_flight(&running, 3).await;

    gate.open();
    said += &until(&mut first, "[DONE]").await;
    late_said += &until(&mut late, "[DONE]").await;
    assert_eq!(late_said, said);
    let whole = whole.await.unwrap().unwrap();
    assert!(is_hit(&whole) && whole.text().await.unwrap().contains("Hello"), "it waits for the end");
    assert_eq!(running.upstream.seen().len(), 1);

    let traces = finished(&mut running, 3).await;
    for (trace, attempts) in traces.iter().zip([1, 0, 0]) {
        assert_eq!(
            (trace.outcome, trace.attempts.len(), &*trace.reply.content),
            (Outcome::Answered, attempts, "Hello")
        );
        assert_eq!(trace.usage.is_some(), attempts == 1);
        assert!(trace.first_byte_us.is_some());
    }
    let cost = traces[0].cost_usd.unwrap();
    assert_eq!([traces[1].cost_usd, traces[2].cost_usd], [Some(0.0); 2]);
    metric(&running, &format!("satisfice_cache_saved_usd_total {}", cost + cost)).await;
    metric(&running, "satisfice_cache_hits_total{kind=\"shared\"} 2").await;
    metric(&running, "satisfice_cache_misses_total 1").await;
    assert!(hit(&running, ask_stream("small")).await, "it was kept");
}

#[tokio::test]
async fn each_protocol_and_each_wish_for_usage_has_its_own_words_for_the_same_stream() {
    let running = start().await;
    let gate = half(&running, lo());
    let mut first = running.chat(ask_stream("small")).await;
    until(&mut first, "Hel").await;
    let mut wanting = ask_stream("small");
    wanting["stream_options"] = json!({"include_usage": true});
    let wanting = running.chat(wanting).await;
    let responses = json!({"model": "small", "input": "What is 2 + 2?", "store": false, "stream": true});
    let mut responses = running.post("/v1/responses", responses.to_string()).send().await.unwrap();
    assert!(is_hit(&wanting) && is_hit(&responses));
    until(&mut responses, "Hel").await;
    gate.open();
    assert!(!until(&mut first, "[DONE]").await.contains("completion_tokens"));
    assert!(wanting.text().await.unwrap().contains("\"completion_tokens\":5"));
    until(&mut responses, "response.completed").await;
    assert_eq!(running.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_call_goes_on_for_those_who_listen_when_its_client_leaves() {
    let mut running = start().await;
    let gate = half(&running, lo());
    let mut first = Client::of(&running).await;
    assert_eq!(first.hear().await.unwrap(), "Hel");
    let other = Client::of(&running).await;
    assert!(!first.shared && other.shared);
    drop(first);
    gate.open();
    assert_eq!(other.rest().await, ("Hello".into(), "done".into()));
    let traces = finished(&mut running, 2).await;
    let told = |trace: &Trace| (trace.outcome, trace.attempts.len(), trace.reply.content.clone());
    assert_eq!(told(&traces[0]), (Outcome::ClientGone, 1, "Hello".into()), "what the call said and cost is its own");
    assert!(traces[0].usage.is_some() && traces[0].cost_usd.is_some_and(|usd| usd > 0.0));
    assert_eq!(told(&traces[1]), (Outcome::Answered, 0, "Hello".into()));
    assert!(hit(&running, ask_stream("small")).await);
    assert_eq!(calls(&running), 1);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_end_of_the_call_has_left_all_the_same() {
    let mut running = start().await;
    half(&running, lo()).open();
    let (first, other) = (Client::of(&running).await, Client::of(&running).await);
    assert_eq!(other.rest().await, ("Hello".into(), "done".into()), "whoever is quicker does not wait");
    drop(first);
    let traces = finished(&mut running, 2).await;
    assert_eq!([traces[0].outcome, traces[1].outcome], [Outcome::ClientGone, Outcome::Answered]);
    assert!(traces[0].usage.is_some());
    assert!(running.stop().await.is_empty(), "each is recorded once");
}

#[tokio::test]
async fn a_gateway_that_is_told_again_to_stop_cuts_the_call_for_all_and_records_it_so() {
    let mut running = start().await;
    let _gate = half(&running, lo());
    let mut first = running.chat(ask_stream("small")).await;
    until(&mut first, "Hel").await;
    let mut late = running.chat(ask_stream("small")).await;
    assert!(is_hit(&late));
    until(&mut late, "Hel").await;
    running.tell_to_end_at_once();
    for told in [first, late] {
        let told = told.text().await.unwrap();
        assert!(told.contains("the gateway was stopped before the answer's end"), "{told}");
    }
    let traces = finished(&mut running, 2).await;
    for (trace, attempts) in traces.iter().zip([1, 0]) {
        assert_eq!((trace.outcome, trace.attempts.len(), &*trace.reply.content), (Outcome::Cut, attempts, "Hel"));
    }
    let why = traces[0].attempts[0].error.as_deref();
    assert_eq!(why, Some("the gateway was stopped before the answer's end"));
    assert!(running.stop().await.is_empty(), "each is recorded once");
}

#[tokio::test]
async fn the_call_is_cancelled_when_the_last_one_leaves() {
    let mut running = start().await;
    let _gate = half(&running, lo());
    let mut first = Client::of(&running).await;
    let mut other = Client::of(&running).await;
    assert_eq!((first.hear().await.unwrap(), other.hear().await.unwrap()), ("Hel".into(), "Hel".into()));
    drop(other);
    assert!(first.hear().now_or_never().is_none(), "it is still under way");
    drop(first);
    running.upstream.until_hung_up(1).await;
    let traces = finished(&mut running, 2).await;
    for trace in &traces {
        assert_eq!((trace.outcome, &*trace.reply.content), (Outcome::ClientGone, "Hel"));
    }
    let billed = traces.iter().filter(|trace| trace.usage.is_some() && trace.cost_usd > Some(0.0));
    assert_eq!(billed.count(), 1, "the call is, as far as it came");
    let next = Client::of(&running).await;
    assert!(!next.shared, "nobody listens to a call that is gone");
    assert_eq!(next.rest().await, ("new".into(), "done".into()));
}

#[tokio::test]
async fn a_stream_that_is_cut_is_cut_for_all_who_hear_it_and_the_next_one_asks_anew() {
    let mut running = start().await;
    let gate = half(&running, Answer::default().reset());
    let mut clients = vec![Client::of(&running).await, Client::of(&running).await, Client::of(&running).await];
    assert_eq!(clients[0].hear().await.unwrap(), "Hel");
    gate.open();
    let idle = clients.pop().unwrap();
    let ends: Vec<_> = futures_util::future::join_all(clients.into_iter().map(Client::rest)).await;
    assert_eq!([&*ends[0].0, &*ends[1].0], ["", "Hel"]);
    assert!(ends[0].1 == ends[1].1 && ends[0].1 != "done", "{ends:?}");
    assert_eq!(idle.rest().await, ends[1], "also for one who was not reading then");
    for trace in finished(&mut running, 3).await {
        assert_eq!((trace.outcome, &*trace.reply.content), (Outcome::Cut, "Hel"));
    }
    let next = Client::of(&running).await;
    assert!(!next.shared);
    assert_eq!(next.rest().await, ("new".into(), "done".into()));
}

#[tokio::test]
async fn an_answer_that_is_not_kept_is_told_to_its_end() {
    let running = start().await;
    let filter = json!({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]});
    let gate = half(&running, Answer::default().event(&filter.to_string()).event("[DONE]").end());
    let (first, other) = (Client::of(&running).await, Client::of(&running).await);
    gate.open();
    assert_eq!(first.rest().await, ("Hel".into(), "done".into()));
    assert_eq!(other.rest().await, ("Hel".into(), "done".into()), "it was let in before");
    assert!(!Client::of(&running).await.shared);
    assert_eq!(calls(&running), 2);
}

fn long() -> Answer {
    let (chunks, length) = LONG;
    (0..chunks).fold(Answer::stream(), |answer, _| answer.text(&"x".repeat(length))).finish().event("[DONE]").end()
}

#[tokio::test]
async fn who_keeps_up_hears_all_of_a_long_answer_and_who_does_not_is_cut_alone() {
    let mut running = start().await;
    running.upstream.on("small-upstream", [long(), Answer::completion("new")]);
    let mut first = Client::of(&running).await;
    let (mut quick, slow) = (Client::of(&running).await, Client::of(&running).await);
    let whole = tokio::spawn(running.post("/v1/chat/completions", ask("small").to_string()).send());
    in_flight(&running, 4).await;
    for _ in 0..=LONG.0 {
        let text = first.hear().await.unwrap();
        assert_eq!(quick.hear().await.unwrap(), text);
    }
    assert_eq!([first.hear().await, quick.hear().await], [Err("done".into()), Err("done".into())]);
    assert_eq!(running.finished().await.outcome, Outcome::Answered);
    assert_eq!(running.finished().await.outcome, Outcome::Answered);
    let (said, end) = slow.rest().await;
    assert!(said.is_empty() && end.contains("no-store"), "{end}");
    assert!(!is_hit(&whole.await.unwrap().unwrap()), "what is not kept is not waited for");
    let traces = finished(&mut running, 2).await;
    assert_eq!([traces[0].outcome, traces[1].outcome], [Outcome::Answered, Outcome::Cut]);
}

#[tokio::test]
async fn the_client_whose_call_it_is_loses_nothing_however_slowly_it_reads() {
    let running = start().await;
    running.upstream.on("small-upstream", [long()]);
    let (mut first, mut other) = (Client::of(&running).await, Client::of(&running).await);
    let mut ahead = 0;
    for _ in 0..10_000 {
        if let Some(heard) = other.hear().now_or_never() {
            ahead += heard.unwrap().len();
        }
        yield_now().await;
    }
    assert!((1..=(1 << 20) + LONG.1).contains(&ahead), "others wait for it from a point on: {ahead}");
    let mut said = 0;
    while said < ahead {
        said += first.hear().await.unwrap().len();
    }
    while let Ok(text) = first.hear().await {
        assert_eq!(other.hear().await.unwrap(), text);
        said += text.len();
    }
    assert_eq!((other.hear().await.unwrap_err(), said), ("done".into(), LONG.0 * LONG.1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_nobody_misses_a_word() {
    let running = start().await;
    let words: Vec<String> = (0..100).map(|n| format!("{n} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    running.upstream.on("small-upstream", [Answer::says(&words)]);
    for round in 0..20 {
        let mut body = ask_stream("small");
        body["seed"] = round.into();
        let mut clients = vec![];
        for _ in 0..16 {
            clients.push(Client::asking(&running, &body).await);
        }
        assert_eq!(clients.iter().filter(|client| client.shared).count(), 15);
        for heard in clients.into_iter().map(|client| tokio::spawn(client.rest())).collect::<Vec<_>>() {
            let heard = timeout(PATIENCE, heard).await.expect("nobody sleeps through it").unwrap();
            assert_eq!(heard, (words.concat(), "done".into()));
        }
    }
}

#[test]
fn whoever_comes_while_an_answer_is_being_kept_brings_nothing_to_a_halt() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let (over, ended) = mpsc::channel();
    runtime.spawn(async move {
        a_crowd_at_the_end().await;
        over.send(()).unwrap();
    });
    let ended = ended.recv_timeout(PATIENCE);
    // It could not wait for threads that wait for each other.
    runtime.shutdown_background();
    ended.expect("it comes to an end");
}

/// Many small chunks, for then it takes a while to keep them; requests for the same come all the while.
async fn a_crowd_at_the_end() {
    const CHUNKS: usize = 2000;
    let running = Arc::new(start().await);
    let (gate, text) = (Gate::closed(), "word ".repeat(20));
    let begin = (0..CHUNKS).fold(Answer::stream(), |answer, _| answer.text(&text));
    running.upstream.on("small-upstream", [begin.wait(&gate).then(lo())]);
    let mut first = Client::of(&running).await;
    for _ in 0..CHUNKS {
        first.hear().await.unwrap();
    }
    let crowd: Vec<_> = (0..8).map(|_| tokio::spawn(ask_until_it_is_kept(running.clone()))).collect();
    gate.open();
    assert_eq!(first.rest().await, ("lo".into(), "done".into()));
    for one in crowd {
        one.await.unwrap();
    }
    assert_eq!(calls(&running), 1);
}

async fn ask_until_it_is_kept(running: Arc<Running>) {
    while Client::of(&running).await.shared {
        yield_now().await;
    }
}

#[tokio::test]
async fn who_listens_to_a_route_is_recorded_as_a_kept_answer_is() {
    let mut running = start().await;
    running.upstream.on("", [Answer::says(&["Hel", "lo"])]);
    let body = || Bytes::from(ask_stream("auto").to_string());
    let mut decisions = vec![];
    let mut streams = vec![];
    for _ in 0..2 {
        let answer = running.gateway.chat(body(), Wishes::default()).await.unwrap_or_else(|error| panic!("{error}"));
        decisions.push(answer.facts.decision());
        streams.push(answer.body);
    }
    assert_eq!((decisions[1], calls(&running)), ("cache", 1));
    drop(streams);
    let traces = finished(&mut running, 2).await;
    let decision = traces[1].decision.as_ref().unwrap();
    assert_eq!((&*decision.policy, decision.candidates.len()), ("shared", 0));
    assert_eq!(traces[1].model, traces[0].model);
}

#[tokio::test]
async fn a_call_whose_later_pieces_repeat_nothing_but_empty_texts_is_given_again_whole() {
    let call = |id: &str, name: &str, arguments: &str| {
        let call =
            json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        json!({"id": "x", "choices": [{"index": 0, "delta": {"content": "", "tool_calls": [call]}, "finish_reason": null}]})
            .to_string()
    };
    let running = start().await;
    let pieces = [call("call_1", "get_", ""), call("", "weather", ""), call("", "", "{\"x\":"), call("", "", "1}")];
    let answer = pieces.iter().fold(Answer::stream(), |answer, piece| answer.event(piece));
    running.upstream.on("small-upstream", [answer.finish().event("[DONE]").end()]);
    assert!(!hit(&running, ask_stream("small")).await);
    let again = running.chat(ask("small")).await;
    assert!(is_hit(&again));
    let message = crate::gateway::body(again).await["choices"][0]["message"].take();
    let function = json!({"name": "get_weather", "arguments": "{\"x\":1}"});
    assert_eq!(message["tool_calls"], json!([{"id": "call_1", "type": "function", "function": function}]));
}
