//! `satisfice train`: from workloads to a folder that loads, the same every time, with every mistake named.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use satisfice::cli::train::{TrainArgs, run};
use satisfice::difficulty::{Bundle, Context, Entrant, Span};
use satisfice::policy::{ArmSpec, Ask, Knob, Reward, RouteSpec, Snapshot, decide};
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: TrainArgs,
}

fn train(arguments: &[&str]) -> Result<(), String> {
    let arguments = std::iter::once("train").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(arguments).map_err(|e| e.to_string())?;
    run(&cli.args).map_err(|e| format!("{e:#}"))
}

/// Prompts of two kinds: sums, which both models solve, and proofs, which only the strong one does.
pub fn workload(prompts: usize) -> Vec<Value> {
    (0..prompts)
        .map(|i| {
            let easy = i % 2 == 0;
            let text = if easy {
                format!("What is {i} plus {}?", i * 7)
            } else {
                format!("Prove that the function f_{i} is continuous, and derive its inverse where it exists.")
            };
            let weak = if easy { 1.0 } else { 0.0 };
            let outcome = |quality: f64, price: f64| {
                json!({"quality": quality, "input_tokens": 20 + i % 5, "output_tokens": 50 + 10 * (i % 7),
                       "cost_usd": price * ((20 + i % 5) as f64 + 2.0 * (50 + 10 * (i % 7)) as f64) * 1e-6})
            };
            json!({"id": format!("p/{i}"), "task": "t", "messages": [{"role": "user", "content": text}],
                   "outcomes": {"weak": outcome(weak, 0.1), "strong": outcome(1.0 - 0.01 * (i % 3) as f64, 5.0)}})
        })
        .collect()
}

pub fn write(folder: &TempDir, name: &str, lines: &[Value]) -> PathBuf {
    let path = folder.path().join(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).expect("written");
    path
}

pub fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_trained_folder_loads_and_knows_its_models() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(240)), folder.path().join("model"));
    train(&["--workload", str(&file), "--out", str(&out), "--members", "1"]).expect("trained");
    let bundle = Bundle::load(&out).expect("loads");
    assert_eq!(bundle.manifest.training_data[0].name, "toy.jsonl");
    assert!(bundle.manifest.holdout["workloads"][0]["arms"].is_array());
    let entrant = |name| Entrant { name, log_price: None };
    let prior = bundle.prior.route(&[entrant("weak"), entrant("strong"), entrant("stranger")]);
    assert_eq!(prior.arms.iter().map(|arm| arm.known).collect::<Vec<_>>(), [true, true, false]);
    assert!(prior.arms[0].mean[0] < prior.arms[1].mean[0]);
    let log_price = bundle.prior.heads.iter().find(|head| head.model == "strong").expect("known").log_price;
    assert!((log_price - (25.0f64 / 4.0).ln()).abs() < 1e-6, "{log_price}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(120));
    let make = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        let arguments = [
            "--workload",
            str(&file),
            "--out",
            str(&out),
            "--seed",
            seed,
            "--holdout",
            "0",
            "--epochs",
            "2",
            "--force",
        ];
        train(&arguments).expect("trained");
        ["network.safetensors", "prior.json"].map(|file| std::fs::read(out.join(file)).expect("written"))
    };
    let first = make("a", "1");
    assert_eq!(first, make("b", "1"));
    assert_ne!(first, make("c", "2"));
}

#[test]
fn a_classifier_is_replaced_only_by_force() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("model"));
    let arguments = ["--workload", str(&file), "--out", str(&out), "--holdout", "0", "--epochs", "1", "--members", "1"];
    let unseen = train(&arguments).expect_err("nobody forces it");
    assert!(unseen.starts_with("--holdout 0: nobody would know") && unseen.contains("--force"), "{unseen}");
    assert!(!out.exists());
    train(&[&arguments[..], &["--force"]].concat()).expect("trained");
    let old = Bundle::load(&out).expect("loads").fingerprint;
    let other = [&arguments[..], &["--seed", "8"]].concat();
    let refusal = train(&other).expect_err("the folder exists");
    assert!(refusal.starts_with("--out") && refusal.contains("exists") && refusal.contains("--force"), "{refusal}");
    train(&[&other[..], &["--force"]].concat()).expect("trained");
    assert_ne!(Bundle::load(&out).expect("loads").fingerprint, old);
    std::fs::remove_dir_all(&out).expect("removed");
    std::fs::create_dir(&out).expect("made");
    train(&[&arguments[..], &["--force"]].concat()).expect("an empty folder has nothing to lose");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("read").collect();
    assert_eq!(left.len(), 2, "nothing is left beside it: {left:?}");
}

