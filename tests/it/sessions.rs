//! Which requests are one conversation, through the public door: by the session that a client names, else by how the
//! conversation begins; and never across clients.

use std::sync::Arc;

use satisfice::catalog::{Model, Price};
use satisfice::server::ApiKeys;
use serde_json::json;

use crate::gateway::{Options, Running, header, model_of, route, settings};
use crate::scripted::Answer;

/// The route `auto` with one model at two providers, of which `west` has the first turn, always; but the first request
/// finds it out of order, and `east` reads it.
async fn east_has_read(first: Request<'_>) -> Running {
    let price = Price { cached_input: Some(0.1), ..Price::of(1.0, 2.0) };
    let models = ["east", "west"].map(|provider| {
        let model = model_of(provider, "small", &format!("{provider}-small"), 1.0);
        Arc::new(Model { price: Some(price), ..(*model).clone() })
    });
    let mut settings = settings();
    settings.routes = vec![route("auto", models.to_vec())];
    settings.models = models.to_vec();
    let keys = ApiKeys::new(&["one".into(), "two".into()]);
    let running = Running::with(Options { settings, keys, ..Options::default() }).await;
    running.upstream.on("west-small", [Answer::status(500, "out of order"), Answer::completion("ok")]);
    assert_eq!(first.answered_by(&running).await, "east/small");
    assert_eq!(running.upstream.counts(["west-small"]), [1]);
    running
}

/// A question that is long enough for a provider to keep it.
#[derive(Clone, Copy)]
struct Request<'a> {
    key: &'a str,
    session: Option<&'a str>,
    beginning: &'a str,
}

impl Request<'_> {
    async fn answered_by(self, running: &Running) -> String {
        let question = format!("{} {}", self.beginning, "the quick brown fox jumps over the lazy dog ".repeat(200));
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": question}]}).to_string();
        let request = running.post("/v1/chat/completions", body).bearer_auth(self.key);
        let request =
            self.session.into_iter().fold(request, |request, name| request.header("x-satisfice-session", name));
        header(&request.send().await.unwrap(), "x-satisfice-model").unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_named_session_is_one_conversation_however_its_requests_begin() {
    let first = Request { key: "one", session: Some("s-1"), beginning: "Once" };
    let running = east_has_read(first).await;
    assert_eq!(Request { beginning: "Twice", ..first }.answered_by(&running).await, "east/small");
    assert_eq!(Request { session: Some("s-2"), ..first }.answered_by(&running).await, "west/small", "another session");
    assert_eq!(Request { session: None, ..first }.answered_by(&running).await, "west/small", "no session");
}

#[tokio::test]
async fn without_a_session_a_conversation_is_what_begins_alike() {
    let first = Request { key: "one", session: None, beginning: "Once" };
    let running = east_has_read(first).await;
    assert_eq!(first.answered_by(&running).await, "east/small");
    assert_eq!(Request { beginning: "Twice", ..first }.answered_by(&running).await, "west/small");
}

#[tokio::test]
async fn two_clients_share_no_conversation_by_name_or_by_beginning() {
    for session in [Some("s-1"), None] {
        let first = Request { key: "one", session, beginning: "Once" };
        let running = east_has_read(first).await;
        assert_eq!(Request { key: "two", ..first }.answered_by(&running).await, "west/small", "{session:?}");
        assert_eq!(first.answered_by(&running).await, "east/small", "{session:?}");
    }
}
