//! `--encoder DIR`: a transformer in place of the static encoder, from training to serving, and every mistake named.
//!
//! The transformer is a tiny one with random weights, which the test writes itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use satisfice::api::chat::ChatRequest;
use satisfice::difficulty::{Bundle, EncoderFiles, sha256};
use satisfice::features::{Extractor, SIGNAL_WIDTH};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{self, Running, ask, header};
use crate::train::{str, workload, write};

const HIDDEN: usize = 32;

/// Special pieces, characters, and a few words of the toy workload.
fn vocabulary() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(String::from);
    let characters = ('!'..='~').filter(|c| !c.is_ascii_uppercase()).map(String::from);
    let rest = ('a'..='z').chain('0'..='9').map(|c| format!("##{c}"));
    let words = ["what", "is", "plus", "prove", "that", "the", "function", "continuous"].map(String::from);
    special.into_iter().chain(characters).chain(rest).chain(words).collect()
}

/// Names and shapes of a BERT's tensors.
fn shapes(pieces: usize) -> Vec<(String, Vec<usize>)> {
    let (h, wide) = (HIDDEN, 2 * HIDDEN);
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![pieces, h]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![64, h]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, h]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
    ];
    for layer in 0..2 {
        let linears = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        let linears = linears.map(|name| (name, h, h));
        for (name, outputs, inputs) in
            linears.into_iter().chain([("intermediate.dense", wide, h), ("output.dense", h, wide)])
        {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![outputs, inputs]));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![outputs]));
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![h]));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![h]));
        }
    }
    shapes
}

fn weights(seed: u64) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bytes = |shape: &[usize]| -> Vec<u8> {
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-0.5f32..0.5));
        values.flat_map(f32::to_le_bytes).collect()
    };
    let tensors: Vec<_> =
        shapes(vocabulary().len()).into_iter().map(|(name, shape)| (name, bytes(&shape), shape)).collect();
    let views: BTreeMap<&str, TensorView> = tensors
        .iter()
        .map(|(name, bytes, shape)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    safetensors::serialize(views, None).unwrap()
}

fn config() -> Value {
    json!({
        "model_type": "bert", "vocab_size": vocabulary().len(), "hidden_size": HIDDEN, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 2 * HIDDEN, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0
    })
}

/// A folder with a BERT in it.
fn bert(folder: &TempDir, name: &str, seed: u64) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("config.json"), config().to_string()).unwrap();
    std::fs::write(path.join("vocab.txt"), vocabulary().join("\n") + "\n").unwrap();
    std::fs::write(path.join("model.safetensors"), weights(seed)).unwrap();
    path
}

fn satisfice(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_satisfice")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The one line that it complains with.
fn refused(arguments: &[&str]) -> String {
    let (code, out, error) = satisfice(arguments);
    assert_eq!((code, error.lines().count(), out.as_str()), (Some(2), 1, ""), "{error}");
    error
}

/// A bundle in `out`, trained on that encoder.
fn train(folder: &TempDir, encoder: &Path, out: &str) -> PathBuf {
    let (file, out) = (write(folder, "toy.jsonl", &workload(120)), folder.path().join(out));
    let quick = ["--holdout", "0", "--epochs", "2", "--members", "1", "--force"];
    let arguments = ["train", "--encoder", str(encoder), "--workload", str(&file), "--out", str(&out)];
    let (code, _, error) = satisfice(&[&arguments[..], &quick].concat());
    assert_eq!(code, Some(0), "{error}");
    out
}

fn request(text: &str) -> ChatRequest {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]}).to_string();
    ChatRequest::parse(&Bytes::from(body)).unwrap()
}

fn embedding(extractor: &Extractor, text: &str) -> Vec<f32> {
    extractor.extract(&request(text)).unwrap().values.split_off(SIGNAL_WIDTH)
}

