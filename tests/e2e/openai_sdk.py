"""The official openai SDK against the gateway: whole and streamed, tools, response_format, errors."""
import json

import openai, pytest
from pydantic import BaseModel

from gateway import Gateway, Upstream, configuration

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather of a city", "strict": True,
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}}}]


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def world():
    upstream = Upstream()
    gateway = Gateway(configuration(upstream.port, broken=True))
    yield upstream, gateway, openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="unused", max_retries=0)
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]
    assert "sk-scripted-secret" not in gateway.log.read_text()


def ask(text="Say hello."):
    return [{"role": "user", "content": text}]


def test_a_whole_answer_and_its_headers(world):
    _, _, client = world
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=ask())
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("Hello from ")
    assert answer.usage.total_tokens == 18
    assert answer.model_extra["field_of_tomorrow"] == {"kept": True}
    assert raw.headers["x-satisfice-model"].split("/")[1] == answer.model
    assert raw.headers["x-satisfice-route"] == "auto"
    assert raw.headers["x-satisfice-decision"] in {"exploit", "explore"}
    assert 0 < float(raw.headers["x-satisfice-propensity"]) <= 1
    assert 0 <= float(raw.headers["x-satisfice-difficulty"]) <= 1
    assert float(raw.headers["x-satisfice-cost-usd"]) > 0


def test_a_stream_without_usage_unless_asked(world):
    upstream, _, client = world
    chunks = list(client.chat.completions.create(model="auto", messages=ask(), stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks).startswith("Hello from ")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)
    assert upstream.seen[-1][1]["stream_options"]["include_usage"] is True


def test_a_stream_with_usage_where_asked(world):
    _, _, client = world
    chunks = list(client.chat.completions.create(model="auto", messages=ask(), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 18


def test_parallel_tool_calls_whole_and_streamed(world):
    upstream, _, client = world
    answer = client.chat.completions.create(model="auto", messages=ask(), tools=TOOLS, tool_choice="auto", parallel_tool_calls=True)
    assert [json.loads(c.function.arguments)["city"] for c in answer.choices[0].message.tool_calls] == ["Oulu", "Turku"]
    assert upstream.seen[-1][1]["tools"] == TOOLS
    with client.chat.completions.stream(model="auto", messages=ask(), tools=TOOLS) as stream:
        final = stream.get_final_completion()
    assert [c.function.arguments for c in final.choices[0].message.tool_calls] == ['{"city": "Oulu"}', '{"city": "Turku"}']


def test_tool_results_travel_back(world):
    upstream, _, client = world
    turns = ask() + [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3 degrees"}]
    client.chat.completions.create(model="auto", messages=turns)
    assert upstream.seen[-1][1]["messages"] == turns


def test_response_format_parses(world):
    upstream, _, client = world
    answer = client.chat.completions.parse(model="auto", messages=ask(), response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Oulu", degrees=3)
    assert upstream.seen[-1][1]["response_format"]["type"] == "json_schema"


def test_unknown_fields_images_seed_n_and_logprobs_pass_through(world):
    upstream, _, client = world
    picture = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]}]
    answer = client.chat.completions.create(model="auto", messages=picture, n=2, seed=7, logprobs=True, top_logprobs=2, extra_body={"of_tomorrow": [1, {"a": None}]})
    sent = upstream.seen[-1][1]
    assert len(answer.choices) == 2
    assert (sent["messages"], sent["seed"], sent["logprobs"], sent["top_logprobs"], sent["of_tomorrow"]) == (picture, 7, True, 2, [1, {"a": None}])


def test_a_model_and_a_provider_with_model_are_pinned(world):
    _, _, client = world
    for name in ("large", "scripted/large"):
        raw = client.chat.completions.with_raw_response.create(model=name, messages=ask())
        assert raw.headers["x-satisfice-decision"] == "pinned"
        assert raw.headers["x-satisfice-model"] == "scripted/large"


def test_a_failing_model_is_replaced_before_the_first_byte(world):
    _, _, client = world
    answered = {client.chat.completions.with_raw_response.create(model="fragile", messages=ask(), stream=stream).headers["x-satisfice-model"] for stream in (False, True)}
    assert answered == {"scripted/small"}


def test_the_upstream_sees_its_own_key_only(world):
    upstream, _, client = world
    client.chat.completions.create(model="auto", messages=ask(), extra_headers={"x-private": "1", "cookie": "a=b"})
    headers = {k.lower(): v for k, v in upstream.seen[-1][0].items()}
    assert headers["authorization"] == "Bearer sk-scripted-secret"
    assert "x-private" not in headers and "cookie" not in headers


def test_models_are_listed(world):
    _, _, client = world
    assert {"auto", "small", "large"} <= {m.id for m in client.models.list()}


def test_a_model_is_retrieved_with_its_price(world):
    _, _, client = world
    card = client.models.retrieve("scripted/small")
    assert card.id == "scripted/small" and card.model_extra["pricing"] == {"prompt": "0.0000001", "completion": "0.0000004"}
    assert "tools" in card.model_extra["supported_parameters"]


def test_embeddings_in_the_sdks_own_encoding_and_as_numbers(world):
    upstream, _, client = world
    raw = client.embeddings.with_raw_response.create(model="vectors", input=["abc", "de"])
    answer = raw.parse()
    assert [list(e.embedding) for e in answer.data] == [[3.0, 0.5], [2.0, 0.5]] and answer.usage.prompt_tokens == 4
    assert upstream.seen[-1][1] == {"model": "vectors", "input": ["abc", "de"], "encoding_format": "base64"}
    assert raw.headers["x-satisfice-model"] == "scripted/vectors" and float(raw.headers["x-satisfice-cost-usd"]) == 8e-8
    assert client.embeddings.create(model="vectors", input="a", encoding_format="float", dimensions=2).data[0].embedding == [1.0, 0.5]
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="auto", input="a")
    assert caught.value.body["param"] == "model" and "routing does not apply" in caught.value.body["message"]


