//! `satisfice serve`: what its log says, and what a changed file may not change.

use std::path::Path;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use satisfice::store::{RedbStore, Retention, Store};
use serde_json::{Value, json};

use crate::gateway::{ask, client, header};
use crate::recorded::{decided, scored};
use crate::scripted::{Answer, Gate, Scripted};
use crate::served::{Served, program, url};

/// Nobody listens on port 1.
const CONFIG: &str = r#"
[[providers]]
name = "gone"
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[[models]]
name = "small"
provider = "gone"
[[models]]
name = "large"
provider = "gone"
[[models]]
name = "vectors"
provider = "gone"
kind = "embedding"
[[routes]]
name = "auto"
models = ["small", "large"]
quality = 0.9
"#;

fn start(folder: &Path) -> Served {
    configured(&mut program(), folder, CONFIG)
}

/// `command` is the program, or what runs it.
fn configured(command: &mut Command, folder: &Path, config: &str) -> Served {
    std::fs::write(folder.join("c.toml"), config).unwrap();
    Served::start(command, folder, &[])
}

async fn get(url: String) -> Value {
    let body = client().get(url).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_plain_text_with_both_addresses_and_tells_of_a_provider_that_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let served = start(folder.path());
    let serving = served.says("serving on");
    assert!(!serving.contains('\x1b'), "no colours in a file: {serving:?}");
    let operators = url(&served.says("for operators"));
    for _ in 0..5 {
        let asked = client().post(format!("{}/v1/chat/completions", url(&serving))).body(ask("auto").to_string());
        assert_eq!(asked.send().await.unwrap().status(), 503);
    }
    let left = served.says("is left alone");
    assert!(left.contains("WARN") && left.contains("provider gone is left alone"), "{left}");
    let providers = get(format!("{operators}/v1/providers")).await;
    let models = providers["providers"][0]["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(
        (&providers["providers"][0]["breaker"], &names[..]),
        (&json!("open"), &["small", "large", "vectors"][..])
    );

    let nothing = get(format!("{operators}/v1/chat/completions")).await;
    assert!(nothing["error"]["message"].as_str().unwrap().contains("for operators"), "{nothing}");
    let trace = loop {
        let listed = get(format!("{operators}/v1/traces?limit=1")).await;
        if let Some(trace) = listed["traces"].get(0) {
            break trace.clone();
        }
    };
    assert_eq!(trace["decision"]["knob"], json!({"quality": 0.9}), "as GET /v1/routes says it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_for_the_proxy_comes_back_in_no_error() {
    let (folder, proxy) = (tempfile::tempdir().unwrap(), Scripted::start().await);
    proxy.on_each("small", |seen| {
        let key = seen.headers["proxy-authorization"].to_str().unwrap();
        Answer::status(400, &format!("{key} pass-word-1"))
    });
    let through = proxy.base_url().replace("http://", "http://somebody:pass-word-1@");
    let config = CONFIG.replace("http://127.0.0.1:1/v1", "http://example.invalid/v1");
    let served = configured(program().env("HTTP_PROXY", through).env_remove("NO_PROXY"), folder.path(), &config);
    let url = format!("{}/v1/chat/completions", url(&served.says("serving on")));
    let refused = client().post(url).body(ask("small").to_string()).send().await.unwrap().text().await.unwrap();
    assert!(refused.contains("Basic [redacted] [redacted]"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_of_traces_is_named_in_the_list_and_the_log_and_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let name = "traces-20990101T00.redb";
    std::fs::write(data.join(name), "no database").unwrap();
    let served = start(folder.path());
    let asked = url(&served.says("serving on"));
    let operators = url(&served.says("for operators"));
    client().post(format!("{asked}/v1/chat/completions")).body(ask("auto").to_string()).send().await.unwrap();
    loop {
        let listed = get(format!("{operators}/v1/traces")).await;
        assert_eq!(listed["unreadable"], json!([name]));
        if !listed["traces"].as_array().unwrap().is_empty() {
            break;
        }
    }
    let told = served.says("cannot be read");
    assert!(told.contains(name) && told.contains("move it away"), "{told}");
    assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), "no database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_get_metrics_without_a_key_and_traces_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.env("ONE", "sk-one").env("TWO", "sk-two");
    let config = format!("[server]\napi_keys = [\"env:ONE\", \"env:TWO\"]\n{CONFIG}");
    let served = configured(&mut command, folder.path(), &config);
    let (clients, operators) = (url(&served.says("serving on")), url(&served.says("for operators")));
    let status = async |url: &str, path: &str, key: &str| {
        client().get(format!("{url}{path}")).bearer_auth(key).send().await.unwrap().status().as_u16()
    };
    for (path, key, at_clients, at_operators) in [
        ("/metrics", "sk-wrong", 401, 200),
        ("/metrics", "sk-one", 200, 200),
        ("/v1/traces", "sk-wrong", 401, 401),
        ("/v1/traces", "sk-one", 200, 200),
        ("/v1/routes", "sk-two", 200, 200),
    ] {
        let told = (status(&clients, path, key).await, status(&operators, path, key).await);
        assert_eq!(told, (at_clients, at_operators), "{path} {key}");
    }
}

#[test]
fn what_people_asked_is_for_the_owner_of_the_data_folder_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    start(folder.path()).says("for operators");
    let mode = std::fs::metadata(folder.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "{mode:o}");
}

#[test]
fn in_a_folder_that_is_open_to_others_they_read_no_file_and_the_log_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!("[cache]\ndisk_mib = 1\nmodels = true\n{CONFIG}");
    let served = configured(&mut program(), folder.path(), &config);
    let told = served.says("open to all users");
    assert!(told.contains("WARN") && told.contains("chmod o-rwx data"), "{told}");
    served.says("for operators");
    let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(Result::unwrap).filter(|f| f.path().is_file()).collect();
    for file in &files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}: {mode:o}", file.path());
    }
    assert!(files.len() >= 2, "the ledger and the kept answers: {files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_restart_is_named_and_all_else_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let served = start(folder.path());
    let models = format!("{}/v1/models", url(&served.says("serving on")));
    served.says("for operators");
    let status = async || client().get(&models).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 200);
    let classifier = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default");
    let keys = [
        ("server", "max_body_mib", "1"),
        ("server", "traces_days", "7"),
        ("server", "traces_gib", "0.5"),
        ("server", "unlearn", "[\"broken\"]"),
        ("server", "data_dir", "\"elsewhere\""),
        ("classifier", "path", &format!("{classifier:?}")),
        ("cache", "memory_mib", "1"),
        ("cache", "disk_mib", "1"),
    ];
    let mut changed = "server.api_keys = [\"sk-new\"]\n".to_owned();
    keys.iter().for_each(|(section, key, value)| changed += &format!("{section}.{key} = {value}\n"));
    std::fs::write(folder.path().join("c.toml"), changed + &CONFIG.replace("auto", "other")).unwrap();
    let waits = served.says("waits for a restart");
    for (section, key, _) in keys {
        assert!(waits.contains(&format!("`{key}` of [{section}]")), "{waits}");
    }
    assert!(waits.contains("WARN") && !waits.contains("listen"), "{waits}");
    assert!(served.says("configuration reloaded").contains("\"other\" over 2 models"));
    assert_eq!(status().await, 401, "a key is asked for now");

    std::fs::write(folder.path().join("c.toml"), CONFIG).unwrap();
    let mut heard = vec![served.next()];
    while !heard.last().is_some_and(|line: &String| line.contains("configuration reloaded")) {
        heard.push(served.next());
    }
    assert!(!heard.iter().any(|line| line.contains("waits for a restart")), "nothing waits any more: {heard:#?}");
    assert_eq!(status().await, 200);
}