#[tokio::test]
async fn a_gateway_decides_with_the_transformer_that_its_bundle_was_trained_on() {
    let folder = TempDir::new().unwrap();
    let out = train(&folder, &bert(&folder, "bert", 1), "model");
    let bundle = Arc::new(Bundle::load(&out).unwrap());
    let record = bundle.manifest.encoder.as_ref().unwrap();
    assert_eq!((record.schema, record.dim, &record.sha256), (1, HIDDEN, &sha256(&weights(1))));
    assert_eq!(bundle.extractor.width(), SIGNAL_WIDTH + HIDDEN);
    let draft = bundle.extractor.draft(&request("What is 2 + 2?"));
    let expected = bundle.assess(draft).unwrap();

    let mut running = Running::with(gateway::Options { bundle: bundle.clone(), ..Default::default() }).await;
    let answer = running.chat(ask("auto")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-satisfice-decision"), Some("exploit"));
    assert_eq!(running.finished().await.decision.unwrap().phi, expected.phi);
    running.stop().await;
}

#[test]
fn a_bundle_is_evaluated_with_its_own_encoder_and_folds_are_trained_on_one() {
    let folder = TempDir::new().unwrap();
    let encoder = bert(&folder, "bert", 1);
    let out = train(&folder, &encoder, "model");
    let file = folder.path().join("toy.jsonl");
    let base = ["--workload", str(&file), "--bootstrap", "0"];
    let evaluate = |flags: &[&str]| satisfice(&[&["evaluate"], flags, &base[..]].concat());
    let trained = |flags: &[&str]| evaluate(&[flags, &["--epochs", "2", "--members", "1"]].concat());
    let (code, said, error) = evaluate(&["--model", str(&out)]);
    assert!(code == Some(0) && said.contains("TRAINED on toy.jsonl"), "{said}{error}");
    let (code, on_bert, error) = trained(&["--encoder", str(&encoder), "--cross-validate", "3"]);
    assert_eq!(code, Some(0), "{error}");
    // A bundle is an encoder's folder, too; the static encoder has other neighbours.
    assert_eq!(trained(&["--encoder", str(&out), "--cross-validate", "3"]).1, on_bert);
    assert_ne!(trained(&["--cross-validate", "3"]).1, on_bert);
    let alone = refused(&[&["evaluate", "--encoder", str(&encoder)], &base[..]].concat());
    assert!(alone.contains("--encoder trains folds on it: give --cross-validate"), "{alone}");
}

#[test]
fn classifiers_on_different_encoders_are_compared_on_the_same_prompts() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let transformer = train(&folder, &bert(&folder, "bert", 1), "transformer");
    let other = write(&folder, "other.jsonl", &workload(150));
    let quick = ["train", "--members", "1", "--holdout", "0.3", "--force", "--epochs", "2", "--workload", str(&other)];
    let compared = |arguments: &[&str], out: &str| {
        let (code, said, error) = satisfice(&[&quick[..], arguments, &["--out", str(&at(out))]].concat());
        assert_eq!(code, Some(0), "{error}");
        assert!(said.contains("has another encoder, which reads the prompts as well"), "{said}");
        let against = Bundle::load(&at(out)).unwrap().manifest.holdout["against"].clone();
        let (old, new) = (&against["old"]["workloads"][0], &against["new"]["workloads"][0]);
        assert!(old["prompts"].as_u64() > Some(20) && old["prompts"] == new["prompts"], "{against}");
        assert_ne!((&against["log_loss"]["low"], old), (&json!(null), new));
        against["log_loss"]["value"].as_f64().unwrap()
    };
    let against_static = compared(&["--encoder", str(&at("bert"))], "b");
    let against_transformer = compared(&["--against", str(&transformer)], "a");
    assert!(
        against_static > against_transformer,
        "{against_static} {against_transformer}: random weights know nothing"
    );
    // Its settings are compared in its own features.
    compared(&["--against", str(&transformer), "--retrain-old"], "c");
}