def test_a_client_of_openrouter_says_who_may_answer(world):
    upstream, _, client = world
    ask_with = lambda model, **wishes: client.chat.completions.with_raw_response.create(model=model, messages=ask(), extra_body=wishes)
    raw = ask_with("broken", models=["broken", "large"])
    assert raw.headers["x-satisfice-model"] == "scripted/large" and raw.headers["x-satisfice-attempts"] == "2"
    raw = ask_with("auto", provider={"max_price": {"prompt": 0.5}})
    assert raw.headers["x-satisfice-model"] == "scripted/small" and raw.headers["x-satisfice-propensity"] == "1"
    assert "provider" not in upstream.seen[-1][1]
    with pytest.raises(openai.BadRequestError) as caught:
        ask_with("auto", provider={"only": ["nobody"]})
    assert caught.value.body["param"] == "provider.only"


def test_an_unknown_model_is_a_typed_error(world):
    _, _, client = world
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-17", messages=ask())
    assert caught.value.body["param"] == "model" and "auto" in caught.value.body["message"]


def test_feedback_is_kept_and_seen_in_the_trace(world):
    _, gateway, client = world
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=ask())
    trace = raw.headers["x-satisfice-trace-id"]
    status, _, body = gateway.call("POST", "/v1/feedback", {"trace_id": trace, "name": "quality", "value": 0.8})
    assert status == 200 and json.loads(body)["feedback_id"]
    status, _, body = gateway.call("GET", f"/v1/traces/{trace}")
    scores = json.loads(body)["scores"]
    assert status == 200 and [s["value"] for s in scores if s["name"] == "quality"] == [0.8]


def test_two_models_that_agree_answer_in_place_of_a_dear_one(world):
    upstream, _, _ = world
    gateway = Gateway(configuration(upstream.port, models=("tiny", "small", "large")))
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="unused", max_retries=0)
    best = {"x-satisfice-quality": "1"}
    for _ in range(30):
        before = len(upstream.seen)
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=ask("What is 2 + 2?"), extra_headers=best)
        asked = [body["model"] for _, body in upstream.seen[before:]]
        assert len(asked) == int(raw.headers["x-satisfice-attempts"])
        if len(asked) == 2:
            break
    assert sorted(asked) == ["small", "tiny"]
    answer = raw.parse()
    assert answer.model in asked and answer.choices[0].message.content == f"Hello from {answer.model}.\n\nThe answer is 4."
    assert raw.headers["x-satisfice-model"] == f"scripted/{answer.model}"
    trace = raw.headers["x-satisfice-trace-id"]
    status, _, _ = gateway.call("POST", "/v1/feedback", {"trace_id": trace, "name": "quality", "value": True})
    assert status == 200
    seen = gateway.trace(trace)
    panel = seen["decision"]["panel"]
    assert panel["verdict"] == "agreed" and seen["decision"]["candidates"][panel["members"][0]]["arm"] == answer.model
    assert len(seen["attempts"]) == 2
    assert abs(seen["cost_usd"] - float(raw.headers["x-satisfice-cost-usd"])) < 1e-12
    before = len(upstream.seen)
    streamed = client.chat.completions.create(model="auto", messages=ask("What is 2 + 2?"), stream=True, extra_headers=best)
    assert "".join(c.choices[0].delta.content or "" for c in streamed).startswith("Hello from ") and len(upstream.seen) == before + 1
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]
