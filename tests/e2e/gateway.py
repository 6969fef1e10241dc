"""A scripted upstream and a running gateway, for tests with real clients. Standard library only."""
import base64, contextlib, http.client, json, os, pathlib, signal, socket, struct, subprocess, tempfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SATISFICE", str(ROOT / "target/release/satisfice"))


class Upstream:
    """Speaks OpenAI's chat wire; what it says depends on what it was asked, and it remembers every request."""

    def __init__(self):
        self.seen = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.seen.append((dict(self.headers), body))
                if body["model"] == "broken":
                    return self.whole(500, {"error": {"message": "out of order", "type": "server_error", "param": None, "code": None}})
                if "input" in body:
                    return self.whole(200, embeddings(body))
                (self.stream if body.get("stream") else self.answer)(body)

            def whole(self, status, out):
                data = json.dumps(out).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def answer(self, body):
                self.whole(200, {
                    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
                    "choices": [{"index": i, "message": message(body), "logprobs": None, "finish_reason": finish(body)} for i in range(body.get("n", 1))],
                    "usage": USAGE, "system_fingerprint": "fp_1", "field_of_tomorrow": {"kept": True},
                })

            def stream(self, body):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for chunk in chunks(body):
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.flush()
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a gateway that was killed resets its connections

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def serve(answer):
    """The port of a server that says what `answer` makes of path, headers and body: status, headers, body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            raw = self.rfile.read(int(self.headers["content-length"]))
            status, headers, data = answer(self.path, dict(self.headers), raw)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oulu"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Turku"}'}},
]


CUSTOM_CALLS = [{"id": "call_3", "type": "custom", "custom": {"name": "shell", "input": "ls -l\n"}}]


def embeddings(body):
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [[float(len(text)), 0.5] for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<2f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}


def message(body):
    if body.get("tools"):
        custom = body["tools"][0]["type"] == "custom"
        return {"role": "assistant", "content": None, "tool_calls": CUSTOM_CALLS if custom else CALLS, "refusal": None}
    if body.get("response_format"):
        return {"role": "assistant", "content": '{"city": "Oulu", "degrees": 3}', "refusal": None}
    greeting = "Hello from " + body["model"]
    if "2 + 2" in str(body["messages"][-1]["content"]):
        greeting += ".\n\nThe answer is 4."
    return {"role": "assistant", "content": greeting, "refusal": None}


def finish(body):
    return "tool_calls" if body.get("tools") else "stop"


def chunks(body):
    said = message(body)
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "system_fingerprint": "fp_1"}
    choice = lambda delta, reason=None: {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
    yield choice({"role": "assistant", "content": None if body.get("tools") else ""})
    for i, call in enumerate(said.get("tool_calls", [])):
        yield choice({"tool_calls": [{"index": i, **call}]})
    for word in (said["content"] or "").split(" "):
        if word:
            yield choice({"content": word + " "})
    yield choice({}, finish(body))
    if body.get("stream_options", {}).get("include_usage"):
        yield {**base, "choices": [], "usage": USAGE}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configuration(upstream_port, models=("small", "large"), broken=False):
    out = ['[[providers]]', 'name = "scripted"', 'kind = "openai"', f'base_url = "http://127.0.0.1:{upstream_port}/v1"', 'api_key = "env:SCRIPTED_KEY"']
    for i, model in enumerate(models):
        out += ['[[models]]', f'name = "{model}"', 'provider = "scripted"', f'input_usd_per_mtok = {0.1 * 10**i}', f'output_usd_per_mtok = {0.4 * 10**i}']
    if broken:
        out += ['[[models]]', 'name = "broken"', 'provider = "scripted"', 'input_usd_per_mtok = 0.01', 'output_usd_per_mtok = 0.01']
        out += ['[[routes]]', 'name = "fragile"', f'models = ["broken", "{models[0]}"]', 'explore = false', 'quality = 0.0']
    out += ['[[models]]', 'name = "vectors"', 'provider = "scripted"', 'kind = "embedding"', 'input_usd_per_mtok = 0.02']
    out += ['[[routes]]', 'name = "auto"', 'models = [' + ", ".join(f'"{m}"' for m in models) + ']', 'quality = 0.95']
    return "\n".join(out) + "\n"


class Gateway:
    """`satisfice serve` on a free port; `data` survives a restart with the same folder."""

    def __init__(self, config_text, data=None, args=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="satisfice-e2e-"))
        self.config = self.folder / "satisfice.toml"
        self.config.write_text(config_text)
        self.data = data or self.folder / "data"
        self.port = free_port()
        self.log = self.folder / "log"
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [BINARY, "serve", "--config", str(self.config), "--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{free_port()}", "--data-dir", str(self.data), *args],
                stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "SCRIPTED_KEY": "sk-scripted-secret"})
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway exited with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError):
                if self.call("GET", "/ready")[0] == 200:
                    return
            time.sleep(0.01)
        raise RuntimeError("the gateway did not become ready: " + self.log.read_text()[-2000:])

    def call(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
            reply = connection.getresponse()
            raw = reply.read()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, raw
        finally:
            connection.close()

    def trace(self, trace):
        """A finished request, once its trace is on the disk."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status, _, body = self.call("GET", f"/v1/traces/{trace}")
            if status == 200 and "decision" in (seen := json.loads(body)):
                return seen
            time.sleep(0.01)
        raise RuntimeError(f"the trace {trace} was not kept: {body[:500]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(20)
