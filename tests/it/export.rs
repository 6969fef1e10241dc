//! `satisfice export`: the ledger and the bodies as lines, with scores resolved; nothing half written.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flate2::read::GzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use satisfice::cli::export::{Options, Summary, run};
use satisfice::policy::{Audited, Decision};
use satisfice::store::{Entry, RedbStore, Retention, Scored, Store};
use satisfice::trace::line::TraceLine;
use satisfice::trace::{Trace, twin};
use serde_json::Value;
use tempfile::TempDir;

use crate::recorded::{BEGIN_MS, ROUTE, decided, decision, id, scored, settled, trace};

/// A data folder with these entries and bodies.
fn data(entries: &[Entry], bodies: &[Trace]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(&folder.path().join("data"), Retention::default()).unwrap();
    store.append(entries).unwrap();
    bodies.iter().for_each(|body| store.stage(body).unwrap());
    store.keep().unwrap();
    store.flush().unwrap();
    folder
}

fn options(folder: &TempDir, name: &str) -> Options {
    let out = folder.path().join(name);
    Options { out, data_dir: folder.path().join("data"), since: None, route: None, without: vec![], force: false }
}

fn refused(options: &Options) -> String {
    let text = format!("{:#}", run(options, BEGIN_MS).unwrap_err());
    assert!(!text.contains('\n'), "{text}");
    text
}

fn lines(text: &str) -> Vec<TraceLine> {
    text.lines().map(|line| TraceLine::parse(line.as_bytes()).unwrap()).collect()
}

fn read(path: &Path) -> Vec<TraceLine> {
    lines(&std::fs::read_to_string(path).unwrap())
}

/// Everything in the folder but the data: what an export may have left.
fn left(folder: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with("data")).collect()
}

#[test]
fn a_line_has_everything_and_keeps_its_form() {
    let request =
        "{\"model\": \"auto\",\r\n \"messages\": [{\"role\":\"user\",\"content\":\"a\\nb\"}], \"seed\": 1.50}";
    let body = Trace { request: request.as_bytes().to_vec().into(), ..trace(1) };
    let folder = data(&[decided(1), settled(1), scored(1, "client", 0.25)], &[body]);
    let options = options(&folder, "traces.jsonl");
    assert_eq!(run(&options, BEGIN_MS).unwrap(), Summary { requests: 1, bodies: 1, judged: 1 });
    let text = std::fs::read_to_string(&options.out).unwrap();
    assert_eq!(text, include_str!("../fixtures/export/line.jsonl"));
    assert_eq!(serde_json::to_string(&lines(&text)[0]).unwrap(), text.trim_end(), "it is read as it was written");
}

#[test]
fn revisions_late_scores_and_other_sources_are_resolved_and_missing_is_not_zero() {
    let mut entries: Vec<Entry> = (0..4).flat_map(|n| [decided(n), settled(n)]).collect();
    entries.extend((4..200).flat_map(|n| [decided(n), settled(n)]));
    entries.extend([scored(1, "client", 1.0), scored(2, "client", 1.0), scored(2, "reviewer", 0.0)]);
    entries.push(scored(1, "client", 0.5));
    let folder = data(&entries, &[]);
    let options = options(&folder, "traces.jsonl");
    assert_eq!(run(&options, BEGIN_MS).unwrap(), Summary { requests: 200, bodies: 0, judged: 2 });
    let read = read(&options.out);
    let ids: Vec<_> = read.iter().map(|line| line.trace).collect();
    assert_eq!(ids, (0..200).map(id).collect::<Vec<_>>(), "in the order of decision");
    let rewards: Vec<_> = read[..4].iter().map(|line| line.reward.map(|reward| reward.value)).collect();
    assert_eq!(rewards, [None, Some(0.5), Some(0.5), None]);
    assert!(read.iter().all(|line| line.request.is_none()));
}

#[test]
fn a_source_can_be_left_out() {
    let mut entries: Vec<Entry> = (0..2).flat_map(|n| [decided(n), settled(n)]).collect();
    entries.extend([scored(0, "client", 1.0), scored(0, "broken", 0.0), scored(1, "broken", 0.0)]);
    let options = |folder| Options { without: vec!["broken".into()], ..options(folder, "traces.jsonl") };
    let folder = data(&entries, &[]);
    assert_eq!(run(&options(&folder), BEGIN_MS).unwrap(), Summary { requests: 2, bodies: 0, judged: 1 });
    let read = read(&options(&folder).out);
    assert_eq!(read.iter().map(|line| line.reward.map(|r| r.value)).collect::<Vec<_>>(), [Some(1.0), None]);
    assert!(read.iter().flat_map(|line| &line.scores).all(|score| score.source == "client"));
}

#[test]
fn a_source_of_which_there_is_no_score_is_not_left_out_in_silence() {
    let entries = [decided(0), settled(0), scored(0, "client", 1.0), scored(0, "judge", 0.0)];
    let folder = data(&entries, &[]);
    let options = Options { without: vec!["judge".into(), "judgee".into()], ..options(&folder, "traces.jsonl") };
    let text = refused(&options);
    let told = "--without judgee: the ledger has no score of that source; it has: \"client\", \"judge\"";
    assert_eq!(text, told);
    assert_eq!(left(&folder), [] as [PathBuf; 0]);
}

