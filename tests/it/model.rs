//! `satisfice model`: classifiers of a data folder, and a running gateway that changes over to another one.

use std::path::{Path, PathBuf};

use satisfice::difficulty::Bundle;
use satisfice::store::{RedbStore, Retention, Store};
use satisfice::trace::Trace;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{ask, client, header};
use crate::recorded::{decided, trace};
use crate::scripted::Scripted;
use crate::served::{Served, program, url};

fn satisfice(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What it prints where all is well.
fn said(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = satisfice(folder, arguments);
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    out
}

/// The one line that it complains with.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = satisfice(folder, arguments);
    assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{arguments:?}: {error}");
    error
}

/// Trains a classifier on a few sums and proofs; gives its fingerprint.
fn train(folder: &TempDir, name: &str, seed: &str) -> String {
    let line = |i: usize| {
        let text = if i.is_multiple_of(2) {
            format!("What is {i} plus 7?")
        } else {
            format!("Prove theorem {i} by induction.")
        };
        let outcome = |quality: f64| json!({"quality": quality, "input_tokens": 9, "output_tokens": 50 + i % 7, "cost_usd": 1e-4});
        let outcomes =
            json!({"small": outcome((i % 2) as f64), "large": outcome(f64::from(u8::from(!i.is_multiple_of(5))))});
        json!({"id": i.to_string(), "messages": [{"role": "user", "content": text}], "outcomes": outcomes}).to_string()
    };
    std::fs::write(folder.path().join("toy.jsonl"), (0..60).map(|i| line(i) + "\n").collect::<String>()).unwrap();
    let out = format!("trained/{name}");
    std::fs::create_dir_all(folder.path().join("trained")).unwrap();
    let quick = ["--holdout", "0", "--epochs", "1", "--members", "1", "--seed", seed, "--force"];
    let (code, _, error) =
        satisfice(folder.path(), &[&["train", "--workload", "toy.jsonl", "--out", &out], &quick[..]].concat());
    assert_eq!(code, 0, "{error}");
    Bundle::load(&folder.path().join(out)).unwrap().fingerprint
}

/// Names in the list, the one in use first.
fn listed(folder: &Path) -> (String, Vec<String>) {
    let list = said(folder, &["model", "list"]);
    let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let in_use = rows.iter().find(|row| row[0] == "*").unwrap_or_else(|| panic!("{list}"));
    (in_use[1].to_owned(), rows.iter().map(|row| row[usize::from(row[0] == "*")].to_owned()).collect())
}

#[test]
fn a_data_folder_that_is_a_file_is_said_to_be_one_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for folder_in_file in ["file", "file/data"] {
        let error = refused(folder.path(), &["model", "list", "--data-dir", folder_in_file]);
        assert!(
            error.contains(&format!("the data folder {folder_in_file} ")) && error.contains("--data-dir"),
            "{error}"
        );
    }
}

#[test]
fn a_data_folder_that_is_given_is_there_and_none_is_made_of_a_mistyped_name() {
    let folder = tempfile::tempdir().unwrap();
    for action in [&["list"][..], &["use", "default"], &["rollback"]] {
        let error = refused(folder.path(), &[&["model", "--data-dir", "typo"], action].concat());
        assert!(error.contains("typo is not there; give the --data-dir of a gateway that has run"), "{error}");
    }
    assert!(!folder.path().join("typo").exists());
}

#[test]
fn a_gateway_that_was_given_a_classifier_keeps_it_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    train(&folder, "one", "1");
    std::fs::write(at.join("c.toml"), CONFIG.replace("URL", "http://127.0.0.1:1/v1")).unwrap();
    let served = Served::start(&mut program(), at, &["--model", "trained/one"]);
    served.says("for operators");
    let use_it = said(at, &["model", "use", "trained/one"]);
    assert!(use_it.contains("changes over, unless it was started with a folder of its own (--model"), "{use_it}");
    let kept = served.says("is not taken up");
    assert!(kept.contains("WARN") && kept.contains("the classifier in trained/one was given (--model"), "{kept}");
    // It has read the folder, and does not need it to take up another configuration.
    std::fs::rename(at.join("trained/one"), at.join("trained/gone")).unwrap();
    std::fs::write(at.join("c.toml"), CONFIG.replace("URL", "http://127.0.0.1:2/v1")).unwrap();
    served.says("configuration reloaded");
}

