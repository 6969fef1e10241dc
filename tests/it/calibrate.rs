//! `satisfice calibrate`: every prompt to every model, for a price that is said first; nothing is asked twice.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser as _;
use satisfice::cli::assemble::assemble;
use satisfice::cli::calibrate;
use satisfice::config::{self, Environment, Flags};
use satisfice::difficulty::Bundle;
use satisfice::learner::{self, Reading};
use satisfice::policy::{RouteState, Snapshot};
use satisfice::store::memory::MemoryStore;
use satisfice::store::{Entry, RedbStore, Retention, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{ask, client, header};
use crate::scripted::{Answer, Scripted};

pub const PROMPTS: usize = 30;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    options: calibrate::Options,
}

/// A scripted provider of the models `small` and `large`, and a folder with configuration, prompts and data.
pub struct Bench {
    pub upstream: Scripted,
    folder: TempDir,
}

impl Bench {
    pub async fn new(lines: &[Value]) -> Self {
        let (upstream, folder) = (Scripted::start().await, TempDir::new().unwrap());
        let bench = Self { upstream, folder };
        bench.write("satisfice.toml", &bench.config());
        bench.write("prompts.jsonl", &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        bench
    }

    /// The models answer all prompts, whose right answer is 7, with these numbers.
    async fn answering(small: u32, large: u32) -> Self {
        let bench = Self::new(&prompts()).await;
        bench.script(small, large);
        bench
    }

    pub fn script(&self, small: u32, large: u32) {
        for (model, number) in [("small", small), ("large", large)] {
            self.upstream.on(model, [Answer::completion(&format!("I say 3 + 4, so the answer is {number}."))]);
        }
    }

    pub fn config(&self) -> String {
        let model = |name: &str, usd: f64| {
            let output = 2.0 * usd;
            format!(
                "[[models]]\nname = \"{name}\"\nprovider = \"test\"\n\
                 input_usd_per_mtok = {usd:?}\noutput_usd_per_mtok = {output:?}\n"
            )
        };
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[[providers]]\nname = \"test\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
             {}{}[[routes]]\nname = \"auto\"\nmodels = [\"small\", \"large\"]\nquality = 0.95\nexplore = false\n",
            self.upstream.base_url(),
            model("small", 0.1),
            model("large", 1.0)
        )
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let own = ["--prompts", &file("prompts.jsonl"), "--config", &file("satisfice.toml"), "--route", "auto"];
        let data = ["--data-dir".to_owned(), self.data().display().to_string()];
        own.iter().chain(more).map(|argument| (*argument).to_owned()).chain(data).collect()
    }

    /// What it says, or why it fails behind that.
    pub async fn calibrate(&self, more: &[&str]) -> Result<String, (String, String)> {
        let arguments = std::iter::once("calibrate".to_owned()).chain(self.arguments(more));
        let options = Cli::try_parse_from(arguments).unwrap().options;
        let mut out = Vec::new();
        let ended = calibrate::run(&options, &mut out).await;
        let said = String::from_utf8(out).unwrap();
        match ended {
            Ok(()) => Ok(said),
            Err(error) => Err((said, format!("{error:#}"))),
        }
    }

    fn store(&self) -> RedbStore {
        RedbStore::open(&self.data(), Retention::default()).unwrap()
    }

    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let seen = self.store().replay(0, &mut |_, entry| {
            entries.push(entry);
            Ok(())
        });
        seen.unwrap();
        entries
    }

    pub fn route(&self) -> RouteState {
        (*learned(&self.store()).routes["auto"]).clone()
    }
}

fn prompts() -> Vec<Value> {
    let prompt = |i: usize| {
        json!({"id": format!("p/{i}"), "task": "t", "reference": "7", "max_tokens": 50, "outcomes": {},
               "messages": [{"role": "user", "content": format!("Case {i}: what is 3 + 4?")}]})
    };
    (0..PROMPTS).map(prompt).collect()
}

fn learned(store: &dyn Store) -> Snapshot {
    let bundle = Bundle::embedded().unwrap();
    learner::restore(store, Snapshot::new(bundle.prior.clone()), Reading::on(&bundle.fingerprint)).unwrap()
}

/// Posterior quality of `small` and `large` on the average request.
pub fn qualities(route: &RouteState) -> [f64; 2] {
    let mut phi = vec![0.0; route.arms[0].quality.dim()];
    phi[0] = 1.0;
    [0, 1].map(|arm| route.arms[arm].outlook(&route.shift, &phi, 1.0).quality)
}

pub fn count(entries: &[Entry], kind: fn(&Entry) -> bool) -> usize {
    entries.iter().filter(|entry| kind(entry)).count()
}

pub fn is_decided(entry: &Entry) -> bool {
    matches!(entry, Entry::Decided { .. })
}

