//! `satisfice evaluate`: figures from whole workloads, the same every time, with every mistake named in one line.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::train::{str, workload, write};

fn evaluate(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_satisfice");
    Command::new(program).arg("evaluate").args(arguments).output().expect("started")
}

fn report(arguments: &[&str]) -> Value {
    let output = evaluate(&[arguments, &["--json", "-"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON alone on standard output")
}

/// The one line on standard error of a command that is refused.
fn refusal(arguments: &[&str]) -> String {
    let output = evaluate(arguments);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!((output.status.code(), said.lines().count(), output.stdout.len()), (Some(2), 1, 0), "{said}");
    said
}

const QUICK: [&str; 6] = ["--members", "3", "--epochs", "40", "--bootstrap", "40"];

fn router<'a>(report: &'a Value, name: &str) -> &'a Value {
    let routers = report["workloads"][0]["routers"].as_array().expect("routers");
    routers.iter().find(|router| router["router"] == name).unwrap_or_else(|| panic!("no router {name}"))
}

#[test]
fn on_easy_and_hard_prompts_routing_costs_half_and_an_oracle_is_never_worse() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(480));
    let cross = ["--workload", str(&file), "--cross-validate", "4", "--quality", "0.95", "--budget-per-1k", "0.4"];
    let report = report(&[&cross[..], &QUICK].concat());
    let of = &report["workloads"][0];
    assert_eq!((&of["workload"], &of["prompts"], &of["best"]), (&json!("toy"), &json!(480), &json!("strong")));
    let figure = |name: &str, figure: &str| router(&report, name)["figures"][figure].as_f64();
    let ours = figure("satisfice", "cost_at_95").expect("sums and proofs are told apart");
    let oracle = figure("oracle", "cost_at_95").expect("an oracle can");
    // Proofs (half of the prompts) need the strong model, of which 95 % are enough.
    assert!(oracle <= ours && (0.4..0.6).contains(&ours), "{oracle} {ours}");
    assert!(figure("mixtures of models", "cost_at_95").is_some_and(|cost| cost > 0.85));
    assert_eq!(figure("uniform random", "cost_at_95"), None);
    assert!(figure("satisfice", "apgr").is_some_and(|apgr| apgr > 0.65));
    for name in ["satisfice", "table by task", "nearest neighbours", "logistic regression", "mixtures of models"] {
        assert!(figure(name, "aiq") <= figure("oracle", "aiq"), "{name}");
    }
    let interval = &of["intervals"]["cost_at_95"];
    assert!(interval["low"].as_f64() <= Some(ours) && Some(ours) <= interval["high"].as_f64(), "{interval}");
    let [bar, budget] = &of["settings"].as_array().expect("settings")[..] else { panic!("two settings") };
    assert!(bar["quality_share"].as_f64().is_some_and(|share| (0.9..=1.0).contains(&share)), "{bar}");
    assert!(budget["usd_per_1k"].as_f64().is_some_and(|usd| (0.3..0.5).contains(&usd)), "{budget}");
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_other_intervals() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(160));
    let with = |seed: &str| {
        let cross = ["--workload", str(&file), "--cross-validate", "2", "--seed", seed];
        evaluate(&[&cross[..], &QUICK].concat()).stdout
    };
    let first = with("1");
    assert!(first.starts_with(b"Cross-validated on 160 prompts"), "{}", String::from_utf8_lossy(&first));
    assert_eq!(first, with("1"));
    assert_ne!(first, with("2"));
}

#[test]
fn whole_tasks_can_be_left_out() {
    let folder = TempDir::new().expect("a folder");
    let mut lines = workload(120);
    lines.iter_mut().enumerate().for_each(|(i, line)| line["task"] = json!(format!("t{}", i % 3)));
    let file = write(&folder, "toy.jsonl", &lines);
    let report = report(&[&["--workload", str(&file), "--leave-task-out"], &QUICK[..]].concat());
    assert!(report["protocol"].as_str().is_some_and(|protocol| protocol.contains("whole tasks")), "{report}");
    let tasks = report["workloads"][0]["tasks"].as_array().expect("tasks");
    let named: Vec<&Value> = tasks.iter().map(|task| &task["task"]).collect();
    assert_eq!(named, [&json!("t0"), &json!("t1"), &json!("t2")]);
}

