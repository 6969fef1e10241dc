"""What the built gateway posts to Anthropic, to Bedrock and to OpenAI's Responses, held to their own libraries: the request
types of Anthropic and OpenAI must take it, botocore's parameter validation and signature too, and what they would answer
must come back in the shape of OpenAI's chat. Each part is skipped, aloud, where its library is not there."""
import datetime, json

import openai, pytest

from gateway import Gateway, serve
from published import read_all

SECRET, KEY_ID, TOKEN = "sk-scripted-secret", "AKIDEXAMPLE", "a-session-token"
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Weather of a city", "strict": True, "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "minLength": 2}}, "required": ["city"], "additionalProperties": False}}}]
PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oulu"}'}}
CONVERSATION = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
    {"role": "user", "content": [
        {"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "file", "file": {"filename": "a b.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="}},
        {"type": "file", "file": {"filename": "notes.txt", "file_data": "data:text/plain;base64,aGk="}}]},
    {"role": "assistant", "content": "Well.", "tool_calls": [CALL, {**CALL, "id": "call_2"}],
     "thinking_blocks": [{"type": "thinking", "thinking": "Two.", "signature": "EqQB"}, {"type": "redacted_thinking", "data": "RW13S0FoZ0I="}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "A map."}, {"type": "image_url", "image_url": {"url": PNG}}]},
    {"role": "user", "content": "So?"}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {
    "type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"], "additionalProperties": False}}}
ASK = [{"role": "user", "content": "Hello"}]
# What is asked in each test, beside the model.
REQUESTS = {
    "plain": {"messages": ASK},
    "system_only": {"messages": [{"role": "system", "content": "Write."}]},
    "conversation": {"messages": CONVERSATION, "tools": TOOLS, "max_tokens": 500},
    "no_tools_any_more": {"messages": CONVERSATION},
    "forced": {"messages": ASK, "tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    "required": {"messages": ASK, "tools": TOOLS, "tool_choice": "required"},
    "schema": {"messages": ASK, "response_format": SCHEMA},
    "json": {"messages": ASK, "response_format": {"type": "json_object"}},
    "effort": {"messages": ASK, "reasoning_effort": "high"},
    "stops": {"messages": ASK, "stop": ["END", "STOP"]},
}
SOUND = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]}]
# The models that make embeddings, at Bedrock.
EMBEDDERS = {"titan": "amazon.titan-embed-text-v2:0", "titan_g1": "amazon.titan-embed-text-v1", "nova_vectors": "amazon.nova-2-multimodal-embeddings-v1:0",
             "cohere": "eu.cohere.embed-v4:0"}


class Recorder:
    """Remembers what is posted and answers with `whole` (a function of path and body: what it gives), or with the bytes of
    `streamed` where the path or body says so."""

    def __init__(self, whole, streamed=b"", media_type="text/event-stream"):
        self.seen, self.whole, self.streamed, self.media_type = [], whole, streamed, media_type
        self.port = serve(self.answer)

    def answer(self, path, headers, raw):
        self.seen.append((path, headers, raw))
        body = json.loads(raw)
        said = self.whole(path, body) if callable(self.whole) else self.whole
        counted = {"X-Amzn-Bedrock-Input-Token-Count": "3"}
        if path.endswith("-stream") or body.get("stream"):
            return 200, {"content-type": self.media_type, **counted}, self.streamed
        return 200, {"content-type": "application/json", **counted}, json.dumps(said).encode()


def configuration(provider, models, embedders={}):
    out = ["[[providers]]", 'name = "p"', *provider]
    for name, upstream in models.items():
        out += ["[[models]]", f'name = "{name}"', 'provider = "p"', f'upstream_name = "{upstream}"', "input_usd_per_mtok = 1", "output_usd_per_mtok = 5", "cache_write_usd_per_mtok = 1.25"]
    for name, upstream in embedders.items():
        out += ["[[models]]", f'name = "{name}"', 'provider = "p"', f'upstream_name = "{upstream}"', 'kind = "embedding"', "input_usd_per_mtok = 1"]
    return "\n".join(out) + "\n"


def client(gateway):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="unused", max_retries=0)


def stop(gateway):
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]
    assert SECRET not in gateway.log.read_text()


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "stop_sequence": None,
           "content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oulu"}}],
           "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}}
EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"city": "Oulu"}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"}]


