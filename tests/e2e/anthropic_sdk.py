"""The official anthropic SDK against the gateway, whose upstream speaks OpenAI's wire (whole, streamed, tools, errors) or is
Claude itself (thoughts, searches, citations)."""
import json

import anthropic, pytest

from gateway import Gateway, Upstream, configuration, serve

TOOLS = [{"name": "weather", "description": "Weather of a city",
          "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]


@pytest.fixture(scope="module")
def world():
    upstream = Upstream()
    gateway = Gateway(configuration(upstream.port))
    yield upstream, anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="unused", max_retries=0)
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]


def ask(text="Say hello."):
    return [{"role": "user", "content": text}]


def test_a_whole_message_and_its_headers(world):
    _, client = world
    raw = client.messages.with_raw_response.create(model="auto", max_tokens=50, system="Be brief.", messages=ask())
    message = raw.parse()
    assert message.content[0].text.startswith("Hello from ") and message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 7)
    assert raw.headers["x-satisfice-route"] == "auto" and raw.headers["x-satisfice-trace-id"]


def test_a_stream_adds_up_to_a_message(world):
    _, client = world
    with client.messages.stream(model="auto", max_tokens=50, messages=ask()) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.startswith("Hello from ") and final.content[0].text == text
    assert final.stop_reason == "end_turn" and final.usage.output_tokens == 7


def test_parallel_tool_calls_whole_and_streamed(world):
    upstream, client = world
    message = client.messages.create(model="auto", max_tokens=50, messages=ask(), tools=TOOLS, tool_choice={"type": "any"})
    assert [block.input["city"] for block in message.content] == ["Oulu", "Turku"] and message.stop_reason == "tool_use"
    assert upstream.seen[-1][1]["tools"][0]["function"]["parameters"] == TOOLS[0]["input_schema"]
    with client.messages.stream(model="auto", max_tokens=50, messages=ask(), tools=TOOLS) as stream:
        final = stream.get_final_message()
    assert [(block.id, block.input["city"]) for block in final.content] == [("call_1", "Oulu"), ("call_2", "Turku")]


