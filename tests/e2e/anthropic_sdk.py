"""The official anthropic SDK against the gateway, whose upstream speaks OpenAI's wire: whole, streamed, tools, errors."""
import anthropic, pytest

from gateway import Gateway, Upstream, configuration

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


def test_tokens_are_counted(world):
    _, client = world
    assert client.messages.count_tokens(model="auto", messages=ask("one two three")).input_tokens >= 3


def test_errors_are_typed(world):
    _, client = world
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", max_tokens=1, messages=ask())
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="auto", max_tokens=1, messages=ask(), tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert "tools[0].type" in str(caught.value)
