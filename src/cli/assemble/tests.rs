use std::future::pending;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::catalog::providers::Catalogue;
use crate::config::{Environment, Flags};

fn setup(folder: &Path, server: &str) -> config::Setup {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        {server}
        [[providers]]
        name = "gone"
        kind = "openai"
        base_url = "http://127.0.0.1:1/v1"
        [[models]]
        name = "small"
        provider = "gone"
        "#
    );
    let flags = Flags { data_dir: Some(folder.join("data")), ..Flags::default() };
    config::parse(&text, "test", &Environment::of_process(), &flags, &Catalogue::embedded().unwrap()).unwrap()
}

/// The first line of what a client without a key is answered.
async fn answered(running: &Running) -> String {
    let mut connection = TcpStream::connect(running.address()).await.unwrap();
    let asked = "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_asked_for_while_the_learner_waits_for_the_disk_and_it_hears_of_the_routes_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = assemble(setup(folder.path(), ""), None).await.unwrap();
    assert_eq!(answered(&running).await, "HTTP/1.1 200 OK");
    let (events, mut learner) = mpsc::channel(1);
    events.try_send(Event::Configured { at_ms: 0, routes: vec![] }).unwrap();
    let events = std::mem::replace(&mut running.learner.events, events);
    let mut untold = running.reload(setup(folder.path(), "api_keys = [\"sk-one\"]")).unwrap();
    assert_eq!(answered(&running).await, "HTTP/1.1 401 Unauthorized");
    // As where the file changes once more, and has mistakes.
    assert!(pin!(running.tell(&mut untold)).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(learner.recv().await.is_some());
    running.tell(&mut untold).await.unwrap();
    assert!(untold.is_none());
    assert!(matches!(learner.recv().await, Some(Event::Configured { at_ms: 1.., .. })));
    running.learner.events = events;
    running.stop(pending()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_another_address_could_do_without_stay_while_this_one_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = setup(folder.path(), "api_keys = [\"sk-one\"]");
    open.server.listen = "0.0.0.0:0".parse().unwrap();
    let running = assemble(open, None).await.unwrap();
    let refused = running.reload(setup(folder.path(), "")).unwrap_err().to_string();
    assert!(refused.starts_with("0.0.0.0:") && refused.contains("nobody would need a key; give keys"), "{refused}");
    assert_eq!(answered(&running).await, "HTTP/1.1 401 Unauthorized");
    running.reload(setup(folder.path(), "api_keys = [\"sk-two\"]")).unwrap();
    running.stop(pending()).await.unwrap();
}