#[test]
fn a_source_to_unlearn_of_which_there_is_no_score_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(&folder.path().join("data"), Retention::default()).unwrap();
    store.append(&[decided(0), scored(0, "judge", 0.5)]).unwrap();
    drop(store);
    let config = format!("[server]\nunlearn = [\"judge\", \"judgee\"]\n{CONFIG}");
    let served = configured(&mut program(), folder.path(), &config);
    let mut heard = vec![served.next()];
    while !heard.last().is_some_and(|line: &String| line.contains("for operators")) {
        heard.push(served.next());
    }
    let warned: Vec<_> = heard.iter().filter(|line| line.contains("has no score")).collect();
    assert!(warned.len() == 1 && warned[0].contains("WARN") && warned[0].contains("\"judgee\""), "{heard:#?}");
}

#[test]
fn a_file_behind_a_link_that_is_swapped_as_kubernetes_does_is_taken_up() {
    use std::fs::{create_dir, rename, write};
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    create_dir(path("..1")).unwrap();
    symlink("..1", path("..data")).unwrap();
    symlink("..data/c.toml", path("c.toml")).unwrap();
    let served = start(folder.path());
    served.says("for operators");
    create_dir(path("..2")).unwrap();
    write(path("..2").join("c.toml"), CONFIG.replace("auto", "other")).unwrap();
    symlink("..2", path("..data_tmp")).unwrap();
    rename(path("..data_tmp"), path("..data")).unwrap();
    std::fs::remove_dir_all(path("..1")).unwrap();
    assert!(served.says("configuration reloaded").contains("\"other\" over 2 models"));
}