@pytest.fixture(scope="module")
def claude():
    pytest.importorskip("anthropic", reason="the anthropic package is not installed: its types were not tried")
    recorder = Recorder(MESSAGE, "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in EVENTS).encode())
    provider = ['kind = "anthropic"', f'base_url = "http://127.0.0.1:{recorder.port}"', 'api_key = "env:SCRIPTED_KEY"']
    gateway = Gateway(configuration(provider, {"new": "claude-opus-5-5", "middle": "claude-sonnet-4-6", "old": "claude-haiku-4-5"}))
    yield recorder, gateway, client(gateway)
    stop(gateway)


@pytest.mark.parametrize("model", ["new", "middle", "old"])
@pytest.mark.parametrize("name", REQUESTS)
def test_anthropics_own_types_take_what_is_posted(claude, model, name):
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    recorder, _, sdk = claude
    sdk.chat.completions.create(model=model, **REQUESTS[name])
    path, headers, raw = recorder.seen[-1]
    body = json.loads(raw)
    assert path == "/v1/messages" and headers["x-api-key"] == SECRET and "authorization" not in {k.lower() for k in headers}
    types = TypeAdapter(with_config(ConfigDict(extra="forbid"))(MessageCreateParamsNonStreaming))
    read_all(types.validate_python(body))
    with pytest.raises(ValidationError):
        read_all(types.validate_python({**body, "messages": [{"role": "user", "content": [{"type": "text"}]}]}))
    roles = [message["role"] for message in body["messages"]]
    assert roles[0] == "user" and all(a != b for a, b in zip(roles, roles[1:]))


def test_claudes_answer_is_openais(claude):
    _, _, sdk = claude
    raw = sdk.chat.completions.with_raw_response.create(model="new", messages=ASK, tools=TOOLS)
    answer = raw.parse()
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hi", "tool_calls")
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Oulu"}
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (17, 4)
    assert answer.usage.prompt_tokens_details.model_extra["cache_creation_tokens"] == 3
    assert float(raw.headers["x-satisfice-cost-usd"]) == pytest.approx((10 + 4 + 3 * 1.25 + 5 * 5) / 1e6)
    with sdk.chat.completions.stream(model="new", messages=ASK, tools=TOOLS) as stream:
        final = stream.get_final_completion().choices[0]
    assert (final.message.content, final.finish_reason) == ("Hi", "tool_calls")
    assert final.message.tool_calls[0].function.arguments == '{"city": "Oulu"}'


def test_what_claude_lacks_is_a_typed_error(claude):
    _, _, sdk = claude
    for field, value in {"seed": 7, "n": 2, "logprobs": True, "temperature": 0.5}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(model="new", messages=ASK, **{field: value})
        assert caught.value.body["param"] == field
        assert sdk.chat.completions.create(model="new", messages=ASK, **{field: value}, extra_body={"drop_unsupported": True}).choices


CONVERSE = {"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}, {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oulu"}}}]}},
            "stopReason": "tool_use", "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 19, "cacheReadInputTokens": 4}, "metrics": {"latencyMs": 1}}


def converse_or_vectors(path, body):
    """A text's vector is its length and a half."""
    if not path.endswith("/invoke"):
        return CONVERSE
    if "texts" in body:
        return {"id": "1", "embeddings": {"float": [[len(text), 0.5] for text in body["texts"]]}, "response_type": "embeddings_by_type", "texts": body["texts"]}
    if "singleEmbeddingParams" in body:
        return {"embeddings": [{"embeddingType": "TEXT", "embedding": [len(body["singleEmbeddingParams"]["text"]["value"]), 0.5]}]}
    return {"embedding": [len(body["inputText"]), 0.5], "inputTextTokenCount": 3}


BEDROCK_EVENTS = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city": "Oulu"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, "metrics": {"latencyMs": 1}})]


def frame(name, payload):
    """One frame of Amazon's event stream, from its specification."""
    import struct, zlib

    def header(key, value):
        return bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()

    head = header(":event-type", name) + header(":content-type", "application/json") + header(":message-type", "event")
    data = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(head) + len(data) + 16, len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + data
    return message + struct.pack(">I", zlib.crc32(message))


@pytest.fixture(scope="module")
def bedrock():
    pytest.importorskip("botocore", reason="botocore is not installed: its validation and signatures were not tried")
    recorder = Recorder(converse_or_vectors, b"".join(frame(*e) for e in BEDROCK_EVENTS), "application/vnd.amazon.eventstream")
    provider = ['kind = "bedrock"', 'region = "eu-north-1"', f'base_url = "http://127.0.0.1:{recorder.port}"',
                f'aws_access_key_id = "{KEY_ID}"', 'aws_secret_access_key = "env:SCRIPTED_KEY"', f'aws_session_token = "{TOKEN}"']
    models = {"claude": "eu.anthropic.claude-opus-5-5", "older": "anthropic.claude-sonnet-4-20250514-v1:0", "nova": "amazon.nova-pro-v1:0",
              "profile": "arn:aws:bedrock:eu-north-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"}
    gateway = Gateway(configuration(provider, models, EMBEDDERS))
    yield recorder, gateway, client(gateway), models
    stop(gateway)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["claude", "older", "nova", "profile"])
