"""All that `/v1/*` says, held to OpenAI's published types (published.py), whatever wire the answer came from; and all that
it asks an upstream of OpenAI's wire."""
import json, re

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

import published
from gateway import ROOT, Gateway, serve
from wires_sdk import CONVERSATION, PNG, REQUESTS, SCHEMA, frame

FIXTURES = ROOT / "tests/fixtures"
# Fields that OpenAI's types do not have, and its clients pass over: the gateway's own,
OURS = {
    *(f"{message}.{field}" for message in ("ChatCompletionMessage", "ChoiceDelta") for field in ("citations", "content_chunks", "extra_content", "hosted_items", "images", "reasoning_content", "thinking_blocks")),
    "ChatCompletionMessageFunctionToolCall.extra_content", "ChoiceDelta.annotations", "ChoiceDeltaToolCall.extra_content",
    "Choice.hosted", "Choice.native_finish_reason", "Choice.stop_reason", "Logprob.bytes", "LogprobTopLogprob.bytes", "PromptTokensDetails.cache_creation_tokens", "Response.store", "ResponseOutputText.citations",
    "ImageGenerationCall.extra_content", "ResponseOutputMessage.extra_content",
    # in the document, and not in the library
    "ResponseFunctionCallArgumentsDoneEvent.name",
}
# and what providers say beyond it.
THEIRS = {
    "AnnotationURLCitation.cited_text", "AnnotationURLCitation.domain", "ChatCompletion.prompt_filter_results", "ChatCompletionChunk.prompt_filter_results",
    "ChatCompletionMessage.prefix", "ChatCompletionMessageFunctionToolCall.index", "Choice.content_filter_offsets", "Choice.content_filter_results", "ChoiceDelta.prefix",
}
CARD = {f"Model.{name}" for name in ("architecture", "context_length", "display_name", "input_usd_per_mtok", "name", "output_usd_per_mtok", "pricing", "supported_parameters", "top_provider", "type")}
CHAT = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
FLAT_TOOLS = [{"type": "function", **TOOLS[0]["function"]}]


def said(content=None, finish="stop", **more):
    """A choice as OpenAI gives it."""
    logprobs = more.pop("logprobs", None)
    return {"message": {"role": "assistant", "content": content, "refusal": None, "annotations": [], **more}, "logprobs": logprobs, "finish_reason": finish}