#[test]
fn a_log_of_everything_does_not_tell_of_each_change_in_the_folder_that_it_may_be_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("env");
    command.args(["RUST_LOG=trace", env!("CARGO_BIN_EXE_satisfice")]);
    let served = configured(&mut command, folder.path(), CONFIG);
    served.says("for operators");
    std::fs::write(folder.path().join("other"), "a line").unwrap();
    std::fs::write(folder.path().join("c.toml"), CONFIG.replace("auto", "other")).unwrap();
    let mut heard = vec![];
    while !heard.last().is_some_and(|line: &String| line.contains("configuration reloaded")) {
        heard.push(served.next());
    }
    let of_watching: Vec<_> = heard.iter().filter(|line| line.contains("inotify")).collect();
    assert!(of_watching.is_empty(), "{of_watching:#?}");
}

#[test]
fn what_a_link_leads_to_is_watched_wherever_the_link_is() {
    use std::fs::{create_dir_all, rename, write};
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let named = |name: &str| CONFIG.replace("auto", name);
    for release in ["releases/1", "releases/2"] {
        create_dir_all(path(release)).unwrap();
    }
    write(path("releases/2/c.toml"), named("swapped")).unwrap();
    symlink("releases/1", path("current")).unwrap();
    symlink("current/c.toml", path("c.toml")).unwrap();
    let served = start(folder.path());
    served.says("for operators");
    let reloaded = |name: &str| assert!(served.says("configuration reloaded").contains(name));
    write(path("releases/1/c.toml"), named("edited")).unwrap();
    reloaded("\"edited\"");
    symlink("releases/2", path("next")).unwrap();
    rename(path("next"), path("current")).unwrap();
    reloaded("\"swapped\"");
    write(path("releases/2/c.toml"), named("again")).unwrap();
    reloaded("\"again\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = start(folder.path());
    let clients = url(&served.says("serving on"));
    let operators = url(&served.says("for operators"));
    served.stop_reading();
    for name in ["first", "second"] {
        std::fs::write(folder.path().join("c.toml"), CONFIG.replace("auto", name)).unwrap();
        served.signal("-HUP");
        while !get(format!("{operators}/v1/routes")).await.to_string().contains(name) {}
    }
    assert_eq!(get(format!("{clients}/health")).await["status"], "ok");
    served.terminate();
    served.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_may_end_when_it_is_told_to_stop_and_are_ended_when_it_is_told_again() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = CONFIG.replace("127.0.0.1:1", &upstream.local_addr().unwrap().to_string());
    let folder = tempfile::tempdir().unwrap();
    let served = configured(&mut program(), folder.path(), &config);
    let url = format!("{}/v1/chat/completions", url(&served.says("serving on")));
    let asked = tokio::spawn(client().post(&url).body(ask("auto").to_string()).send());
    let _silent = upstream.accept().await.unwrap();

    served.terminate();
    served.says("stopping");
    while client().post(&url).send().await.is_ok() {}
    assert!(!asked.is_finished());
    served.terminate();
    served.says("ending them");
    assert!(asked.await.unwrap().is_err());
    served.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_is_said_once_and_not_with_each_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut bounded = Command::new("sh");
    // No file above 256 KiB; the system would end a process that does not say that it knows what to do about it.
    bounded.args(["-c", "ulimit -f 512; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_satisfice")]);
    let served = configured(&mut bounded, folder.path(), CONFIG);
    let url = url(&served.says("serving on"));
    let failures = async || -> u64 {
        let metrics = client().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("satisfice_learner_store_failures_total "));
        line.unwrap().parse().unwrap()
    };
    let mut long = ask("auto");
    // Digits hardly compress: whatever is written together, once one trace found no room, none does.
    let mut rng = StdRng::seed_from_u64(1);
    loop {
        let digits: String = (0..200_000).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect();
        long["messages"][0]["content"] = digits.into();
        client().post(format!("{url}/v1/chat/completions")).body(long.to_string()).send().await.unwrap();
        if failures().await >= 6 {
            break;
        }
    }
    let failing: Vec<String> = served.rest().into_iter().filter(|line| line.contains("cannot be written")).collect();
    let of = |what: &str| failing.iter().filter(|line| line.contains(what)).count();
    assert!((of("the ledger") == 1 || of("traces") == 1) && failing.len() <= 3, "{failing:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_clients_than_file_descriptors_are_served_one_after_the_other_and_no_provider_is_blamed() {
    let (upstream, gate) = (Scripted::start().await, Gate::closed());
    for model in ["small", "large"] {
        let gate = gate.clone();
        upstream.on_each(model, move |_| Answer::default().wait(&gate).then(Answer::completion("yes")));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("http://127.0.0.1:1/v1", &upstream.base_url());
    // What is kept for the gateway itself, and 28 pairs of connections.
    let descriptors = 64 + 4 * std::thread::available_parallelism().unwrap().get() + 2 * 28;
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_satisfice")]);
    let served = configured(&mut limited, folder.path(), &config);
    let url = format!("{}/v1/chat/completions", url(&served.says("serving on")));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..2 * descriptors {
        let request = client().post(&url).header("connection", "close").body(ask("auto").to_string());
        asked.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    upstream.until_seen(20).await;
    (0..10 * descriptors).for_each(|_| gate.open());
    let answered = asked.join_all().await;
    assert!(answered.iter().all(|status| *status == 200), "{answered:?}");
    let told = served.rest();
    assert!(!told.iter().any(|line| line.contains("is left alone")), "{told:#?}");
}

#[test]
fn a_file_that_is_saved_after_a_start_without_one_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.env_clear().env("OPENAI_API_KEY", "sk-one");
    let listening = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let served = Served::serve(&mut command, folder.path(), &listening);
    served.says("for operators");
    std::fs::write(folder.path().join("satisfice.toml"), CONFIG.replace("auto", "saved")).unwrap();
    assert!(served.says("configuration reloaded").contains("\"saved\" over 2 models"));
    std::fs::remove_file(folder.path().join("satisfice.toml")).unwrap();
    served.signal("-HUP");
    assert!(served.says("not reloaded").contains("satisfice.toml"), "the environment does not take its place");
}

#[test]
fn what_is_told_while_it_starts_is_heard_once_it_serves() {
    use std::io::Write;
    for hang_up in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(path("c.toml")).status().unwrap().success());
        let served = Served::start(&mut program(), folder.path(), &[]);
        // Whoever reads it is starting, and waits for its end.
        let mut first = std::fs::OpenOptions::new().write(true).open(path("c.toml")).unwrap();
        first.write_all(CONFIG.as_bytes()).unwrap();
        std::fs::write(path("next"), CONFIG.replace("auto", "other")).unwrap();
        std::fs::rename(path("next"), path("c.toml")).unwrap();
        if hang_up {
            served.signal("-HUP");
        }
        drop(first);
        assert!(served.says("serving on").contains("\"auto\" over 2 models"));
        assert!(served.says("configuration reloaded").contains("\"other\" over 2 models"));
    }
}

