//! Who is not asked, for how long, and what that takes from nobody else.

use std::time::Duration;

use futures_util::StreamExt;
use satisfice::catalog::Model;
use satisfice::gateway::Settings;
use satisfice::upstream::{Attempt, Cause, Condition, Fallbacks, Limits, Reply, Upstreams};
use serde_json::json;
use tokio::time::{Instant, advance, timeout};

use crate::gateway::{Options, Running, ask as question, ask_stream, error, header, settings};
use crate::scripted::{Answer, Gate, Scripted};
use crate::upstream_answers::{LIMITS, ask, causes, healthy, model, request, upstreams, whole, with};

fn limited(after: &str) -> Answer {
    Answer::status_with(429, &[("retry-after", after)], "slow down")
}

/// A refusal with these words.
fn refusal(status: u16, message: &str) -> Answer {
    Answer::whole(status, &[], json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string())
}

/// Asks for `name` alone five times, in vain.
async fn fail_five_times(upstreams: &Upstreams, name: &str, stream: bool) {
    let limits = Limits { attempts: 1, ..LIMITS };
    for _ in 0..5 {
        match upstreams.dispatch(&[&model(name)], &request(stream), &limits).await.map(|answered| answered.reply) {
            Ok(Reply::Stream(pieces)) => assert!(pieces.collect::<Vec<_>>().await.pop().unwrap().is_err()),
            reply => assert!(reply.is_err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_until_its_clients_leave_is_left_alone() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::default().hang()]);
    for (waits, is_well) in [(Duration::from_secs(1), true), (Duration::from_secs(3), false)] {
        let upstreams = upstreams(&upstream);
        for _ in 0..5 {
            assert!(timeout(waits, ask(&upstreams, &["a", "b"], false)).await.is_err());
        }
        assert_eq!(healthy(&upstreams, &model("a").id), is_well, "{waits:?}");
        if !is_well {
            assert_eq!(ask(&upstreams, &["a", "b"], false).await.unwrap().target, 1);
        }
    }
}

#[tokio::test]
async fn a_request_whose_client_left_is_counted_at_the_model_that_was_asked() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::default().hang()]);
    tokio::select! {
        _ = running.chat(question("small")) => panic!("the upstream says nothing"),
        () = running.upstream.until_seen(1) => {}
    }
    running.finished().await;
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    let counted = metrics.lines().find(|line| line.starts_with("satisfice_requests_total")).unwrap();
    assert!(counted.contains(r#"model="test/small",outcome="client_gone""#), "{counted}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_model_takes_retries_from_itself_and_no_failover_from_others() {
    let upstream = Scripted::start().await;
    let dead: Vec<String> = (0..12).map(|i| format!("dead-{i}")).collect();
    for name in dead.iter().map(String::as_str).chain(["a"]) {
        upstream.on(name, [Answer::status(500, "out of order")]);
    }
    let upstreams = upstreams(&upstream);
    let mut attempts = 0;
    for name in &dead {
        attempts += ask(&upstreams, &[name], false).await.unwrap_err().attempts.len();
    }
    assert!(attempts < 3 * dead.len() && upstreams.suppressed_retries() > 0, "{attempts}");
    let suppressed = upstreams.suppressed_retries();
    for _ in 0..4 {
        assert_eq!(ask(&upstreams, &["a", "b"], false).await.unwrap().target, 1);
    }
    assert_eq!(upstreams.suppressed_retries(), suppressed);
    let running = Running::start().await;
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("satisfice_retries_suppressed_total 0"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_model_or_one_prompt_leaves_the_providers_other_models() {
    for (answer, cause, is_well) in [
        (refusal(403, "Project `x` does not have access to model `a`"), Cause::Configuration, false),
        (refusal(403, "Your chosen model requires moderation and your input was flagged"), Cause::ContentFilter, true),
        (refusal(402, "You requested up to 65536 tokens, but can only afford 12000."), Cause::Configuration, false),
    ] {
        let upstream = Scripted::start().await;
        upstream.on("a", [answer]);
        let upstreams = upstreams(&upstream);
        let first = ask(&upstreams, &["a"], false).await.unwrap_err();
        assert_eq!(causes(&first.attempts), [Some(cause)]);
        fail_five_times(&upstreams, "a", false).await;
        assert_eq!(healthy(&upstreams, &model("a").id), is_well);
        ask(&upstreams, &["b"], false).await.unwrap();
        assert_eq!(upstreams.providers()[0].keys, [Condition::Closed]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_refused_with_a_400_is_the_operators_matter() {
    let upstream = Scripted::start().await;
    upstream.on("a", [refusal(400, "Your credit balance is too low to access the Anthropic API.")]);
    let upstreams = upstreams(&upstream);
    let dispatched = ask(&upstreams, &["a", "b"], false).await.unwrap();
    assert_eq!(causes(&dispatched.attempts), [Some(Cause::Credentials), None]);
    fail_five_times(&upstreams, "a", false).await;
    assert_eq!(upstreams.providers()[0].keys, [Condition::Open]);
    advance(Duration::from_secs(11)).await;
    ask(&upstreams, &["b"], false).await.unwrap();
    assert_eq!(upstreams.providers()[0].keys, [Condition::Closed], "it was mended meanwhile");
}

#[tokio::test(start_paused = true)]
async fn who_had_no_more_than_the_rest_of_the_time_is_not_to_blame() {
    let upstream = Scripted::start().await;
    upstream.on("", [Answer::default().hang()]);
    let mut limits = LIMITS;
    (limits.deadlines.first_byte, limits.deadlines.total) = (Duration::from_secs(5), Duration::from_secs(6));
    let (models, upstreams) = (["a", "b"].map(model), upstreams(&upstream));
    let targets: Vec<&Model> = models.iter().collect();
    let exhausted = upstreams.dispatch(&targets, &request(false), &limits).await.unwrap_err();
    assert_eq!(causes(&exhausted.attempts), [Some(Cause::Timeout), Some(Cause::Late)]);
    assert!(exhausted.attempts.iter().all(Attempt::may_be_billed), "both prompts were sent");
    let failures = |model: &Model| upstreams.standing(&model.id).unwrap().failures;
    assert_eq!((failures(&models[0]), failures(&models[1])), (1, 0));
    limits.deadlines.total = Duration::from_secs(4);
    let alone = upstreams.dispatch(&targets[1..], &request(false), &limits).await.unwrap_err();
    assert_eq!((causes(&alone.attempts), failures(&models[1])), (vec![Some(Cause::Timeout)], 1), "it had all of it");
}

#[tokio::test(start_paused = true)]
async fn who_said_when_to_ask_again_is_waited_for_or_not_asked_before() {
    for (status, cause) in [(429, Cause::RateLimited), (503, Cause::Server)] {
        let upstream = Scripted::start().await;
        let told = |after| Answer::status_with(status, &[("retry-after", after)], "slow down");
        upstream.on("a", [told("30"), Answer::completion("ok")]);
        upstream.on("b", [told("30")]);
        let upstreams = upstreams(&upstream);
        fail_five_times(&upstreams, "a", false).await;
        let refused = ask(&upstreams, &["a"], false).await.unwrap_err();
        assert_eq!((refused.attempts.len(), refused.error.cause), (0, cause));
        assert!(refused.error.retry_after > Some(Duration::from_secs(25)), "{refused:?}");
        assert_eq!(upstream.counts(["a"]), [1], "{status}: asked once");
        assert_eq!(ask(&upstreams, &["a", "c"], false).await.unwrap().target, 1);
        advance(Duration::from_secs(22)).await;
        let began = Instant::now();
        assert_eq!(whole(ask(&upstreams, &["a"], false).await.unwrap()).text.content, "ok");
        assert!((5..=9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_limited_again_while_it_is_waited_for_is_given_up() {
    let upstream = Scripted::start().await;
    upstream.on("a", [limited("9")]);
    let upstreams = upstreams(&upstream);
    let limits = Limits { attempts: 1, ..LIMITS };
    let ask = async || upstreams.dispatch(&[&model("a")], &request(false), &limits).await;
    ask().await.unwrap_err();
    upstream.on("a", [limited("50")]);
    // Both wait for the same moment, and the one that comes first is refused.
    let (one, other) = tokio::join!(ask(), ask());
    let made = one.unwrap_err().attempts.len() + other.unwrap_err().attempts.len();
    assert!((1..=2).contains(&made) && upstream.counts(["a"]) == [1 + made]);
}

#[tokio::test]
async fn a_single_model_that_fails_is_asked_by_one_at_a_time_and_others_hear_when_to_come_again() {
    let running =
        Running::with(Options { settings: Settings { attempts: 1, ..settings() }, ..Options::default() }).await;
    running.upstream.on("small-upstream", [Answer::status(500, "out of order")]);
    for _ in 0..5 {
        assert_eq!(running.chat(question("small")).await.status(), 502);
    }
    let refused = running.chat(question("small")).await;
    assert_eq!((header(&refused, "retry-after"), header(&refused, "x-satisfice-attempts")), (Some("10"), Some("0")));
    let (status, error) = error(refused).await;
    assert_eq!((status, &error["code"]), (503, &json!("upstream_left_alone")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("test/small is left alone") && message.contains("out of order"), "{message}");
    assert_eq!(running.upstream.counts(["small-upstream"]), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_single_model_that_failed_is_tried_after_a_pause_and_answers_again() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::status(500, "out of order")]);
    let upstreams = upstreams(&upstream);
    fail_five_times(&upstreams, "a", false).await;
    assert_eq!(ask(&upstreams, &["a"], false).await.unwrap_err().error.cause, Cause::LeftAlone);
    let insists = Limits { insists: true, attempts: 1, ..LIMITS };
    let insisted = upstreams.dispatch(&[&model("a")], &request(false), &insists).await.unwrap_err();
    assert_eq!(causes(&insisted.attempts), [Some(Cause::Server)], "where nobody waits, it is asked all the same");
    upstream.on("a", [Answer::completion("ok")]);
    advance(Duration::from_secs(11)).await;
    ask(&upstreams, &["a"], false).await.unwrap();
    assert_eq!(upstreams.standing(&model("a").id).unwrap().condition, Condition::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_cuts_its_answers_off_is_well_once_one_has_ended() {
    let upstream = Scripted::start().await;
    upstream.on("a", [Answer::stream().text("one").close()]);
    let (upstreams, gate) = (upstreams(&upstream), Gate::closed());
    fail_five_times(&upstreams, "a", true).await;
    advance(Duration::from_secs(11)).await;
    upstream.on("a", [Answer::stream().text("one").wait(&gate).finish().event("[DONE]").end()]);
    let Reply::Stream(probe) = ask(&upstreams, &["a"], true).await.unwrap().reply else { panic!("a stream") };
    assert!(!healthy(&upstreams, &model("a").id), "it has begun, as the others had");
    gate.open();
    assert!(probe.collect::<Vec<_>>().await.pop().unwrap().is_ok());
    assert!(healthy(&upstreams, &model("a").id));
}

#[tokio::test]
async fn an_attempt_is_counted_at_its_end() {
    let mut running = Running::start().await;
    running.upstream.on("small-upstream", [Answer::stream().text("half").close(), Answer::says(&["all"])]);
    for _ in 0..2 {
        running.chat(ask_stream("small")).await.text().await.unwrap();
        running.finished().await;
    }
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    let counted = |result| {
        let line = format!(r#"satisfice_upstream_attempts_total{{model="test/small",result="{result}"}} 1"#);
        metrics.contains(&line)
    };
    assert!(counted("cut") && counted("ok"), "{metrics}");
}

/// What is left of an answer when a filter has had it.
const FILTERED: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}],"usage":{"prompt_tokens":1,"completion_tokens":0}}"#;

fn filtered_stream(said: &str) -> Answer {
    let chunk = |delta: serde_json::Value, reason: Option<&str>| {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).to_string()
    };
    let opening = Answer::stream().event(&chunk(json!({"role": "assistant", "content": said}), None));
    opening.event(&chunk(json!({}), Some("content_filter"))).event("[DONE]").end()
}

#[tokio::test]
async fn an_answer_that_a_filter_left_nothing_of_is_asked_of_those_that_its_list_names() {
    let upstream = Scripted::start().await;
    let upstreams = with(upstream.provider("test"));
    let models = ["a", "b", "c"].map(model);
    let targets: Vec<&Model> = models.iter().collect();
    let asked = async |answer: Answer, stream: bool, list: Option<Vec<usize>>| {
        upstream.on("a", [answer]);
        let fallbacks = Fallbacks { content_filter: list, ..Fallbacks::default() };
        let limits = Limits { planned: 1, fallbacks, ..LIMITS };
        upstreams.dispatch(&targets, &request(stream), &limits).await.unwrap()
    };
    for (answer, stream) in [(Answer::json(FILTERED), false), (filtered_stream(""), true)] {
        let dispatched = asked(answer.clone(), stream, Some(vec![1])).await;
        assert_eq!(causes(&dispatched.attempts), [Some(Cause::ContentFilter), None]);
        assert_eq!(asked(answer.clone(), stream, None).await.target, 0, "it is the client's to hear");
        assert_eq!(asked(answer, stream, Some(vec![0])).await.target, 0, "there is nobody else");
    }
    assert_eq!(asked(filtered_stream("Well,"), true, Some(vec![1])).await.target, 0, "something was said");
    upstream.on("b", [Answer::json(FILTERED)]);
    let dispatched = asked(Answer::json(FILTERED), false, Some(vec![1])).await;
    assert_eq!(whole(dispatched).text.finish_reason.as_deref(), Some("content_filter"), "the last one's own words");
    assert!(healthy(&upstreams, &models[0].id));
}
