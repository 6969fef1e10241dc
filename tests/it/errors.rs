//! Wrong input and failing upstreams: statuses, and the field and remedy in the message.

use satisfice::server::ApiKeys;
use satisfice::trace::Outcome;
use satisfice::upstream::settings::Wire;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::{BODY_LIMIT, Options, Running, ask, body, error, header};
use crate::scripted::Answer;

async fn refused(running: &Running, body: impl Into<reqwest::Body>) -> (u16, Value) {
    error(running.post("/v1/chat/completions", body).send().await.unwrap()).await
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_and_not_recorded() {
    let running = Running::start().await;
    for (body, param) in [
        (&b"{\"model\": "[..], Value::Null),
        (b"", Value::Null),
        (b"[]", Value::Null),
        (b"{\"model\": \"auto\xff\"}", Value::Null),
        (b"{\"model\": \"auto\"}", "messages".into()),
        (b"{\"model\": \"auto\", \"messages\": []}", "messages".into()),
        (b"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}", "model".into()),
        (b"{\"model\": \"auto\", \"messages\": [], \"stream\": 3}", "messages".into()),
    ] {
        let (status, error) = refused(&running, body).await;
        assert_eq!((status, &error["param"]), (400, &param), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert!(running.upstream.seen().is_empty());
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn a_body_that_comes_compressed_is_refused_and_one_that_only_could_be_is_read() {
    let mut running = Running::start().await;
    for path in ["chat/completions", "responses", "messages", "messages/count_tokens", "embeddings", "feedback"] {
        let compressed = running.post(&format!("/v1/{path}"), &b"\x1f\x8b\x08"[..]).header("content-encoding", "gzip");
        let (status, error) = error(compressed.send().await.unwrap()).await;
        assert_eq!(status, 415, "{path}: {error}");
        assert!(error["message"].as_str().unwrap().contains("without content-encoding"), "{error}");
    }
    let plain = running.post("/v1/chat/completions", ask("small").to_string()).header("content-encoding", "identity");
    assert_eq!(plain.send().await.unwrap().status(), 200);
    assert_eq!(running.finished().await.outcome, Outcome::Answered);
}

#[tokio::test]
async fn a_field_of_the_wrong_kind_is_told_where_it_is_and_in_no_programmers_words() {
    let running = Running::start().await;
    let good = r#"{"role": "user", "content": "x"}"#;
    for (fields, expected) in [
        (
            format!(r#""messages": [{good}, 5]"#),
            "messages[1] must be {role, content}: invalid type: integer `5`, expected an object",
        ),
        (
            format!(r#""messages": [{good}, {{"content": "x"}}]"#),
            "messages[1] must be {role, content}: missing field `role`",
        ),
        (
            format!(r#""messages": [{good}, {good}, {{"role": "user", "content": [5]}}]"#),
            "messages[2] must be {role, content}: invalid type: integer `5`, expected an object",
        ),
        (
            format!(r#""messages": [{good}], "response_format": "json""#),
            "response_format must be an object with a `type`: invalid type: string \"json\", expected an object",
        ),
    ] {
        let (status, error) = refused(&running, format!(r#"{{"model": "auto", {fields}}}"#)).await;
        assert_eq!((status, error["message"].as_str().unwrap()), (400, expected));
    }
}

#[tokio::test]
async fn a_page_from_elsewhere_that_a_browser_shows_may_not_spend_what_needs_no_key() {
    let running = Running::start().await;
    let asked = async |origin: &str, path: &str| {
        let request = running.post(path, ask("small").to_string()).header("origin", origin);
        request.send().await.unwrap()
    };
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/feedback"] {
        assert_eq!(asked("https://example.com", path).await.status(), 403, "{path}");
    }
    let (_, error) = error(asked("null", "/v1/chat/completions").await).await;
    assert_eq!((&error["code"], &error["type"]), (&"foreign_origin".into(), &"permission_error".into()));
    assert!(running.upstream.seen().is_empty());
    for ours in ["http://localhost:3000", "vscode-webview://page"] {
        assert_eq!(asked(ours, "/v1/chat/completions").await.status(), 200, "{ours}");
    }

    let keys = ApiKeys::new(&["sk-right".into()]);
    let running = Running::with(Options { keys, ..Options::default() }).await;
    let request = running.post("/v1/chat/completions", ask("small").to_string()).bearer_auth("sk-right");
    assert_eq!(request.header("origin", "https://example.com").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_unknown_model_is_told_what_there_is() {
    let running = Running::start().await;
    let (status, error) = refused(&running, ask("gpt-9").to_string()).await;
    assert_eq!((status, &error["param"], &error["code"]), (404, &"model".into(), &"model_not_found".into()));
    let message = error["message"].as_str().unwrap();
    for name in ["gpt-9", "auto", "narrow", "small", "large"] {
        assert!(message.contains(name), "{message}");
    }
    let long = "x".repeat(10_000);
    let named =
        async |path: &str| body(running.get(&format!("{path}/{long}")).send().await.unwrap()).await["error"].take();
    for (told, remedy) in [
        (refused(&running, ask(&long).to_string()).await.1, "there are: auto"),
        (named("/v1/models").await, "lists what there is"),
        (named("/v1/routes").await, "the routes are: auto"),
    ] {
        let message = told["message"].as_str().unwrap();
        assert!(message.len() < 400 && message.contains("x…\"") && message.contains(remedy), "{message}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_the_limit_and_the_client_hears_of_it() {
    let running = Running::start().await;
    for factor in [1, 3] {
        let long = vec![b' '; factor * BODY_LIMIT + 1];
        let (status, error) = refused(&running, long).await;
        assert_eq!(status, 413);
        assert!(error["message"].as_str().unwrap().contains(&BODY_LIMIT.to_string()), "{error}");
    }
    let chunks =
        futures_util::stream::iter([vec![b' '; BODY_LIMIT], vec![b' '; BODY_LIMIT]].map(Ok::<_, std::io::Error>));
    let (status, _) = refused(&running, reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(status, 413, "also where the length is not told beforehand");
}

#[tokio::test]
async fn a_client_that_asks_whether_to_send_too_long_a_body_is_told_at_once_not_to() {
    let running = Running::start().await;
    let mut connection = running.connect().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-Continue\r\ncontent-length: {}\r\n\r\n",
        BODY_LIMIT + 1
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut told = String::new();
    connection.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 413") && told.contains(&BODY_LIMIT.to_string()), "{told}");
}

#[tokio::test]
async fn quality_out_of_range_is_refused() {
    let running = Running::start().await;
    for wrong in ["1.7", "-1", "NaN", "high"] {
        let request = running.post("/v1/chat/completions", ask("auto").to_string());
        let response = request.header("x-satisfice-quality", wrong).send().await.unwrap();
        let (status, error) = error(response).await;
        assert_eq!((status, &error["param"]), (400, &"x-satisfice-quality".into()));
        assert!(error["message"].as_str().unwrap().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn a_request_that_no_model_of_the_route_can_answer_names_the_field_and_the_models() {
    let running = Running::start().await;
    let mut tools = ask("narrow");
    tools["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let mut schema = ask("narrow");
    schema["response_format"] = json!({"type": "json_schema", "json_schema": {}});
    let mut long = ask("narrow");
    long["max_tokens"] = 2000.into();
    let image = json!({"model": "narrow", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]}]});
    for (body, param) in
        [(tools, "tools"), (schema, "response_format"), (long, "max_completion_tokens"), (image, "messages")]
    {
        let (status, error) = refused(&running, body.to_string()).await;
        assert_eq!((status, &error["param"]), (400, &param.into()), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("narrow") && message.contains("plain"), "{message}");
    }
    assert!(running.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_fault_of_the_client_comes_back_in_the_upstreams_words() {
    let mut running = Running::start().await;
    for model in ["small-upstream", "large-upstream"] {
        running.upstream.on(model, [Answer::status(422, "temperature is too hot")]);
    }
    let response = running.chat(ask("auto")).await;
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("1"));
    let (status, error) = error(response).await;
    assert_eq!(status, 422);
    assert!(error["message"].as_str().unwrap().contains("temperature is too hot"), "{error}");
    assert_eq!(running.finished().await.outcome, Outcome::Failed);
}

/// What a client of Anthropic's protocol is told of a request that both protocols have.
async fn told_of_messages(running: &Running, request: &Value) -> (u16, String) {
    let response = running.post("/v1/messages", request.to_string()).send().await.unwrap();
    (response.status().as_u16(), body(response).await["error"]["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_told_in_the_words_that_each_protocols_clients_know() {
    let running = Running::start().await;
    let mut asked = ask("small");
    asked["max_tokens"] = 9.into();
    for (status, message) in [
        (400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        (400, "Input is too long for requested model."),
        (400, "This model's maximum prompt length is 8 but the request contains 9 tokens."),
        (413, "prompt is too long: 9 tokens > 8 maximum"),
    ] {
        running.upstream.on("small-upstream", [Answer::status(status, message)]);
        let (status, error) = refused(&running, asked.to_string()).await;
        assert_eq!(
            (status, &error["code"], &error["message"]),
            (400, &"context_length_exceeded".into(), &message.into())
        );
        let (status, told) = told_of_messages(&running, &asked).await;
        assert!(status == 400 && told.starts_with("prompt is too long: ") && told.ends_with(message), "{told}");
        assert_eq!(told.matches("prompt is too long").count(), 1, "{told}");
    }
    (asked["model"], asked["max_tokens"]) = ("narrow".into(), 2000.into());
    let (status, error) = refused(&running, asked.to_string()).await;
    assert_eq!((status, &error["code"]), (400, &"context_length_exceeded".into()));
    let (status, told) = told_of_messages(&running, &asked).await;
    assert!(status == 400 && told.starts_with("prompt is too long: no model of "), "{told}");
    running.upstream.on("small-upstream", [Answer::status(400, "no")]);
    asked["model"] = "small".into();
    assert_eq!(told_of_messages(&running, &asked).await, (400, "no".into()));
}

#[tokio::test]
async fn what_a_provider_cannot_be_asked_is_no_call() {
    let mut running = Running::with(Options { wire: Wire::Anthropic, ..Options::default() }).await;
    let mut asked = ask("small");
    asked["seed"] = 1.into();
    let response = running.chat(asked).await;
    assert_eq!(header(&response, "x-satisfice-attempts"), Some("0"));
    let (status, error) = error(response).await;
    assert_eq!((status, &error["param"]), (400, &"seed".into()), "{error}");
    assert!(running.upstream.seen().is_empty());
    let attempts = running.finished().await.attempts;
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    assert!(attempt.status.is_none() && attempt.error.as_deref().is_some_and(|why| why.contains("`seed`")));
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("satisfice_upstream_attempts_total{"), "{metrics}");
}

#[tokio::test]
async fn where_every_model_fails_the_last_failure_decides() {
    let mut running = Running::start().await;
    for (upstream, expected, attempts) in [(500, 502, 3), (401, 502, 2), (429, 429, 3)] {
        for model in ["small-upstream", "large-upstream"] {
            running.upstream.on(model, [Answer::status(upstream, "no")]);
        }
        let response = running.chat(ask("auto")).await;
        assert_eq!(header(&response, "x-satisfice-attempts"), Some(&*attempts.to_string()));
        assert!(header(&response, "x-satisfice-trace-id").is_some());
        assert_eq!(header(&response, "x-satisfice-model"), None);
        let (status, error) = error(response).await;
        assert_eq!(status, expected, "{error}");
        assert!(error["code"].is_string());
        let trace = running.finished().await;
        assert_eq!((trace.outcome, trace.attempts.len(), trace.model), (Outcome::Failed, attempts, None));
    }
}

#[tokio::test]
async fn what_is_not_served_is_said_in_the_same_shape() {
    let running = Running::start().await;
    for path in ["/v1/nothing", "/nothing"] {
        let (status, error) = error(running.post(path, "{}").send().await.unwrap()).await;
        assert_eq!(status, 404);
        assert!(error["message"].as_str().unwrap().contains(path), "{error}");
    }
    let response = running.get("/v1/chat/completions").send().await.unwrap();
    assert_eq!(header(&response, "allow"), Some("POST"));
    let (status, error) = error(response).await;
    assert_eq!((status, &error["code"]), (405, &"method_not_allowed".into()));
}

#[tokio::test]
async fn with_keys_set_only_a_bearer_of_one_is_served() {
    let keys = ApiKeys::new(&["sk-right".into()]);
    let running = Running::with(Options { keys, ..Options::default() }).await;
    for path in ["/v1/models", "/v1/traces"] {
        assert_eq!(running.get(path).send().await.unwrap().status(), 401);
        assert_eq!(running.get(path).bearer_auth("sk-wrong").send().await.unwrap().status(), 401);
        assert_eq!(running.get(path).bearer_auth("sk-right").send().await.unwrap().status(), 200);
    }
    let (status, error) = refused(&running, ask("auto").to_string()).await;
    assert_eq!((status, &error["code"]), (401, &"invalid_api_key".into()));
    assert!(running.upstream.seen().is_empty());
    for open in ["/health", "/ready"] {
        assert_eq!(running.get(open).send().await.unwrap().status(), 200);
    }
    assert_eq!(running.get("/metrics").send().await.unwrap().status(), 401);
    assert_eq!(running.get("/metrics").bearer_auth("sk-right").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn operators_metrics_are_for_no_page_from_elsewhere() {
    let keys = ApiKeys::new(&["sk-right".into()]);
    let running = Running::with(Options { keys, ..Options::default() }).await;
    let url = format!("{}/metrics", running.operators().await);
    let ask = |name: &str, value: &str, key: &str| {
        crate::gateway::client().get(&url).header(name, value).bearer_auth(key).send()
    };
    for (name, value, code) in
        [("host", "rebound.example.com:8081", "foreign_host"), ("origin", "https://example.com", "foreign_origin")]
    {
        let (status, error) = error(ask(name, value, "sk-wrong").await.unwrap()).await;
        assert_eq!((status, &error["code"]), (403, &code.into()), "{error}");
        assert_eq!(ask(name, value, "sk-right").await.unwrap().status(), 200, "{name}");
    }
    assert_eq!(ask("host", "localhost:8081", "sk-wrong").await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_keys_a_name_that_leads_here_by_dns_alone_gets_nothing() {
    let running = Running::start().await;
    for path in ["/v1/traces", "/v1/models", "/metrics"] {
        let asked = running.get(path).header("host", "rebound.example.com:8080").send().await.unwrap();
        let (status, error) = error(asked).await;
        assert_eq!((status, &error["code"]), (403, &"foreign_host".into()), "{path}");
        assert!(error["message"].as_str().unwrap().contains("rebound.example.com"), "{error}");
        assert_eq!(running.get(path).header("host", "localhost:1").send().await.unwrap().status(), 200, "{path}");
    }
    let spent = running.post("/v1/chat/completions", ask("small").to_string()).header("host", "example.com");
    assert_eq!(spent.send().await.unwrap().status(), 403);
    assert!(running.upstream.seen().is_empty());
    let keys = ApiKeys::new(&["sk-right".into()]);
    let running = Running::with(Options { keys, ..Options::default() }).await;
    let named = running.get("/v1/models").header("host", "llm.example.com").bearer_auth("sk-right");
    assert_eq!(named.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn errors_are_counted_by_status_and_reason_and_what_a_client_writes_makes_no_series() {
    let running = Running::start().await;
    refused(&running, "{").await;
    refused(&running, ask("nobody").to_string()).await;
    refused(&running, ask("nobody-else").to_string()).await;
    running.get("/v1/nothing-of-that-name").send().await.unwrap();
    running.upstream.on("small-upstream", [Answer::status(400, "no")]);
    refused(&running, ask("small").to_string()).await;
    let metrics = running.get("/metrics").send().await.unwrap().text().await.unwrap();
    let mut counted: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("satisfice_error_responses_total")).collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            r#"{status="400",reason="invalid_request_error"} 1"#,
            r#"{status="400",reason="upstream_rejected"} 1"#,
            r#"{status="404",reason="model_not_found"} 2"#,
            r#"{status="404",reason="not_found"} 1"#,
        ]
    );
}

#[tokio::test]
async fn an_error_quotes_little_of_what_is_wrong() {
    let running = Running::start().await;
    let long = "x".repeat(20_000);
    let mut bodies = vec![ask(&long).to_string(), json!(long).to_string(), json!({"models": [long]}).to_string()];
    for field in ["stream", "messages", "tools", "response_format", "provider", "models"] {
        let mut body = ask("auto");
        body[field] = json!(long);
        bodies.push(body.to_string());
    }
    let mut body = ask("auto");
    body["provider"] = json!({"max_price": {long.clone(): 1}});
    bodies.push(body.to_string());
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/feedback", "/v1/embeddings"] {
        for body in &bodies {
            let told = running.post(path, body.clone()).send().await.unwrap();
            assert!(told.status().is_client_error());
            let told = told.text().await.unwrap();
            assert!(told.len() < 700, "{path} {}: {told}", &body[..60]);
        }
    }
    let asked = running.post("/v1/chat/completions", ask("auto").to_string());
    let (status, told) = error(asked.header("x-satisfice-quality", &long[..8000]).send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(told.to_string().len() < 400, "{told}");
    let nothing = running.get(&format!("/v1/{}", &long[..8000])).send().await.unwrap().text().await.unwrap();
    assert!(nothing.len() < 400, "{nothing}");
}

#[tokio::test]
async fn pages_of_traces_are_bounded() {
    let running = Running::start().await;
    for (query, param, words) in [
        ("limit=0", "limit", "from 1 to 200; it is \"0\""),
        ("limit=201", "limit", "it is \"201\""),
        ("limit=x", "limit", "it is \"x\""),
        ("limit=1&before=x", "before", "it is \"x\", which is no UUID"),
        ("colour=red", "colour", "give `limit`, `before`, or neither"),
        ("limit", "limit", "it is \"\""),
    ] {
        let response = running.get(&format!("/v1/traces?{query}")).send().await.unwrap();
        let (status, error) = error(response).await;
        assert_eq!((status, &error["param"]), (400, &param.into()), "{query}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    let nothing = running.get("/v1/traces?limit=1").send().await.unwrap().text().await.unwrap();
    assert_eq!(nothing, r#"{"traces":[],"next":null,"unreadable":[],"alarms":[]}"#);
    let unknown = running.get("/v1/traces/01890a5d-ac96-774b-bcce-b302099a8057").send().await.unwrap();
    assert_eq!(error(unknown).await.0, 404);
    assert_eq!(error(running.get("/v1/traces/x").send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn a_header_of_ours_that_is_there_twice_is_refused_at_each_path() {
    let running = Running::start().await;
    for (path, body) in [
        ("/v1/chat/completions", ask("auto")),
        ("/v1/messages", json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})),
        ("/v1/responses", json!({"model": "auto", "input": "Hi"})),
        ("/v1/embeddings", json!({"model": "auto", "input": "Hi"})),
    ] {
        for (name, values) in [
            ("x-satisfice-quality", ["0", "1.7"]),
            ("x-satisfice-session", ["a", "b"]),
            ("x-satisfice-cache", ["refresh", "refresh"]),
        ] {
            let request = running.post(path, body.to_string()).header(name, values[0]).header(name, values[1]);
            let told = request.send().await.unwrap();
            assert_eq!(told.status(), 400, "{path}");
            let told = told.text().await.unwrap();
            assert!(told.contains(&format!("the header {name} is there more than once")), "{told}");
        }
    }
    let request = running.post("/v1/embeddings", json!({"model": "vectors", "input": "Hi"}).to_string());
    let (status, error) = error(request.header("x-satisfice-quality", "7").send().await.unwrap()).await;
    assert_eq!((status, &error["param"]), (400, &"x-satisfice-quality".into()));
}

#[tokio::test]
async fn a_redirect_and_a_model_that_is_not_there_are_the_configurations_fault() {
    let running = Running::start().await;
    let location = [("location", "https://user:secret@elsewhere.example:8443/v2?key=secret")];
    let moved = Answer::whole(308, &location, "");
    for (answer, words) in [
        (
            moved,
            "it redirects to elsewhere.example:8443, and redirects are not followed; give its own address as base_url",
        ),
        (Answer::whole(302, &[("location", "/v2/chat")], ""), "it redirects to 127.0.0.1:"),
        (Answer::status(404, "No such model."), "No such model."),
    ] {
        running.upstream.on("small-upstream", [answer]);
        let (status, error) = error(running.chat(ask("small")).await).await;
        assert_eq!((status, &error["code"]), (502, &"upstream_configuration".into()));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn who_is_refused_for_the_head_hears_so_however_long_the_body_is() {
    let running = Running::start().await;
    let long = || "x".repeat(BODY_LIMIT - 1);
    for (path, header, status) in [
        ("/v1/nothing", ("x-none", "1"), 404),
        ("/v1/models", ("x-none", "1"), 405),
        ("/v1/chat/completions", ("x-satisfice-quality", "1.7"), 400),
        ("/v1/chat/completions", ("content-encoding", "br"), 415),
    ] {
        let mut connection = running.connect().await;
        let length = long().len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{}: {}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n",
            header.0, header.1
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(long().as_bytes()).await.expect("all of it is taken");
        let mut told = String::new();
        connection.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {told}");
    }
}