#[test]
fn classifiers_are_taken_into_use_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (train(&folder, "one", "1"), train(&folder, "two", "2"));
    let at = folder.path();
    assert_eq!(listed(at), ("default".into(), vec!["default".into()]));
    assert!(said(at, &["model", "use", "trained/one"]).starts_with(&format!("one ({one}) is in use")));
    assert!(said(at, &["model", "use", "trained/two", "--name", "better"]).contains(&two));
    assert_eq!(listed(at), ("better".into(), vec!["default".into(), "better".into(), "one".into()]));
    // The copy is the registry's own.
    std::fs::remove_dir_all(at.join("trained")).unwrap();
    assert_eq!(Bundle::load(&at.join("data/models/better")).unwrap().fingerprint, two);
    assert!(said(at, &["model", "rollback"]).starts_with("one is in use again, in place of better"));
    assert!(said(at, &["model", "use", "better"]).contains(&two));
    said(at, &["model", "use", "better"]);
    said(at, &["model", "rollback"]);
    assert_eq!(said(at, &["model", "rollback"]), "default is in use again, in place of one\n");
    assert!(refused(at, &["model", "rollback"]).contains("the one in the program is in use"));
    said(at, &["model", "use", "one"]);
    said(at, &["model", "use", "default"]);
    assert_eq!(listed(at).0, "default");
}

#[test]
fn the_list_says_where_the_classifier_in_use_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    train(&folder, "m1", "1");
    let at = folder.path();
    said(at, &["model", "use", "trained/m1"]);
    assert!(!said(at, &["model", "list"]).contains("missing"));
    std::fs::remove_dir_all(at.join("data/models/m1")).unwrap();
    assert_eq!(listed(at), ("m1".into(), vec!["default".into(), "m1".into()]));
    let list = said(at, &["model", "list"]);
    assert!(list.contains("in use, missing: take another with `satisfice model use`"), "{list}");
    said(at, &["model", "rollback"]);
    assert_eq!(listed(at), ("default".into(), vec!["default".into()]));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    train(&folder, "one", "1");
    train(&folder, "two", "2");
    let at = folder.path();
    said(at, &["model", "use", "trained/one"]);
    let registry = at.join("data/models/registry.json");
    let before = std::fs::read(&registry).unwrap();
    let cut = |path: PathBuf| {
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
    };
    let missing = refused(at, &["model", "use", "nowhere"]);
    assert!(missing.contains("neither a folder nor a classifier that is here; there are default, one"), "{missing}");
    let taken = refused(at, &["model", "use", "trained/two", "--name", "one"]);
    assert!(taken.contains("there is already another classifier one; give this one a --name"), "{taken}");
    for name in ["default", "../up", ".hidden", "a b", ""] {
        let wrong = refused(at, &["model", "use", "trained/two", "--name", name]);
        assert!(wrong.contains("cannot be a classifier's name"), "{wrong}");
        assert_eq!(wrong.contains("the one in the program has it"), name == "default", "{wrong}");
    }
    cut(at.join("trained/two/prior.json"));
    let damaged = refused(at, &["model", "use", "trained/two"]);
    assert!(damaged.contains("trained/two: prior.json: is not the file that manifest.json names"), "{damaged}");
    assert_eq!(std::fs::read(&registry).unwrap(), before);
    assert_eq!(listed(at).1, ["default", "one"]);

    said(at, &["model", "use", "default"]);
    cut(at.join("data/models/one/network.safetensors"));
    assert!(said(at, &["model", "list"]).contains("does not load: network.safetensors"));
    assert!(refused(at, &["model", "rollback"]).contains("classifier one, which was in use before"));
    std::fs::write(&registry, "{\"version\": 2, \"history\": []}").unwrap();
    assert!(refused(at, &["model", "list"]).contains("registry.json: version 2, and this program reads version 1"));
    std::fs::write(&registry, &before[..before.len() / 2]).unwrap();
    assert!(refused(at, &["model", "list"]).contains("registry.json: damaged; move it away"));
}

fn start(folder: &Path) -> Served {
    Served::start(&mut program(), folder, &["--log-format", "json"])
}

/// The fields of the line that says `text`.
fn told(served: &Served, text: &str) -> Value {
    serde_json::from_str::<Value>(&served.says(text)).unwrap()["fields"].take()
}

