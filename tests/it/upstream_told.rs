//! Errors that come under a 200, in place of an answer or amid it: they count as what they say they are.

use std::time::Duration;

use futures_util::StreamExt;
use satisfice::gateway::{Fallbacks, Resilience};
use satisfice::trace::Outcome;
use satisfice::upstream::settings::{ProviderSettings, Wire};
use satisfice::upstream::{Attempt, Cause, Condition, Reply};
use serde_json::json;

use crate::gateway::{Options, Running, ask as question, ask_stream, error, header, settings};
use crate::scripted::{Answer, Scripted};
use crate::upstream_answers::{ask, causes, model, upstreams, with};

const OVERLOADED: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
const LIMITED: &str =
    r#"{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
const BUSY: &str = r#"{"error":{"message":"Try again.","type":"server_error","param":null,"code":null}}"#;
const BEGUN: &str =
    r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}"#;

/// The failed attempt of a model whose provider speaks `wire` and answers so; another model answers in its place.
async fn failed(wire: Wire, answer: Answer, stream: bool) -> Attempt {
    let upstream = Scripted::start().await;
    upstream.on("a", [answer]);
    let upstreams = with(ProviderSettings { wire, ..upstream.provider("test") });
    match ask(&upstreams, &["a"], stream).await {
        Ok(dispatched) => dispatched.attempts.into_iter().find(|attempt| attempt.error.is_some()),
        Err(exhausted) => exhausted.attempts.into_iter().next(),
    }
    .expect("a failed attempt")
}