#[test]
fn what_is_no_classifier_is_never_replaced_and_no_training_is_done_before_that_is_said() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let file = write(&folder, "toy.jsonl", &workload(60));
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1", "--force"];
    let mine = at("models/mine");
    program(&[&quick[..], &["--workload", str(&file), "--out", str(&mine)]].concat()).expect("trained");
    // The workload is missing as well, which is found out later.
    let out = |out: &Path| program(&["--workload", "nowhere.jsonl", "--out", str(out), "--force"]);
    std::fs::create_dir(at("victim")).expect("made");
    for precious in ["victim/thesis.txt", "models/mine/notes.txt", "file"] {
        std::fs::write(at(precious), "precious").expect("written");
    }
    std::os::unix::fs::symlink("nowhere", at("link")).expect("linked");
    let places = [
        ("victim", "exists, and holds thesis.txt but no classifier"),
        ("models", "exists, and holds mine but no classifier"),
        ("models/mine", "exists, and holds notes.txt beside a classifier"),
        ("file", "exists, and is no folder"),
        ("link", "exists, and is no folder"),
        ("file/below", "file/below cannot be written, choose another folder"),
        ("..", "is not the name of a folder"),
    ];
    for (place, problem) in places {
        let refusal = out(&at(place)).expect_err(place);
        assert!(refusal.starts_with("satisfice: --out: ") && refusal.contains(problem), "{place}: {refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    for precious in ["victim/thesis.txt", "models/mine/notes.txt", "file"] {
        assert_eq!(std::fs::read_to_string(at(precious)).expect("still there"), "precious");
    }
    Bundle::load(&at("models/mine")).expect("still whole");
    #[cfg(target_os = "linux")]
    assert!(out(Path::new("/proc/model")).expect_err("no place").contains("no folder can be made in /proc"));
}

#[test]
fn an_excluded_fold_is_listed_and_not_trained_on() {
    let folder = TempDir::new().expect("a folder");
    let (file, list) = (write(&folder, "toy.jsonl", &workload(120)), folder.path().join("fold.tsv"));
    let out = folder.path().join("model");
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1", "--force"];
    let fold = ["--workload", str(&file), "--out", str(&out), "--exclude-fold", "1/4", "--list-fold", str(&list)];
    train(&[&fold[..], &quick].concat()).expect("trained");
    let listed = std::fs::read_to_string(&list).expect("listed").lines().count();
    let seen = Bundle::load(&out).expect("loads").prior.heads[0].prompts as usize;
    assert!(listed > 0 && listed + seen == 120, "{listed} {seen}");
    let refusal = train(&["--workload", "x", "--out", "y", "--exclude-fold", "5/4"]).expect_err("no such fold");
    assert!(refusal.contains("no fold 5 of 4"), "{refusal}");
}

#[test]
fn every_mistake_in_a_workload_is_named_with_its_line() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("model");
    let good = workload(60);
    let refusal = |lines: &[Value]| {
        let file = write(&folder, "bad.jsonl", lines);
        train(&["--workload", str(&file), "--out", str(&out)]).expect_err("refused")
    };
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut lines = good.clone();
        change(&mut lines[1]);
        refusal(&lines)
    };
    let cases = [
        (
            broken(&|line| line["outcomes"]["weak"]["quality"] = json!(1.5)),
            "bad.jsonl:2: outcomes.weak.quality is 1.5; it must be a number from 0 to 1",
        ),
        (broken(&|line| line["outcomes"]["weak"]["cost_usd"] = json!(-1)), "bad.jsonl:2: outcomes.weak.cost_usd is -1"),
        (broken(&|line| line["outcomes"] = json!({})), "bad.jsonl:2: no outcomes"),
        (broken(&|line| line["id"] = json!("p/0")), "bad.jsonl:2: id \"p/0\" is there twice"),
        (broken(&|line| line["messages"] = json!([])), "bad.jsonl:2: messages is empty"),
        (broken(&|line| *line = json!([])), "bad.jsonl:2: not a prompt (invalid length 0"),
        (broken(&|line| line["id"] = json!(7)), "bad.jsonl:2: id is integer `7`; it must be a string"),
        (
            broken(&|line| line["outcomes"]["weak"]["quality"] = json!(null)),
            "bad.jsonl:2: outcomes.weak.quality is null; it must be a number from 0 to 1",
        ),
        (
            broken(&|line| line["outcomes"]["weak"]["quality"] = json!("good")),
            "bad.jsonl:2: outcomes.weak.quality is string \"good\"; it must be a number from 0 to 1",
        ),
        (
            broken(&|line| drop(line["outcomes"]["weak"].as_object_mut().expect("an object").remove("cost_usd"))),
            "bad.jsonl:2: not a prompt (outcomes.weak: missing field `cost_usd`); a line is",
        ),
        (refusal(&[]), "holds no prompt"),
        (refusal(&good[..20]), "20 prompts are too few"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\nshould say: {expected}");
    }
    assert!(!out.exists());
}