fn is_settled(entry: &Entry) -> bool {
    matches!(entry, Entry::Settled { .. })
}

pub fn is_judged(entry: &Entry) -> bool {
    matches!(entry, Entry::Scored(scored) if scored.source == "reference" && scored.metric == "quality")
}

#[tokio::test]
async fn without_yes_the_cost_is_said_and_nothing_is_sent_or_made() {
    let bench = Bench::answering(7, 8).await;
    let (said, error) = bench.calibrate(&[]).await.unwrap_err();
    assert!(error.starts_with("nothing was sent; add --yes to spend about 0."), "{error}");
    assert!(said.contains("test/small") && said.contains("test/large") && said.contains("total, estimated"), "{said}");
    assert!(bench.upstream.seen().is_empty());
    assert!(!bench.data().exists());
}

#[tokio::test]
async fn the_cost_is_a_range_that_the_lengths_allow() {
    let bench = Bench::answering(7, 8).await;
    let (said, error) = bench.calibrate(&[]).await.unwrap_err();
    let row = said.lines().find(|line| line.contains("total, estimated")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().rev().collect();
    let number = |text: &str| text.parse::<f64>().unwrap();
    let ([low, high], expected) =
        (cells[0].split_once('–').map(|(low, high)| [low, high].map(number)).unwrap(), number(cells[1]));
    assert!(0.0 < low && low < expected && expected <= high, "{said}");
    // Answers of more than 50 tokens are not asked for: 30 prompts at 0.2 and at 2 USD per million.
    assert!(high <= 30.0 * 50.0 * 2.2e-6 + 30.0 * 50.0 * 1.1e-6, "{said}");
    assert!(
        error.contains(&format!("about {} USD, {} at most", cells[1], cells[0].rsplit('–').next().unwrap())),
        "{error}"
    );
}

#[tokio::test]
async fn it_stops_where_more_is_spent_than_was_agreed_to_and_goes_on_when_told() {
    let bench = Bench::answering(7, 8).await;
    let (said, error) = bench.calibrate(&["--yes", "--concurrency", "1", "--max-usd", "0.0001"]).await.unwrap_err();
    let asked = bench.upstream.seen().len();
    assert!(0 < asked && asked < 2 * PROMPTS, "{asked}");
    let left = 2 * PROMPTS - asked;
    assert!(said.contains(&format!("{asked} answers for 0.0001")), "{said}");
    assert!(
        error.starts_with(&format!("stopped before {left} calls: 0.0001")) && error.contains("--max-usd"),
        "{error}"
    );
    assert_eq!(count(&bench.entries(), is_judged), asked, "what is paid for is kept");
    bench.calibrate(&["--yes", "--max-usd", "1"]).await.unwrap();
    assert_eq!(bench.upstream.seen().len(), 2 * PROMPTS);
}

#[tokio::test]
async fn where_all_were_to_be_asked_again_the_next_run_is_not_said_to_do_so_by_itself() {
    let bench = Bench::answering(7, 8).await;
    bench.calibrate(&["--yes"]).await.unwrap();
    let few = ["--yes", "--again", "--concurrency", "1", "--max-usd", "0.0001"];
    let (said, error) = bench.calibrate(&few).await.unwrap_err();
    assert!(said.contains("the next run asks for those without an answer, and with --again for all anew"), "{said}");
    assert!(error.contains("stopped before"), "{error}");
    let asked = bench.upstream.seen().len();
    bench.calibrate(&["--yes"]).await.unwrap();
    assert_eq!(bench.upstream.seen().len(), asked, "each has an answer");
}

#[tokio::test]
async fn a_limit_takes_the_first_prompts() {
    let bench = Bench::answering(7, 8).await;
    let (said, _) = bench.calibrate(&["--limit", "3"]).await.unwrap_err();
    assert!(said.starts_with("3 prompts to the 2 models of \"auto\""), "{said}");
}

#[tokio::test]
async fn the_route_prefers_the_model_that_answered_rightly() {
    for (small, large, preferred) in [(7, 8, "test/small"), (8, 7, "test/large")] {
        let bench = Bench::answering(small, large).await;
        let said = bench.calibrate(&["--yes"]).await.unwrap();
        assert_eq!(bench.upstream.counts(["small", "large"]), [PROMPTS, PROMPTS]);
        assert!(said.contains("60 answers for 0."), "{said}");
        let [small_quality, large_quality] = qualities(&bench.route());
        let lead = small_quality - large_quality;
        assert!(if small == 7 { lead > 0.3 } else { lead < -0.3 }, "{small_quality} {large_quality}");
        assert_eq!(asked_next(&bench).await, preferred);
    }
}

/// Who answers the next request to a gateway that serves from the same folder.
async fn asked_next(bench: &Bench) -> String {
    let flags = Flags { data_dir: Some(bench.data()), ..Flags::default() };
    let catalogue = satisfice::catalog::providers::Catalogue::embedded().unwrap();
    let setup = config::parse(&bench.config(), "test", &Environment::default(), &flags, &catalogue).unwrap();
    let running = assemble(setup, None).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", running.address());
    let response = client().post(url).body(ask("auto").to_string()).send().await.unwrap();
    let model = header(&response, "x-satisfice-model").unwrap().to_owned();
    running.stop(std::future::pending()).await.unwrap();
    model
}

#[tokio::test]
async fn each_answer_is_decided_settled_and_scored_and_the_controller_counts_none() {
    let bench = Bench::answering(7, 8).await;
    bench.calibrate(&["--yes"]).await.unwrap();
    let entries = bench.entries();
    assert_eq!([is_decided, is_settled, is_judged].map(|kind| count(&entries, kind)), [2 * PROMPTS; 3]);
    let route = bench.route();
    let controller = route.controller();
    assert_eq!((controller.schedule.decided, controller.window.rows().count()), (0, 0));
    assert_eq!((controller.measured.quality(), controller.spending.answers), (None, 0.0));
    assert_eq!([0, 1].map(|arm| route.arms[arm].scored), [PROMPTS as u64; 2]);
    let Some(Entry::Decided { decision, .. }) = entries.iter().find(|entry| is_decided(entry)) else { unreachable!() };
    assert_eq!((decision.policy.as_str(), decision.candidates[decision.chosen].propensity), ("calibrate", 1.0));
}

#[tokio::test]
async fn the_ledger_alone_leads_to_the_same_posterior_to_the_bit() {
    let bench = Bench::answering(7, 8).await;
    bench.calibrate(&["--yes"]).await.unwrap();
    let mut anew = MemoryStore::default();
    anew.append(&bench.entries()).unwrap();
    assert_eq!(learned(&anew), learned(&bench.store()));
}

#[tokio::test]
async fn what_the_upstream_gets_is_the_request_without_what_only_the_file_knows() {
    let bench = Bench::answering(7, 7).await;
    bench.calibrate(&["--yes", "--limit", "1"]).await.unwrap();
    let seen = bench.upstream.seen()[0].json();
    let fields: Vec<&String> = seen.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["model", "max_tokens", "messages"]);
}