#[tokio::test(start_paused = true)]
async fn an_error_under_a_200_has_the_cause_of_the_status_that_it_stands_for() {
    let google = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let key = include_str!("../fixtures/gemini/error_key.json").replace('\n', " ");
    let cohere = r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"broken"}}"#;
    let ended = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"}}}"#;
    let event = r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null,"sequence_number":0}"#;
    for (wire, body, cause, status) in [
        (Wire::Anthropic, OVERLOADED, Cause::Server, 529),
        (
            Wire::Anthropic,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
            Cause::RateLimited,
            429,
        ),
        (Wire::Anthropic, r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#, Cause::Server, 500),
        (Wire::OpenAi, LIMITED, Cause::RateLimited, 429),
        (Wire::OpenAi, BUSY, Cause::Server, 500),
        (Wire::OpenAi, r#"{"error":{"message":"Provider returned error","code":502}}"#, Cause::Server, 502),
        (Wire::OpenAi, r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#, Cause::ContextLength, 400),
        (Wire::Gemini, google, Cause::Server, 503),
        (Wire::Gemini, &key, Cause::Credentials, 401),
        (Wire::Cohere, cohere, Cause::Server, 500),
        (Wire::OpenAiResponses, ended, Cause::Server, 500),
        (Wire::OpenAiResponses, event, Cause::RateLimited, 429),
    ] {
        let answers =
            [(Answer::stream().event(body).end(), true), (Answer::json(body), true), (Answer::json(body), false)];
        // These are events, and no other answer.
        let forms = if matches!(wire, Wire::Cohere | Wire::OpenAiResponses) { 1 } else { 3 };
        for (answer, stream) in answers.into_iter().take(forms) {
            let attempt = failed(wire, answer, stream).await;
            let error = attempt.error.unwrap();
            assert_eq!((error.cause, attempt.status.map(|status| status.as_u16())), (cause, Some(status)), "{body}");
            assert!(error.message.contains("answered 200, and in it"), "{}", error.message);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_does_not_say_what_it_is_is_no_answer() {
    for body in [
        r#"{"error":{"message":"out of luck"}}"#,
        r#"{"error":"out of luck"}"#,
        r#"{"object":"error","message":"out of luck"}"#,
        r#"{"detail":"out of luck"}"#,
    ] {
        for wire in [Wire::OpenAi, Wire::Mistral] {
            for (answer, stream) in [(Answer::stream().event(body).end(), true), (Answer::json(body), false)] {
                let attempt = failed(wire, answer, stream).await;
                let error = attempt.error.unwrap();
                assert_eq!((error.cause, attempt.status), (Cause::Malformed, None));
                assert_eq!(error.message, "provider test: an error instead of an answer: out of luck");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_choice_that_an_error_broke_off_is_no_answer() {
    let choice = |more: &str| {
        format!(r#"{{"id":"1","choices":[{{"index":0,"message":{{"content":"part"}},"finish_reason":{more}}}]}}"#)
    };
    for (more, status, words) in [
        (r#""error""#, 500, "finish reason is \"error\""),
        (r#""insufficient_system_resource""#, 500, "finish reason is \"insufficient_system_resource\""),
        (r#""error","error":{"code":502,"message":"upstream error"}"#, 502, "upstream error"),
    ] {
        let attempt = failed(Wire::OpenAi, Answer::json(choice(more)), false).await;
        let error = attempt.error.unwrap();
        assert_eq!((error.cause, attempt.status.map(|status| status.as_u16())), (Cause::Server, Some(status)));
        assert!(error.message.contains(words), "{}", error.message);
    }
}

#[tokio::test]
async fn an_answer_that_ends_badly_is_cut_in_every_protocol_and_not_kept() {
    let event = "event: error\ndata: {\"message\":\"oh\"}\n\n";
    let empty = r#"{"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":""}]}"#;
    let endings = [
        Answer::stream().event(BEGUN).event("[DONE]").end(),
        Answer::stream().event(BEGUN).piece(event).event("[DONE]").end(),
        Answer::stream().event(empty).end(),
        Answer::stream().event(BEGUN).event(&empty.replace("\"\"", "\"error\"")).event("[DONE]").end(),
    ];
    for answer in endings {
        for (path, cut) in [
            ("/v1/chat/completions", "upstream_cut"),
            ("/v1/messages", "event: error"),
            ("/v1/responses", "response.failed"),
        ] {
            let mut running = crate::cache::start().await;
            running.upstream.on("small-upstream", [answer.clone()]);
            for calls in [1, 2] {
                let asked = crate::both_names::request(path, true);
                let text = running.post(path, asked).send().await.unwrap().text().await.unwrap();
                assert!(text.contains("Hi") && text.contains(cut), "{path}: {text}");
                assert!(!text.contains("[DONE]") && !text.contains("message_stop") && !text.contains("completed\""));
                assert_eq!((running.finished().await.outcome, running.upstream.seen().len()), (Outcome::Cut, calls));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_told_in_a_stream_says_how_long_it_lasts_and_another_key_is_used() {
    let quota = include_str!("../fixtures/gemini/error_quota.json").replace('\n', " ");
    let error = failed(Wire::Gemini, Answer::stream().event(&quota).end(), true).await.error.unwrap();
    assert_eq!((error.cause, error.retry_after), (Cause::RateLimited, Some(Duration::from_secs_f64(37.5))));
    let upstream = Scripted::start().await;
    let keys = vec!["sk-the-first-one".into(), "sk-the-second-one".into()];
    upstream.on("a", [Answer::stream().event(LIMITED).end(), Answer::says(&["ok"])]);
    let upstreams = with(ProviderSettings { api_keys: keys, ..upstream.provider("test") });
    let dispatched = ask(&upstreams, &["a"], true).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::RateLimited), None]);
    let used = upstream.seen().iter().map(|seen| seen.headers["authorization"].clone()).collect::<Vec<_>>();
    assert_eq!(used, ["Bearer sk-the-first-one", "Bearer sk-the-second-one"]);
}

#[tokio::test(start_paused = true)]
async fn overload_counts_against_a_model_and_a_limit_does_not() {
    for (body, failures, condition) in [(BUSY, 5, Condition::Open), (LIMITED, 0, Condition::Closed)] {
        let upstream = Scripted::start().await;
        upstream.on("a", [Answer::stream().event(body).end()]);
        let upstreams = upstreams(&upstream);
        for _ in 0..5 {
            ask(&upstreams, &["a", "b"], true).await.unwrap();
        }
        let standing = upstreams.standing(&model("a").id).unwrap();
        assert_eq!((standing.failures, standing.condition), (failures, condition), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_amid_a_stream_ends_it_and_counts_as_what_it_is() {
    for (body, cause, failures) in [(BUSY, Cause::Server, 1), (LIMITED, Cause::RateLimited, 0)] {
        let upstream = Scripted::start().await;
        upstream.on("a", [Answer::stream().event(BEGUN).event(body).end()]);
        let upstreams = upstreams(&upstream);
        let Reply::Stream(items) = ask(&upstreams, &["a", "b"], true).await.unwrap().reply else { panic!("a stream") };
        let last = items.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().cause, cause);
        assert_eq!(upstreams.standing(&model("a").id).unwrap().failures, failures);
    }
}

/// `auto` has `small` alone; `large` answers for it after errors, `plain` after rate limits.
async fn with_fallbacks() -> Running {
    let mut settings = settings();
    let [small, large, plain] = [0, 1, 2].map(|i| settings.models[i].clone());
    let fallbacks = Fallbacks { error: Some(vec![large]), rate_limit: Some(vec![plain]), ..Fallbacks::default() };
    settings.routes[0].models = vec![small];
    settings.routes[0].resilience = Resilience { fallbacks, ..Resilience::default() };
    Running::with(Options { settings, ..Options::default() }).await
}

#[tokio::test]
async fn the_list_for_its_cause_answers_before_the_first_byte_and_the_trace_says_why() {
    for (told, instead, status, words) in
        [(BUSY, "test/large", 500, "Try again."), (LIMITED, "test/plain", 429, "Slow down.")]
    {
        for (answer, body) in [
            (Answer::stream().event(told).end(), ask_stream("auto")),
            (Answer::json(told), ask_stream("auto")),
            (Answer::json(told), question("auto")),
        ] {
            let mut running = with_fallbacks().await;
            running.upstream.on("small-upstream", [answer]);
            let response = running.chat(body).await;
            assert_eq!(header(&response, "x-satisfice-model"), Some(instead), "{told}");
            assert!(response.text().await.unwrap().contains("ok"));
            let trace = running.finished().await;
            assert_eq!((trace.outcome, trace.attempts.len()), (Outcome::Answered, 2));
            let first = &trace.attempts[0];
            let error = first.error.as_deref().unwrap();
            assert_eq!(first.status, Some(status));
            assert!(error.contains("answered 200, and in it") && error.contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn an_overload_behind_the_start_of_a_message_is_made_good_elsewhere() {
    let start = r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","model":"claude","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let providers = |upstream: &Scripted| {
        let claude = ProviderSettings { wire: Wire::Anthropic, ..upstream.provider("claude") };
        vec![claude, upstream.provider("test")]
    };
    let mut settings = settings();
    let claude = crate::gateway::model_of("claude", "claude", "claude-upstream", 0.05);
    settings.models.push(claude);
    let mut running = Running::with(Options { settings, providers: Some(providers), ..Options::default() }).await;
    running
        .upstream
        .on("claude-upstream", [Answer::stream().event(start).event(r#"{"type":"ping"}"#).event(OVERLOADED).end()]);
    let mut asked = ask_stream("claude");
    asked["models"] = json!(["claude", "large"]);
    let response = running.chat(asked).await;
    assert_eq!(header(&response, "x-satisfice-model"), Some("test/large"));
    let text = response.text().await.unwrap();
    assert!(text.contains("ok") && !text.contains("claude") && text.ends_with("data: [DONE]\n\n"), "{text}");
    let trace = running.finished().await;
    let statuses: Vec<_> = trace.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!((trace.outcome, statuses), (Outcome::Answered, vec![Some(529), Some(200)]));
}

#[tokio::test]
async fn the_clients_own_fault_told_in_a_stream_is_the_clients_to_hear() {
    let running = with_fallbacks().await;
    let told = r#"{"error":{"message":"No such tool.","type":"invalid_request_error","param":"tools","code":null}}"#;
    running.upstream.on("small-upstream", [Answer::stream().event(told).end()]);
    let (status, error) = error(running.chat(ask_stream("auto")).await).await;
    assert_eq!(
        (status, error["param"].as_str(), error["message"].as_str()),
        (400, Some("tools"), Some("No such tool."))
    );
    assert_eq!(running.upstream.seen().len(), 1, "nobody else is asked");
}

#[tokio::test]
async fn the_trace_of_an_answer_that_was_cut_says_by_what() {
    let mut running = with_fallbacks().await;
    running.upstream.on("small-upstream", [Answer::stream().event(BEGUN).event(LIMITED).end()]);
    let text = running.chat(ask_stream("auto")).await.text().await.unwrap();
    assert!(text.contains("Hi") && text.contains("Slow down.") && !text.contains("[DONE]"), "{text}");
    let trace = running.finished().await;
    let error = trace.attempts[0].error.as_deref().unwrap();
    assert_eq!((trace.outcome, trace.attempts.len()), (Outcome::Cut, 1));
    assert!(error.contains("429") && error.contains("Slow down."), "{error}");
    for (path, words) in [
        ("/v1/chat/completions", r#""type":"rate_limit_error","param":null,"code":"rate_limit_exceeded""#),
        ("/v1/responses", r#""code":"rate_limit_exceeded""#),
        ("/v1/messages", r#""type":"rate_limit_error""#),
    ] {
        let body = json!({"model": "auto", "stream": true, "max_tokens": 9, "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]});
        let text = running.post(path, body.to_string()).send().await.unwrap().text().await.unwrap();
        assert!(text.contains(words) && text.contains("Slow down."), "{path}: {text}");
    }
}