#[test]
fn a_bundle_is_never_used_with_another_encoder_than_it_was_trained_on() {
    let folder = TempDir::new().unwrap();
    let out = train(&folder, &bert(&folder, "bert", 1), "model");
    std::fs::write(out.join("model.safetensors"), weights(2)).unwrap();
    let (ours, other) = (sha256(&weights(1)), sha256(&weights(2)));
    let swapped = Bundle::load(&out).unwrap_err().to_string();
    assert!(swapped.starts_with("model.safetensors: is not the file that manifest.json names"), "{swapped}");
    assert!(swapped.contains(&ours) && swapped.contains(&other), "{swapped}");
    let served = refused(&[
        "serve",
        "--model",
        str(&out),
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--config",
        str(&config_file(&folder)),
    ]);
    assert!(served.contains(&ours) && served.contains(&other), "{served}");

    // Neither where the list of files says that it belongs there.
    let manifest = out.join("manifest.json");
    let mut forged: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    let file = forged["files"].as_array_mut().unwrap().iter_mut().find(|file| file["name"] == "model.safetensors");
    file.unwrap()["sha256"] = other.clone().into();
    std::fs::write(&manifest, forged.to_string()).unwrap();
    let forged = Bundle::load(&out).unwrap_err().to_string();
    assert!(forged.contains(&format!("was trained on encoder {ours}")) && forged.contains(&other), "{forged}");
}

/// The least that `serve` starts with.
fn config_file(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("c.toml");
    let provider = "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    let models = ["a", "b"].map(|name| {
        let price = "input_usd_per_mtok = 1.0\noutput_usd_per_mtok = 1.0\n";
        format!("[[models]]\nname = \"{name}\"\nprovider = \"p\"\n{price}")
    });
    let route = "[[routes]]\nname = \"auto\"\nmodels = [\"a\", \"b\"]\nquality = 0.9\n";
    std::fs::write(&path, format!("{provider}{}{route}", models.concat())).unwrap();
    path
}