#[test]
fn json_that_is_not_json_and_a_damaged_archive_are_named() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("model");
    let refusal = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        train(&["--workload", str(&path), "--out", str(&out)]).expect_err("refused")
    };
    let line = workload(1)[0].to_string();
    let with = |from: &str, to: &str| {
        assert!(line.contains(from), "{line}");
        refusal("odd.jsonl", format!("{}\n", line.replacen(from, to, 1)).as_bytes())
    };
    for number in ["NaN", "-Infinity", "1e400"] {
        let said = with("\"quality\":1.0", &format!("\"quality\":{number}"));
        let place = said.replace(".strong.", ".weak.");
        let wanted = format!("odd.jsonl:1: outcomes.weak.quality is {number}; it must be a number from 0 to 1");
        assert!(place.ends_with(&wanted), "{said}");
    }
    let twice = with("\"strong\":", "\"weak\":");
    assert!(twice.contains("odd.jsonl:1: not a prompt (outcomes: \"weak\" is there twice"), "{twice}");
    let plain = refusal("plain.jsonl", &line.as_bytes()[..line.len() - 60]);
    assert!(
        plain.contains("plain.jsonl:1: the file is cut off here") && plain.contains("fetch the file again"),
        "{plain}"
    );
    let text: String = workload(200).iter().map(|line| format!("{line}\n")).collect();
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(text.as_bytes()).expect("zipped");
    let zip = zip.finish().expect("zipped");
    let cut = refusal("cut.jsonl.gz", &zip[..zip.len() / 2]);
    assert!(cut.contains("cut.jsonl.gz:") && cut.contains("cut off or damaged"), "{cut}");
    let file = write(&folder, "base.jsonl", &workload(1));
    let again = train(&["--workload", str(&file), str(&file), "--out", str(&out)]).expect_err("the same twice");
    assert!(
        again.contains("there is already a workload base; it is called as its file: give each file once"),
        "{again}"
    );
    let missing = train(&["--workload", "nowhere.jsonl", "--out", str(&out)]).expect_err("missing");
    assert!(missing.contains("nowhere.jsonl cannot be read"), "{missing}");
    let share = train(&["--workload", "x", "--out", str(&out), "--holdout", "0.9"]).expect_err("too much");
    assert!(share.contains("from 0 to 0.5"), "{share}");
}

#[test]
fn a_damaged_bundle_names_the_file_and_what_is_wrong_with_it() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("model"));
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1", "--force"];
    train(&[&["--workload", str(&file), "--out", str(&out)], &quick[..]].concat()).expect("trained");
    let damaged = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let path = out.join(name);
        let whole = std::fs::read(&path).expect("there");
        std::fs::write(&path, change(whole.clone())).expect("written");
        let problem = Bundle::load(&out).expect_err("damaged").to_string();
        std::fs::write(&path, whole).expect("written");
        problem
    };
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    for name in ["vocab.txt", "encoder.safetensors", "network.safetensors", "prior.json"] {
        let problem = damaged(name, &cut);
        assert!(problem.starts_with(name) && problem.contains("altered or cut off"), "{problem}");
    }
    assert!(damaged("manifest.json", &cut).starts_with("manifest.json: does not fit"));
    let version = |bytes: Vec<u8>| {
        String::from_utf8(bytes).expect("UTF-8").replace("\"schema_version\": 2", "\"schema_version\": 99").into_bytes()
    };
    assert!(damaged("manifest.json", &version).contains("schema 99"));
    std::fs::remove_file(out.join("prior.json")).expect("removed");
    let problem = Bundle::load(&out).expect_err("missing").to_string();
    assert!(problem.contains("prior.json: cannot be read"), "{problem}");
}

#[test]
fn weights_that_are_not_finite_are_refused_though_their_hash_is_right() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("model"));
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1", "--force"];
    train(&[&["--workload", str(&file), "--out", str(&out)], &quick[..]].concat()).expect("trained");
    let path = out.join("network.safetensors");
    let mut network = std::fs::read(&path).expect("there");
    let before = satisfice::difficulty::sha256(&network);
    let end = network.len();
    network[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &network).expect("written");
    let manifest = out.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("there");
    std::fs::write(&manifest, text.replace(&before, &satisfice::difficulty::sha256(&network))).expect("written");
    let problem = Bundle::load(&out).expect_err("not finite").to_string();
    assert!(problem.contains("network.safetensors") && problem.contains("not a finite number"), "{problem}");
}

#[test]
fn the_shipped_files_are_those_that_their_manifest_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default");
    let (shipped, embedded) = (Bundle::load(&folder).expect("whole"), Bundle::embedded().expect("whole"));
    assert_eq!(shipped.fingerprint, embedded.fingerprint);
}

