//! Embeddings at the wires that are not OpenAI's: what each is asked and answers, as its provider documents it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use satisfice::api::embeddings::{EmbeddingsRequest, MAX_INPUTS};
use satisfice::api::error::BadRequest;
use satisfice::catalog::Usage;
use satisfice::upstream::bedrock::Bedrock;
use satisfice::upstream::cohere::Cohere;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::openai::OpenAi;
use satisfice::upstream::vertex::Vertex;
use satisfice::upstream::{Embeddings, NoAnswer, Provider, WholeReply, WireAnswer};
use serde_json::{Value, json};

const TITAN: &str = "amazon.titan-embed-text-v2:0";

/// A wire with what it documents.
struct Case {
    wire: &'static dyn Provider,
    golden: Value,
}

macro_rules! case {
    ($wire:expr, $name:literal) => {
        Case { wire: &$wire, golden: serde_json::from_str(include_str!(concat!("../fixtures/", $name))).unwrap() }
    };
}

fn cases() -> [Case; 11] {
    [
        case!(Gemini, "gemini/embeddings.json"),
        case!(Vertex, "vertex/embeddings_text.json"),
        case!(Vertex, "vertex/embeddings_gemini.json"),
        case!(Vertex, "vertex/embeddings_content.json"),
        case!(Cohere, "cohere/embeddings.json"),
        case!(Bedrock, "bedrock/embeddings_titan.json"),
        case!(Bedrock, "bedrock/embeddings_titan_g1.json"),
        case!(Bedrock, "bedrock/embeddings_titan_multimodal.json"),
        case!(Bedrock, "bedrock/embeddings_nova.json"),
        case!(Bedrock, "bedrock/embeddings_cohere.json"),
        case!(Bedrock, "bedrock/embeddings_cohere_v3.json"),
    ]
}

impl Case {
    fn wire(&self) -> &dyn Embeddings {
        self.wire.embeddings().unwrap()
    }

    fn model(&self) -> &str {
        self.golden["model"].as_str().unwrap()
    }

    fn request(&self, fields: Value) -> EmbeddingsRequest {
        let mut body = self.golden["request"].clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        parse(body)
    }

    fn answers(&self) -> Vec<WireAnswer> {
        let answers = self.golden["answers"].as_array().unwrap().iter();
        answers
            .map(|answer| WireAnswer { headers: headers(&answer["headers"]), body: bytes(&answer["body"]) })
            .collect()
    }

    fn reply(&self, fields: Value) -> WholeReply {
        self.wire().embedded(self.model(), &self.request(fields), self.answers()).unwrap()
    }
}

fn parse(body: Value) -> EmbeddingsRequest {
    EmbeddingsRequest::parse(&bytes(&body)).unwrap()
}

fn bytes(value: &Value) -> bytes::Bytes {
    value.to_string().into()
}

fn headers(pairs: &Value) -> HeaderMap {
    let pairs = pairs.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| {
            (http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.as_str().unwrap().parse().unwrap())
        })
        .collect()
}

fn posted(wire: &dyn Provider, model: &str, request: &EmbeddingsRequest) -> Vec<Value> {
    let posted = wire.embeddings().unwrap().embed(model, request).unwrap();
    posted.iter().map(|wire| serde_json::from_slice(&wire.body).unwrap()).collect()
}

fn refusal(wire: &dyn Provider, model: &str, body: Value) -> (String, String) {
    let BadRequest { param, message } = wire.embeddings().unwrap().embed(model, &parse(body)).unwrap_err();
    (param.unwrap().into_owned(), message)
}

