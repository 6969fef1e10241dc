//! Pictures that Gemini draws: asked for, whole, streamed, in the other protocols, and back to it.

use http::StatusCode;
use satisfice::api::responses;
use satisfice::catalog::Usage;
use satisfice::upstream::gemini::Gemini;
use satisfice::upstream::settings::Wire;
use satisfice::upstream::{Provider, Text};
use serde_json::{Value, json};

use crate::gateway::{Options, Running, ask, ask_stream, body};
use crate::scripted::Answer;
use crate::wire::{self, Posts as _};

const PICTURE: &str = include_str!("../fixtures/gemini/picture.json");
const PICTURES: &str = include_str!("../fixtures/gemini/pictures.sse");
const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";
const JPEG: &str = "data:image/jpeg;base64,/9j/4AAQ";

fn image(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn signed(mut image: Value, signature: &str) -> Value {
    image["extra_content"] = json!({"google": {"thought_signature": signature}});
    image
}

fn with(fields: Value) -> satisfice::api::chat::ChatRequest {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "Draw a cake."}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    wire::chat(body.to_string())
}

async fn start() -> Running {
    let running = Running::with(Options { wire: Wire::Gemini, ..Options::default() }).await;
    running.upstream.on_each("small-upstream", |seen| match seen.line.contains(":stream") {
        true => Answer::stream().piece(PICTURES).end(),
        false => Answer::json(PICTURE),
    });
    running
}

#[test]
fn pictures_are_asked_for_in_googles_words() {
    let config = |fields: Value| wire::posted(&Gemini, &with(fields))["generationConfig"].clone();
    let asked = json!({"modalities": ["image", "text"], "image_config": {"aspect_ratio": "16:9", "image_size": "2K"}});
    let expected =
        json!({"responseModalities": ["IMAGE", "TEXT"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}});
    assert_eq!(config(asked), expected);
    assert_eq!(config(json!({"modalities": ["image"]})), json!({"responseModalities": ["IMAGE"]}));
    assert_eq!(config(json!({"modalities": ["text"]})), Value::Null);
    let sound = json!({"modalities": ["text", "audio"]});
    let refused = Gemini.refuses(&with(sound.clone())).unwrap();
    assert_eq!(refused.param.as_deref(), Some("modalities"));
    assert!(refused.message.contains("\"audio\""), "{}", refused.message);
    let mut lenient = sound;
    lenient["drop_unsupported"] = true.into();
    assert_eq!(config(lenient), Value::Null);
    let wrong = Gemini.request(wire::MODEL, &with(json!({"image_config": {"ratio": 1}}))).unwrap_err();
    assert_eq!(wrong.param.as_deref(), Some("image_config"));
    assert_eq!(Gemini.refuses(&with(json!({"modalities": "image"}))).unwrap().param.as_deref(), Some("modalities"));
}

#[test]
fn a_whole_answer_has_its_pictures_beside_its_text_and_no_sketches() {
    let reply = wire::whole(&Gemini, &wire::hello(), PICTURE);
    let message = &serde_json::from_slice::<Value>(&reply.body).unwrap()["choices"][0]["message"];
    assert_eq!(message["images"], json!([signed(image(PNG), "cGljdHVyZQ==")]));
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Here is your cake: "), &json!("A cake, then."))
    );
    let usage = Usage { input_tokens: 8, output_tokens: 1298, ..Usage::default() };
    assert_eq!(reply.usage, Some(usage));
    let alone = json!({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
        "finishReason": "OTHER"}]});
    let reply = wire::whole(&Gemini, &wire::hello(), alone.to_string());
    assert_eq!(reply.text, Text { finish_reason: Some("stop".into()), ..Text::default() }, "a picture is an answer");
}

#[test]
fn a_stream_gives_each_picture_whole_and_counts_them() {
    let items = wire::streamed_to_end(&Gemini, &wire::hello(), PICTURES);
    let chunks = wire::chunks(&items);
    let deltas: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].get("images")).collect();
    let numbered = |i: u64, mut image: Value| {
        image["index"] = i.into();
        json!([image])
    };
    assert_eq!(deltas, [&numbered(0, image(PNG)), &numbered(1, signed(image(JPEG), "cGljdHVyZQ=="))]);
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn what_it_drew_goes_back_to_it_with_its_signature() {
    let turns = json!([
        {"role": "user", "content": "Draw a cake."},
        {"role": "assistant", "content": "Here:", "images": [{"index": 0, "type": "image_url", "image_url": {"url": PNG}}],
         "extra_content": {"google": {"thought_signature": "cGljdHVyZQ=="}}},
        {"role": "user", "content": "Make it blue."},
    ]);
    let posted = wire::posted(&Gemini, &with(json!({"messages": turns})));
    let data = json!({"mimeType": "image/png", "data": "iVBORw0KGgo="});
    let parts = json!([{"text": "Here:"}, {"inlineData": data, "thoughtSignature": "cGljdHVyZQ=="}]);
    assert_eq!(posted["contents"][1], json!({"role": "model", "parts": parts}));
}

/// What Gemini said and drew, each part with a signature of its own.
fn parts() -> Value {
    let picture = |media: &str, data: &str, signature: &str| json!({"inlineData": {"mimeType": media, "data": data}, "thoughtSignature": signature});
    json!([{"text": "Here:", "thoughtSignature": "SIG1"}, picture("image/png", "AAAA", "SIG2"),
        picture("image/jpeg", "BBBB", "SIG3")])
}

