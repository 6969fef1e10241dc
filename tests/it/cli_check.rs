//! `satisfice check`: a summary of a valid file, all the mistakes of another.

use std::path::PathBuf;

use satisfice::cli::check::{self, CheckError, Options};
use satisfice::config::Environment;
use tempfile::TempDir;

/// A folder with `text` as its configuration.
fn file(text: &str) -> (TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("satisfice.toml");
    std::fs::write(&config, text).unwrap();
    (folder, Options { config })
}

fn check(text: &str) -> Result<String, CheckError> {
    let (_folder, options) = file(text);
    check::run(&options, &Environment::from_iter([("OPENAI_API_KEY", "sk-secret")]))
}

/// Without the folder's name, which differs from run to run.
fn stable(text: &str) -> String {
    text.lines()
        .map(|line| {
            line.rsplit_once("/satisfice.toml").map_or(line.to_owned(), |(before, after)| {
                let indent = &before[..before.len() - before.trim_start().len()];
                format!("{indent}satisfice.toml{after}")
            })
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_valid_file_is_described() {
    let example = include_str!("../../satisfice.example.toml");
    insta::assert_snapshot!(stable(&check(example).unwrap()), @r#"
    satisfice.toml: valid
    providers
      openai  https://api.openai.com/v1  with a key
      local   http://127.0.0.1:11434/v1  without a key
    models (USD per million tokens, input / output)
      openai/gpt-4o-mini  0.15 / 0.6   128000 tokens  from the file
      openai/gpt-4o       2.5 / 10     128000 tokens  from the catalogue: openai/gpt-4o
      local/qwen          0.02 / 0.02  32768 tokens   from the file
    routes
      auto      quality 0.95                        local/qwen, openai/gpt-4o-mini, openai/gpt-4o
      - search  quality 0.99                        team=search
      batch     budget 0.66 USD per 1,000 requests  openai/gpt-4o-mini, openai/gpt-4o
    remarks
      satisfice.toml:88: the provider of model "gpt-4o-mini" retires it on 2027-01-14
    "#);
}

#[test]
fn without_a_name_it_is_the_file_that_serve_reads() {
    let folder = tempfile::tempdir().unwrap();
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_satisfice"));
        command.arg("check").current_dir(&folder).output().unwrap()
    };
    let missing = check();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("satisfice.toml: cannot be read"));
    std::fs::write(
        folder.path().join("satisfice.toml"),
        "[[providers]]\nname = \"ollama\"\n[[models]]\nname = \"llama3.2\"\nprovider = \"ollama\"\n",
    )
    .unwrap();
    let said = check();
    assert!(said.status.success() && said.stdout.starts_with(b"satisfice.toml: valid"), "{said:?}");
}

#[test]
fn what_is_worth_a_look_is_said() {
    let text = r#"
[[providers]]
name = "box"
kind = "openai"
base_url = "http://models.example/v1"
[[models]]
name = "llama"
provider = "box"
[[routes]]
name = "auto"
models = ["llama"]
explore = false
"#;
    insta::assert_snapshot!(stable(&check(text).unwrap()), @r#"
    satisfice.toml: valid
    providers
      box  http://models.example/v1  without a key
    models (USD per million tokens, input / output)
      box/llama  price unknown  context unknown
    routes
      auto  quality 0.95, no exploration  box/llama
    remarks
      satisfice.toml:5: provider "box": prompts and key go unencrypted to models.example; use https://
      satisfice.toml:6: the price of model "llama" is not known; give `input_usd_per_mtok` and `output_usd_per_mtok`; until then it counts as its routes' dearest
    "#);
}

#[test]
fn every_mistake_has_its_file_and_line() {
    let text = "[server]\nattempts = 0\n[deadlines]\nidle = 3\n";
    insta::assert_snapshot!(stable(&check(text).unwrap_err().to_string()), @r#"
    satisfice.toml: there are no [[models]]; satisfice.example.toml shows one
    satisfice.toml: there are no [[providers]]; satisfice.example.toml shows one
    satisfice.toml:2: `attempts` of [server] is 0; give a whole number from 1 to 10
    satisfice.toml:4: unknown key `idle` in [deadlines]; did you mean "idle_s"? (known: connect_s, first_byte_s, idle_s, total_s)
    "#);
}

#[test]
fn a_classifier_that_is_not_there_is_a_mistake_of_its_line_beside_all_others() {
    let text = "[classifier]\npath = \"nowhere\"\n[deadlines]\nidle = 3\n";
    let text = stable(&check(text).unwrap_err().to_string());
    assert!(text.contains("satisfice.toml:2: the classifier nowhere has no manifest.json; give a folder"), "{text}");
    assert!(text.contains("satisfice.toml:4: unknown key `idle`"), "{text}");
}

#[test]
fn a_classifier_that_does_not_load_is_a_mistake() {
    let example = include_str!("../../satisfice.example.toml");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("manifest.json"), "{").unwrap();
    let path = format!("[classifier]\npath = {:?}\n", folder.path());
    let text = check(&example.replacen("[classifier]\n", &path, 1)).unwrap_err().to_string();
    assert!(text.contains("manifest.json") && text.contains("[classifier]"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let options = Options { config: PathBuf::from("nowhere.toml") };
    let text = check::run(&options, &Environment::default()).unwrap_err().to_string();
    assert!(text.starts_with("nowhere.toml: cannot be read"), "{text}");
}