#[test]
fn a_table_by_task_is_as_good_as_the_tasks_tell_prompts_apart_and_stands_beside_given_weights_too() {
    let folder = TempDir::new().expect("a folder");
    let mut told = workload(240);
    // What the models cost and are worth follows from the task alone, once it names the kind of prompt.
    for line in &mut told {
        let easy = line["outcomes"]["weak"]["quality"] == json!(1.0);
        line["task"] = json!(if easy { "easy" } else { "hard" });
    }
    let mut untold = told.clone();
    untold.iter_mut().for_each(|line| line["task"] = json!("one"));
    let cost = |lines: &[Value]| {
        let file = write(&folder, "toy.jsonl", lines);
        let report = report(&["--workload", str(&file), "--bootstrap", "0"]);
        assert!(router(&report, "nearest neighbours")["figures"]["aiq"].is_number(), "{report}");
        let protocol = report["protocol"].as_str().expect("a sentence");
        assert!(protocol.contains("not to those of the fold that they predict"), "{protocol}");
        router(&report, "table by task")["figures"]["cost_at_95"].as_f64().expect("it can always ask the best")
    };
    let (apart, alike) = (cost(&told), cost(&untold));
    assert!(apart < 0.6 && alike > 0.9, "{apart} {alike}");
}

#[test]
fn given_weights_say_whether_they_were_trained_on_the_file() {
    let folder = TempDir::new().expect("a folder");
    let (seen, other) = (write(&folder, "toy.jsonl", &workload(80)), write(&folder, "other.jsonl", &workload(40)));
    let model = folder.path().join("model");
    let train =
        ["train", "--workload", str(&seen), "--out", str(&model), "--holdout", "0", "--members", "1", "--force"];
    assert!(Command::new(env!("CARGO_BIN_EXE_satisfice")).args(train).output().expect("started").status.success());
    let protocol = |file: &Path| {
        let report = report(&["--workload", str(file), "--model", str(&model), "--bootstrap", "0"]);
        report["protocol"].as_str().expect("a sentence").to_owned()
    };
    assert!(protocol(&seen).contains("TRAINED on toy.jsonl"));
    assert!(protocol(&other).contains("none of these files"));
}

#[test]
fn files_are_written_whole_beside_the_table() {
    let folder = TempDir::new().expect("a folder");
    let (file, plots) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("plots"));
    let json = folder.path().join("report.json");
    let output = evaluate(&["--workload", str(&file), "--json", str(&json), "--svg", str(&plots), "--bootstrap", "0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("== toy: 60 prompts, 2 models; the best is strong"));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
    assert!(report["workloads"][0]["models"][0]["reliability"][0]["predicted"].is_number());
    for name in ["toy-frontier.svg", "toy-reliability.svg"] {
        let svg = std::fs::read_to_string(plots.join(name)).expect("written");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("<text"), "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(&plots).expect("a folder").collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn places_that_cannot_be_written_are_named_before_the_work_and_plots_are_replaced_by_force_alone() {
    let folder = TempDir::new().expect("a folder");
    let (file, plots) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("plots"));
    let base = ["--workload", str(&file), "--bootstrap", "0"];
    // Training would go on for hours.
    let endless = ["--cross-validate", "5", "--epochs", "100000000"];
    let nowhere = plots.join("x.json");
    assert!(refusal(&[&base[..], &endless, &["--json", str(&nowhere)]].concat()).contains("x.json cannot be written"));
    assert!(refusal(&[&base[..], &["--json", str(folder.path())]].concat()).contains("is a folder"));
    assert!(!plots.exists());
    let drawn = [&base[..], &["--svg", str(&plots)]].concat();
    assert!(evaluate(&drawn).status.success());
    let said = refusal(&drawn);
    assert!(said.contains("toy-frontier.svg exists") && said.contains("--force"), "{said}");
    assert!(evaluate(&[&drawn[..], &["--force"]].concat()).status.success());
}

#[test]
fn shares_of_a_best_model_that_costs_nothing_are_left_out_and_nothing_is_nan_or_infinite() {
    let folder = TempDir::new().expect("a folder");
    let mut lines = workload(60);
    lines.iter_mut().for_each(|line| line["outcomes"]["strong"]["cost_usd"] = json!(0));
    let file = write(&folder, "free.jsonl", &lines);
    let base = ["--workload", str(&file), "--quality", "0.9"];
    for more in [&["--bootstrap", "20"][..], &["--online", "--seeds", "2", "--requests", "60"]] {
        let output = evaluate(&[&base[..], more].concat());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && text.contains('–'), "{text}");
        assert!(!["NaN", "inf ", "inf)", "cannot–"].iter().any(|odd| text.contains(odd)), "{text}");
    }
    let report = report(&[&base[..], &["--bootstrap", "20"]].concat());
    assert_eq!(router(&report, "satisfice")["figures"]["cost_at_95"], Value::Null);
    assert_eq!(report["workloads"][0]["settings"][0]["cost_share"], Value::Null);
}

