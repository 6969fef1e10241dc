//! `satisfice evaluate --traces` through the program: what it prints, what it refuses.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The `n`th exported request: two models, drawn evenly; the large one is better, the small one cheaper.
fn line(n: usize) -> Value {
    let chosen = n % 2;
    let (arm, cost) = [("small", 1e-3), ("large", 1e-2)][chosen];
    let quality = if chosen == 1 { n % 10 != 1 } else { n % 10 < 6 };
    json!({
        "version": 1, "trace": format!("01a205b3-d001-7000-8000-{n:012x}"), "at_ms": 1_795_392_000_000_u64 + n as u64,
        "route": "auto", "request": null,
        "decision": {
            "policy": "thompson", "kind": "explore", "knob": {"quality": 0.95}, "phi": [1.0, 0.5], "widening": 1.0,
            "verbosity": 0.0, "input_tokens": 100, "difficulty": 0.5,
            "candidates": [{"arm": "small", "quality": 0.55 + 0.3 * (n % 7) as f64 / 6.0, "cost_usd": 1e-3, "propensity": 0.5},
                           {"arm": "large", "quality": 0.85, "cost_usd": 1e-2, "propensity": 0.5}],
            "preferred": 0, "chosen": chosen, "draw": 0.25, "snapshot_version": 7, "bundle": "00000000000000ff"
        },
        "settlement": {"arm": arm, "usage": null, "cost_usd": cost, "outcome": "answered"},
        "scores": [], "reward": {"value": f64::from(u8::from(quality)), "weight": 1.0}
    })
}

fn write(folder: &TempDir, name: &str, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.path().join(name), text).unwrap();
}

/// Exit code, standard output, standard error.
fn evaluate(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_satisfice"));
    let output = command.arg("evaluate").args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "t.jsonl", &(0..600).map(line).collect::<Vec<_>>());
    folder
}

