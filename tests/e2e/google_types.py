"""What the gateway posts to Google, read by Google's own SDK: its types forbid every field that they do not know."""
import base64, json, urllib.parse

import openai, pydantic, pytest

from gateway import ROOT, Gateway, serve

pytest.importorskip("google.genai", reason="google-genai is not installed: what is posted to Google goes unchecked")
from cryptography.hazmat.primitives import serialization
from google.auth import jwt
from google import genai
from google.genai import models, types

FIXTURES = ROOT / "tests/fixtures"
KEY_FILE = FIXTURES / "vertex/key_of_no_account.json"
BODY = {
    "contents": list[types.Content], "systemInstruction": types.Content, "tools": list[types.Tool], "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig, "safetySettings": list[types.SafetySetting], "cachedContent": str,
}


EMBEDDERS = {"studio_vectors": ("gemini", "gemini-embedding-001"), "cloud_texts": ("vertex", "text-embedding-005"), "cloud_vectors": ("vertex", "gemini-embedding-2")}


class Google:
    """Gives out access tokens and answers with the SDK's own types; remembers what it was asked."""

    def __init__(self):
        self.seen, self.assertions = [], []
        self.port = serve(self.answer)

    def answer(self, path, headers, raw):
        if path == "/token":
            self.assertions.append(urllib.parse.parse_qs(raw.decode())["assertion"][0])
            return whole({"access_token": "ya29.e2e", "expires_in": 3600, "token_type": "Bearer"})
        body = json.loads(raw)
        self.seen.append((path, headers, body))
        if vectors := vectors_for(path, body):
            return whole(vectors)
        parts = answer_to(body)
        if "alt=sse" in path:
            events = [response([part], None) for part in parts[:-1]] + [response(parts[-1:], types.FinishReason.STOP)]
            return 200, {"content-type": "text/event-stream"}, "".join(f"data: {event}\r\n\r\n" for event in events).encode()
        return 200, {"content-type": "application/json"}, response(parts, types.FinishReason.STOP).encode()


def whole(answer):
    return 200, {"content-type": "application/json"}, json.dumps(answer).encode()


def vectors_for(path, body):
    """A text's vector is its length and a half."""
    vector = lambda text: {"values": [len(text), 0.5]}
    text = lambda content: content["parts"][0]["text"]
    if path.endswith(":batchEmbedContents"):
        return {"embeddings": [vector(text(one["content"])) for one in body["requests"]], "usageMetadata": {"promptTokenCount": 5}}
    if path.endswith(":predict"):
        counted = lambda one: vector(one["content"]) | {"statistics": {"token_count": 5, "truncated": False}}
        return {"predictions": [{"embeddings": counted(one)} for one in body["instances"]]}
    if path.endswith(":embedContent"):
        return {"embedding": vector(text(body["content"])), "usageMetadata": {"promptTokenCount": 5}}


def answer_to(body):
    if "tools" not in body:
        return [types.Part(text="Hmm.", thought=True), types.Part(text="Hello from Google")]
    calls = [types.FunctionCall(id=f"fc-{city}", name="weather", args={"city": city}) for city in ("Oulu", "Turku")]
    return [types.Part(function_call=call, thought_signature=b"signed" if i == 0 else None) for i, call in enumerate(calls)]


def response(parts, finish):
    usage = types.GenerateContentResponseUsageMetadata(prompt_token_count=11, candidates_token_count=5, thoughts_token_count=2, total_token_count=18)
    candidate = types.Candidate(index=0, content=types.Content(role="model", parts=parts), finish_reason=finish)
    said = types.GenerateContentResponse(candidates=[candidate], usage_metadata=usage, model_version="gemini-3.7-flash", response_id="r-1")
    return said.model_dump_json(by_alias=True, exclude_none=True)


def configuration(port, key_file):
    vectors = "".join(f"""
        [[models]]
        name = "{name}"
        provider = "{provider}"
        upstream_name = "{upstream}"
        kind = "embedding"
        input_usd_per_mtok = 1""" for name, (provider, upstream) in EMBEDDERS.items())
    model = lambda name, provider: f"""
        [[models]]
        name = "{name}"
        provider = "{provider}"
        upstream_name = "gemini-3.7-flash"
        input_usd_per_mtok = 1
        output_usd_per_mtok = 2"""
    return f"""
        [[providers]]
        name = "gemini"
        kind = "gemini"
        base_url = "http://127.0.0.1:{port}/v1beta"
        api_key = "env:SCRIPTED_KEY"
        [[providers]]
        name = "vertex"
        kind = "vertex"
        location = "europe-west4"
        base_url = "http://127.0.0.1:{port}/v1"
        credentials_file = "{key_file}" {model("studio", "gemini")} {model("cloud", "vertex")} {vectors}"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    google = Google()
    key = json.loads(KEY_FILE.read_text()) | {"token_uri": f"http://127.0.0.1:{google.port}/token"}
    key_file = tmp_path_factory.mktemp("key") / "key.json"
    key_file.write_text(json.dumps(key))
    gateway = Gateway(configuration(google.port, key_file))
    yield google, openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="unused", max_retries=0)
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]
    for secret in ("sk-scripted-secret", "ya29.e2e", "PRIVATE KEY"):
        assert secret not in gateway.log.read_text()


def read(body):
    """Every field, under the SDK's types."""
    for name, value in body.items():
        kind = BODY[name]
        if kind is not str:
            pydantic.TypeAdapter(kind).validate_json(json.dumps(value), strict=False)
    return body