#[test]
fn a_frontier_shows_every_model_however_bad_and_chance() {
    let folder = TempDir::new().expect("a folder");
    let mut lines = workload(60);
    lines.iter_mut().for_each(|line| line["outcomes"]["weak"]["quality"] = json!(0.05));
    let (file, plots) = (write(&folder, "toy.jsonl", &lines), folder.path().join("plots"));
    assert!(evaluate(&["--workload", str(&file), "--svg", str(&plots), "--bootstrap", "0"]).status.success());
    let svg = std::fs::read_to_string(plots.join("toy-frontier.svg")).expect("written");
    let texts: Vec<&str> = svg.split("<text").skip(1).filter_map(|text| text.split(['>', '<']).nth(1)).collect();
    for name in ["weak", "strong", "uniform random", "table by task"] {
        assert!(texts.iter().any(|text| text.trim() == name), "{name}: {texts:?}");
    }
    // Both models, the chance's ring in the plot and the one in the legend.
    assert_eq!(svg.matches("<circle").count(), 4);
}

#[test]
fn every_mistake_is_one_line_and_nothing_is_written() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(60));
    let empty = write(&folder, "empty.jsonl", &[]);
    let mut alone = workload(60);
    alone.iter_mut().for_each(|line| drop(line["outcomes"].as_object_mut().expect("outcomes").remove("weak")));
    let alone = write(&folder, "alone.jsonl", &alone);
    let mut stray = workload(60);
    let outcomes = stray[7]["outcomes"].as_object_mut().expect("outcomes");
    let of_weak = outcomes.remove("weak").expect("it is there");
    outcomes.insert("cameo".into(), of_weak);
    let stray = write(&folder, "stray.jsonl", &stray);
    let mut dear = workload(2);
    dear[0]["outcomes"]["weak"]["cost_usd"] = json!(1e308);
    let dear = write(&folder, "dear.jsonl", &dear);
    let json = folder.path().join("report.json");
    let refused = |arguments: &[&str]| refusal(&[arguments, &["--json", str(&json)]].concat());
    let given = ["--workload", str(&file)];
    let with = |more: &[&str]| refused(&[&given, more].concat());
    let cases = [
        (with(&["--quality", "0.9", "1.5"]), "--quality 1.5: give a share from 0 to 1"),
        (with(&["--quality", "NaN"]), "--quality NaN"),
        (with(&["--budget-per-1k", "0"]), "--budget-per-1k 0"),
        (with(&["--cross-validate", "1"]), "--cross-validate 1: give 2 to 100 folds"),
        (with(&["--bootstrap", "99999999"]), "--bootstrap 99999999: give at most 10000"),
        (with(&["--models", "weak,stranger"]), "--models stranger: no workload has this model; they have strong, weak"),
        (with(&["--models", "weak"]), "two or more models"),
        (with(&["--model", "/nowhere"]), "--model /nowhere: "),
        (with(&["--leave-task-out"]), "no workload has two tasks"),
        (with(&["--model", "m", "--leave-task-out"]), "--model and cross-validation"),
        (with(&["--svg", str(&file)]), "toy.jsonl"),
        (refused(&["--workload", "nowhere.jsonl"]), "nowhere.jsonl cannot be read"),
        (refused(&["--workload", str(&empty)]), "holds no prompt"),
        (refused(&["--workload", str(&alone)]), "two or more models"),
        (
            refused(&["--workload", str(&stray)]),
            "cameo answered 1 of stray's 60; leave it out with --models strong,weak",
        ),
        (
            refused(&["--workload", str(&dear)]),
            "dear.jsonl:1: outcomes.weak.cost_usd is 1e308; it must be a number from 0 to 1000000",
        ),
        (refused(&[]), "give recorded prompts with --workload FILE, or logged traffic with --traces FILE"),
        (with(&["--clip", "3"]), "--clip would change nothing here: it is about logged traffic"),
        (with(&["--compare", "logged", "uniform"]), "--compare would change nothing here"),
        (with(&["--route", "foo"]), "--route would change nothing here"),
        (with(&["--delay", "3"]), "--delay would change nothing here: it is about the simulation"),
        (with(&["--policy", "linucb"]), "--policy would change nothing here"),
        (with(&["--epochs", "3"]), "--epochs would change nothing here: it is about the training of folds"),
        (with(&["--online", "--bootstrap", "5"]), "--bootstrap would change nothing here"),
    ];
    for (found, expected) in cases {
        assert!(found.starts_with("satisfice: ") && found.contains(expected), "{found}\nshould say: {expected}");
    }
    assert!(!json.exists());
}