@pytest.mark.parametrize("name", REQUESTS)
def test_botocore_takes_what_is_posted_and_signs_it_alike(bedrock, model, name, stream):
    recorder, _, sdk, models = bedrock
    extra = {"drop_unsupported": True} if name == "effort" and model in ("nova", "profile") else {}
    answer = sdk.chat.completions.create(model=model, stream=stream, extra_body=extra, **REQUESTS[name])
    if stream:
        assert list(answer)
    path, headers, raw = recorder.seen[-1]
    check_parameters(path, json.loads(raw), models[model], stream)
    check_signature(path, {k.lower(): v for k, v in headers.items()}, raw)


def test_botocore_takes_sound(bedrock):
    recorder, _, sdk, models = bedrock
    sdk.chat.completions.create(model="nova", messages=SOUND)
    path, _, raw = recorder.seen[-1]
    check_parameters(path, json.loads(raw), models["nova"], False)


@pytest.mark.parametrize("model", EMBEDDERS)
def test_botocore_asks_for_embeddings_at_the_same_place_and_signs_them_alike(bedrock, model):
    import botocore.session
    from botocore.awsrequest import prepare_request_dict

    recorder, _, sdk, _ = bedrock
    before = len(recorder.seen)
    raw = sdk.embeddings.with_raw_response.create(model=model, input=["abc", "de"], extra_body={"drop_unsupported": True}, dimensions=256)
    answer = raw.parse()
    assert [list(item.embedding) for item in answer.data] == [[3.0, 0.5], [2.0, 0.5]], "the SDK asks for base64"
    calls = recorder.seen[before:]
    assert len(calls) == (1 if model == "cohere" else 2)
    assert answer.usage.prompt_tokens == 3 * len(calls) and float(raw.headers["x-satisfice-cost-usd"]) == pytest.approx(3e-6 * len(calls))
    api = botocore.session.Session().create_client("bedrock-runtime", region_name="eu-north-1", aws_access_key_id="x", aws_secret_access_key="x")
    operation = api.meta.service_model.operation_model("InvokeModel")
    for path, headers, posted in calls:
        headers = {k.lower(): v for k, v in headers.items()}
        own = api._serializer.serialize_to_request({"modelId": EMBEDDERS[model], "body": posted, "contentType": "application/json", "accept": "application/json"}, operation)
        prepare_request_dict(own, "http://127.0.0.1")
        assert own["url"].removeprefix("http://127.0.0.1") == path and own["body"] == posted
        assert (headers["content-type"], headers["accept"]) == ("application/json", "application/json")
        check_signature(path, headers, posted)


def test_what_bedrock_cannot_embed_is_a_typed_error(bedrock):
    _, _, sdk, _ = bedrock
    for field, request in {"input": {"input": [1, 2, 3]}, "dimensions": {"input": "a", "dimensions": 256}}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.embeddings.create(model="titan_g1", **request)
        assert caught.value.body["param"] == field


def check_parameters(path, body, model, stream):
    import base64
    import botocore.session, botocore.validate
    from botocore.awsrequest import prepare_request_dict

    api = botocore.session.Session().create_client("bedrock-runtime", region_name="eu-north-1", aws_access_key_id="x", aws_secret_access_key="x")
    operation = api.meta.service_model.operation_model("ConverseStream" if stream else "Converse")
    shape = operation.input_shape

    def parsed(value, shape):
        """JSON as botocore takes it: blobs are bytes, and nothing may be unknown."""
        if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
            assert set(value) <= set(shape.members), set(value) - set(shape.members)
            return {name: parsed(part, shape.members[name]) for name, part in value.items()}
        if shape.type_name == "list":
            return [parsed(part, shape.member) for part in value]
        return base64.b64decode(value, validate=True) if shape.type_name == "blob" else value

    parameters = {"modelId": model, **parsed(body, shape)}
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()
    own = api._serializer.serialize_to_request(parameters, operation)
    prepare_request_dict(own, "http://127.0.0.1")
    assert own["url"].removeprefix("http://127.0.0.1") == path
    assert json.loads(own["body"]) == body