def ask(**more):
    return {"messages": [{"role": "user", "content": "Say hello."}], **more}


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


@pytest.mark.parametrize("model", ["studio", "cloud"])
def test_all_that_a_client_can_ask_for_is_in_googles_types(world, model):
    google, client = world
    request = json.loads((FIXTURES / "gemini/request.json").read_text())
    request |= {"model": model, "extra_body": {"google": {"safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}}}
    client.post("/chat/completions", body=request, cast_to=object)
    body = read(google.seen[-1][2])
    assert set(body) == {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
    for effort in ("none", "minimal", "low", "medium", "high"):
        client.chat.completions.create(model=model, **ask(reasoning_effort=effort, response_format={"type": "json_object"}))
        assert "thinkingConfig" in read(google.seen[-1][2])["generationConfig"]


@pytest.mark.parametrize("model", ["studio", "cloud"])
def test_whole_and_streamed_answers_are_the_same(world, model):
    _, client = world
    message = client.chat.completions.create(model=model, **ask()).choices[0].message
    assert (message.content, message.reasoning_content) == ("Hello from Google", "Hmm.")
    with client.chat.completions.stream(model=model, stream_options={"include_usage": True}, **ask()) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "Hello from Google"
    assert (final.usage.prompt_tokens, final.usage.completion_tokens, final.choices[0].finish_reason) == (11, 7, "stop")


@pytest.mark.parametrize("model", ["studio", "cloud"])
def test_calls_go_out_and_their_results_come_back(world, model):
    google, client = world
    whole = client.chat.completions.create(model=model, **ask(tools=TOOLS, tool_choice="required")).choices[0].message
    with client.chat.completions.stream(model=model, **ask(tools=TOOLS)) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert [c.function.arguments for c in whole.tool_calls] == [c.function.arguments for c in streamed.tool_calls] == ['{"city":"Oulu"}', '{"city":"Turku"}']
    results = [{"role": "tool", "tool_call_id": call.id, "content": "3 degrees"} for call in whole.tool_calls]
    client.chat.completions.create(model=model, messages=[*ask()["messages"], whole.model_dump(exclude_none=True), *results])
    body = read(google.seen[-1][2])
    made = [part["functionCall"]["id"] for part in body["contents"][1]["parts"]]
    assert made == [part["functionResponse"]["id"] for part in body["contents"][2]["parts"]] == ["fc-Oulu", "fc-Turku"]
    assert base64.b64decode(body["contents"][1]["parts"][0]["thoughtSignature"]) == b"signed"


def own_request(provider, upstream, texts, config):
    """What Google's own library would post for these texts."""
    if provider == "gemini":
        api, kind, given = genai.Client(api_key="x"), None, {"contents": texts}
    else:
        api = genai.Client(vertexai=True, project="p", location="europe-west4", credentials=google_credentials())
        kind, given = ("PREDICT", {"contents": texts}) if "text-embedding" in upstream else ("EMBED_CONTENT", {"content": texts[0]})
    asked = types._EmbedContentParametersPrivate(model=upstream, embedding_api_type=kind, config=config, **given)
    convert = models._EmbedContentParametersPrivate_to_mldev if provider == "gemini" else models._EmbedContentParametersPrivate_to_vertex
    body = convert(api._api_client, asked, None, asked)
    plain = genai._common.encode_unserializable_types(genai._common.convert_to_dict(body))
    return {name: value for name, value in plain.items() if name not in ("_url", "config")}


def google_credentials():
    from google.auth import credentials

    return credentials.AnonymousCredentials()


def without_roles(value):
    """A content without a role is the user's, which Google's library writes out."""
    if isinstance(value, dict):
        return {name: without_roles(part) for name, part in value.items() if (name, part) != ("role", "user")}
    return [without_roles(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("model", EMBEDDERS)
def test_embeddings_are_asked_for_as_googles_own_library_does(world, model):
    google, client = world
    provider, upstream = EMBEDDERS[model]
    before = len(google.seen)
    answer = client.embeddings.create(model=model, input=["abc", "de"], dimensions=256, extra_body={"task_type": "RETRIEVAL_DOCUMENT", "title": "T"})
    assert [list(item.embedding) for item in answer.data] == [[3.0, 0.5], [2.0, 0.5]]
    calls = [body for _, _, body in google.seen[before:]]
    assert answer.usage.prompt_tokens == (5 if provider == "gemini" else 10)
    config = types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", title="T", output_dimensionality=256)
    texts = [["abc"], ["de"]] if len(calls) == 2 else [["abc", "de"]]
    for body in calls:
        assert without_roles(body) in [without_roles(own_request(provider, upstream, some, config)) for some in texts]


def test_googles_own_library_takes_the_claim_of_the_service_account(world):
    google, client = world
    client.chat.completions.create(model="cloud", **ask())
    key = json.loads(KEY_FILE.read_text())
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert len(google.assertions) == 1, "one token serves all requests"
    claims = jwt.decode(google.assertions[0], certs=public)
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (key["client_email"], 3600)
    path, headers, _ = google.seen[-1]
    assert path == "/v1/projects/a-project/locations/europe-west4/publishers/google/models/gemini-3.7-flash:generateContent"
    assert {k.lower(): v for k, v in headers.items()}["authorization"] == "Bearer ya29.e2e"