#[test]
fn the_whole_loop_is_simulated_and_ours_keeps_the_bar_for_less_than_the_best_model() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(400));
    let base = ["--online", "--workload", str(&file), "--anonymous", "--seeds", "3", "--requests", "1500"];
    let policies = ["--policy", "satisfice", "random", "always=strong", "--delay", "5", "--missing", "0.2"];
    let report = report(&[&base[..], &policies].concat());
    let of = &report["workloads"][0];
    assert_eq!((&of["best"], &of["requests"], &of["knob"]), (&json!("strong"), &json!(1500), &json!("quality 0.95")));
    let [ours, random, strong] = &of["policies"].as_array().expect("policies")[..] else { panic!("three: {of}") };
    let phase = |policy: &Value, figure: &str| policy["phases"][2][figure]["mean"].as_f64().expect("a mean");
    assert_eq!(ours["phases"][2]["phase"], "second half");
    assert!(phase(ours, "of_best_quality") > 0.9 && phase(ours, "of_best_cost") < 0.9, "{ours}");
    assert!(phase(ours, "quality") > phase(random, "quality") + 0.05, "{ours} {random}");
    assert!((phase(strong, "of_best_cost") - 1.0).abs() < 0.02, "{strong}");
}

#[test]
fn a_model_that_joins_is_adopted_and_one_that_gets_worse_is_found() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(400));
    let base = ["--online", "--workload", str(&file), "--seeds", "3", "--requests", "4000"];
    let newcomer = report(&[&base[..], &["--scenario", "newcomer=strong:0.01"]].concat());
    let adopted = &newcomer["workloads"][0]["policies"][0]["adopted_after"];
    assert!(adopted["mean"].as_f64().is_some_and(|requests| requests < 400.0), "{newcomer}");
    let worse = report(&[&base[..], &["--scenario", "quality=strong:0.4"]].concat());
    let detected = &worse["workloads"][0]["policies"][0]["detected_after"];
    assert!(detected["mean"].as_f64().is_some_and(|scores| scores < 150.0), "{worse}");
    assert_eq!([adopted, detected].map(|wait| [&wait["seeds"], &wait["of"]]), [[&json!(3); 2]; 2]);
}

#[test]
fn a_regression_that_nobody_finds_is_shown_as_never_found() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(120));
    let base = ["--online", "--workload", str(&file), "--seeds", "3", "--scenario", "quality=strong:0.4"];
    let text = evaluate(&[&base[..], &["--policy", "always=strong"]].concat()).stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(text.contains("never, 0 of 3") && text.contains("detected after: scores of the changed model"), "{text}");
}