#[test]
fn a_vocabulary_may_come_from_tokenizer_json() {
    let folder = TempDir::new().unwrap();
    let (plain, json) = (bert(&folder, "plain", 1), bert(&folder, "json", 1));
    let pieces: BTreeMap<_, _> = vocabulary().into_iter().enumerate().map(|(id, piece)| (piece, id)).collect();
    std::fs::remove_file(json.join("vocab.txt")).unwrap();
    let tokenizer = json!({"model": {"type": "WordPiece", "vocab": pieces}});
    std::fs::write(json.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let files = |out: PathBuf| {
        ["vocab.txt", "network.safetensors", "prior.json"].map(|name| std::fs::read(out.join(name)).unwrap())
    };
    assert_eq!(files(train(&folder, &json, "a")), files(train(&folder, &plain, "b")));
}

#[test]
fn what_is_no_encoder_is_refused_in_one_line_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let (encoder, out) = (bert(&folder, "bert", 1), folder.path().join("out/model"));
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let file = write(&folder, "toy.jsonl", &workload(60));
    let refusal = || refused(&["train", "--encoder", str(&encoder), "--workload", str(&file), "--out", str(&out)]);
    let broken = |name: &str, change: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let path = encoder.join(name);
        let whole = std::fs::read(&path).unwrap();
        match change(&whole) {
            Some(changed) => std::fs::write(&path, changed).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let problem = refusal();
        std::fs::write(&path, whole).unwrap();
        assert!(problem.contains(str(&path)), "{problem}\nshould name {name}");
        problem
    };
    let set = |key: &str, value: Value| {
        broken("config.json", &|_| {
            let mut config = config();
            config[key] = value.clone();
            Some(config.to_string().into_bytes())
        })
    };
    let pieces = |change: &dyn Fn(&str) -> String| {
        broken("vocab.txt", &|whole| Some(change(std::str::from_utf8(whole).unwrap()).into_bytes()))
    };
    let not_finite = |whole: &[u8]| {
        let end = whole.len() - 4;
        Some([&whole[..end], &f32::NAN.to_le_bytes()].concat())
    };
    let cases = [
        (broken("config.json", &|_| None), "cannot be read"),
        (broken("vocab.txt", &|_| None), "an encoder's folder has config.json, model.safetensors, and vocab.txt"),
        (broken("model.safetensors", &|_| None), "cannot be read"),
        (broken("model.safetensors", &|whole| Some(whole[..whole.len() / 2].to_vec())), "is cut off"),
        (broken("model.safetensors", &not_finite), "not a finite number"),
        (broken("config.json", &|_| Some(b"{}".to_vec())), "missing field"),
        (set("model_type", json!("roberta")), "model_type is \"roberta\""),
        (set("num_attention_heads", json!(0)), "num_attention_heads is 0"),
        (set("num_hidden_layers", json!(1_000_000)), "num_hidden_layers is 1000000"),
        (set("max_position_embeddings", json!(2)), "max_position_embeddings is 2"),
        (pieces(&|text| format!("{text}one\nmore\n")), "config.json says vocab_size"),
        (pieces(&|text| text.replace("prove", "Prove")), "give an uncased BERT"),
        (pieces(&|text| text.replace("[SEP]", "[END]")), "has no [SEP]"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\nshould say: {expected}");
    }
    // What does not belong together is said of the weights.
    for (key, value) in [("hidden_size", 16), ("num_hidden_layers", 3), ("intermediate_size", 16)] {
        let mut changed = config();
        changed[key] = value.into();
        std::fs::write(encoder.join("config.json"), changed.to_string()).unwrap();
        let problem = refusal();
        let expected = format!("{}: does not fit config.json", str(&encoder.join("model.safetensors")));
        assert!(problem.contains(&expected), "{problem}\nshould say: {expected}");
    }
    assert_eq!(std::fs::read_dir(out.parent().unwrap()).unwrap().count(), 0, "something was written");
}

#[test]
fn texts_of_any_length_are_embedded_at_length_one_and_the_middle_of_long_ones_is_left_out() {
    let folder = TempDir::new().unwrap();
    let extractor = EncoderFiles::transformer(&bert(&folder, "bert", 1)).unwrap().extractor().unwrap();
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    for text in ["", "x", "Ünïcode 中文", &"prove that ".repeat(5000)] {
        let found = embedding(&extractor, text);
        assert!((length(&found) - 1.0).abs() < 1e-5, "{text}: {}", length(&found));
    }
    // 64 positions: [CLS], 31 tokens, 31 tokens, [SEP].
    let long = |middle: &str| format!("{}{middle}{}", "what ".repeat(31), "is ".repeat(31));
    assert_eq!(embedding(&extractor, &long("")), embedding(&extractor, &long("function ")));
    assert_ne!(embedding(&extractor, &long("")), embedding(&extractor, &("function ".to_owned() + &long(""))));
}

/// What numpy makes of the weights in double precision: the first values of an embedding of a text that is repeated.
#[derive(Deserialize)]
struct Golden {
    text: String,
    times: usize,
    embedding: Vec<f32>,
}

#[test]
fn all_minilm_embeds_as_its_reference() {
    let Some(folder) = std::env::var_os("SATISFICE_ENCODER") else {
        eprintln!("skipped: SATISFICE_ENCODER names no folder with all-MiniLM-L6-v2");
        return;
    };
    let extractor = EncoderFiles::transformer(Path::new(&folder)).unwrap().extractor().unwrap();
    let golden: Vec<Golden> = serde_json::from_str(include_str!("../fixtures/encoder.json")).unwrap();
    for Golden { text, times, embedding: expected } in &golden {
        let found = embedding(&extractor, &text.repeat(*times));
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 2e-5, "{text:?}: value {i}: {found}, not {expected}");
        }
    }
    // Cosines as sentence-transformers' documentation gives them.
    let [a, b, c] = [0, 1, 2].map(|i| embedding(&extractor, &golden[i].text));
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (found, expected) in [(cosine(&a, &b), 0.6660), (cosine(&a, &c), 0.1046), (cosine(&b, &c), 0.1411)] {
        assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
    }
}