#[test]
fn policies_are_compared_in_a_table() {
    let folder = folder();
    let arguments = ["--traces", "t.jsonl", "--quality", "0.9", "--budget-per-1k", "5", "--compare", "large", "small"];
    let (code, text, error) = evaluate(&folder, &arguments);
    assert_eq!((code, error.as_str()), (0, ""));
    insta::assert_snapshot!(text, @r#"
    route "auto": 600 requests from 2026-11-23 to 2026-11-23, 600 of them judged
      policy       quality (DR)          quality (SNIPS)       quality (IPS)         USD per 1k (DR)             ESS  largest w  support
      logged       0.700 [0.664, 0.736]  0.700 [0.663, 0.737]  0.700 [0.663, 0.737]  5.5000 [5.5000, 5.5000]     600  1.0        1.00
      quality=0.9  0.657 [0.602, 0.711]  0.657 [0.603, 0.710]  0.657 [0.579, 0.735]  3.5800 [3.2541, 3.9059]     300  2.0        1.00
      budget=5     0.687 [0.633, 0.740]  0.687 [0.634, 0.739]  0.687 [0.608, 0.765]  4.8700 [4.5132, 5.2268]     300  2.0        1.00
      large        0.800 [0.755, 0.845]  0.800 [0.755, 0.845]  0.800 [0.721, 0.879]  10.0000 [10.0000, 10.0000]  300  2.0        1.00
      small        0.600 [0.543, 0.657]  0.600 [0.545, 0.655]  0.600 [0.524, 0.676]  1.0000 [1.0000, 1.0000]     300  2.0        1.00
      uniform      0.700 [0.664, 0.736]  0.700 [0.663, 0.737]  0.700 [0.663, 0.737]  5.5000 [5.5000, 5.5000]     600  1.0        1.00
      large less small, on the 600 requests that both can answer:
        quality 0.2001 [0.1271, 0.2731]; at any time [0.0853, 0.3149]: higher
        USD per 1k 9.0000 [9.0000, 9.0000]; at any time [8.8557, 9.1443]: higher

    Values with 95 % intervals. DR: doubly robust, with what was believed of each answer when it was decided.
    Assumed: whether an answer is judged depends on the request and the model, not on how good the answer is;
    that some models' answers are judged more often is corrected for.
    "#);
}

#[test]
fn any_policy_that_a_log_can_tell_of_is_evaluated_on_it() {
    let folder = folder();
    let asked = ["--policy", "cheapest", "linucb", "squarecb", "thompson", "random", "always=small", "--value", "100"];
    let (code, text, error) = evaluate(&folder, &[&["--traces", "t.jsonl", "--json", "-"], &asked[..]].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&text).unwrap();
    let policies = found[0]["policies"].as_array().unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| policy["policy"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["logged", "value=100", "cheapest", "linucb", "squarecb", "thompson", "large", "small", "uniform"]
    );
    let learning = policies.iter().filter(|policy| policy["learns"] == true).count();
    assert_eq!(learning, 3);
    let quality = |name: &str| {
        let policy = policies.iter().find(|policy| policy["policy"] == name).unwrap();
        policy["quality"]["dr"]["value"].as_f64().unwrap()
    };
    assert!((quality("cheapest") - quality("small")).abs() < 1e-12);
    assert!(["linucb", "squarecb", "thompson"].iter().all(|name| quality(name) > quality("uniform") + 0.05), "{text}");
    let compare = ["--traces", "t.jsonl", "--compare", "thompson", "value=100"];
    let (code, text, error) = evaluate(&folder, &compare);
    assert!(code == 0 && text.contains("thompson less value=100, on the 600 requests"), "{text}{error}");
    let (_, text, _) = evaluate(&folder, &["--traces", "t.jsonl", "--policy", "linucb"]);
    assert!(text.contains("having learned from the logged answers to those\nbefore it"), "{text}");
}

#[test]
fn what_a_log_cannot_tell_of_and_what_says_nothing_of_a_log_is_refused() {
    let folder = folder();
    let mixed = |n: usize| {
        let mut line = line(n);
        line["decision"]["bundle"] = format!("{:016x}", n % 2).into();
        line
    };
    write(&folder, "mixed.jsonl", &(0..60).map(mixed).collect::<Vec<_>>());
    let cases: [(&str, &[&str], &str); 9] = [
        (
            "t.jsonl",
            &["--policy", "satisfice"],
            "--policy satisfice: what it believed when it decided is not in a trace",
        ),
        ("t.jsonl", &["--policy", "always=gone"], "--policy always=gone: neither a policy nor a model"),
        ("t.jsonl", &["--compare", "value=0", "logged"], "--compare value=0: give a positive number of USD"),
        ("mixed.jsonl", &["--policy", "linucb"], "--policy linucb: it learns on the features of one training run"),
        ("t.jsonl", &["--bootstrap", "5"], "--bootstrap would change nothing here"),
        ("t.jsonl", &["--seed", "5"], "--seed would change nothing here"),
        ("t.jsonl", &["--svg", "plots"], "--svg would change nothing here: it is about recorded workloads"),
        ("t.jsonl", &["--online"], "--online would change nothing here"),
        ("t.jsonl", &["--seeds", "5"], "--seeds would change nothing here"),
    ];
    for (file, arguments, expected) in cases {
        let (code, out, error) = evaluate(&folder, &[&["--traces", file], arguments].concat());
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    }
}

#[test]
fn files_of_one_export_may_come_in_any_order_and_a_request_in_one_of_them_only() {
    let folder = folder();
    write(&folder, "early.jsonl", &(0..300).map(line).collect::<Vec<_>>());
    write(&folder, "late.jsonl", &(300..600).map(line).collect::<Vec<_>>());
    let asked = ["--policy", "linucb", "squarecb", "thompson", "--compare", "linucb", "small", "--json", "-"];
    let of = |files: &[&str]| {
        let (code, text, error) = evaluate(&folder, &[&["--traces"], files, &asked[..]].concat());
        assert_eq!((code, error.as_str()), (0, ""));
        text
    };
    let whole = of(&["t.jsonl"]);
    assert_eq!(of(&["early.jsonl", "late.jsonl"]), whole);
    assert_eq!(of(&["late.jsonl", "early.jsonl"]), whole);
    let (code, _, error) = evaluate(&folder, &["--traces", "t.jsonl", "late.jsonl"]);
    assert!(code == 2 && error.contains("late.jsonl:1: trace") && error.contains("also in t.jsonl:301"), "{error}");
}

#[test]
fn one_segment_of_a_route_is_judged_by_itself() {
    let folder = folder();
    let line = |n: usize| {
        let mut line = line(n);
        line["decision"]["segment"] = if n < 200 { "strict".into() } else { Value::Null };
        line
    };
    write(&folder, "s.jsonl", &(0..600).map(line).collect::<Vec<_>>());
    let (code, text, _) = evaluate(&folder, &["--traces", "s.jsonl", "--route", "auto", "--segment", "strict"]);
    assert!(code == 0 && text.starts_with("route \"auto\", segment \"strict\": 200 requests"), "{text}");
    let (code, _, error) = evaluate(&folder, &["--traces", "s.jsonl", "--segment", "strict"]);
    assert!(code == 2 && error.contains("--route"), "{error}");
}

#[test]
fn json_has_every_estimator_and_is_never_written_over_another_file_unasked() {
    let folder = folder();
    let (code, text, _) = evaluate(&folder, &["--traces", "t.jsonl", "--json", "-"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    let policy = |name: &str| {
        let policies = found[0]["policies"].as_array().unwrap();
        policies.iter().find(|policy| policy["policy"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(code, 0);
    assert!((policy("large")["quality"]["snips"]["value"].as_f64().unwrap() - 0.8).abs() < 1e-9);
    assert!((policy("small")["usd_per_1k"]["dr"]["value"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    for name in ["logged", "uniform", "quality=0.9", "quality=0.95", "quality=0.99"] {
        assert_eq!(policy(name)["quality"]["observed"], 600);
    }
    let twice = ["--traces", "t.jsonl", "--json", "r.json"];
    assert_eq!(evaluate(&folder, &twice).0, 0);
    let (code, _, error) = evaluate(&folder, &twice);
    assert!(code == 2 && error.contains("r.json exists") && error.contains("--force"), "{error}");
    assert_eq!(evaluate(&folder, &[&twice[..], &["--force"]].concat()).0, 0);
}

#[test]
fn a_model_of_which_no_answer_was_judged_has_no_value_but_what_was_believed() {
    let folder = folder();
    let silent = |n: usize| {
        let mut line = line(n);
        if n % 2 == 1 {
            line["reward"] = Value::Null;
        }
        line
    };
    write(&folder, "s.jsonl", &(0..200).map(silent).collect::<Vec<_>>());
    let (code, text, error) = evaluate(&folder, &["--traces", "s.jsonl"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let large = text.lines().find(|line| line.starts_with("  large ")).unwrap();
    assert_eq!(large.matches("unknown").count(), 2, "{text}");
    let (_, text, _) = evaluate(&folder, &["--traces", "s.jsonl", "--json", "-"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    let policies = found[0]["policies"].as_array().unwrap();
    let large = &policies.iter().find(|policy| policy["policy"] == "large").unwrap()["quality"];
    assert!(["ips", "snips", "sndr"].iter().all(|name| large[name].is_null()), "{large}");
    assert!(large["dr"]["value"].is_number(), "{large}");
}

#[test]
fn every_mistake_is_named_with_its_line_and_a_remedy() {
    let folder = folder();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut lines: Vec<Value> = (0..3).map(line).collect();
        change(&mut lines[1]);
        write(&folder, "bad.jsonl", &lines);
        let (code, out, error) = evaluate(&folder, &["--traces", "bad.jsonl", "--json", "never.json"]);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
        error
    };
    let cases = [
        (with(&|line| line["version"] = json!(2)), "bad.jsonl:2: version 2, and this program reads version 1"),
        (with(&|line| *line = json!({"id": "x"})), "bad.jsonl:2: has no `version`"),
        (
            with(&|line| line["reward"]["value"] = json!(1.5)),
            "bad.jsonl:2: reward: value is 1.5; it must be from 0 to 1",
        ),
        (with(&|line| line["reward"]["weight"] = json!(0)), "bad.jsonl:2: reward: weight is 0"),
        (with(&|line| line["decision"]["chosen"] = json!(2)), "bad.jsonl:2: chosen is 2, and there are 2 candidates"),
        (
            with(&|line| {
                line["decision"]["candidates"][0]["propensity"] = json!(1);
                line["decision"]["candidates"][1]["propensity"] = json!(0);
            }),
            "bad.jsonl:2: large was chosen with propensity 0",
        ),
        (
            with(&|line| drop(line["decision"]["candidates"][0].as_object_mut().unwrap().remove("propensity"))),
            "bad.jsonl:2: not an exported trace (decision.candidates[0]: missing field `propensity`)",
        ),
        (
            with(&|line| line["decision"]["candidates"][0]["propensity"] = json!(0.3)),
            "bad.jsonl:2: the propensities sum to 0.8",
        ),
        (
            with(&|line| line["decision"]["candidates"][0]["quality"] = json!(-1)),
            "bad.jsonl:2: small: quality is -1; it must be from 0 to 1",
        ),
        (with(&|line| line["settlement"]["cost_usd"] = json!(-1)), "bad.jsonl:2: settlement: cost_usd is -1"),
        (
            with(&|line| line["trace"] = json!("01a205b3-d001-7000-8000-000000000000")),
            "bad.jsonl:2: trace 01a205b3-d001-7000-8000-000000000000 is also in bad.jsonl:1",
        ),
        (
            with(&|line| {
                line["decision"]["candidates"][0]["propensity"] = json!(1);
                line["decision"]["candidates"][1]["propensity"] = json!(5e-324);
            }),
            "bad.jsonl:2: large was chosen with propensity 5e-324, so nothing can be weighted",
        ),
        (
            with(&|line| line["decision"]["candidates"][0]["cost_usd"] = json!(1e308)),
            "bad.jsonl:2: small: cost_usd is 1e308; it must be a number from 0 to 1000000",
        ),
        (with(&|line| line["settlement"]["cost_usd"] = json!(1e308)), "bad.jsonl:2: settlement: cost_usd is 1e308"),
        (
            with(&|line| line["decision"]["widening"] = json!(0)),
            "bad.jsonl:2: widening is 0; it must be from 1 to 1000",
        ),
        (with(&|line| line["decision"]["widening"] = json!(-1)), "bad.jsonl:2: widening is -1"),
        (with(&|line| line["decision"]["draw"] = json!(7)), "bad.jsonl:2: draw is 7; it must be from 0 to below 1"),
        (
            with(&|line| line["decision"]["knob"] = json!({"quality": 5})),
            "bad.jsonl:2: knob: quality is 5; it must be from 0 to 1",
        ),
        (
            with(&|line| line["decision"]["knob"] = json!({"budget_per_1k": -5})),
            "bad.jsonl:2: knob: budget_per_1k is -5; it must be a number from 0 on",
        ),
        (with(&|line| line["decision"]["difficulty"] = json!(1.5)), "bad.jsonl:2: difficulty is 1.5"),
        (
            with(&|line| line["scores"] = json!([{"metric": "quality", "source": "client", "value": 7, "at_ms": 0}])),
            "bad.jsonl:2: scores: quality of client: value is 7; it must be from 0 to 1",
        ),
        (
            with(&|line| {
                let score = json!({"metric": "judge", "source": "j", "value": 1, "weight": -1, "at_ms": 0});
                line["scores"] = json!([score]);
            }),
            "bad.jsonl:2: scores: judge of j: weight is -1; it must be above 0",
        ),
        (
            with(&|line| line["decision"]["candidates"][1]["arm"] = json!("small")),
            "bad.jsonl:2: small is a candidate twice",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\nshould say: {expected}");
    }
    assert!(!Path::new(&folder.path().join("never.json")).exists());
}

#[test]
fn files_that_are_cut_off_or_empty_and_names_that_do_not_exist_are_refused() {
    let folder = folder();
    let whole = std::fs::read_to_string(folder.path().join("t.jsonl")).unwrap();
    std::fs::write(folder.path().join("cut.jsonl"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path().join("empty.jsonl"), "").unwrap();
    std::fs::write(folder.path().join("nan.jsonl"), whole.replacen("\"quality\":0.85", "\"quality\":NaN", 1)).unwrap();
    write(
        &folder,
        "silent.jsonl",
        &[{
            let mut silent = line(0);
            silent["reward"] = Value::Null;
            silent
        }],
    );
    let cases: [(&[&str], &str); 11] = [
        (&["cut.jsonl"], "the file is cut off here"),
        (&["empty.jsonl"], "empty.jsonl: holds no trace"),
        (&["nan.jsonl"], "nan.jsonl:1: decision.candidates[1].quality is NaN; it must be a number from 0 to 1"),
        (&["nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (&["silent.jsonl"], "route \"auto\": 0 of 1 answers were judged"),
        (&["t.jsonl", "--route", "other"], "--route other: no request of it is in the traces; their routes are: auto"),
        (
            &["t.jsonl", "--route", "auto", "--segment", "x"],
            "--route auto --segment x: no request of it is in the traces; their routes are: auto",
        ),
        (&["t.jsonl", "--quality", "1.2"], "--quality 1.2: give a share from 0 to 1"),
        (&["t.jsonl", "--budget-per-1k", "-1"], "--budget-per-1k -1: give USD for 1,000 requests, above 0"),
        (&["t.jsonl", "--clip", "0"], "--clip 0: give a weight from 1 on"),
        (&["t.jsonl", "--compare", "gone", "logged"], "the models large, small"),
    ];
    for (arguments, expected) in cases {
        let (code, out, error) = evaluate(&folder, &[&["--traces"], arguments].concat());
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
    }
}

#[test]
fn shadows_and_calibrations_are_no_traffic_and_a_judge_s_grade_counts_as_a_judgement() {
    let folder = folder();
    let graded = |n: usize| {
        let mut line = line(n);
        if n.is_multiple_of(3) {
            let value = line["reward"]["value"].clone();
            line["scores"] =
                json!([{"metric": "judge", "source": "strict", "value": value, "weight": 0.5, "at_ms": 0}]);
            line["reward"]["weight"] = 0.5.into();
        }
        line
    };
    // The one that answered was certain to.
    let named = |n: usize, kind: &str, ids: &str| {
        let mut line = line(n);
        line["trace"] = format!("01a205b3-d001-7000-{ids}-{n:012x}").into();
        line["decision"]["kind"] = kind.into();
        for candidate in [0, 1] {
            line["decision"]["candidates"][candidate]["propensity"] = u8::from(candidate == n % 2).into();
        }
        line["reward"]["value"] = 0.0.into();
        line
    };
    let others = |n: usize| [named(n, "shadow", "8001"), named(n, "pinned", "8002")];
    let lines: Vec<Value> = (0..600).flat_map(|n| [vec![graded(n)], others(n).into()].concat()).collect();
    write(&folder, "s.jsonl", &lines);
    let (code, text, error) = evaluate(&folder, &["--traces", "s.jsonl"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(text, evaluate(&folder, &["--traces", "t.jsonl"]).1);
    write(&folder, "none.jsonl", &(0..10).flat_map(others).collect::<Vec<_>>());
    let (code, _, error) = evaluate(&folder, &["--traces", "none.jsonl"]);
    assert_eq!(code, 2);
    assert!(error.contains("no request that a route decided, only calibrations and shadows"), "{error}");
}