def check_signature(path, headers, raw):
    from unittest import mock

    import botocore.auth, botocore.awsrequest, botocore.credentials

    signed = {name: headers[name] for name in ("host", "content-type")}
    request = botocore.awsrequest.AWSRequest(method="POST", url=f"http://{headers['host']}{path}", data=raw, headers=signed)
    now = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    assert abs(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - now) < datetime.timedelta(minutes=5)
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET, TOKEN)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        botocore.auth.SigV4Auth(credentials, "bedrock", "eu-north-1").add_auth(request)
    assert headers["authorization"] == request.headers["authorization"]
    assert headers["x-amz-security-token"] == TOKEN


def test_bedrocks_answer_is_openais(bedrock):
    _, _, sdk, _ = bedrock
    answer = sdk.chat.completions.create(model="nova", messages=ASK, tools=TOOLS)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hi", "tool_calls")
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (14, 4)
    with sdk.chat.completions.stream(model="nova", messages=ASK, tools=TOOLS) as stream:
        final = stream.get_final_completion().choices[0]
    assert (final.message.content, final.message.tool_calls[0].function.arguments) == ("Hi", '{"city": "Oulu"}')


USED = {"input_tokens": 14, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 23}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Which city?"}], "encrypted_content": "gAAAAABoISQ24OyV"}
SPOKEN = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": [
    {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://a.example/", "title": "A"}], "logprobs": [
    {"token": "Hi", "bytes": [72, 105], "logprob": -0.5, "top_logprobs": [{"token": "Yo", "bytes": [89, 111], "logprob": -1.5}]}]}]}
CALLED = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Oulu"}', "status": "completed"}
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1741476542, "status": "completed", "error": None, "incomplete_details": None,
            "instructions": None, "metadata": {}, "model": "gpt-5-2025-08-07", "output": [THOUGHT, SPOKEN, CALLED], "parallel_tool_calls": True,
            "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": USED}
BEGUN = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
RESPONSE_EVENTS = [{"sequence_number": i, **event} for i, event in enumerate([
    {"type": "response.created", "response": BEGUN},
    {"type": "response.in_progress", "response": BEGUN},
    {"type": "response.output_item.added", "output_index": 0, "item": {**THOUGHT, "summary": [], "encrypted_content": None}},
    {"type": "response.reasoning_summary_part.added", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "part": {"type": "summary_text", "text": ""}},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "summary_index": 0, "delta": "Which city?"},
    {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
    {"type": "response.output_item.added", "output_index": 1, "item": {**SPOKEN, "status": "in_progress", "content": []}},
    {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 1, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}},
    {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 1, "content_index": 0, "delta": "Hi",
     "logprobs": [{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Yo", "logprob": -1.5}]}]},
    {"type": "response.output_text.annotation.added", "item_id": "msg_1", "output_index": 1, "content_index": 0, "annotation_index": 0,
     "annotation": SPOKEN["content"][0]["annotations"][0]},
    {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 1, "content_index": 0, "text": "Hi", "logprobs": []},
    {"type": "response.output_item.done", "output_index": 1, "item": SPOKEN},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALLED, "arguments": "", "status": "in_progress"}},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": CALLED["arguments"]},
    {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 2, "name": "weather", "arguments": CALLED["arguments"]},
    {"type": "response.output_item.done", "output_index": 2, "item": CALLED},
    {"type": "response.completed", "response": RESPONSE}])]
