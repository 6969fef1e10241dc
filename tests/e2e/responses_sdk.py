"""OpenAI's Responses API, by the official SDK: whole, streamed, tools, structured output, errors."""
import openai, pytest
from pydantic import BaseModel

from gateway import Gateway, Upstream, configuration

TOOLS = [{"type": "function", "name": "weather", "strict": True,
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}}]


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture(scope="module")
def world():
    upstream = Upstream()
    gateway = Gateway(configuration(upstream.port))
    yield upstream, openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="unused", max_retries=0)
    assert gateway.stop() == 0, gateway.log.read_text()[-2000:]


def test_a_whole_response(world):
    upstream, client = world
    response = client.responses.create(model="auto", input="Say hello.", instructions="Be brief.")
    assert response.output_text.startswith("Hello from ") and response.status == "completed"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (11, 7)
    assert upstream.seen[-1][1]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_stream_adds_up_to_a_response(world):
    _, client = world
    with client.responses.stream(model="auto", input="Say hello.") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text.startswith("Hello from ") and final.output_text == text and final.usage.output_tokens == 7


def test_calls_and_their_outputs_go_both_ways(world):
    upstream, client = world
    response = client.responses.create(model="auto", input="Weather?", tools=TOOLS)
    assert [(item.call_id, item.arguments) for item in response.output] == [("call_1", '{"city": "Oulu"}'), ("call_2", '{"city": "Turku"}')]
    with client.responses.stream(model="auto", input="Weather?", tools=TOOLS) as stream:
        stream.until_done()
        assert [item.arguments for item in stream.get_final_response().output] == ['{"city": "Oulu"}', '{"city": "Turku"}']
    outputs = [{"type": "function_call_output", "call_id": item.call_id, "output": "3"} for item in response.output]
    client.responses.create(model="auto", input=[{"role": "user", "content": "Weather?"}, *[item.to_dict() for item in response.output], *outputs])
    roles = [message["role"] for message in upstream.seen[-1][1]["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]


def test_custom_tools_go_both_ways(world):
    upstream, client = world
    tools = [{"type": "custom", "name": "shell", "format": {"type": "grammar", "syntax": "regex", "definition": ".*"}}]
    response = client.responses.create(model="auto", input="List.", tools=tools, tool_choice={"type": "custom", "name": "shell"})
    assert [(item.type, item.call_id, item.name, item.input) for item in response.output] == [("custom_tool_call", "call_3", "shell", "ls -l\n")]
    assert response.tools[0].format.definition == ".*"
    with client.responses.stream(model="auto", input="List.", tools=tools) as stream:
        events = list(stream)
        assert stream.get_final_response().output[0].input == "ls -l\n"
    assert "".join(event.delta for event in events if event.type == "response.custom_tool_call_input.delta") == "ls -l\n"
    output = {"type": "custom_tool_call_output", "call_id": "call_3", "output": "a.txt"}
    client.responses.create(model="auto", input=[{"role": "user", "content": "List."}, response.output[0].to_dict(), output], tools=tools)
    assert [message["role"] for message in upstream.seen[-1][1]["messages"]] == ["user", "assistant", "tool"]


def test_structured_output_parses(world):
    _, client = world
    assert client.responses.parse(model="auto", input="Weather?", text_format=Weather).output_parsed == Weather(city="Oulu", degrees=3)


def test_what_would_need_a_store_is_refused_by_name(world):
    _, client = world
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="auto", input="x", previous_response_id="resp_1")
    assert caught.value.body["param"] == "previous_response_id"
