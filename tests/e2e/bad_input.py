"""Wrong input over HTTP and on the command line: a clear error each time, and the gateway goes on."""
import json, pathlib, socket, subprocess, tempfile

import pytest

from gateway import BINARY, Gateway, Upstream, configuration, free_port


@pytest.fixture(scope="module")
def gateway():
    gateway = Gateway(configuration(Upstream().port))
    yield gateway
    assert gateway.call("POST", "/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "still there?"}]})[0] == 200
    gateway.stop()


CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("body, status, param", [
    (b'{"model": "auto", "messages": [', 400, None),
    (b"", 400, None),
    (b"[]", 400, None),
    (b"\xff\xfe{}", 400, None),
    (b'{"model": "auto", "messages": [{"role": "user", "content": "\xc3\x28"}]}', 400, None),
    ({"model": "auto"}, 400, "messages"),
    ({"model": "auto", "messages": []}, 400, "messages"),
    ({"model": "auto", "messages": "hi"}, 400, "messages"),
    ({"messages": HELLO}, 400, "model"),
    ({"model": "nobody", "messages": HELLO}, 404, "model"),
    ({"model": "auto", "messages": HELLO, "stream": "yes"}, 400, "stream"),
])
def test_chat(gateway, body, status, param):
    got, _, raw = gateway.call("POST", CHAT, body)
    error = json.loads(raw)["error"]
    assert (got, error["param"]) == (status, param), error
    assert error["message"] and error["type"]


@pytest.mark.parametrize("value", ["1.7", "-0.1", "NaN", "best", ""])
def test_a_quality_out_of_range(gateway, value):
    status, _, raw = gateway.call("POST", CHAT, {"model": "auto", "messages": HELLO}, {"x-satisfice-quality": value})
    error = json.loads(raw)["error"]
    assert status == 400 and "x-satisfice-quality" in error["message"]


def test_a_body_of_50_mb(gateway):
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x" * 50_000_000}]}).encode()
    try:
        status, _, raw = gateway.call("POST", CHAT, body)
    except (BrokenPipeError, ConnectionResetError):
        status, _, raw = announced(gateway, len(body))
    assert status == 413 and "max_body_mib" in json.loads(raw)["error"]["message"]


def announced(gateway, length):
    """What a client hears that only announces its body."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as s:
        s.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n".encode())
        raw = s.makefile("rb").read()
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), {}, body


@pytest.mark.parametrize("change, status", [
    ({"trace_id": "00000000-0000-7000-8000-000000000000"}, 404),
    ({"name": "charm"}, 422),
    ({"value": 1.7}, 422),
    ({"value": "good"}, 422),
    ({"trace_id": "not-an-id"}, 422),
])
def test_feedback(gateway, change, status):
    _, headers, _ = gateway.call("POST", CHAT, {"model": "auto", "messages": HELLO})
    body = {"trace_id": headers["x-satisfice-trace-id"], "name": "quality", "value": 0.5, **change}
    got, _, raw = gateway.call("POST", "/v1/feedback", body)
    assert got == status, raw
    assert json.loads(raw)["error"]["message"]


def serve(*args, config=None, env=None):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="satisfice-e2e-"))
    usual = {"--listen": f"127.0.0.1:{free_port()}", "--data-dir": str(folder / "data")}
    command = [BINARY, "serve", *args, *(word for flag, value in usual.items() if flag not in args for word in (flag, value))]
    if config is not None:
        (folder / "satisfice.toml").write_text(config)
        command += ["--config", str(folder / "satisfice.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder, env=env or {"SCRIPTED_KEY": "sk-x", "PATH": "/usr/bin"})
    return done.returncode, done.stderr


@pytest.mark.parametrize("args, said", [
    (["--quality", "1.7"], "quality"),
    (["--budget-per-1k", "-1"], "budget"),
    (["--quality", "0.9", "--budget-per-1k", "1"], "cannot be used with"),
    (["--listen", "nowhere"], "listen"),
])
def test_flags(args, said):
    code, err = serve(*args, config=configuration(1))
    assert code == 2 and said in err, err


def test_no_file_and_no_key():
    code, err = serve(env={"PATH": "/usr/bin"})
    assert code == 2 and "demo" in err, err


def test_an_unknown_key_in_the_file():
    code, err = serve(config=configuration(1) + "qualitty = 0.9\n")
    assert code == 2 and "qualitty" in err and "quality" in err, err


def test_a_data_folder_that_cannot_be_written():
    code, err = serve("--data-dir", "/proc/satisfice", config=configuration(1))
    assert code == 2 and "/proc/satisfice" in err, err


def test_a_port_in_use(gateway):
    code, err = serve("--listen", f"127.0.0.1:{gateway.port}", config=configuration(1))
    assert code == 2 and str(gateway.port) in err, err


def test_a_second_process_on_the_same_data(gateway):
    code, err = serve("--data-dir", str(gateway.data), config=configuration(1))
    assert code == 2 and "in use" in err, err


def test_another_address_than_loopback_without_keys():
    code, err = serve("--listen", "0.0.0.0:0", config=configuration(1))
    assert code == 2 and "api_keys" in err, err
