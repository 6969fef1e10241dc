//! `satisfice calibrate` on a route with a judge: it grades every answer, and what it costs is said, bounded and kept.

use satisfice::store::Entry;
use serde_json::{Value, json};

use crate::calibrate::{Bench, PROMPTS, count, is_decided, is_judged, qualities};
use crate::scripted::{Answer, Seen};

/// USD for the 10 tokens in and 5 out of each grade, at 100 and 200 USD per million.
const GRADE_USD: f64 = 0.002;

/// Prompts without a reference; `small` is right, and the judge sees it.
async fn bench() -> Bench {
    bench_of(Value::Null).await
}

async fn bench_of(reference: Value) -> Bench {
    let prompt = |i: usize| {
        json!({"reference": reference, "max_tokens": 50,
               "messages": [{"role": "user", "content": format!("Case {i}: what is 3 + 4?")}]})
    };
    let bench = Bench::new(&(0..PROMPTS).map(prompt).collect::<Vec<_>>()).await;
    bench.script(7, 8);
    let judge = "[[models]]\nname = \"grader\"\nprovider = \"test\"\ninput_usd_per_mtok = 100\n\
                 output_usd_per_mtok = 200\n[[scorers]]\nname = \"strict\"\nkind = \"judge\"\nmodel = \"grader\"\n\
                 share = 0\n";
    bench.write("satisfice.toml", &(bench.config() + judge));
    bench.upstream.on_each("grader", grade);
    bench
}

fn grade(seen: &Seen) -> Answer {
    let right = seen.json()["messages"][1]["content"].as_str().unwrap().contains("the answer is 7.");
    Answer::completion(if right { "{\"grade\": 1}" } else { "{\"grade\": 0}" })
}

fn is_graded(entry: &Entry) -> bool {
    matches!(entry, Entry::Scored(score) if score.source == "strict" && score.metric == "judge" && score.weight == 0.5)
}

fn is_charged(entry: &Entry) -> bool {
    matches!(entry, Entry::Charged { usd, .. } if (usd - GRADE_USD).abs() < 1e-12)
}

#[tokio::test]
async fn the_judge_of_the_route_grades_every_answer_and_the_route_learns_from_it() {
    let bench = bench().await;
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(
        said.contains("the judge strict (test/grader) grades every answer") && !said.contains("teach length"),
        "{said}"
    );
    assert_eq!(bench.upstream.counts(["small", "large", "grader"]), [PROMPTS, PROMPTS, 2 * PROMPTS]);
    let entries = bench.entries();
    assert_eq!([is_graded, is_charged].map(|kind| count(&entries, kind)), [2 * PROMPTS; 2]);
    assert_eq!([0, 1].map(|arm| bench.route().arms[arm].scored), [PROMPTS as u64; 2]);
    let [small, large] = qualities(&bench.route());
    assert!(small - large > 0.2, "{small} {large}");
    let measured = |model: &str| said.lines().rfind(|line| line.contains(model) && line.contains("30  ")).unwrap();
    assert!(measured("test/small").contains("1.000") && measured("test/large").contains("0.000"), "{said}");
}

#[tokio::test]
async fn what_the_judge_costs_is_in_the_estimate_and_in_what_was_spent() {
    let bench = bench().await;
    let (said, error) = bench.calibrate(&[]).await.unwrap_err();
    let number = |line: &str, from_the_end: usize| -> f64 {
        line.split_whitespace().rev().nth(from_the_end).unwrap().parse().unwrap()
    };
    let line = |name: &str| said.lines().find(|line| line.contains(name)).unwrap().to_owned();
    let (judge, total) = (line("judge strict: test/grader"), line("total, estimated"));
    assert!(judge.contains(&format!(" {} ", 2 * PROMPTS)) && number(&judge, 1) > 0.1, "{said}");
    assert!(number(&total, 1) >= number(&judge, 1), "{said}");
    let spend = error.split("about ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(spend.parse::<f64>().unwrap(), number(&total, 1), "{error}");
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    let grades = 2.0 * PROMPTS as f64 * GRADE_USD;
    let spent = said.split("answers for ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!((spent.parse::<f64>().unwrap() - grades - PROMPTS as f64 * 22e-6).abs() < 1e-3, "{said}");
}

#[tokio::test]
async fn the_limit_bounds_what_the_judge_costs_too() {
    let bench = bench().await;
    let limit = (10.0 * GRADE_USD).to_string();
    let (_, error) = bench.calibrate(&["--yes", "--concurrency", "1", "--max-usd", &limit]).await.unwrap_err();
    assert!(error.contains("stopped before 50 calls"), "{error}");
    assert_eq!(count(&bench.entries(), is_graded), 10);
}

#[tokio::test]
async fn a_reference_and_a_judge_both_count_by_their_weights() {
    let bench = bench_of("8".into()).await;
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert_eq!([is_judged, is_graded].map(|kind| count(&bench.entries(), kind)), [2 * PROMPTS; 2]);
    assert!(said.contains("0.333") && said.contains("0.667"), "{said}");
}

#[tokio::test]
async fn an_answer_that_no_judge_has_graded_is_graded_by_the_next_run_and_not_asked_for_again() {
    let bench = bench().await;
    bench.upstream.on_each("grader", |_| Answer::status(400, "not today"));
    let (_, error) = bench.calibrate(&["--yes"]).await.unwrap_err();
    assert!(error.starts_with("no judge gave a grade"), "{error}");
    assert_eq!([is_decided, is_graded].map(|kind| count(&bench.entries(), kind)), [2 * PROMPTS, 0]);
    bench.upstream.on_each("grader", grade);
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("0 answers for 0.1") && said.contains("60 grades"), "{said}");
    assert_eq!(bench.upstream.counts(["small", "large"]), [PROMPTS; 2]);
    assert_eq!(count(&bench.entries(), is_graded), 2 * PROMPTS);
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("there is nothing to ask"), "{said}");
}

#[tokio::test]
async fn a_route_that_leaves_the_judge_out_is_not_graded() {
    let bench = bench().await;
    let config = std::fs::read_to_string(bench.path("satisfice.toml")).unwrap();
    bench.write("satisfice.toml", &config.replace("explore = false\n", "explore = false\nscorers = []\n"));
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("30 prompts have no reference, and no judge grades them"), "{said}");
    assert_eq!(bench.upstream.counts(["grader"]), [0]);
}