#[test]
fn an_answer_that_nobody_gave_has_no_reward_and_an_end_that_is_not_known_is_null() {
    let unanswered = Entry::Settled {
        trace: id(1),
        arm: None,
        usage: None,
        cost_usd: None,
        outcome: satisfice::trace::Outcome::Failed,
    };
    let folder = data(&[decided(1), unanswered, scored(1, "client", 0.0), decided(2), scored(2, "client", 1.0)], &[]);
    let options = options(&folder, "traces.jsonl");
    run(&options, BEGIN_MS).unwrap();
    let read = read(&options.out);
    assert!(read[0].settlement.is_some() && read[1].settlement.is_none());
    assert!(read.iter().all(|line| line.reward.is_none() && line.scores.len() == 1));
}

#[test]
fn an_answer_of_which_only_the_form_is_known_is_not_called_judged() {
    let form = |n: u64| {
        let Entry::Scored(scored) = scored(n, "gateway", 0.0) else { unreachable!() };
        Entry::Scored(Scored { metric: "format".into(), ..scored })
    };
    let entries: Vec<Entry> = (0..40).flat_map(|n| [decided(n), settled(n), form(n)]).collect();
    let folder = data(&entries, &[]);
    let options = options(&folder, "traces.jsonl");
    assert_eq!(run(&options, BEGIN_MS).unwrap(), Summary { requests: 40, bodies: 0, judged: 0 });
    assert!(read(&options.out).iter().all(|line| line.reward.is_some_and(|reward| reward.value == 0.0)));
}

#[test]
fn the_extension_says_whether_it_is_compressed() {
    let folder = data(&[decided(1), settled(1)], &[]);
    let zipped = options(&folder, "traces.jsonl.gz");
    run(&zipped, BEGIN_MS).unwrap();
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(&zipped.out).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(lines(&text).len(), 1);
    let text = refused(&options(&folder, "t.csv"));
    assert!(text.contains("give a name in .jsonl, .jsonl.gz or .parquet"), "{text}");
    assert_eq!(left(&folder), [zipped.out]);
}

/// Rows of a table, by the names of their columns; what is null is left out.
fn table(path: &Path) -> Vec<HashMap<String, Field>> {
    let file = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let row = |row: Row| {
        let cells = row.get_column_iter().filter(|(_, field)| !matches!(field, Field::Null));
        cells.map(|(name, field)| (name.clone(), field.clone())).collect()
    };
    file.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
}