def call(i, city):
    return {"id": f"call_{i}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}


def logprob(token):
    here = {"token": token, "logprob": -0.25, "bytes": list(token.encode())}
    return {**here, "top_logprobs": [here, {"token": "Hei", "logprob": -1.5, "bytes": None}]}


LOGPROBS = {"content": [logprob("Hello")], "refusal": None}
OPENAI = {
    "plain": [said("Hello")],
    "length": [said("Hel", "length")],
    "filtered": [said("Hel", "content_filter")],
    "refusal": [said(refusal="I cannot help with that.")],
    "tools": [said(finish="tool_calls", tool_calls=[call(1, "Oulu"), call(2, "Turku")])],
    "tools_and_text": [said("I look.", "tool_calls", tool_calls=[call(1, "Oulu")])],
    "logprobs": [said("Hello", logprobs=LOGPROBS)],
    "several": [said("One"), said("Two", "length")],
    "cited": [said("It rains.", annotations=[{"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 9, "url": "https://a.example/", "title": "Rain"}}])],
    "thoughts": [said("Three", reasoning_content="One and two.")],
}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
         "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}


def completion(kind, choices, **more):
    return {"id": "chatcmpl-1", "object": kind, "created": 1741569952, "model": "gpt", "service_tier": "default", "system_fingerprint": "fp_1", "choices": choices, **more}


def openai_whole(name):
    return completion("chat.completion", [{"index": i, **c} for i, c in enumerate(OPENAI[name])], usage=USAGE)


def openai_stream(name):
    """Each choice in pieces: who speaks, what it says, why it ends; then what it took."""
    chunk = lambda choices, usage=None: completion("chat.completion.chunk", choices, usage=usage)
    piece = lambda i, delta, reason=None, logprobs=None: chunk([{"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": reason}])
    for i, choice in enumerate(OPENAI[name]):
        message = choice["message"]
        yield piece(i, {"role": "assistant", "content": message["content"] and "", "refusal": None})
        for field in ("reasoning_content", "content", "refusal"):
            for letter in message.get(field) or "":
                yield piece(i, {field: letter}, logprobs=choice["logprobs"] if field == "content" else None)
        for j, made in enumerate(message.get("tool_calls", [])):
            yield piece(i, {"tool_calls": [{"index": j, **made, "function": {**made["function"], "arguments": ""}}]})
            yield piece(i, {"tool_calls": [{"index": j, "function": {"arguments": made["function"]["arguments"]}}]})
        if message["annotations"]:
            yield piece(i, {"annotations": message["annotations"]})
        yield piece(i, {}, choice["finish_reason"])
    yield chunk([], USAGE)


def sse(events):
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)


# What there is of the other wires: answers of their own, and some that end otherwise.
WHOLE = {
    "anthropic": {"message": [], "tools": [], "refusal": [], "citations": [], "length": ["message", "end_turn", "max_tokens"]},
    "gemini": {"answer": [], "picture": [], "tools": [], "grounded": [], "blocked": [], "length": ["answer", "STOP", "MAX_TOKENS"], "filtered": ["answer", "STOP", "SAFETY"]},
    "bedrock": {"converse": [], "citations": [], "filtered": ["citations", "end_turn", "guardrail_intervened"]},
    "cohere": {"answer": [], "tools": []},
    "mistral": {"thinking": [], "tools": []},
    "azure": {"completion": []},
    "responses": {"answer": [], "tools": []},
}
STREAMED = {
    "anthropic": {"stream": [], "tools": [], "length": ["stream", "end_turn", "max_tokens"], "refusal": ["stream", '"end_turn"', '"refusal","stop_details":{"explanation":"No."}']},
    "gemini": {"stream": [], "pictures": [], "tools": [], "two_candidates": [], "filtered": ["stream", "STOP", "SAFETY"]},
    "bedrock": {"stream": []},
    "cohere": {"stream": [], "tools": []},
    "mistral": {"thinking": []},
    "azure": {"stream": []},
    "responses": {"stream": [], "tools": []},
}
WHOLES = [("openai", name) for name in OPENAI] + [(wire, name) for wire, names in WHOLE.items() for name in names]
STREAMS = [("openai", name) for name in OPENAI] + [(wire, name) for wire, names in STREAMED.items() for name in names]


def fixture(wire, name, scripts, kind):
    file, *change = scripts[wire][name] or [name]
    data = (FIXTURES / wire / f"{file}.{kind}").read_bytes()
    return data.replace(*(text.encode() for text in change)) if change else data


def script(wire, name, stream):
    """The media type and bytes of an answer."""
    if name == "cut":
        return "text/event-stream", sse([*openai_stream("plain")][:3])
    if name == "vectors":
        return "application/json", json.dumps({"object": "list", "model": "v", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}], "usage": {"prompt_tokens": 4, "total_tokens": 4}}).encode()
    if not stream:
        return "application/json", json.dumps(openai_whole(name)).encode() if wire == "openai" else fixture(wire, name, WHOLE, "json")
    if wire == "openai":
        return "text/event-stream", sse(openai_stream(name)) + b"data: [DONE]\n\n"
    if wire == "bedrock":
        lines = (line.split("\t") for line in fixture(wire, name, STREAMED, "tsv").decode().splitlines())
        return "application/vnd.amazon.eventstream", b"".join(frame(event, json.loads(payload)) for event, payload in lines)
    return "text/event-stream", fixture(wire, name, STREAMED, "sse")


class Providers:
    """All wires in one place: the first step of the path is the wire, the model is the name of the answer."""

    def __init__(self):
        self.seen = []
        self.port = serve(self.answer)

    def answer(self, path, _headers, raw):
        body = json.loads(raw)
        self.seen.append(body)
        wire = path.split("/")[1]
        name = body.get("model") or re.search(r"/models?/([^/:]+)", path)[1]
        if "error" in name:
            return 400, {"content-type": "application/json"}, (FIXTURES / wire / f"{name}.json").read_bytes()
        kind, data = script(wire, name, body.get("stream") or "stream" in path)
        return 200, {"content-type": kind}, data


ERRORS = [("openai", "error_invalid"), ("anthropic", "error"), ("gemini", "error_key"), ("gemini", "error_quota"), ("cohere", "error"), ("bedrock", "error"), ("mistral", "error_extra"), ("azure", "error_filtered")]


KINDS = {"responses": "openai-responses"}


def configuration(port):
    out = ["[cache]", "models = true"]
    for wire in ["openai", *WHOLE]:
        out += ["[[providers]]", f'name = "{wire}"', f'kind = "{KINDS.get(wire, wire)}"', f'base_url = "http://127.0.0.1:{port}/{wire}"']
        out += ['region = "eu-north-1"', 'aws_access_key_id = "a"', 'aws_secret_access_key = "env:SCRIPTED_KEY"'] if wire == "bedrock" else ['api_key = "env:SCRIPTED_KEY"']
        out += ['api_version = "2024-10-21"'] if wire == "azure" else []
    for wire, name in dict.fromkeys([*WHOLES, *STREAMS, *ERRORS, ("openai", "cut"), ("openai", "vectors")]):
        out += ["[[models]]", f'name = "{wire}-{name}"', f'provider = "{wire}"', f'upstream_name = "{name}"', "input_usd_per_mtok = 1", "output_usd_per_mtok = 5"]
        out += ['kind = "embedding"'] if name == "vectors" else []
    out += ["[[routes]]", 'name = "auto"', 'models = ["openai-plain", "anthropic-message"]']
    return "\n".join(out) + "\n"


@pytest.fixture(scope="module")
def world():
    providers = Providers()
    gateway = Gateway(configuration(providers.port))
    yield providers, gateway
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]


def post(gateway, path, body, cache="no-store"):
    status, got, raw = gateway.call("POST", path, body, {"x-satisfice-cache": cache})
    assert status == 200, raw
    return got, raw


def chat(wire, name, **more):
    """What fits the answer: tools where it calls some, several answers where it has them."""
    asked = {"tools": TOOLS} if "tools" in name or name in ("converse",) else {}
    asked |= {"n": 2} if name in ("several", "two_candidates") else {}
    asked |= {"logprobs": True, "top_logprobs": 2} if name in ("logprobs", "grounded", "two_candidates") else {}
    return {"model": f"{wire}-{name}", "messages": [{"role": "user", "content": "Hello"}], **asked, **more}


def response(wire, name, **more):
    asked = {"tools": FLAT_TOOLS} if "tools" in chat(wire, name) else {}
    asked |= {"top_logprobs": 2, "include": ["message.output_text.logprobs"]} if "logprobs" in chat(wire, name) else {}
    return {"model": f"{wire}-{name}", "input": "Hello", **asked, **more}


def said_by(name, raw):
    """An answer that holds to OpenAI's types, and says nothing beyond them but what is known to."""
    read = published.answer(name, raw)
    assert published.beyond(read) <= OURS | THEIRS, published.beyond(read) - OURS - THEIRS
    return read


def data(raw):
    """The data of each server-sent event."""
    return [line.removeprefix(b"data: ") for line in raw.split(b"\n") if line.startswith(b"data: ")]


def check_chunks(raw):
    *chunks, done = data(raw)
    assert done == b"[DONE]"
    read = [said_by("CreateChatCompletionStreamResponse", chunk) for chunk in chunks]
    assert len({chunk.id for chunk in read if chunk.created}) == 1
    assert read[-1].usage.total_tokens and all(chunk.usage is None for chunk in read[:-1])
    state = ChatCompletionStreamState()  # as the SDK's .stream() puts them together: it fails on entries without an index
    [state.handle_chunk(chunk) for chunk in read]
    return [choice.finish_reason for chunk in read for choice in chunk.choices if choice.finish_reason]


def check_events(raw):
    """Each event, and that they are numbered."""
    read = [published.event(event) for event in data(raw)]
    assert published.beyond(read) <= OURS | THEIRS, published.beyond(read) - OURS - THEIRS
    assert [event.sequence_number for event in read] == list(range(len(read)))
    return read


def check_story(read):
    """What is begun is ended, and the pieces are the whole."""
    kinds = [event.type for event in read]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] in ("response.completed", "response.incomplete")
    ids = [item.id for item in read[-1].response.output]
    assert len(set(ids)) == len(ids)
    assert read[-1].response.output == [event.item for event in read if event.type == "response.output_item.done"]
    for kind in ("output_item", "content_part", "reasoning_summary_part"):
        assert kinds.count(f"response.{kind}.added") == kinds.count(f"response.{kind}.done"), kind
    for kind, field in {"output_text": "text", "refusal": "refusal", "reasoning_summary_text": "text", "function_call_arguments": "arguments"}.items():
        pieces = {}
        for event in read:
            if event.type == f"response.{kind}.delta":
                pieces[event.item_id] = pieces.get(event.item_id, "") + event.delta
        assert pieces == {event.item_id: getattr(event, field) for event in read if event.type == f"response.{kind}.done" and getattr(event, field)}, kind