fn numbers(base64: &Value) -> Vec<f32> {
    let bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn each_wire_is_asked_as_its_provider_documents_it() {
    for case in cases() {
        let model = case.model();
        assert_eq!(case.wire().embeddings_path(model), case.golden["path"], "{model}");
        assert_eq!(posted(case.wire, model, &case.request(json!({}))), *case.golden["posted"].as_array().unwrap());
    }
}

#[test]
fn answers_are_openais_with_the_tokens_that_the_wire_counts() {
    for case in cases() {
        let reply = case.reply(json!({"encoding_format": null}));
        let json: Value = serde_json::from_slice(&reply.body).unwrap();
        let vectors = case.golden["vectors"].as_array().unwrap();
        let data = vectors.iter().enumerate();
        let data: Vec<Value> =
            data.map(|(i, vector)| json!({"object": "embedding", "index": i, "embedding": vector})).collect();
        let tokens = case.golden["tokens"].as_u64();
        let counted = tokens.unwrap_or(0);
        let usage = json!({"prompt_tokens": counted, "total_tokens": counted});
        let expected = json!({"object": "list", "data": data, "model": case.model(), "usage": usage});
        assert_eq!(json.to_string().replace(".0,", ",").replace(".0]", "]"), expected.to_string());
        let usage = tokens.map(|tokens| Usage { input_tokens: tokens.try_into().unwrap(), ..Usage::default() });
        assert_eq!(reply.usage, usage, "{}", case.model());
    }
}

#[test]
fn base64_is_little_endian_floats_whatever_the_wire() {
    for case in cases() {
        let reply = case.reply(json!({"encoding_format": "base64"}));
        let json: Value = serde_json::from_slice(&reply.body).unwrap();
        for (item, vector) in json["data"].as_array().unwrap().iter().zip(case.golden["vectors"].as_array().unwrap()) {
            let expected: Vec<f32> = vector.as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect();
            assert_eq!(numbers(&item["embedding"]), expected);
        }
    }
}

#[test]
fn a_server_of_openais_wire_that_knows_no_base64_is_made_good_and_any_other_answer_stays_to_the_byte() {
    let plain =
        r#"{"object":"list","data":[{"index":0,"embedding":[0.5,-2]}],"model":"e","usage":{"prompt_tokens":3}}"#;
    let encoded = r#"{"object":"list","data":[{"index":0,"embedding":"AAAAPwAAAMA="}],"model":"e"}"#;
    let embedded = |request: Value, body: &'static str| {
        let answer = WireAnswer { headers: HeaderMap::new(), body: body.into() };
        OpenAi.embedded("e", &parse(request), vec![answer]).unwrap()
    };
    let base64 = json!({"model": "m", "input": "a", "encoding_format": "base64"});
    let reply = embedded(base64.clone(), plain);
    let json: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&json["data"][0]["embedding"], &json["usage"]["prompt_tokens"]), (&json!("AAAAPwAAAMA="), &json!(3)));
    assert_eq!(reply.usage.unwrap().input_tokens, 3);
    assert_eq!(embedded(base64.clone(), encoded).body, encoded);
    let listed = r#"[[{"embedding":[0.5,-2]}]]"#;
    assert_eq!(embedded(base64, listed).body, listed, "of another form than it could be read in");
    assert_eq!(embedded(json!({"model": "m", "input": "a"}), plain).body, plain);
}

