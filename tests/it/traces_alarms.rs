//! `GET /v1/traces`: the alarms of drift, beside the list and on the traces of the model that drifted.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use satisfice::catalog::providers::Catalogue;
use satisfice::cli::assemble::assemble;
use satisfice::config::{self, Environment, Flags};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::gateway::{ask, body, client, header};
use crate::scripted::Scripted;

/// Generous: only a test that fails takes as long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Scores before an arm has a reference that it can drift from.
const REFERENCE: usize = 256;
/// Enough bad ones for an alarm, by far.
const MOST: usize = 100;

struct Gateway {
    url: String,
    client: reqwest::Client,
}

impl Gateway {
    async fn get(&self, path: &str) -> Value {
        body(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> reqwest::Response {
        self.client.post(format!("{}{path}", self.url)).body(body.to_string()).send().await.unwrap()
    }

    /// Asks the route and scores the answer; the trace's id.
    async fn asked(&self, value: f64) -> String {
        let answer = self.post("/v1/chat/completions", ask("auto")).await;
        let trace = header(&answer, "x-satisfice-trace-id").unwrap().to_owned();
        drop(answer.bytes().await);
        let score = json!({"trace_id": trace, "name": "quality", "value": value});
        assert_eq!(self.post("/v1/feedback", score).await.status(), 200);
        trace
    }

    /// The list, once it has traces.
    async fn listed(&self) -> Value {
        let asking = async {
            loop {
                let page = self.get("/v1/traces?limit=1").await;
                if page["traces"][0].is_object() {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.expect("a trace in time")
    }

    async fn alarms(&self) -> Value {
        self.get("/v1/routes/auto").await["models"][0]["drift_alarms"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_drift_is_beside_the_traces_and_on_those_of_its_model() {
    let (upstream, folder) = (Scripted::start().await, tempfile::tempdir().unwrap());
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[[providers]]\nname = \"test\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
         [[models]]\nname = \"small\"\nprovider = \"test\"\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\n\
         [[routes]]\nname = \"auto\"\nmodels = [\"small\"]\n",
        upstream.base_url()
    );
    let flags = Flags { data_dir: Some(folder.path().join("data")), ..Flags::default() };
    let catalogue = Catalogue::embedded().unwrap();
    let setup = config::parse(&config, "test", &Environment::default(), &flags, &catalogue).unwrap();
    let running = assemble(setup, None).await.unwrap();
    let gateway = Gateway { url: format!("http://{}", running.address()), client: client() };

    stream::iter(0..REFERENCE).for_each_concurrent(16, |_| async { drop(gateway.asked(1.0).await) }).await;
    let before = gateway.listed().await;
    assert_eq!((&before["alarms"], &before["traces"][0]["drift_alarms"]), (&json!([]), &json!(0)), "{before}");

    let mut last = String::new();
    for _ in 0..MOST {
        last = gateway.asked(0.0).await;
        if gateway.alarms().await != 0 {
            break;
        }
    }
    let after = gateway.listed().await;
    assert_eq!(after["alarms"], json!([{"route": "auto", "model": "small", "drift_alarms": 1}]), "{after}");
    assert_eq!(after["traces"][0]["drift_alarms"], 1, "{after}");
    let asking = async {
        loop {
            let trace = gateway.get(&format!("/v1/traces/{last}")).await;
            if trace["model"] == "test/small" {
                return trace;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(timeout(PATIENCE, asking).await.expect("the trace in time")["drift_alarms"], 1);
    drop(gateway);
    running.stop(std::future::pending()).await.unwrap();
}
