use std::collections::HashMap;
use std::io::BufRead as _;

use super::*;

/// (reply, reference): these agree.
const RIGHT: &[(&str, &str)] = &[
    // Numbers.
    ("18", "18"),
    ("The answer is 18.", "18"),
    ("She sells 9 eggs at $2, so she makes 9 * 2 = $18 every day.", "18"),
    ("16 - 3 - 4 = 9\n9 * 2 = 18\n#### 18", "18"),
    ("It costs $1,234.50 in all.", "1234.5"),
    ("Answer: 18.00", "18"),
    ("**Final answer:** 18 dollars", "18"),
    ("The answer is 18% (rounded from 17.6).", "18"),
    ("The answer is x = 3 + 4 = 7 apples", "7"),
    ("Therefore \\(x = \\boxed{-150}\\).", "-150"),
    ("\\boxed{\\frac{3}{4}}", "0.75"),
    ("The answer is 3/4", "\\dfrac{3}{4}"),
    ("We get $\\boxed{12{,}345}$ ways.", "12345"),
    ("So it is −5.", "-5"),
    ("He owes -$5", "-5"),
    ("```json\n{\n  \"reasoning\": \"2 + 2\",\n  \"answer\": \"4\"\n}\n```", "4"),
    ("{\"answer\": 4.0}", "4"),
    ("{\"reasoning\": \"3 is wrong\", \"final_answer\": \"\\(4\\)\"}", "4"),
    ("5,600", "5600"),
    ("The answer is:\n\n42", "42"),
    // Options.
    ("B", "B"),
    ("(B)", "B"),
    ("B.", "B"),
    ("b", "B"),
    ("B. Paris", "(B)"),
    ("The answer is B", "B"),
    ("The correct answer is (B) because A is wrong.", "B"),
    ("The answer is option C.", "C"),
    ("Let us see. (A) is too long, (C) too short.\n\nAnswer: **D**", "D"),
    ("\\boxed{\\text{E}}", "E"),
    ("The answer is A - it rains", "A"),
    ("I considered everything.\n\n(I)", "I"),
    ("B) Paris is the capital.\n\nIt lies on the Seine.", "B"),
    ("{\"answer\": \"C\"}", "C"),
    // Texts.
    ("Paris", "paris"),
    ("The capital of France is Paris.", "Paris"),
    ("The answer is **True**.", "True"),
    ("I thought about it.\nAnswer: the blue   house", "The blue house"),
    ("\\boxed{(3, 5)}", "(3,5)"),
    ("\\boxed{x^2 + 1}", "x^2+1"),
    ("The answer is $\\text{odd}$", "odd"),
    ("{\"answer\": \"'a b'\"}", "'a b'"),
    ("{\"answer\": \"a b\"}", "'a b'"),
    ("{\"answer\": \"[1, 2]\"}", "[1, 2]"),
    ("{\"answer\": \"{\\\"k\\\": 1}\"}", "{'k': 1}"),
    ("The answer is `[1,2]`", "[1, 2]"),
    ("{\"answer\": \"\"}", "''"),
    ("First line\n```\nfoo\n```", "foo"),
];

/// These do not.
const WRONG: &[(&str, &str)] = &[
    ("", "18"),
    ("I do not know.", "18"),
    ("The answer is 18.5", "18"),
    ("The answer is 118", "18"),
    ("First 18, then 3 more: 21", "18"),
    ("The answer is 1,800", "18"),
    ("It is 5.", "-5"),
    ("In 2-5 days it is x5", "-5"),
    ("\\boxed{11, 20, 36}", "36"),
    ("\\boxed{36, 20}", "36"),
    ("{\"answer\": \"['a b']\"}", "['ab']"),
    ("{\"answer\": \"|a\"}", "'||a'"),
    ("{\"reasoning\": \"at first 4\", \"answer\": \"5\"}", "4"),
    ("The answer is 1/3", "0.333"),
    ("The answer is 3/0", "3"),
    ("9007199254740993", "9007199254740992"),
    ("The answer is A", "B"),
    ("A dog barks at B", "A"),
    ("I think so.", "I"),
    ("Both (A) and (B), but in the end (C)", "B"),
    ("The answer is Berlin", "B"),
    ("Lyon", "Paris"),
    ("Parisian", "Paris"),
    ("Paris was my first idea.\nIt is Lyon.", "Paris"),
    ("{\"answer\": \"True and False\"}", "True"),
    ("{\"answer\": \"'Ab'\"}", "'ab'"),
    ("{\"answer\": \"'a  b'\"}", "'a b'"),
    ("{\"answer\": \"[1]\"}", "[]"),
];

#[test]
fn right_answers_agree_however_they_are_written() {
    let missed: Vec<_> = RIGHT.iter().filter(|(reply, reference)| !agrees(reply, reference)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn wrong_answers_do_not() {
    let taken: Vec<_> = WRONG.iter().filter(|(reply, reference)| agrees(reply, reference)).collect();
    assert!(taken.is_empty(), "{taken:#?}");
}

#[test]
fn an_endless_number_is_no_panic_and_equal_to_itself_as_text_only() {
    let long = "9".repeat(5_000);
    assert!(agrees(&long, &long));
    assert!(!agrees(&format!("{long}8"), &long));
    assert!(!agrees(&format!("The answer is {long}/{long}"), "1"));
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_judged_without_panic(reply in "\\PC{0,60}", reference in "\\PC{1,20}") {
        agrees(&reply, &reference);
        for text in [format!("answer is {reply}"), format!("\\boxed{{{reply}"), format!("\"answer\": \"{reply}")] {
            agrees(&text, &reference);
        }
    }

    #[test]
    fn every_whole_number_agrees_with_itself_in_a_sentence(n in proptest::num::i64::ANY) {
        let reply = format!("After 3 steps the answer is {n}.");
        proptest::prop_assert!(agrees(&reply, &n.to_string()));
        proptest::prop_assert!(!agrees(&reply, &(i128::from(n) + 1).to_string()));
    }
}

/// A recorded answer.
#[derive(serde::Deserialize)]
struct Outcome {
    quality: f64,
    response: Option<String>,
}

#[derive(serde::Deserialize)]
struct Prompt {
    reference: String,
    outcomes: HashMap<String, Outcome>,
}

/// How often this scorer says what the one that made the workload says, of how many.
fn agreement(file: std::fs::File) -> (usize, usize) {
    let lines = std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    let mut counted = (0, 0);
    for line in lines {
        let prompt: Prompt = serde_json::from_str(&line.expect("text")).expect("a prompt");
        for Outcome { quality, response } in prompt.outcomes.into_values() {
            let Some(response) = response else { continue };
            let same = agrees(&response, &prompt.reference) == (quality == 1.0);
            counted = (counted.0 + usize::from(same), counted.1 + 1);
        }
    }
    counted
}

#[test]
fn recorded_answers_are_judged_as_they_were_by_who_recorded_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/reasoning.jsonl.gz");
    let Ok(file) = std::fs::File::open(path) else {
        eprintln!("skipped: the recorded workloads are not there ({path})");
        return;
    };
    let (same, all) = agreement(file);
    println!("{same} of {all} judged alike");
    assert!(all > 0 && same as f64 > 0.99 * all as f64, "{same} of {all}");
}