/// The `n`th exported request, answered by the `chosen` of two models with probability `propensity`.
fn exported(n: usize, chosen: usize, propensity: f64, quality: f64) -> Value {
    let arms = ["weak", "strong"];
    let candidate = |k: usize| {
        let propensity = if k == chosen { propensity } else { 1.0 - propensity };
        json!({"arm": arms[k], "quality": 0.5, "cost_usd": 1e-4, "propensity": propensity})
    };
    let text = format!("What is {n} plus {}?", n * 7);
    json!({
        "version": 1, "trace": format!("01a205b3-d001-7000-8000-{n:012x}"), "at_ms": 1, "route": "auto",
        "request": {"model": "auto", "messages": [{"role": "user", "content": text}]},
        "decision": {
            "policy": "thompson", "kind": "explore", "knob": {"quality": 0.95}, "phi": [1.0], "widening": 1.0,
            "verbosity": 0.0, "input_tokens": 9, "difficulty": 0.5, "candidates": [candidate(0), candidate(1)],
            "preferred": 0, "chosen": chosen, "draw": 0.25, "snapshot_version": 7, "bundle": "00000000000000ff"
        },
        "settlement": {
            "arm": arms[chosen], "cost_usd": 1e-4, "outcome": "answered",
            "usage": {"input_tokens": 9, "output_tokens": 50 + n % 9, "cached_input_tokens": 0, "reasoning_tokens": 0}
        },
        "scores": [], "reward": {"value": quality, "weight": 1.0}
    })
}

/// The weak model was mostly asked what it can answer, which the prompt does not tell.
fn selected(n: usize) -> Value {
    let (easy, rare) = (n.is_multiple_of(2), n % 10 >= 8);
    let chosen = usize::from(easy == rare);
    let quality = if chosen == 1 { f64::from(u8::from(n % 20 < 16)) } else { f64::from(u8::from(easy)) };
    exported(n, chosen, if rare { 0.2 } else { 0.8 }, quality)
}

const QUICK: [&str; 7] = ["--holdout", "0", "--members", "1", "--epochs", "4", "--force"];

#[test]
fn exported_traces_are_learned_from_as_if_every_model_had_been_asked() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "traces.jsonl", &(0..400).map(selected).collect::<Vec<_>>());
    let out = folder.path().join("model");
    train(&[&["--traces", str(&file), "--out", str(&out)], &QUICK[..]].concat()).expect("trained");
    let bundle = Bundle::load(&out).expect("loads");
    assert_eq!(bundle.manifest.training_data[0].name, "traces.jsonl");
    assert!(bundle.manifest.command.contains("train --traces traces.jsonl"), "{}", bundle.manifest.command);
    let head = |name: &str| bundle.prior.heads.iter().find(|head| head.model == name).expect("known");
    assert_eq!((head("weak").workload.as_str(), head("weak").prompts), ("auto", 200));
    // Of its own 200 answers 160 were right, and of all 400 prompts it can answer 200.
    let weak = 1.0 / (1.0 + (-head("weak").mean[0]).exp());
    assert!((weak - 0.5).abs() < 0.06, "{weak}");
}

#[test]
fn a_shadow_stands_for_the_requests_that_might_have_had_one() {
    let folder = TempDir::new().expect("a folder");
    // The strong model is mostly drawn where it is good, and shadows all that it is not drawn for.
    let request = |n: usize| {
        let (good, rare) = (n.is_multiple_of(2), n % 10 >= 8);
        let (drawn, quality) = (usize::from(good != rare), f64::from(u8::from(good)));
        let own = exported(n, drawn, if rare { 0.2 } else { 0.8 }, if drawn == 1 { quality } else { 0.5 });
        let mut shadow = exported(10_000 + n, 1, 1.0, quality);
        shadow["decision"]["kind"] = json!("shadow");
        shadow["decision"]["asked"] = json!(if good { 0.2 } else { 0.8 });
        std::iter::once(own).chain((drawn == 0).then_some(shadow))
    };
    let file = write(&folder, "traces.jsonl", &(0..600).flat_map(request).collect::<Vec<_>>());
    let out = folder.path().join("model");
    train(&[&["--traces", str(&file), "--out", str(&out)], &QUICK[..]].concat()).expect("trained");
    let prior = Bundle::load(&out).expect("loads").prior.clone();
    let head = prior.heads.iter().find(|head| head.model == "strong").expect("known");
    let strong = 1.0 / (1.0 + (-head.mean[0]).exp());
    assert!((strong - 0.5).abs() < 0.05, "weighted evenly 0.4: {strong}");
}