#[test]
fn policies_are_measured_against_neighbours_that_know_every_answer() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(400));
    let base = ["--online", "--workload", str(&file), "--anonymous", "--seeds", "20", "--value", "0.004"];
    let report = report(&[&base[..], &["--policy", "satisfice", "random", "--calibrate", "50"]].concat());
    let of = &report["workloads"][0];
    let [ours, random] = &of["policies"].as_array().expect("policies")[..] else { panic!("two: {of}") };
    let figure = |policy: &Value, figure: &str| policy[figure]["mean"].as_f64().expect("a mean");
    let knn = |figure: &str| of["knn"][figure].as_f64().expect("a mean");
    // What is had and what is missed add up to what the neighbours have.
    let theirs = knn("quality") - knn("usd_per_1k") / 1e3 / 0.004;
    for policy in [ours, random] {
        assert!((figure(policy, "utility") + figure(policy, "utility_gap") - theirs).abs() < 0.02, "{theirs} {policy}");
        let interval = &policy["utility_gap"]["interval"];
        let ends = [&interval["low"], &interval["high"]].map(|end| end.as_f64().expect("an end"));
        assert!(ends[0] <= figure(policy, "utility_gap") && figure(policy, "utility_gap") <= ends[1], "{interval}");
    }
    assert!(figure(random, "utility_gap") > figure(ours, "utility_gap") + 0.05, "{of}");
    assert!(figure(random, "knn_regret") > figure(ours, "knn_regret"), "{of}");
}

#[test]
fn how_a_simulation_went_is_plotted_with_the_phases_of_its_scenario() {
    let folder = TempDir::new().expect("a folder");
    let (file, plot) = (write(&folder, "toy.jsonl", &workload(120)), folder.path().join("course.svg"));
    let base = ["--online", "--workload", str(&file), "--seeds", "3", "--requests", "600", "--svg", str(&plot)];
    let more = ["--policy", "satisfice", "thompson", "--scenario", "price=strong:0.25", "--quality", "0.9"];
    let report = report(&[&base[..], &more].concat());
    let svg = std::fs::read_to_string(&plot).expect("written");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    let texts: Vec<&str> = svg.split("<text").skip(1).filter_map(|text| text.split(['>', '<']).nth(1)).collect();
    let shown = |text: &str| texts.iter().filter(|shown| shown.trim() == text).count();
    assert_eq!(shown("toy: 600 requests at quality 0.9"), 1, "{texts:?}");
    let axes = ["quality", "USD per 1,000", "asked by satisfice", "asked by task-blind thompson"];
    assert_eq!(axes.map(shown), [1; 4], "{texts:?}");
    assert_eq!(["strong at 0.25 of its price", "as before"].map(shown), [4; 2], "{texts:?}");
    assert_eq!(["bar", "satisfice", "strong", "weak"].map(shown), [1, 2, 2, 2], "{texts:?}");
    // A band and a line a policy for quality and for spend, and a model for each policy's choices.
    assert_eq!(svg.matches("<polygon").count(), 8);
    let of = &report["workloads"][0];
    assert_eq!(of["turns"][0], json!({"request": 200, "what": "strong at 0.25 of its price"}));
    let spent = |stretch: usize| of["policies"][1]["course"][stretch]["usd_per_1k"]["mean"].as_f64().expect("a mean");
    assert!(spent(13) < spent(11), "the price fell after a third: {} {}", spent(11), spent(13));
    assert!(refusal(&base).contains("course.svg exists"), "nothing is replaced silently");
}

#[test]
fn a_simulation_that_cannot_be_run_is_refused_in_one_line() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(60));
    let base = ["--workload", str(&file), "--online"];
    let cases: [(&[&str], &str); 9] = [
        (&["--calibrate", "60"], "--calibrate 60: toy has 60 prompts; leave some to be routed"),
        (&["--svg", str(folder.path())], "with --online, give the name of one file, in .svg"),
        (&["--missing", "1.5"], "--missing 1.5: give a share from 0 to 1"),
        (&["--seeds", "0"], "--seeds 0: give 1 to 10,000"),
        (&["--scenario", "price=nobody:0.1"], "--scenario: no model nobody"),
        (&["--policy", "always=nobody"], "--policy always=nobody: no such model in toy; there are strong, weak"),
        (&["--quality", "0.9", "--value", "1"], "one setting of the knob"),
        (&["--cross-validate", "2"], "--online and cross-validation"),
        (
            &["--scenario", "quality=weak:0.9"],
            "--scenario quality=weak:0.9: its quality in toy is 0.500; give a level below that",
        ),
    ];
    for (arguments, expected) in cases {
        let said = refusal(&[&base[..], arguments].concat());
        assert!(said.contains(expected), "{said}\nshould say: {expected}");
    }
}