#[tokio::test]
async fn nothing_is_asked_twice_unless_it_is_to_be() {
    let bench = Bench::answering(7, 8).await;
    bench.calibrate(&["--yes", "--limit", "10"]).await.unwrap();
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("20 answers are in the ledger and skipped"), "{said}");
    assert_eq!(bench.upstream.seen().len(), 2 * PROMPTS);
    let said = bench.calibrate(&[]).await.unwrap();
    assert!(said.contains("60 answers are in the ledger") && said.contains("there is nothing to ask"), "{said}");
    let before = qualities(&bench.route());
    bench.script(8, 7);
    bench.calibrate(&["--yes", "--again"]).await.unwrap();
    let entries = bench.entries();
    assert_eq!([is_decided, is_settled, is_judged].map(|kind| count(&entries, kind)), [60, 120, 120]);
    let after = qualities(&bench.route());
    assert!(after[0] < before[0] && after[1] > before[1], "{before:?} {after:?}");
}

#[tokio::test]
async fn what_failed_is_counted_not_scored_and_asked_again_by_the_next_run() {
    let bench = Bench::answering(7, 8).await;
    bench.upstream.on("large", [Answer::status(400, "no such luck")]);
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("30 calls failed") && said.contains("test/large: 30 not answered"), "{said}");
    assert!(said.contains("no such luck"), "{said}");
    let entries = bench.entries();
    assert_eq!([is_decided, is_settled, is_judged].map(|kind| count(&entries, kind)), [PROMPTS; 3]);
    assert_eq!(bench.route().arms[1].scored, 0);
    bench.script(7, 8);
    bench.calibrate(&["--yes"]).await.unwrap();
    assert_eq!(bench.route().arms[1].scored, PROMPTS as u64);
}