#[test]
fn two_models_of_one_route_do_not_show_by_how_much_others_differ() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "traces.jsonl", &(0..400).map(selected).collect::<Vec<_>>());
    let out = folder.path().join("model");
    train(&[&["--traces", str(&file), "--out", str(&out)], &QUICK[..]].concat()).expect("trained");
    let prior = Bundle::load(&out).expect("loads").prior.clone();
    assert!(prior.population.within[0] > 0.5 && prior.population.between[0] > 1.0, "{:?}", prior.population);
    assert!(prior.heads.iter().all(|head| head.effective < Some(150.0)), "weights are uneven");
    let arms =
        ["weak", "strong", "stranger"].map(|name| ArmSpec { arm: name.into(), price: None, context_window: None });
    let spec = RouteSpec {
        name: "auto".into(),
        knob: Knob::Quality(0.95),
        explore: true,
        arms: arms.to_vec(),
        segments: vec![],
    };
    let mut phi = vec![0.0; prior.dimension];
    phi[0] = 1.0;
    let context = Context { phi, difficulty: 0.5, widening: 1.0, verbosity: 0.0, input_tokens: 9 };
    let mut snapshot = Snapshot::new(prior).configure(&[spec]);
    let believed = |snapshot: &Snapshot| {
        let route = snapshot.routes["auto"].clone();
        decide(snapshot, &route, &context, &[0, 1, 2], Ask::default(), 0.5).expect("decided").pinned("test", 2)
    };
    for _ in 0..20 {
        let decision = believed(&snapshot);
        let scored = Reward::Scored { value: 0.2, weight: 1.0 };
        snapshot = snapshot.learn("auto", &decision, "stranger", Reward::Unknown, scored);
    }
    let quality = believed(&snapshot).candidates[2].quality;
    assert!((quality - 0.2).abs() < 0.1, "{quality}");
}

#[test]
fn traces_and_workloads_mix_and_are_reported_side_by_side() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "toy.jsonl", &workload(120));
    let traces = write(&folder, "traces.jsonl", &(0..120).map(selected).collect::<Vec<_>>());
    let out = folder.path().join("model");
    // Held out are too few for a verdict.
    let mixed = ["--workload", str(&file), "--traces", str(&traces), "--out", str(&out), "--members", "1", "--force"];
    let said = program(&mixed).expect("trained");
    let bundle = Bundle::load(&out).expect("loads");
    let workloads: Vec<_> = bundle.manifest.holdout["workloads"].as_array().expect("reported").iter().collect();
    assert_eq!(workloads.iter().map(|w| w["workload"].as_str()).collect::<Vec<_>>(), [Some("toy"), Some("auto")]);
    let costs = ["cost_at_90", "cost_at_95", "cost_at_99", "cost_at_100"];
    assert!(
        costs.iter().all(|cost| workloads[0][cost].is_number() && workloads[1].get(cost).is_none()),
        "{workloads:?}"
    );
    let bins = workloads[0]["arms"][0]["reliability"].as_array().expect("a table");
    let answers: u64 = bins.iter().filter_map(|bin| bin["answers"].as_u64()).sum();
    assert!(bins.len() > 1 && Some(answers) == workloads[0]["prompts"].as_u64(), "{bins:?}");
    let rows = |with: &str| said.lines().filter(|line| line.contains(with)).collect::<Vec<_>>();
    assert_eq!(rows("predicted→found, by tenths").len(), 1, "{said}");
    let of_toy = said.lines().rfind(|line| line.starts_with("toy  ") && line.contains("strong")).expect("costs");
    assert_eq!(of_toy.matches(" → ").count(), 4, "beside the old one's: {of_toy}");
    assert_eq!(rows("–             –             –             –").len(), 2, "one answer a prompt: {said}");
    assert_eq!(rows("no prompt was answered by all of the models, or the best one costs nothing").len(), 2);
    assert!(!said.contains("inf]") && rows("difficulty 0.0 to 0.1").len() == 1, "{said}");
    assert_eq!(bundle.prior.heads.len(), 4);
    let clash = write(&folder, "auto.jsonl", &workload(60));
    let refusal = train(&["--workload", str(&clash), "--traces", str(&traces), "--out", "x"]).expect_err("one name");
    assert!(refusal.contains("traces.jsonl:1: route auto: there is already a workload auto"), "{refusal}");
}