const CONFIG: &str = r#"
[[providers]]
name = "test"
kind = "openai"
base_url = "URL"
[[models]]
name = "small"
provider = "test"
input_usd_per_mtok = 0.1
output_usd_per_mtok = 0.1
[[models]]
name = "large"
provider = "test"
input_usd_per_mtok = 1.0
output_usd_per_mtok = 1.0
[[routes]]
name = "auto"
models = ["small", "large"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_changes_over_and_back_and_loses_nothing_it_learned() {
    let folder = tempfile::tempdir().unwrap();
    let (at, upstream) = (folder.path(), Scripted::start().await);
    let new = train(&folder, "new", "3");
    std::fs::write(at.join("c.toml"), CONFIG.replace("URL", &upstream.base_url())).unwrap();
    let served = start(at);
    let url = url(told(&served, "serving on http://")["message"].as_str().unwrap());
    let http = client();
    let request = async |n: usize| {
        let mut body = ask("auto");
        body["messages"][0]["content"] = format!("What is {n} plus 2?").into();
        let response = http.post(format!("{url}/v1/chat/completions")).body(body.to_string()).send().await.unwrap();
        assert!(["exploit", "explore"].contains(&header(&response, "x-satisfice-decision").unwrap()));
        let trace = header(&response, "x-satisfice-trace-id").unwrap().to_owned();
        response.bytes().await.unwrap();
        let score = json!({"trace_id": trace, "name": "quality", "value": 1}).to_string();
        let scored = http.post(format!("{url}/v1/feedback")).body(score).send().await.unwrap();
        assert_eq!(scored.status(), 200);
        // Its body is kept a moment after its score.
        while http.get(format!("{url}/v1/traces/{trace}")).send().await.unwrap().text().await.unwrap().len() < 500 {}
    };
    for n in 0..6 {
        request(n).await;
    }

    said(at, &["model", "use", "trained/new"]);
    let taken = told(&served, "another classifier is in use");
    assert_eq!((taken["fingerprint"].as_str(), taken["assessed"].as_u64()), (Some(&*new), Some(6)), "{taken}");
    assert_eq!(taken["left_out"], 0);
    request(6).await;

    said(at, &["model", "rollback"]);
    let back = told(&served, "another classifier is in use");
    assert_eq!((back["assessed"].as_u64(), back["left_out"].as_u64()), (Some(1), Some(0)), "{back}");
    assert_eq!(back["fingerprint"], Bundle::embedded().unwrap().fingerprint);
    request(7).await;

    std::fs::write(at.join("data/models/registry.json"), "{").unwrap();
    served.says("the classifier that was in use stays");
    request(8).await;
    served.terminate();
    served.ends();

    std::fs::remove_file(at.join("data/models/registry.json")).unwrap();
    assert_eq!(said(at, &["export", "--out", "t.jsonl"]), "wrote t.jsonl: 9 requests, 9 with their body, 9 judged\n");
    let text = std::fs::read_to_string(at.join("t.jsonl")).unwrap();
    let bundles: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["decision"]["bundle"].clone()).collect();
    // A start with it goes on from the ledger, and brings in the two that it has not assessed yet.
    said(at, &["model", "use", "new"]);
    let brought_in = told(&start(at), "the ledger has requests that another classifier decided");
    assert_eq!((brought_in["fingerprint"].as_str(), brought_in["assessed"].as_u64()), (Some(&*new), Some(2)));
    assert!(bundles[6] != bundles[0] && bundles.iter().filter(|bundle| **bundle == bundles[0]).count() == 8);
}

/// A data folder with so many long requests that another classifier decided.
fn decided_by_another(folder: &Path, requests: u64) {
    let mut store = RedbStore::open(&folder.join("data"), Retention::default()).unwrap();
    store.append(&(0..requests).map(decided).collect::<Vec<_>>()).unwrap();
    let text: String = (0..2_000).map(|word| format!("word{word} ")).collect();
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string();
    for n in 0..requests {
        store.stage(&Trace { request: body.clone().into(), ..trace(n) }).unwrap();
    }
    store.keep().unwrap();
    store.flush().unwrap();
}

#[test]
fn what_is_told_while_earlier_requests_are_assessed_is_heard_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Half a minute's work, which is broken off.
    decided_by_another(at, 1_000);
    let config = CONFIG.replace("URL", "http://127.0.0.1:1/v1");
    std::fs::write(at.join("c.toml"), &config).unwrap();
    let served = start(at);
    served.says("serving on");
    std::fs::write(at.join("c.toml"), config.replace("auto", "other")).unwrap();
    served.signal("-HUP");
    let mut heard = vec![];
    for (word, signal) in [("configuration reloaded", "-TERM"), ("stopping", "-CONT")] {
        while !heard.last().is_some_and(|line: &String| line.contains(word)) {
            heard.push(served.next());
        }
        served.signal(signal);
    }
    assert!(!heard.iter().any(|line| line.contains("another classifier")), "{heard:#?}");
    served.ends();
}
