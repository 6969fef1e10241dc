//! `satisfice train`: from workloads to a folder that loads, the same every time, with every mistake named.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use satisfice::cli::train::{TrainArgs, run};
use satisfice::difficulty::{Bundle, Entrant};
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
fn workload(prompts: usize) -> Vec<Value> {
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

fn write(folder: &TempDir, name: &str, lines: &[Value]) -> PathBuf {
    let path = folder.path().join(name);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).expect("written");
    path
}

fn str(path: &Path) -> &str {
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
        let arguments =
            ["--workload", str(&file), "--out", str(&out), "--seed", seed, "--holdout", "0", "--epochs", "2"];
        train(&arguments).expect("trained");
        ["network.safetensors", "prior.json"].map(|file| std::fs::read(out.join(file)).expect("written"))
    };
    let first = make("a", "1");
    assert_eq!(first, make("b", "1"));
    assert_ne!(first, make("c", "2"));
}

#[test]
fn a_folder_is_replaced_only_by_force() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("model"));
    std::fs::create_dir(&out).expect("made");
    std::fs::write(out.join("mine.txt"), "precious").expect("written");
    let arguments = ["--workload", str(&file), "--out", str(&out), "--holdout", "0", "--epochs", "1", "--members", "1"];
    let refusal = train(&arguments).expect_err("the folder exists");
    assert!(refusal.contains("exists") && refusal.contains("--force"), "{refusal}");
    assert!(out.join("mine.txt").exists());
    train(&[&arguments[..], &["--force"]].concat()).expect("trained");
    assert!(!out.join("mine.txt").exists() && Bundle::load(&out).is_ok());
}

#[test]
fn an_excluded_fold_is_listed_and_not_trained_on() {
    let folder = TempDir::new().expect("a folder");
    let (file, list) = (write(&folder, "toy.jsonl", &workload(120)), folder.path().join("fold.tsv"));
    let out = folder.path().join("model");
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1"];
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
        (broken(&|line| line["outcomes"]["weak"]["quality"] = json!(1.5)), "bad.jsonl:2: weak: quality is 1.5"),
        (broken(&|line| line["outcomes"]["weak"]["cost_usd"] = json!(-1)), "bad.jsonl:2: weak: cost_usd is -1"),
        (broken(&|line| line["outcomes"] = json!({})), "bad.jsonl:2: no outcomes"),
        (broken(&|line| line["id"] = json!("p/0")), "bad.jsonl:2: id \"p/0\" is there twice"),
        (broken(&|line| line["messages"] = json!([])), "bad.jsonl:2: messages is empty"),
        (broken(&|line| *line = json!({"id": 7})), "bad.jsonl:2: not a prompt"),
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
    let nan = workload(1)[0].to_string().replace("\"quality\":1.0", "\"quality\":NaN");
    assert!(nan.contains("NaN") && refusal("nan.jsonl", nan.as_bytes()).contains("nan.jsonl:1: not a prompt"));
    let text: String = workload(200).iter().map(|line| format!("{line}\n")).collect();
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(text.as_bytes()).expect("zipped");
    let zip = zip.finish().expect("zipped");
    let cut = refusal("cut.jsonl.gz", &zip[..zip.len() / 2]);
    assert!(cut.contains("cut.jsonl.gz:") && cut.contains("cut off or damaged"), "{cut}");
    let missing = train(&["--workload", "nowhere.jsonl", "--out", str(&out)]).expect_err("missing");
    assert!(missing.contains("nowhere.jsonl cannot be read"), "{missing}");
    let share = train(&["--workload", "x", "--out", str(&out), "--holdout", "0.9"]).expect_err("too much");
    assert!(share.contains("from 0 to 0.5"), "{share}");
}

#[test]
fn a_damaged_bundle_names_the_file_and_what_is_wrong_with_it() {
    let folder = TempDir::new().expect("a folder");
    let (file, out) = (write(&folder, "toy.jsonl", &workload(60)), folder.path().join("model"));
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1"];
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
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1"];
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