#[test]
fn traces_that_teach_nothing_are_counted_and_said_and_wrong_ones_are_named_with_their_line() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("model");
    let mut lines: Vec<Value> = (0..100).map(selected).collect();
    lines[0]["request"] = Value::Null;
    lines[1]["reward"] = Value::Null;
    lines[2]["reward"] = json!({"value": 0.0, "weight": 0.5});
    lines[3]["settlement"]["arm"] = json!("another");
    lines[4]["settlement"]["usage"] = Value::Null;
    let panel = |members: [u32; 2], verdict: &str| {
        let panel = json!({"members": members, "same_errors": 0.2, "verdict": verdict});
        json!({"panel": panel, "foreseen_usd": 0.001})
    };
    lines[5]["decision"]["consult"] = panel([0, 1], "agreed");
    lines[6]["decision"]["consult"] = panel([0, 1], "none");
    let file = write(&folder, "traces.jsonl", &lines);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_satisfice"));
    let output =
        command.args(["train", "--traces", str(&file), "--out", str(&out)]).args(QUICK).output().expect("runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let tally = "94 traces are learned from; 1 are not: a fallback answered, which nobody drew; \
                 1 are not: have no request body; 1 are not: have no usage or no cost; 2 are not: nobody judged; \
                 1 are not: two other models were asked first";
    assert!(output.status.success() && said.contains(tally), "{said}");
    std::fs::remove_dir_all(&out).expect("written");

    let silent: Vec<Value> = (0..3)
        .map(|n| {
            let mut line = selected(n);
            line["reward"] = Value::Null;
            line
        })
        .collect();
    let silent = write(&folder, "silent.jsonl", &silent);
    let refusal = train(&["--traces", str(&silent), "--out", str(&out)]).expect_err("nothing");
    assert!(
        refusal.contains("no trace teaches anything: 0 traces are learned from; 3 are not: nobody judged"),
        "{refusal}"
    );
    lines[7] = exported(7, 0, 0.0, 1.0);
    let wrong = write(&folder, "wrong.jsonl", &lines);
    let refusal = train(&["--traces", str(&wrong), "--out", str(&out)]).expect_err("refused");
    assert!(refusal.contains("wrong.jsonl:8: weak was chosen with propensity 0"), "{refusal}");
    lines[7] = selected(7);
    lines[7]["decision"]["consult"] = panel([0, 9], "agreed");
    let wrong = write(&folder, "unknown.jsonl", &lines);
    let refusal = train(&["--traces", str(&wrong), "--out", str(&out)]).expect_err("refused");
    assert!(refusal.contains("unknown.jsonl:8: consult: a member is 9, and there are "), "{refusal}");
    lines[7] = selected(7);
    lines[7]["request"]["messages"] = json!([]);
    let wrong = write(&folder, "wrong.jsonl", &lines);
    let refusal = train(&["--traces", str(&wrong), "--out", str(&out)]).expect_err("refused");
    assert!(refusal.contains("wrong.jsonl:8: request: messages is empty"), "{refusal}");
    assert!(!out.exists());
}

/// Poems, of which one model writes only those about the sea well: a classifier has to have learned that word.
fn poems(prompts: usize) -> Vec<Value> {
    let line = |i: usize| {
        let sea = i.is_multiple_of(2);
        let about = if sea { "the sea" } else { "a city" };
        let outcome = |quality: bool, price: f64| json!({"quality": f64::from(u8::from(quality)), "input_tokens": 12, "output_tokens": 90 + i % 9, "cost_usd": price});
        json!({"id": i.to_string(), "task": if sea { "sea" } else { "city" },
               "messages": [{"role": "user", "content": format!("Please write poem number {i} about {about} for me.")}],
               "outcomes": {"weak": outcome(sea, 1e-5), "strong": outcome(!i.is_multiple_of(7), 1e-3)}})
    };
    (0..prompts).map(line).collect()
}

/// What `train` prints, or what it complains of, ending with code 2.
fn program(arguments: &[&str]) -> Result<String, String> {
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_satisfice")).arg("train").args(arguments).output();
    let output = command.expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        code => {
            assert_eq!(code, Some(2));
            Err(text(output.stderr))
        }
    }
}

#[test]
fn a_classifier_that_falls_behind_the_old_one_is_written_only_by_force_and_loudly() {
    let folder = TempDir::new().expect("a folder");
    let (file, again) = (write(&folder, "one.jsonl", &poems(300)), write(&folder, "two.jsonl", &poems(301)));
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    let thorough = ["--epochs", "60", "--members", "1", "--holdout", "0.3"];
    let said = program(&[&["--workload", str(&file), "--out", str(&good)], &thorough[..]].concat()).expect("trained");
    assert!(said.contains("The new classifier does not fall behind the classifier in the program."), "{said}");
    let against = &Bundle::load(&good).expect("loads").manifest.holdout["against"];
    assert!(
        against["log_loss"]["low"].as_f64() < Some(0.0) && against["by_task"][0]["kind"] == "one/city",
        "{against}"
    );

    let hasty = ["--epochs", "1", "--members", "1", "--holdout", "0.3", "--against", str(&good)];
    let arguments = [&["--workload", str(&again), "--out", str(&bad)], &hasty[..]].concat();
    let refusal = program(&arguments).expect_err("worse");
    assert!(refusal.contains("the new classifier falls behind") && refusal.contains("--force"), "{refusal}");
    assert!(!bad.exists());
    let said = program(&[&arguments[..], &["--force"]].concat()).expect("forced");
    assert!(said.contains("WARNING: the new classifier FALLS BEHIND") && Bundle::load(&bad).is_ok(), "{said}");
}

/// What a classifier's manifest says of how it stood against the old one.
fn against(folder: &Path) -> Value {
    Bundle::load(folder).expect("loads").manifest.holdout["against"].clone()
}