#[test]
fn a_table_has_the_lines_as_rows_with_nested_things_as_json() {
    let mut entries: Vec<Entry> = (0..50).flat_map(|n| [decided(n), settled(n)]).collect();
    entries.extend([decided(50), scored(1, "client", 0.25), scored(1, "reviewer", 0.75)]);
    let body = Trace { request: br#"{"model": "auto", "seed": 1.50}"#.to_vec().into(), ..trace(1) };
    let folder = data(&entries, &[body]);
    let (plain, wide) = (options(&folder, "t.jsonl"), options(&folder, "t.parquet"));
    assert_eq!(run(&wide, BEGIN_MS).unwrap(), run(&plain, BEGIN_MS).unwrap());
    let (lines, rows) = (read(&plain.out), table(&wide.out));
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(&rows) {
        assert_row(line, row);
    }
    assert_eq!(rows[1]["request"], Field::Str(r#"{"model": "auto", "seed": 1.50}"#.into()), "as it was sent");
    assert_eq!((&rows[1]["reward_value"], &rows[1]["chosen_arm"]), (&Field::Double(0.5), &Field::Str("large".into())));
    assert!(["request", "reward_value", "settlement_usage"].iter().all(|column| !rows[2].contains_key(*column)));
    assert!(
        !rows[50].contains_key("settlement_outcome") && rows[0]["settlement_outcome"] == Field::Str("answered".into())
    );
    assert_eq!(left(&folder).len(), 2);
}

/// Every field of the line is a column, and every column but those of the chosen candidate a field.
fn assert_row(line: &TraceLine, row: &HashMap<String, Field>) {
    let mut seen = 2;
    for (name, value) in serde_json::to_value(line).unwrap().as_object().unwrap() {
        let nested = ["decision", "settlement", "reward"].contains(&name.as_str());
        let fields: Vec<(String, Value)> = match value.as_object().filter(|_| nested) {
            Some(inner) => inner.iter().map(|(field, value)| (format!("{name}_{field}"), value.clone())).collect(),
            None => vec![(name.clone(), value.clone())],
        };
        for (column, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            seen += 1;
            match (&row[&column], &value) {
                (Field::Long(found), value) => assert_eq!(Some(*found), value.as_i64(), "{column}"),
                (Field::Double(found), value) => assert_eq!(Some(*found), value.as_f64(), "{column}"),
                (Field::Str(found), Value::String(text)) => assert_eq!(found, text, "{column}"),
                (Field::Str(found), value) => {
                    assert_eq!(serde_json::from_str::<Value>(found).unwrap(), *value, "{column}");
                }
                (other, _) => panic!("{column}: {other:?}"),
            }
        }
    }
    assert_eq!(row.len(), seen, "{:?}", row.keys());
}

#[test]
fn a_shadow_says_how_likely_it_was_to_be_asked_for() {
    let own = Decision { audit: Some(Audited { share: 0.5, best: 1 }), ..decision(0) };
    let entry = |trace, decision: Decision| {
        let (route, decision) = (ROUTE.into(), decision.into());
        Entry::Decided { trace, at_ms: BEGIN_MS, owner: None, route, bundle: 1, decision }
    };
    let shadow = own.shadow().unwrap();
    let folder = data(&[entry(id(0), own), entry(twin(id(0)), shadow)], &[]);
    let (plain, wide) = (options(&folder, "t.jsonl"), options(&folder, "t.parquet"));
    assert_eq!(run(&wide, BEGIN_MS).unwrap(), run(&plain, BEGIN_MS).unwrap());
    let lines = read(&plain.out);
    assert_eq!(lines.iter().map(|line| line.decision.asked).collect::<Vec<_>>(), [None, Some(0.25)]);
    lines.iter().zip(&table(&wide.out)).for_each(|(line, row)| assert_row(line, row));
}

#[test]
fn a_table_is_for_others_to_read() {
    let folder = data(&[decided(1), settled(1)], &[]);
    let table = options(&folder, "t.parquet");
    run(&table, BEGIN_MS).unwrap();
    for (command, more) in [("evaluate", vec![]), ("train", vec!["--out", "m"])] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_satisfice"));
        let output = program.args([command, "--traces", "t.parquet"]).args(more).current_dir(&folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("t.parquet is Parquet") && said.contains(".jsonl.gz"), "{said}");
    }
}

#[test]
fn time_and_route_choose_what_is_written() {
    let folder = data(&(0..10).flat_map(|n| [decided(n), settled(n)]).collect::<Vec<_>>(), &[]);
    let recent = Options { since: Some(Duration::from_millis(4)), ..options(&folder, "recent.jsonl") };
    assert_eq!(run(&recent, BEGIN_MS + 10).unwrap().requests, 4);
    let route = Options { route: Some("auto".into()), ..options(&folder, "auto.jsonl") };
    assert_eq!(run(&route, BEGIN_MS).unwrap().requests, 10);
    let other = Options { route: Some("other".into()), ..options(&folder, "other.jsonl") };
    assert_eq!(refused(&other), "no route \"other\" decided a request; these did: \"auto\"");
    let future = Options { since: Some(Duration::from_secs(1)), ..options(&folder, "none.jsonl") };
    let text = format!("{:#}", run(&future, BEGIN_MS + 60_000).unwrap_err());
    assert!(text.contains("no request was decided since then") && !future.out.exists(), "{text}");
}

#[test]
fn a_file_is_replaced_only_by_force() {
    let folder = data(&[decided(1)], &[]);
    let options = options(&folder, "traces.jsonl");
    std::fs::write(&options.out, "precious").unwrap();
    let text = refused(&options);
    assert!(text.contains("exists") && text.contains("--force"), "{text}");
    assert_eq!(std::fs::read(&options.out).unwrap(), b"precious");
    run(&Options { force: true, ..options.clone() }, BEGIN_MS).unwrap();
    assert_eq!(read(&options.out).len(), 1);
    assert_eq!(left(&folder), [options.out]);
}

#[test]
fn a_folder_that_is_in_use_or_was_never_a_gateway_s_is_refused_with_the_remedy() {
    let folder = data(&[decided(1)], &[]);
    let nowhere = Options { data_dir: folder.path().join("nowhere"), ..options(&folder, "t.jsonl") };
    let text = refused(&nowhere);
    assert!(text.contains("nowhere holds no ledger.redb") && text.contains("--data-dir"), "{text}");
    assert!(!nowhere.data_dir.exists(), "none is made");
    let held = RedbStore::open(&folder.path().join("data"), Retention::default()).unwrap();
    let text = refused(&options(&folder, "t.jsonl"));
    assert!(text.contains("in use by a running gateway; stop the gateway"), "{text}");
    drop(held);
    assert_eq!(left(&folder), [] as [PathBuf; 0]);
}

#[test]
fn the_program_exports_and_names_a_wrong_span() {
    let folder = data(&[decided(1)], &[]);
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_satisfice")).arg("export").args(arguments).current_dir(&folder).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["--out", "t.jsonl"]);
    assert_eq!((code, text.as_str()), (Some(0), "wrote t.jsonl: 1 requests, 0 with their body, 0 judged\n"));
    let (code, text) = run(&["--out", "t.jsonl"]);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("satisfice: t.jsonl exists"), "{text}");
    let (code, text) = run(&["--out", "u.jsonl", "--since", "a week"]);
    assert!(code == Some(2) && text.contains("give a span of time, such as 7d"), "{text}");
}