def test_tool_results_travel_back(world):
    upstream, client = world
    client.messages.create(model="auto", max_tokens=50, tools=TOOLS, messages=ask() + [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oulu"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "3 degrees"}]}])
    assert upstream.seen[-1][1]["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "3 degrees"}


def test_models_are_listed(world):
    _, client = world
    models = list(client.models.list())
    assert {"auto", "small"} <= {model.id for model in models} and all(model.type == "model" and model.display_name for model in models)


def test_tokens_are_counted(world):
    _, client = world
    assert client.messages.count_tokens(model="auto", messages=ask("one two three")).input_tokens >= 3


def test_errors_are_typed(world):
    _, client = world
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=1, messages=ask())
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="auto", max_tokens=1, messages=ask(), tools=[{"type": "bash_20250124", "name": "bash"}])
    assert "tools[0] is of type" in str(caught.value)


# What Claude answers: it said so, searched the web, and cites what it found, a document and a search result.
SEARCHED = [
    {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
    {"type": "text", "text": "Wait. "},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "grass"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
        {"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "Eo8B", "page_age": None}]},
    {"type": "text", "text": "Look: "},
    {"type": "text", "text": "green", "citations": [
        {"type": "char_location", "cited_text": "Grass is green.", "document_index": 0, "document_title": "Lawn", "file_id": None, "start_char_index": 0, "end_char_index": 15},
        {"type": "search_result_location", "cited_text": "Moss is green.", "search_result_index": 0, "source": "https://a.example/moss", "title": "Moss", "start_block_index": 0, "end_block_index": 1},
        {"type": "web_search_result_location", "cited_text": "Green.", "url": "https://a.example", "title": "A", "encrypted_index": "Eo8B"}]}]


def claudes_events():
    yield {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}}
    for i, block in enumerate(SEARCHED):
        deltas = {
            "thinking": lambda: [{"type": "thinking_delta", "thinking": block["thinking"]}, {"type": "signature_delta", "signature": block["signature"]}],
            "server_tool_use": lambda: [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}],
            "text": lambda: [{"type": "text_delta", "text": block["text"]}] + [{"type": "citations_delta", "citation": c} for c in block.get("citations", [])],
        }.get(block["type"], list)()
        empty = {"thinking": "", "signature": "", "input": {}, "text": ""}
        yield {"type": "content_block_start", "index": i, "content_block": {**{k: v for k, v in block.items() if k != "citations"}, **{k: v for k, v in empty.items() if k in block}}}
        yield from ({"type": "content_block_delta", "index": i, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": i}
    yield {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {"output_tokens": 9}}
    yield {"type": "message_stop"}


@pytest.fixture(scope="module")
def claude():
    """The same SDK before Claude itself, and what that was asked."""
    seen = []

    def answer(path, headers, raw):
        seen.append(json.loads(raw))
        if seen[-1].get("stream"):
            return 200, {"content-type": "text/event-stream"}, "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in claudes_events()).encode()
        return 200, {"content-type": "application/json"}, json.dumps({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": SEARCHED,
            "stop_reason": "stop_sequence", "stop_sequence": "END", "usage": {"input_tokens": 10, "output_tokens": 9}}).encode()

    gateway = Gateway("\n".join([
        "[[providers]]", 'name = "p"', 'kind = "anthropic"', f'base_url = "http://127.0.0.1:{serve(answer)}"', 'api_key = "env:SCRIPTED_KEY"',
        "[[models]]", 'name = "claude"', 'provider = "p"', 'upstream_name = "claude-opus-4-6"', "input_usd_per_mtok = 1", "output_usd_per_mtok = 5"]))
    yield seen, anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="unused", max_retries=0)
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]


RESULT = {"type": "search_result", "source": "https://a.example/moss", "title": "Moss", "content": [{"type": "text", "text": "Moss is green."}], "citations": {"enabled": True}}
CITED = ["char_location", "search_result_location", "web_search_result_location"]


def asked(**more):
    document = {"type": "document", "title": "Lawn", "citations": {"enabled": True}, "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green."}}
    return {"model": "claude", "max_tokens": 4000, "messages": [{"role": "user", "content": [document, RESULT, {"type": "text", "text": "What colour?"}]}],
            "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}], "stop_sequences": ["END"], **more}


def check(message):
    assert [block.type for block in message.content] == [block["type"] for block in SEARCHED]
    thought, wait, used, found, before, cited = message.content
    assert (thought.signature, used.input, found.content[0].encrypted_content) == ("EqQB", {"query": "grass"}, "Eo8B")
    assert (wait.text, before.text, before.citations, cited.text) == ("Wait. ", "Look: ", None, "green")
    by_type = {citation.type: citation for citation in cited.citations}
    assert sorted(by_type) == CITED and by_type["char_location"].cited_text == "Grass is green."
    assert by_type["search_result_location"].source == RESULT["source"]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


def test_what_claude_cites_and_did_comes_through_and_goes_back(claude):
    seen, client = claude
    message = client.messages.create(**asked(thinking={"type": "adaptive"}))
    check(message)
    posted = seen[-1]
    assert posted["messages"][0]["content"][0]["citations"] == {"enabled": True} and posted["thinking"] == {"type": "adaptive"}
    assert posted["messages"][0]["content"][1] == RESULT
    assert posted["tools"] == [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]
    more = [{"role": "assistant", "content": message.content}, {"role": "user", "content": "So?"}]
    client.messages.create(**asked(messages=asked()["messages"] + more))
    back = seen[-1]["messages"][1]["content"]
    assert back[:4] == SEARCHED[:4] and "".join(b["text"] for b in back[4:]) == "Look: green"


def test_a_stream_of_claudes_adds_up_to_the_same(claude):
    _, client = claude
    with client.messages.stream(**asked()) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content][:4] == [block["type"] for block in SEARCHED[:4]]
    texts = [block for block in final.content if block.type == "text"]
    assert "".join(block.text for block in texts) == "Wait. Look: green"
    assert sorted(citation.type for block in texts for citation in block.citations or []) == CITED
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "END")