#[test]
fn an_old_classifier_that_saw_the_holdout_is_trained_anew_without_it() {
    let folder = TempDir::new().expect("a folder");
    let file = write(&folder, "one.jsonl", &poems(300));
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let quick = ["--members", "1", "--workload", str(&file), "--holdout", "0.3"];
    program(&[&quick[..], &["--epochs", "60", "--out", str(&old)]].concat()).expect("trained");
    let anew = [&quick[..], &["--against", str(&old), "--out", str(&new), "--epochs"]].concat();
    for flag in [None, Some("--retrain-old")] {
        let refusal = program(&[&anew[..], &["1"], flag.as_slice()].concat()).expect_err("worse");
        assert!(refusal.contains("the new classifier falls behind") && !new.exists(), "{refusal}");
        let said = program(&[&anew[..], &["60", "--force"], flag.as_slice()].concat()).expect("written");
        let name = if flag.is_some() { "the settings of" } else { "trained anew without the holdout" };
        assert!(said.contains("The new classifier is the same as") && !said.contains("WARNING"), "{said}");
        assert!(said.contains(name), "{said}");
        let same = against(&new)["log_loss"].clone();
        let ends = (same["low"].as_f64(), same["high"].as_f64());
        assert_eq!(ends, (Some(0.0), Some(0.0)), "the same settings and prompts: the same network");
        std::fs::remove_dir_all(&new).expect("removed");
    }
    let few = write(&folder, "few.jsonl", &poems(360)[300..]);
    let refusal = program(&[&anew[..], &["1", "--workload", str(&few)]].concat()).expect_err("worse");
    assert!(refusal.contains("falls behind") && refusal.contains("trained anew without the holdout"), "{refusal}");
    let more = write(&folder, "more.jsonl", &poems(700)[300..]);
    let both = [&anew[..], &["60", "--workload", str(&more)]].concat();
    let said = program(&both).expect("not worse");
    let found = against(&new);
    assert!(said.contains("it was trained on one.jsonl)"), "{said}");
    assert_eq!((&found["left_out"], &found["old_saw"]), (&json!(["one.jsonl"]), &json!([])));
    assert_eq!(found["new"]["workloads"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found["new"]["workloads"][0]["workload"], &found["verdict"]), (&json!("more"), &json!("holds")));

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_satisfice"));
    let output = command.arg("train").args(quick).args(["--against", "nowhere", "--out", "x"]).output().expect("runs");
    let missing = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(missing.contains("--against") && missing.contains("nowhere"), "{missing}");
    assert!(output.stdout.is_empty() && missing.lines().count() == 1, "before the training: {missing}");
}

#[test]
fn where_an_old_classifier_saw_the_holdout_and_its_files_are_missing_a_worse_one_is_written_only_by_force() {
    let folder = TempDir::new().expect("a folder");
    let (one, two) = (write(&folder, "one.jsonl", &poems(300)), write(&folder, "two.jsonl", &workload(80)));
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let made = ["--workload", str(&one), str(&two), "--out", str(&old), "--members", "1", "--holdout", "0.3"];
    program(&[&made[..], &["--epochs", "60"]].concat()).expect("trained");
    let of_one = ["--workload", str(&one), "--out", str(&new), "--members", "1", "--holdout", "0.3"];
    let of_one = [&of_one[..], &["--against", str(&old), "--epochs"]].concat();
    let refusal = program(&[&of_one[..], &["1"]].concat()).expect_err("nobody knows");
    let expected = ["no verdict", "trained on one.jsonl and may have seen", "(missing: two.jsonl)", "--force"];
    assert!(expected.iter().all(|part| refusal.contains(part)) && !new.exists(), "{refusal}");
    let said = program(&[&of_one[..], &["1", "--force"]].concat()).expect("forced");
    assert!(said.contains("WARNING: NO VERDICT") && against(&new)["verdict"] == "unknown", "{said}");
    assert_eq!(against(&new)["old_saw"], json!(["one.jsonl"]));
    let said = program(&[&of_one[..], &["1", "--force", "--retrain-old"]].concat()).expect("forced");
    assert!(said.contains("FALLS BEHIND the settings of"), "{said}");

    let hasty = [&made[..], &["--epochs", "1", "--force"]].concat();
    program(&hasty).expect("trained");
    std::fs::remove_dir_all(&new).expect("removed");
    let said = program(&[&of_one[..], &["60"]].concat()).expect("better even so");
    assert!(said.contains("does not fall behind") && said.contains("may have seen these prompts."), "{said}");
}

#[test]
fn a_holdout_that_says_nothing_gives_no_verdict() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "one.jsonl", &poems(60)), folder.path().join("model"));
    let arguments = ["--workload", str(&file), "--out", str(&out), "--epochs", "1", "--holdout", "0.001"];
    let refusal = program(&arguments).expect_err("too few");
    assert!(
        refusal.contains("no verdict: 0 held-out prompts, 0 without near-duplicates, are too few") && !out.exists(),
        "{refusal}"
    );
    program(&[&arguments[..], &["--force"]].concat()).expect("forced");
}