#[test]
fn texts_go_in_as_many_calls_as_the_wire_needs() {
    let sizes = |wire: &dyn Provider, model: &str, list: &str, texts: usize| -> Vec<usize> {
        let texts: Vec<String> = (0..texts).map(|i| format!("text {i}")).collect();
        let posted = posted(wire, model, &parse(json!({"model": "m", "input": texts})));
        posted.iter().map(|body| body[list].as_array().map_or(1, Vec::len)).collect()
    };
    assert_eq!(sizes(&Gemini, "gemini-embedding-001", "requests", 250), [100, 100, 50]);
    assert_eq!(sizes(&Vertex, "text-embedding-005", "instances", 600), [250, 250, 100]);
    assert_eq!(sizes(&Vertex, "gemini-embedding-001", "instances", 3), [1, 1, 1]);
    assert_eq!(sizes(&Cohere, "embed-v4.0", "texts", 100), [96, 4]);
    assert_eq!(sizes(&Bedrock, "cohere.embed-english-v3", "texts", 97), [96, 1]);
    assert_eq!(sizes(&Bedrock, TITAN, "none", MAX_INPUTS).len(), MAX_INPUTS);
    let long = "a".repeat(25_000);
    let posted = posted(&Vertex, "text-embedding-005", &parse(json!({"model": "m", "input": [long, long, long]})));
    let lengths: Vec<_> = posted.iter().map(|body| body["instances"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [2, 1], "Google takes 20,000 tokens at once");
}

#[test]
fn what_is_no_text_is_refused_by_every_wire_but_openais() {
    let many = vec!["a"; MAX_INPUTS + 1];
    for case in cases() {
        for (input, words) in [
            (json!([1, 2, 3]), "no token ids"),
            (json!([[1, 2], [3]]), "no token ids"),
            (json!(["a", null]), "a list of strings"),
            (json!([]), "an empty list"),
            (json!(["a", ""]), "number 1"),
            (json!(many), "at most 2048"),
        ] {
            let (param, message) = refusal(case.wire, case.model(), json!({"model": "m", "input": input}));
            assert_eq!(param, "input");
            assert!(message.contains(words), "{message}");
        }
    }
    let ids = parse(json!({"model": "m", "input": [1, 2, 3]}));
    assert_eq!(posted(&OpenAi, "e", &ids), [json!({"model": "e", "input": [1, 2, 3]})]);
}

#[test]
fn what_a_wire_knows_nothing_like_is_refused_by_name_or_left_out_on_demand() {
    for (wire, model, field, value) in [
        (&Gemini as &dyn Provider, "gemini-embedding-001", "input_type", json!("search_query")),
        (&Gemini, "gemini-embedding-001", "autoTruncate", json!(true)),
        (&Vertex, "text-embedding-005", "normalize", json!(true)),
        (&Cohere, "embed-v4.0", "task_type", json!("CLUSTERING")),
        (&Cohere, "embed-english-v3.0", "dimensions", json!(256)),
        (&Bedrock, "cohere.embed-english-v3", "dimensions", json!(256)),
        (&Bedrock, TITAN, "input_type", json!("search_query")),
        (&Bedrock, "amazon.titan-embed-text-v1", "dimensions", json!(256)),
        (&Bedrock, "amazon.titan-embed-text-v1", "normalize", json!(false)),
    ] {
        let (param, message) = refusal(wire, model, json!({"model": "m", "input": "a", field: value}));
        assert_eq!(param, field);
        assert!(message.contains("drop_unsupported"), "{message}");
        let lenient = parse(json!({"model": "m", "input": "a", field: value, "drop_unsupported": true}));
        let plain = parse(json!({"model": "m", "input": "a"}));
        assert_eq!(posted(wire, model, &lenient), posted(wire, model, &plain));
    }
    let absent = parse(json!({"model": "m", "input": "a", "normalize": null, "dimensions": null, "user": "u"}));
    assert_eq!(posted(&Gemini, "e", &absent), posted(&Gemini, "e", &parse(json!({"model": "m", "input": "a"}))));
    let lenient = parse(json!({"model": "m", "input": "a", "drop_unsupported": true, "x": 1}));
    assert_eq!(
        posted(&OpenAi, "e", &lenient),
        [json!({"model": "e", "input": "a", "x": 1})],
        "it is the gateway's own"
    );
}

#[test]
fn fields_of_the_wrong_kind_are_named() {
    for (field, value) in [("encoding_format", json!("int8")), ("dimensions", json!(0)), ("dimensions", json!("many"))]
    {
        let (param, message) = refusal(&Cohere, "embed-v4.0", json!({"model": "m", "input": "a", field: value}));
        assert_eq!(param, field);
        assert!(message.starts_with(&format!("{field} must be")), "{message}");
    }
    let (param, message) = refusal(&Bedrock, "twelvelabs.marengo-embed-3-0-v1:0", json!({"model": "m", "input": "a"}));
    assert_eq!(param, "model");
    assert!(message.contains("Titan"), "{message}");
}

#[test]
fn answers_that_are_none_or_too_few_are_said_to_be() {
    for case in cases() {
        let mut answers = case.answers();
        answers[0].body = r#"{"error": "no"}"#.into();
        let none = case.wire().embedded(case.model(), &case.request(json!({})), answers).unwrap_err();
        assert_eq!(none, NoAnswer::Told(r#"{"error": "no"}"#.into()));
        let mut answers = case.answers();
        answers[0].body = r#"{"none": "no"}"#.into();
        let none = case.wire().embedded(case.model(), &case.request(json!({})), answers).unwrap_err().to_string();
        assert!(none.contains("holds no embeddings"), "{none}");
        let mut texts = vec!["a"; case.golden["vectors"].as_array().unwrap().len()];
        texts.push("one more");
        let request = case.request(json!({"input": texts}));
        let few = case.wire().embedded(case.model(), &request, case.answers()).unwrap_err().to_string();
        assert!(few.starts_with(&format!("for {} texts it gave", texts.len())), "{few}");
    }
}

#[test]
fn refusals_keep_their_words() {
    let titan = br#"{"message":"Malformed input request: #/dimensions: 300 is not a valid enum value, please reformat your input and try again."}"#;
    let cohere =
        br#"{"id":"4dd3bd9c","message":"invalid request: output_dimension must be one of 256, 512, 1024 or 1536"}"#;
    let google = br#"{"error":{"code":400,"message":"Unable to submit request because the service only supports 250 instances.","status":"INVALID_ARGUMENT"}}"#;
    for (wire, body, words) in [
        (&Bedrock as &dyn Provider, &titan[..], "300 is not a valid enum value"),
        (&Cohere, cohere, "must be one of 256"),
        (&Vertex, google, "only supports 250 instances"),
    ] {
        let detail = wire.error(StatusCode::BAD_REQUEST, body);
        assert_eq!(detail.kind, "invalid_request_error");
        assert!(detail.message.contains(words), "{detail:?}");
    }
}
