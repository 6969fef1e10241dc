//! What the classifier sees of a request, and what it makes of it, through the shipped bundle.

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use satisfice::api::chat::ChatRequest;
use satisfice::difficulty::{Bundle, Context};
use satisfice::features::{Features, SIGNAL_WIDTH};
use serde::Deserialize;
use serde_json::{Value, json};

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| Bundle::embedded().expect("the shipped bundle"));

/// Features of a prompt as the Python reference computes them: all signals, and the first values of the pooled vectors.
#[derive(Deserialize)]
struct Golden {
    text: String,
    signals: Vec<f32>,
    mean: Vec<f32>,
}

fn conversation(messages: &Value) -> ChatRequest {
    let body = json!({"model": "auto", "messages": messages}).to_string();
    ChatRequest::parse(&Bytes::from(body)).expect("a valid request")
}

fn prompt(text: &str) -> ChatRequest {
    conversation(&json!([{"role": "user", "content": text}]))
}

fn extract(request: &ChatRequest) -> Features {
    BUNDLE.extractor.extract(request).expect("the static encoder never fails")
}

fn assess(text: &str) -> Context {
    BUNDLE.classifier.assess(&extract(&prompt(text))).expect("assessed")
}

#[test]
fn features_agree_with_the_reference() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("../fixtures/features.json")).expect("the fixture");
    for Golden { text, signals, mean } in golden {
        assert_eq!(signals.len(), SIGNAL_WIDTH);
        let values = extract(&prompt(&text)).values;
        for (start, expected) in [(0, signals), (SIGNAL_WIDTH, mean)] {
            for (i, (found, expected)) in values[start..].iter().zip(expected).enumerate() {
                assert!((found - expected).abs() < 1e-4, "{text:?}: value {}: {found}, not {expected}", start + i);
            }
        }
    }
}

#[test]
fn the_same_request_gives_the_same_bits() {
    let request = prompt("Prove that there are infinitely many primes. Ünïcode 中文 too.");
    let first = extract(&request);
    assert_eq!(first.values.len(), BUNDLE.extractor.width());
    assert_eq!(first, extract(&request));
    assert_eq!(BUNDLE.classifier.assess(&first), BUNDLE.classifier.assess(&first));
}

#[test]
fn harder_prompts_are_assessed_as_harder() {
    let easy = assess("Tom has 3 apples and buys 4 more apples. How many apples does Tom have now?");
    let hard = assess(
        "Let $f(x) = \\sum_{n=1}^{\\infty} \\frac{\\sin(n^2 x)}{n^2}$. Find the number of real roots of $f'(x) = \
         \\sqrt{3} x^3 - 2$ in the interval $[0, 2\\pi)$, where $x \\equiv 1 \\pmod{7}$, and express the result as \
         $\\frac{m}{n}$ with $m$ and $n$ relatively prime. What is $m + n$?",
    );
    assert!(easy.difficulty < 0.4 && hard.difficulty > 0.6, "{} {}", easy.difficulty, hard.difficulty);
    assert_eq!(easy.phi.len(), BUNDLE.prior.dimension);
    assert_eq!(easy.phi[0], 1.0);
}

#[test]
fn prompts_far_from_training_are_uncertain_and_not_confidently_guessed() {
    let usual = assess("A store sells pens at $3 each. If Ann buys 12 pens and pays with $50, how much change is due?");
    assert!(usual.widening < 1.5, "{}", usual.widening);
    let far = [
        "Selitä lyhyesti, mitä eroa on hallinto-oikeudella ja korkeimmalla hallinto-oikeudella, ja milloin päätöksestä \
         voi valittaa valitusluvalla markkinaoikeuteen.",
        "请解释一下量子纠缠的基本原理，并给出一个日常生活中的比喻。",
        "ما هي عاصمة فرنسا ولماذا هي مشهورة؟",
        "QmFzZTY0IGVuY29kaW5nIGlzIGZ1biBhbmQgaGFyZCB0byByZWFkQmFzZTY0IGVuY29kaW5nIGlzIGZ1biBhbmQgaGFyZA==",
    ];
    for text in far {
        let context = assess(text);
        assert!(context.widening > 2.0, "{text}: {}", context.widening);
        assert!(context.phi[1..].iter().all(|z| z.abs() < 2.0), "{text}: {:?}", context.phi);
    }
}

#[test]
fn any_request_can_be_assessed() {
    let huge = "lorem ipsum 42 ".repeat(200_000);
    let odd = [
        json!([{"role": "user", "content": ""}]),
        json!([{"role": "user"}]),
        json!([{"role": "assistant", "content": null}]),
        json!([{"role": "system", "content": huge}, {"role": "user", "content": huge}]),
        json!([{"role": "user", "content": "\u{0}\u{FFFD}\u{202E}\u{E000}"}]),
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]),
    ];
    for messages in odd {
        let features = extract(&conversation(&messages));
        let context = BUNDLE.classifier.assess(&features).expect("assessed");
        assert!(is_sane(&context), "{context:?}");
    }
}

proptest! {
    #[test]
    fn any_text_can_be_assessed(text in "\\PC{0,300}", system in "(?s).{0,100}") {
        let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": text}]);
        let context = BUNDLE.classifier.assess(&extract(&conversation(&messages))).expect("assessed");
        prop_assert!(is_sane(&context), "{context:?}");
    }
}

fn is_sane(context: &Context) -> bool {
    context.phi.iter().all(|z| z.abs() <= 4.0)
        && (0.0..=1.0).contains(&context.difficulty)
        && (1.0..=7.0).contains(&context.widening)
        && context.verbosity.abs() <= 3.0
}

#[test]
fn input_tokens_count_the_whole_conversation_with_tools_and_images() {
    let tokens =
        |body: Value| extract(&ChatRequest::parse(&Bytes::from(body.to_string())).expect("valid")).input_tokens;
    let text = "word ".repeat(80);
    let turns = json!([{"role": "system", "content": text}, {"role": "user", "content": text}]);
    assert_eq!(tokens(json!({"model": "auto", "messages": turns})), 200);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test/y"}}]}]);
    assert_eq!(tokens(json!({"model": "auto", "messages": image})), 765);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    assert!(tokens(json!({"model": "auto", "messages": turns, "tools": tools})) > 210);
}