#[test]
fn an_operators_address_that_the_file_asks_for_and_that_is_taken_keeps_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = format!("[server]\nadmin_listen = \"{address}\"\n{CONFIG}");
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    let served = Served::serve(&mut program(), folder.path(), &["--config", "c.toml", "--listen", "127.0.0.1:0"]);
    let refused = served.says(&address);
    assert!(refused.starts_with(&format!("satisfice: cannot listen on {address}")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_ledger_at_the_end_is_said_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let served = start(folder.path());
    let url = format!("{}/v1/chat/completions", url(&served.says("serving on")));
    std::fs::remove_file(folder.path().join("data/ledger.redb")).unwrap();
    client().post(&url).body(ask("auto").to_string()).send().await.unwrap();
    served.says("the ledger cannot be written");
    served.terminate();
    let lost = served.says("are lost");
    assert!(lost.contains("ERROR") && lost.contains("2 entries that waited for the ledger"), "{lost}");
    served.ends();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_traces_that_is_removed_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let served = start(folder.path());
    let asked = url(&served.says("serving on"));
    let operators = url(&served.says("for operators"));
    let kept = async || -> String {
        let response = client().post(format!("{asked}/v1/chat/completions")).body(ask("auto").to_string()).send().await;
        let trace = header(&response.unwrap(), "x-satisfice-trace-id").unwrap().to_owned();
        while get(format!("{operators}/v1/traces/{trace}")).await.get("error").is_some() {}
        trace
    };
    let first = kept().await;
    let traces = || {
        let files = std::fs::read_dir(folder.path().join("data")).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.to_string_lossy().contains("traces-")).collect::<Vec<_>>()
    };
    traces().iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let second = kept().await;
    let told = served.says("removed or replaced");
    assert!(told.contains("WARN") && told.contains("traces-"), "{told}");
    assert_eq!(traces().len(), 1);
    let listed = get(format!("{operators}/v1/traces")).await;
    let ids: Vec<&str> =
        listed["traces"].as_array().unwrap().iter().map(|trace| trace["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&second], "and not {first}");
    let rest = served.rest();
    assert!(!rest.iter().any(|line| line.contains("removed or replaced")), "{rest:#?}");
}