#[tokio::test]
async fn each_part_goes_back_with_its_own_signature_from_a_chat_and_from_a_response() {
    let running = start().await;
    running.upstream.on_each("small-upstream", |seen| {
        let answer = |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]});
        let ended = json!({"candidates": [{"content": {}, "finishReason": "STOP", "index": 0}]}).to_string();
        let each = parts().as_array().unwrap().clone().into_iter();
        match seen.line.contains(":stream") {
            true => each
                .fold(Answer::stream(), |told, part| told.event(&answer(json!([part])).to_string()))
                .event(&ended)
                .end(),
            false => Answer::json(answer(parts()).to_string()),
        }
    });
    let user = |text: &str| json!({"role": "user", "content": text});
    let message = body(running.chat(ask("small")).await).await["choices"][0]["message"].take();
    let mut chat = ask("small");
    chat["messages"] = json!([user("Draw."), message, user("Blue.")]);
    running.chat(chat).await;
    assert_eq!(running.upstream.seen()[1].json()["contents"][1]["parts"], parts());

    for streams in [false, true] {
        let ask = json!({"model": "small", "input": "Draw.", "stream": streams});
        let answer = running.post("/v1/responses", ask.to_string()).send().await.unwrap();
        let output = match streams {
            true => wire::events(&answer.bytes().await.unwrap()).pop().unwrap()["response"]["output"].take(),
            false => body(answer).await["output"].take(),
        };
        let input: Vec<Value> =
            [user("Draw.")].into_iter().chain(output.as_array().unwrap().clone()).chain([user("Blue.")]).collect();
        running.post("/v1/responses", json!({"model": "small", "input": input}).to_string()).send().await.unwrap();
        let sent = running.upstream.seen().pop().unwrap().json();
        assert_eq!(sent["contents"][1]["parts"], parts(), "streamed: {streams}");
    }
}

#[test]
fn a_signature_of_no_text_stands_alone_beside_pictures_that_have_their_own() {
    let drawn = signed(image("data:image/png;base64,AAAA"), "SIG1");
    let turns = json!([{"role": "user", "content": "Draw."}, signed(json!({"role": "assistant", "content": "",
        "images": [drawn]}), "SIG2"), {"role": "user", "content": "Blue."}]);
    let posted = wire::posted(&Gemini, &with(json!({"messages": turns})));
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "SIG1"});
    assert_eq!(posted["contents"][1]["parts"], json!([{"text": "", "thoughtSignature": "SIG2"}, picture]));
}

#[tokio::test]
async fn a_chat_has_the_pictures_whole_and_streamed() {
    let mut running = start().await;
    let mut request = ask("small");
    request["modalities"] = json!(["image", "text"]);
    let body = body(running.chat(request).await).await;
    assert_eq!(body["choices"][0]["message"]["images"], json!([signed(image(PNG), "cGljdHVyZQ==")]));
    assert!(running.finished().await.needs.vision);
    let body = running.chat(ask_stream("small")).await.text().await.unwrap();
    assert!(body.contains(PNG) && body.contains(JPEG), "{body}");
}

#[tokio::test]
async fn a_response_has_them_as_the_items_that_openais_own_pictures_are() {
    let running = start().await;
    let mut request = json!({"model": "small", "input": "Draw a cake.", "modalities": ["image", "text"]});
    let whole = running.post("/v1/responses", request.to_string()).send().await.unwrap();
    let whole = body(whole).await;
    let kinds = |output: &Value| -> Vec<String> {
        output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&whole["output"]), ["reasoning", "message", "image_generation_call"]);
    let picture = &whole["output"][2];
    assert_eq!((&picture["result"], &picture["output_format"]), (&json!("iVBORw0KGgo="), &json!("png")));

    request["stream"] = true.into();
    let streamed = running.post("/v1/responses", request.to_string()).send().await.unwrap();
    let events = wire::events(&streamed.bytes().await.unwrap());
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let output = &last["response"]["output"];
    assert_eq!(kinds(output), ["message", "image_generation_call", "image_generation_call"]);
    assert_ne!(output[1]["id"], output[2]["id"]);
    let told: Vec<&Value> =
        events.iter().filter(|event| event["output_index"] == 2).map(|event| &event["type"]).collect();
    let expected =
        ["response.output_item.added", "response.image_generation_call.completed", "response.output_item.done"];
    assert_eq!(told, expected);

    let again = json!({"model": "small", "input": [{"role": "user", "content": "Draw."}, output[2], {"role": "user", "content": "Blue."}]});
    let (chat, _) = responses::request(again.to_string().as_bytes()).unwrap();
    let chat: Value = serde_json::from_slice(&chat).unwrap();
    let mut mark = output[2].clone();
    ["result", "extra_content"].iter().for_each(|name| drop(mark.as_object_mut().unwrap().remove(*name)));
    let place = json!({"of": "responses", "is": mark, "after": 0, "at": 0});
    let picture = signed(image(JPEG), "cGljdHVyZQ==");
    let expected = json!({"role": "assistant", "content": null, "images": [picture], "hosted_items": [place]});
    assert_eq!(chat["messages"][1], expected);
}

#[tokio::test]
async fn anthropics_protocol_has_no_place_for_them_and_keeps_the_text() {
    let running = start().await;
    let request =
        json!({"model": "small", "max_tokens": 100, "messages": [{"role": "user", "content": "Draw a cake."}]});
    let response = running.post("/v1/messages", request.to_string()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = body(response).await;
    let texts: Vec<&Value> = body["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(texts, ["thinking", "text"]);
    let mut request = request;
    request["stream"] = true.into();
    let body = running.post("/v1/messages", request.to_string()).send().await.unwrap().text().await.unwrap();
    assert!(body.contains("Two cakes: ") && body.contains("message_stop") && !body.contains("iVBORw0KGgo"), "{body}");
}