#[test]
fn a_few_prompts_that_show_no_difference_give_no_verdict() {
    let folder = TempDir::new().expect("a folder");
    let coin = |n: usize| exported(n, n % 2, 0.5, f64::from(u8::from((n * n / 3).is_multiple_of(2))));
    let file = write(&folder, "few.jsonl", &(0..80).map(coin).collect::<Vec<_>>());
    let out = folder.path().join("model");
    let arguments = ["--traces", str(&file), "--out", str(&out), "--members", "1", "--holdout", "0.3"];
    let refusal = program(&arguments).expect_err("nobody knows");
    assert!(
        refusal.contains("without near-duplicates, are too few to compare the new classifier on (log loss"),
        "{refusal}"
    );
    assert!(refusal.contains("a larger --holdout") && !out.exists(), "{refusal}");
}

#[test]
fn another_export_of_the_same_traffic_is_not_taken_for_unseen() {
    let folder = TempDir::new().expect("a folder");
    let lines: Vec<Value> = (0..240).map(selected).collect();
    let (march, april) = (write(&folder, "march.jsonl", &lines[..200]), write(&folder, "april.jsonl", &lines));
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let quick = ["--members", "1", "--epochs", "4", "--holdout", "0.3", "--force"];
    program(&[&["--traces", str(&march), "--out", str(&old)], &quick[..]].concat()).expect("trained");
    let arguments = ["--traces", str(&april), "--out", str(&new), "--against", str(&old)];
    program(&[&arguments[..], &quick].concat()).expect("trained");
    assert_eq!(against(&new)["old_saw"], json!(["april.jsonl"]));
}

#[test]
fn traces_of_a_time_that_an_old_classifier_has_not_seen_are_unseen() {
    let folder = TempDir::new().expect("a folder");
    let at = |n: usize| {
        let mut line = selected(n);
        line["at_ms"] = json!(1_000 + n);
        line
    };
    let lines: Vec<Value> = (0..540).map(at).collect();
    let files = [("march", &lines[..100]), ("april", &lines[100..]), ("spring", &lines[..])];
    let [march, april, spring] = files.map(|(name, lines)| write(&folder, &format!("{name}.jsonl"), lines));
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let quick = ["--members", "1", "--epochs", "4", "--holdout", "0.3", "--force", "--traces"];
    program(&[&quick[..], &[str(&march), "--out", str(&old)]].concat()).expect("trained");
    let source = &Bundle::load(&old).expect("loads").manifest.training_data[0];
    assert_eq!(source.span, Some(Span { from_ms: 1_000, to_ms: 1_099 }));
    for (file, left_out) in [(april, json!([])), (spring, json!(["spring.jsonl"]))] {
        let arguments = [str(&file), "--out", str(&new), "--against", str(&old)];
        program(&[&quick[..], &arguments].concat()).expect("trained");
        let found = against(&new);
        assert_eq!((&found["left_out"], &found["old_saw"]), (&left_out, &json!([])), "{found}");
        let compared = found["new"]["prompts"].as_u64().expect("a number");
        assert!((100..170).contains(&compared), "only what is of April: {compared}");
    }
}

#[test]
fn the_classifier_that_a_data_folder_uses_is_the_old_one_where_the_folder_is_given() {
    let folder = TempDir::new().expect("a folder");
    let (file, again) = (write(&folder, "one.jsonl", &poems(300)), write(&folder, "two.jsonl", &poems(301)));
    let (good, data) = (folder.path().join("good"), folder.path().join("data"));
    let thorough = ["--epochs", "60", "--members", "1", "--holdout", "0.3"];
    program(&[&["--workload", str(&file), "--out", str(&good)], &thorough[..]].concat()).expect("trained");
    let typo = folder.path().join("typo");
    let missing = ["--workload", str(&file), "--out", "x", "--data-dir", str(&typo)];
    let refusal = program(&missing).expect_err("not there");
    assert!(refusal.contains("typo is not there; give the --data-dir of a gateway"), "{refusal}");
    std::fs::create_dir(&data).expect("made");
    let mut taken = std::process::Command::new(env!("CARGO_BIN_EXE_satisfice"));
    let taken = taken.args(["model", "use", str(&good), "--data-dir", str(&data)]).output().expect("runs");
    assert!(taken.status.success());
    let out = folder.path().join("bad");
    let hasty = ["--epochs", "1", "--members", "1", "--holdout", "0.3", "--data-dir", str(&data)];
    let refusal = program(&[&["--workload", str(&again), "--out", str(&out)], &hasty[..]].concat()).expect_err("worse");
    assert!(refusal.contains("falls behind the classifier in use in") && !out.exists(), "{refusal}");
    std::fs::remove_dir_all(data.join("models/good")).expect("removed");
    let refusal = program(&[&["--workload", "nowhere", "--out", str(&out)], &hasty[..]].concat()).expect_err("gone");
    assert!(refusal.contains("--data-dir: classifier good") && refusal.lines().count() == 1, "{refusal}");
}