USAGE_TOO = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("wire, name", WHOLES)
def test_a_whole_completion(world, wire, name):
    _, raw = post(world[1], CHAT, chat(wire, name))
    read = said_by("CreateChatCompletionResponse", raw)
    assert read.usage.total_tokens and [choice.index for choice in read.choices] == list(range(len(read.choices)))


@pytest.mark.parametrize("wire, name", STREAMS)
def test_each_chunk(world, wire, name):
    asked = chat(wire, name, **USAGE_TOO)
    _, raw = post(world[1], CHAT, asked)
    assert len(check_chunks(raw)) == asked.get("n", 1)


@pytest.mark.parametrize("wire, name", WHOLES)
def test_a_whole_response(world, wire, name):
    _, raw = post(world[1], "/v1/responses", response(wire, name))
    read = said_by("Response", raw)
    assert read.output and read.usage.total_tokens


@pytest.mark.parametrize("wire, name", STREAMS)
def test_each_event_of_a_response(world, wire, name):
    _, raw = post(world[1], "/v1/responses", response(wire, name, stream=True))
    check_story(check_events(raw))


def is_kept(case):
    """Nothing is kept that a filter ended."""
    return case[1] not in ("blocked", "filtered") and case != ("anthropic", "refusal")


@pytest.mark.parametrize("wire, name", [*filter(is_kept, WHOLES)])
def test_a_kept_answer_in_pieces(world, wire, name):
    post(world[1], CHAT, chat(wire, name), "refresh")
    _, raw = post(world[1], CHAT, chat(wire, name, **USAGE_TOO), "only-if-cached")
    assert len(check_chunks(raw)) == chat(wire, name).get("n", 1)


