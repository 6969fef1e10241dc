"""What the built gateway posts to Anthropic and to Bedrock, held to their own libraries: Anthropic's request types must
take it, botocore's parameter validation and signature too, and what they would answer must come back in OpenAI's shape.
Each half is skipped, aloud, where its library is not there."""
import datetime, json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai, pytest

from gateway import Gateway
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


class Recorder:
    """Remembers what is posted and answers with `whole`, or with the bytes of `streamed` where the path or body says so."""

    def __init__(self, whole, streamed=b"", media_type="text/event-stream"):
        self.seen = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["content-length"]))
                recorder.seen.append((self.path, dict(self.headers), raw))
                stream = self.path.endswith("-stream") or json.loads(raw).get("stream")
                data = streamed if stream else json.dumps(whole).encode()
                self.send_response(200)
                self.send_header("content-type", media_type if stream else "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def configuration(provider, models):
    out = ["[[providers]]", 'name = "p"', *provider]
    for name, upstream in models.items():
        out += ["[[models]]", f'name = "{name}"', 'provider = "p"', f'upstream_name = "{upstream}"', "input_usd_per_mtok = 1", "output_usd_per_mtok = 5", "cache_write_usd_per_mtok = 1.25"]
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
    recorder = Recorder(CONVERSE, b"".join(frame(*e) for e in BEDROCK_EVENTS), "application/vnd.amazon.eventstream")
    provider = ['kind = "bedrock"', 'region = "eu-north-1"', f'base_url = "http://127.0.0.1:{recorder.port}"',
                f'aws_access_key_id = "{KEY_ID}"', 'aws_secret_access_key = "env:SCRIPTED_KEY"', f'aws_session_token = "{TOKEN}"']
    models = {"claude": "eu.anthropic.claude-opus-5-5", "older": "anthropic.claude-sonnet-4-20250514-v1:0", "nova": "amazon.nova-pro-v1:0",
              "profile": "arn:aws:bedrock:eu-north-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"}
    gateway = Gateway(configuration(provider, models))
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