#[tokio::test]
async fn it_fails_where_nothing_was_answered() {
    let bench = Bench::answering(7, 8).await;
    ["small", "large"].iter().for_each(|model| bench.upstream.on(model, [Answer::status(401, "wrong key")]));
    let (_, error) = bench.calibrate(&["--yes", "--limit", "2"]).await.unwrap_err();
    assert!(error.starts_with("no model answered: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_keeps_whole_answers_and_the_next_one_asks_for_the_rest() {
    let bench = Bench::answering(7, 8).await;
    let answer = Answer::completion("7");
    bench.upstream.on("small", [vec![answer; 9], vec![Answer::default().hang()]].concat());
    let mut child = Command::new(env!("CARGO_BIN_EXE_satisfice"))
        .arg("calibrate")
        .args(bench.arguments(&["--yes", "--concurrency", "1"]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    bench.upstream.until_seen(19).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let entries = bench.entries();
    let [kept, settled, judged] = [is_decided, is_settled, is_judged].map(|kind| count(&entries, kind));
    assert!(kept <= 18 && kept == settled && kept == judged, "{kept} {settled} {judged}");
    bench.script(7, 8);
    bench.calibrate(&["--yes"]).await.unwrap();
    assert_eq!(bench.upstream.seen().len(), 19 + 2 * PROMPTS - kept);
    assert_eq!(count(&bench.entries(), is_judged), 2 * PROMPTS);
}

#[tokio::test]
async fn a_wrong_line_is_named_before_anything_is_sent() {
    let good = json!({"messages": [{"role": "user", "content": "?"}], "reference": "7"});
    let other = json!({"messages": [{"role": "user", "content": "?"}], "reference": "8"});
    let cases = [
        (json!("text"), "not a prompt (invalid type: string \"text\", expected an object); a line is {\"messages\""),
        (json!({"reference": "7"}), "messages"),
        (json!({"messages": []}), "messages is empty"),
        (json!({"messages": [{"role": "user", "content": "?"}], "reference": 7}), "reference is 7; give"),
        (json!({"messages": [{"role": "user", "content": "?"}], "reference": " "}), "reference is \" \"; give"),
        (json!({"messages": [{"role": "user", "content": "?"}], "max_tokens": "x"}), "max_tokens"),
        (other, "the same request as line 1, with another reference"),
    ];
    for (line, problem) in cases {
        let bench = Bench::new(&[good.clone(), line]).await;
        let (_, error) = bench.calibrate(&["--yes"]).await.unwrap_err();
        assert!(error.contains("prompts.jsonl:2: ") && error.contains(problem), "{error}");
        assert!(bench.upstream.seen().is_empty() && !bench.data().exists());
    }
}

#[tokio::test]
async fn what_is_no_json_or_there_twice_is_named_by_its_field() {
    let (messages, bench) = ("\"messages\": [{\"role\": \"user\", \"content\": \"?\"}]", Bench::new(&[]).await);
    for (line, problem) in [
        (format!("{{{messages}, \"temperature\": NaN}}\n"), "jsonl:1: temperature is NaN; it must be a number"),
        (
            format!("{{{messages}, \"reference\": \"7\", \"reference\": \"8\"}}\n"),
            "jsonl:1: not a prompt (\"reference\" is there twice; leave one of them out)",
        ),
        (format!("{{{messages}, \"refer"), "jsonl:1: the file is cut off here; fetch the file again"),
    ] {
        bench.write("prompts.jsonl", &line);
        let (_, error) = bench.calibrate(&["--yes"]).await.unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn empty_and_missing_files_and_routes_are_named() {
    let bench = Bench::new(&[]).await;
    let error = bench.calibrate(&["--yes"]).await.unwrap_err().1;
    assert!(error.contains("holds no prompt"), "{error}");
    std::fs::remove_file(bench.folder.path().join("prompts.jsonl")).unwrap();
    let error = bench.calibrate(&["--yes"]).await.unwrap_err().1;
    assert!(error.contains("check --prompts"), "{error}");
    let config = bench.config().replace("\"auto\"", "\"other\"");
    bench.write("satisfice.toml", &config);
    let error = bench.calibrate(&["--yes"]).await.unwrap_err().1;
    assert!(error.contains("--route auto: no route is called so; there are: other"), "{error}");
}

#[tokio::test]
async fn prompts_without_a_reference_and_repeated_ones_are_said() {
    let line = json!({"messages": [{"role": "user", "content": "?"}]});
    let bench = Bench::new(&[line.clone(), line]).await;
    let said = bench.calibrate(&["--yes"]).await.unwrap();
    assert!(said.contains("1 lines repeat an earlier request"), "{said}");
    assert!(said.contains("1 prompts have no reference"), "{said}");
    assert_eq!(bench.upstream.counts(["small", "large"]), [1, 1]);
    assert_eq!(count(&bench.entries(), is_judged), 0);
}

#[tokio::test]
async fn a_folder_that_a_gateway_holds_is_left_alone() {
    let bench = Bench::answering(7, 8).await;
    let _held = RedbStore::open(Path::new(&bench.data()), Retention::default()).unwrap();
    let (_, error) = bench.calibrate(&["--yes"]).await.unwrap_err();
    assert!(error.contains("in use by another satisfice; stop it or choose another --data-dir"), "{error}");
    assert!(bench.upstream.seen().is_empty());
}