@pytest.mark.parametrize("wire, name", [*filter(is_kept, STREAMS)])
def test_kept_pieces_as_one_answer(world, wire, name):
    post(world[1], CHAT, chat(wire, name, **USAGE_TOO), "refresh")
    _, raw = post(world[1], CHAT, chat(wire, name), "only-if-cached")
    assert said_by("CreateChatCompletionResponse", raw).usage.total_tokens


@pytest.mark.parametrize("more", [
    {"tools": [{**FLAT_TOOLS[0], "strict": True, "description": "Weather"}], "tool_choice": {"type": "function", "name": "weather"}, "parallel_tool_calls": False},
    {"tools": [{"type": "function", "name": "now"}], "tool_choice": "required"},
    {"text": {"format": {"type": "json_schema", **SCHEMA["json_schema"]}, "verbosity": "low"}, "reasoning": {"effort": "low", "summary": "auto"}},
    {"metadata": {"a": "b"}, "user": "u", "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.5, "store": True},
], ids=["tools", "bare_tools", "text", "settings"])
def test_what_a_response_repeats_of_its_request(world, more):
    for wire, name in (("openai", "plain"), ("anthropic", "message"), ("gemini", "answer")):
        asked = response(wire, name, **more, drop_unsupported=True)
        said_by("Response", post(world[1], "/v1/responses", asked)[1])
    check_events(post(world[1], "/v1/responses", response("openai", "plain", **more, stream=True))[1])


def test_what_ends_a_stream_that_was_cut(world):
    _, raw = post(world[1], CHAT, chat("openai", "cut", stream=True))
    *chunks, error = data(raw)
    assert [said_by("CreateChatCompletionStreamResponse", chunk) for chunk in chunks]
    said_by("ErrorResponse", error)
    _, raw = post(world[1], "/v1/responses", response("openai", "cut", stream=True))
    assert check_events(raw)[-1].response.error.code == "server_error"


def test_embeddings(world):
    _, raw = post(world[1], "/v1/embeddings", {"model": "openai-vectors", "input": "Hello"})
    assert published.answer("CreateEmbeddingResponse", raw).data[0].embedding == [0.5, -1.0]
    published.request("CreateEmbeddingRequest", world[0].seen[-1])


def test_models(world):
    _, _, raw = world[1].call("GET", "/v1/models")
    listed = published.answer("ListModelsResponse", raw)
    assert published.beyond(listed) <= CARD and {"auto", "openai-plain"} <= {card.id for card in listed.data}
    for name in ("auto", "openai-plain", "openai-vectors"):
        status, _, raw = world[1].call("GET", f"/v1/models/{name}")
        assert status == 200 and published.answer("Model", raw).id == name


@pytest.mark.parametrize("method, path, body", [
    ("POST", CHAT, b"{"), ("POST", CHAT, {"model": "auto"}), ("POST", CHAT, {"model": "nobody", "messages": [{"role": "user", "content": "a"}]}),
    ("POST", CHAT, {"model": "auto", "messages": [{"role": "user", "content": "a"}], "stream": "yes"}),
    ("POST", "/v1/responses", b"["), ("POST", "/v1/responses", {"model": "auto", "input": "a", "previous_response_id": "resp_1"}),
    ("POST", "/v1/embeddings", {"model": "auto", "input": "a"}), ("POST", "/v1/embeddings", {"model": "openai-vectors"}),
    ("GET", "/v1/models/nobody", None), ("GET", "/v1/nothing", None), ("GET", CHAT, None),
    *[("POST", path, {"model": f"{wire}-{name}", "messages": [{"role": "user", "content": "a"}], "input": "a"}) for wire, name in ERRORS for path in (CHAT, "/v1/responses")],
])
def test_errors(world, method, path, body):
    status, _, raw = world[1].call(method, path, body)
    assert 400 <= status < 600
    said_by("ErrorResponse", raw)


ASKED = {
    **{f"chat {name}": (CHAT, asked) for name, asked in REQUESTS.items()},
    "chat streamed": (CHAT, {"messages": CONVERSATION, "tools": TOOLS, "stream": True, "logprobs": True, "top_logprobs": 1, "user": "u", "n": 1}),
    "chat after other wires": (CHAT, {"messages": [
        {"role": "user", "content": "A"}, {"role": "assistant", "content": None, "thinking_blocks": [{"type": "redacted_thinking", "data": "RW13"}]},
        {"role": "user", "content": "B"}, {"role": "assistant", "content": "C", "reasoning_content": "Hm.", "citations": [{}], "content_chunks": [{}], "extra_content": {"google": {}},
                                           "tool_calls": [{**call(1, "Oulu"), "extra_content": {"google": {"thought_signature": "c2ln"}}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "3", "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{**TOOLS[0], "cache_control": {"type": "ephemeral"}}]}),
    "response": ("/v1/responses", {"input": [
        {"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": PNG, "detail": "low"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": json.dumps([{"type": "thinking", "thinking": "Hm", "signature": "EqQB"}])},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}, {"type": "function_call_output", "call_id": "call_1", "output": "3"}],
        "tools": FLAT_TOOLS, "tool_choice": {"type": "function", "name": "weather"}, "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_schema", **SCHEMA["json_schema"]}},
        "include": ["message.output_text.logprobs"], "max_output_tokens": 50, "metadata": {"a": "b"}}),
    "response streamed": ("/v1/responses", {"input": "Hello", "stream": True, "top_logprobs": 2}),
    "message": ("/v1/messages", {"max_tokens": 50, "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm", "signature": "EqQB"}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oulu"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
            {"type": "text", "text": "3"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}], "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{"name": "weather", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}], "tool_choice": {"type": "any"}}),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_an_upstream_as_strict_as_openai_is_asked(world, name):
    """Azure's own list of foreign fields is OpenAI's, which goes by its host."""
    path, asked = ASKED[name]
    model = "azure-stream" if asked.get("stream") else "azure-completion"
    status, _, raw = world[1].call("POST", path, {**asked, "model": model}, {"x-satisfice-cache": "no-store"})
    assert status == 200, raw
    posted = world[0].seen[-1]
    published.request("CreateChatCompletionRequest" + (", streamed" if asked.get("stream") else ""), posted)
    with pytest.raises(published.Unpublished):
        published.request("CreateChatCompletionRequest", {**posted, "messages": [{"role": "assistant", "content": "A", "thinking_blocks": []}]})


MISSING = object()
# What each check must refuse: where a good answer is changed, and to what.
WRONG = [
    *[("CreateChatCompletionResponse", "tools", place, MISSING) for place in (
        "id", "object", "created", "model", "choices", "choices.0.index", "choices.0.message", "choices.0.logprobs", "choices.0.finish_reason", "choices.0.message.role",
        "choices.0.message.content", "choices.0.message.refusal", "choices.0.message.tool_calls.1.id", "choices.0.message.tool_calls.1.type",
        "choices.0.message.tool_calls.1.function.arguments", "usage.prompt_tokens", "usage.total_tokens")],
    ("CreateChatCompletionResponse", "tools", "object", "chat.completion.chunk"), ("CreateChatCompletionResponse", "tools", "choices.0.finish_reason", "tool_use"),
    ("CreateChatCompletionResponse", "tools", "choices.0.finish_reason", None), ("CreateChatCompletionResponse", "tools", "choices.0.message.tool_calls", None),
    ("CreateChatCompletionResponse", "tools", "choices.0.message.tool_calls.0.type", "call"), ("CreateChatCompletionResponse", "tools", "choices.0.message.tool_calls.0.function.arguments", {}),
    ("CreateChatCompletionResponse", "plain", "choices.0.message.content", [{"type": "text", "text": "Hello"}]), ("CreateChatCompletionResponse", "plain", "created", "1741569952"),
    ("CreateChatCompletionResponse", "plain", "usage.completion_tokens_details.reasoning_tokens", "3"), ("CreateChatCompletionResponse", "cited", "choices.0.message.annotations.0.type", "char_location"),
    ("CreateChatCompletionResponse", "cited", "choices.0.message.annotations.0.url_citation.title", MISSING), ("CreateChatCompletionResponse", "logprobs", "choices.0.logprobs.content.0.bytes", MISSING),
    ("CreateChatCompletionResponse", "logprobs", "choices.0.logprobs.content.0.logprob", "-0.25"), ("CreateChatCompletionResponse", "logprobs", "choices.0.logprobs.refusal", MISSING),
    *[("Response", "tools", place, MISSING) for place in (
        "id", "object", "created_at", "model", "error", "incomplete_details", "instructions", "metadata", "output", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p",
        "output.0.call_id", "output.0.name", "output.0.arguments", "tools.0.strict", "tools.0.parameters", "usage.input_tokens_details.cached_tokens",
        "usage.input_tokens_details.cache_write_tokens", "usage.output_tokens_details.reasoning_tokens", "usage.total_tokens")],
    ("Response", "tools", "output.0.type", "tool_use"), ("Response", "tools", "status", "done"), ("Response", "plain", "user", 7), ("Response", "plain", "output.0.status", MISSING),
    ("Response", "plain", "output.0.content.0.type", "text"), ("Response", "plain", "output.0.content.0.annotations", MISSING), ("Response", "plain", "output.0.content.0.logprobs", MISSING),
    ("Response", "cited", "output.0.content.0.annotations.0.type", "char_location"), ("Response", "refusal", "output.0.content.0.refusal", MISSING),
    ("Response", "logprobs", "output.0.content.0.logprobs.0.bytes", None),
]


def but(value, place, change):
    """A copy that differs there."""
    step, _, rest = place.partition(".")
    if isinstance(value, list):
        return [but(part, rest, change) if str(i) == step else part for i, part in enumerate(value)]
    if not rest and change is MISSING:
        return {name: part for name, part in value.items() if name != step}
    return {**value, step: but(value[step], rest, change) if rest else change}


@pytest.mark.parametrize("name, script, place, change", WRONG, ids=[f"{w[0]}-{w[1]}-{w[2]}" for w in WRONG])
def test_the_check_sees_what_is_wrong(world, name, script, place, change):
    path, asked = ("/v1/responses", response) if name == "Response" else (CHAT, chat)
    _, raw = post(world[1], path, asked("openai", script))
    with pytest.raises(published.Unpublished):
        published.answer(name, json.dumps(but(json.loads(raw), place, change)).encode())


@pytest.mark.parametrize("script", ["tools_and_text", "refusal", "thoughts"])
def test_the_check_sees_what_is_wrong_in_a_stream(world, script):
    _, raw = post(world[1], CHAT, chat("openai", script, **USAGE_TOO))
    for chunk in map(json.loads, data(raw)[:-1]):
        places = ["id", "object", "created", "model", "choices"] + ["choices.0.index", "choices.0.delta", "choices.0.finish_reason"] * bool(chunk["choices"])
        for place, change in [(place, change) for place in places for change in (MISSING, {"of": "another kind"})]:
            # A delta may be any object whose known fields are right.
            if (place, change is MISSING) != ("choices.0.delta", False):
                with pytest.raises(published.Unpublished):
                    published.answer("CreateChatCompletionStreamResponse", json.dumps(but(chunk, place, change)).encode())
    _, raw = post(world[1], "/v1/responses", response("openai", script, stream=True))
    for event in map(json.loads, data(raw)):
        for place in event:
            for change in (MISSING, [{"of": "another kind"}]):
                with pytest.raises(published.Unpublished):
                    published.event(json.dumps(but(event, place, change)).encode())