RESPONSES_REQUESTS = {**REQUESTS, "knobs": {
    "messages": ASK, "tools": TOOLS, "parallel_tool_calls": False, "logprobs": True, "top_logprobs": 2, "verbosity": "low", "metadata": {"team": "search"},
    "user": "u", "safety_identifier": "s", "service_tier": "flex", "prompt_cache_key": "k", "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 5,
    "web_search_options": {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Oulu", "country": "FI"}}},
    "extra_body": {"reasoning": {"summary": "auto"}, "truncation": "auto"}}}


@pytest.fixture(scope="module")
def responses():
    recorder = Recorder(RESPONSE, "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in RESPONSE_EVENTS).encode())
    provider = ['kind = "openai-responses"', f'base_url = "http://127.0.0.1:{recorder.port}/v1"', 'api_key = "env:SCRIPTED_KEY"']
    gateway = Gateway(configuration(provider, {"thinker": "gpt-5", "plain": "gpt-4o-mini"}))
    yield recorder, gateway, client(gateway)
    stop(gateway)


def test_what_is_answered_is_what_openais_own_types_say():
    from openai.types.responses import Response, ResponseStreamEvent
    from pydantic import TypeAdapter

    Response.model_validate(RESPONSE, strict=True)
    for event in RESPONSE_EVENTS:
        assert TypeAdapter(ResponseStreamEvent).validate_python(event).type == event["type"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["thinker", "plain"])
@pytest.mark.parametrize("name", RESPONSES_REQUESTS)
def test_openais_own_types_take_what_is_posted(responses, model, name, stream):
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    recorder, _, sdk = responses
    asked = dict(RESPONSES_REQUESTS[name])
    extra = {**asked.pop("extra_body", {}), **({"drop_unsupported": True} if name == "stops" else {})}
    answer = sdk.chat.completions.create(model=model, stream=stream, extra_body=extra, **asked)
    if stream:
        assert list(answer)
    path, headers, raw = recorder.seen[-1]
    body = json.loads(raw)
    assert path == "/v1/responses" and headers["authorization"] == f"Bearer {SECRET}"
    assert body["store"] is False and body.get("stream", False) is stream
    parameters = ResponseCreateParamsStreaming if stream else ResponseCreateParamsNonStreaming
    types = TypeAdapter(with_config(ConfigDict(extra="forbid"))(parameters))
    read_all(types.validate_python(body))
    with pytest.raises(ValidationError):
        read_all(types.validate_python({**body, "input": [{"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]}]}))


def test_a_response_is_a_chats_answer(responses):
    _, _, sdk = responses
    raw = sdk.chat.completions.with_raw_response.create(model="thinker", messages=ASK, tools=TOOLS)
    answer = raw.parse()
    choice = answer.choices[0]
    assert (answer.id, answer.model, answer.created) == ("resp_1", "gpt-5-2025-08-07", 1741476542)
    assert (choice.message.content, choice.finish_reason, choice.message.annotations[0].url_citation.url) == ("Hi", "tool_calls", "https://a.example/")
    assert choice.message.tool_calls[0].id == "call_1" and json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Oulu"}
    assert (choice.logprobs.content[0].bytes, choice.logprobs.content[0].top_logprobs[0].token) == ([72, 105], "Yo")
    assert choice.message.model_extra["reasoning_content"] == "Which city?"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens) == (14, 4, 2)
    assert float(raw.headers["x-satisfice-cost-usd"]) == pytest.approx((14 + 9 * 5) / 1e6)
    with sdk.chat.completions.stream(model="thinker", messages=ASK, tools=TOOLS, stream_options={"include_usage": True}) as stream:
        final = stream.get_final_completion()
    assert (final.choices[0].message.content, final.choices[0].finish_reason, final.usage.total_tokens) == ("Hi", "tool_calls", 23)
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city": "Oulu"}'
    assert final.choices[0].logprobs.content[0].token == "Hi"


def test_thoughts_go_back_to_the_model_that_had_them(responses):
    recorder, _, sdk = responses
    message = sdk.chat.completions.create(model="thinker", messages=ASK, tools=TOOLS).choices[0].message
    messages = [*ASK, message, {"role": "tool", "tool_call_id": "call_1", "content": "3"}]
    for model, back in [("thinker", [THOUGHT]), ("plain", [])]:
        sdk.chat.completions.create(model=model, messages=messages)
        items = json.loads(recorder.seen[-1][2])["input"]
        assert [item for item in items if item["type"] == "reasoning"] == back
        assert [item["type"] for item in items if item["type"] != "reasoning"] == ["message", "message", "function_call", "function_call_output"]


def test_a_responses_client_before_a_responses_provider_sees_one_wire(responses):
    recorder, _, sdk = responses
    first = sdk.responses.create(model="thinker", input="Hello", include=["reasoning.encrypted_content"], store=False)
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call"] and first.id == "resp_1"
    sdk.responses.create(model="thinker", input=[*[item.to_dict() for item in first.output], {"type": "function_call_output", "call_id": "call_1", "output": "3"}])
    assert json.loads(recorder.seen[-1][2])["input"][0] == THOUGHT
    with sdk.responses.stream(model="thinker", input="Hello") as stream:
        assert stream.get_final_response().output_text == "Hi"


def test_what_responses_lack_is_a_typed_error(responses):
    _, _, sdk = responses
    for field, value in {"seed": 7, "n": 2, "stop": ["END"], "logit_bias": {"5": 1}, "presence_penalty": 0.5}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.chat.completions.create(model="plain", messages=ASK, **{field: value})
        assert caught.value.body["param"] == field
        assert sdk.chat.completions.create(model="plain", messages=ASK, **{field: value}, extra_body={"drop_unsupported": True}).choices
