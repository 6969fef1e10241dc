//! Whose a request is: what is seen of it, and who may score it, with another API key than its own.

use reqwest::Response;
use serde_json::{Value, json};

use crate::gateway::{ask, body, client, header};
use crate::served::{Served, program, url};

/// Nobody listens on port 1: a request fails, and is recorded.
const CONFIG: &str = r#"
admin_keys = ["env:ADMIN"]
[[providers]]
name = "gone"
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[[models]]
name = "small"
provider = "gone"
[[routes]]
name = "auto"
models = ["small"]
"#;

const TWO: &str = "[server]\napi_keys = [\"env:ONE\", \"env:TWO\"]";
const ONE_LEFT: &str = "[server]\napi_keys = [\"env:TWO\"]";

async fn get(url: &str, path: &str, key: &str) -> Response {
    client().get(format!("{url}{path}")).bearer_auth(key).send().await.unwrap()
}

async fn listed(url: &str, key: &str) -> Vec<Value> {
    let page = body(get(url, "/v1/traces", key).await).await;
    page["traces"].as_array().unwrap().iter().map(|trace| trace["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_its_own_requests_and_no_others_also_once_the_others_key_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let configure = |keys: &str| std::fs::write(folder.path().join("c.toml"), format!("{keys}{CONFIG}")).unwrap();
    configure(TWO);
    let mut command = program();
    command.env("ONE", "sk-one").env("TWO", "sk-two").env("ADMIN", "sk-admin");
    let served = Served::start(&mut command, folder.path(), &[]);
    let (clients, operators) = (url(&served.says("serving on")), url(&served.says("for operators")));
    let asked = client().post(format!("{clients}/v1/chat/completions")).bearer_auth("sk-one");
    let asked = asked.body(ask("auto").to_string()).send().await.unwrap();
    let id = json!(header(&asked, "x-satisfice-trace-id").unwrap());
    let path = format!("/v1/traces/{}", id.as_str().unwrap());
    while get(&clients, &path, "sk-one").await.status() != 200 {}

    assert_eq!(listed(&clients, "sk-one").await, std::slice::from_ref(&id));
    let score = async |key: &str, source: &str| {
        let score = json!({"trace_id": id, "name": "quality", "value": 0.5, "source": source}).to_string();
        let sent = client().post(format!("{clients}/v1/feedback")).bearer_auth(key).body(score).send().await.unwrap();
        sent.status().as_u16()
    };
    assert_eq!(score("sk-two", "client").await, 404);
    assert_eq!(score("sk-one", "client").await, 200);
    for own in ["format", "reference"] {
        assert_eq!(score("sk-one", own).await, 422, "{own} is the gateway's own");
    }
    for keys in [TWO, ONE_LEFT] {
        if keys == ONE_LEFT {
            configure(keys);
            served.says("configuration reloaded");
            assert_eq!(get(&clients, &path, "sk-one").await.status(), 401);
        }
        let unknown = get(&clients, &path, "sk-two").await;
        assert_eq!(
            (unknown.status().as_u16(), &body(unknown).await["error"]["code"]),
            (404, &json!("trace_not_found"))
        );
        assert!(listed(&clients, "sk-two").await.is_empty());
        assert_eq!(get(&operators, "/v1/traces", "sk-two").await.status(), 401, "it is no operator's");
        assert_eq!(listed(&operators, "sk-admin").await, std::slice::from_ref(&id));
    }
    assert_eq!(get(&clients, "/v1/models", "sk-admin").await.status(), 401, "it is no client's");
}
