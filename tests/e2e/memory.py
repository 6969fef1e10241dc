#!/usr/bin/env python3
"""Resident memory while upstreams misbehave: each stream may take 2 MiB above what the gateway keeps of it on purpose
(the bytes of one event, of a whole answer, of an answer that is kept; 64 KiB of text for its trace). Linux only."""
import argparse, asyncio, gzip, json, os, pathlib, sys

MIB = 1 << 20
ALLOWED = 2 * MIB
# The gateway's own bounds: the longest event, whole answer, and kept answer.
EVENT, WHOLE, KEPT = 32 * MIB, 32 * MIB, 1 * MIB
PIECE = b"x" * (64 << 10)
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


# What each upstream sends: pieces, endless where nothing stops them. After the last one it says nothing more.
def endless_line():
    yield SSE
    while True:
        yield chunk(PIECE)


def endless_event():
    yield SSE
    while True:
        yield chunk(b"data: " + PIECE + b"\n")


def lines_that_wait():
    yield SSE + chunk(event("first")) + chunk(b": " + PIECE * 120 + b"\ndata: x\n")
    yield chunk(b": " + PIECE * 120)


def endless_events():
    yield SSE
    while True:
        yield chunk(event("word ") * 100)


def largest_events():
    yield SSE
    big = chunk(event("x" * (EVENT - 1024)))
    while True:
        yield big


def endless_answer():
    yield JSON + b"transfer-encoding: chunked\r\n\r\n"
    while True:
        yield chunk(PIECE)


def gzip_bomb():
    bomb = gzip.compress(bytes(1024 * MIB))
    yield JSON + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    yield bomb


def huge_chunk():
    yield SSE + chunk(event("first")) + b"7fffffff\r\n" + PIECE


def huge_length():
    yield JSON + b"content-length: 1099511627776\r\n\r\n" + PIECE


def padded_events():
    yield SSE
    for _ in range(2000):
        yield chunk(b": " + PIECE + b"\n" + event("word "))
    yield chunk(event("last"))


def slow_events():
    yield SSE + chunk(event("first"))


def ordinary(stream):
    if not stream:
        body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]}).encode()
        return [JSON + b"content-length: %d\r\n\r\n%s" % (len(body), body)]
    return [SSE + chunk(event("Hello.")), chunk(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n') + b"0\r\n\r\n"]


class Scenario:
    """`asked`: the model or route. `read`: how the client reads: to the end; until it has seen a text, then it holds the
    stream open; or not at all. `own`: bytes that the gateway keeps of each on purpose."""

    def __init__(self, name, upstream, own, *, streams=8, whole=False, read="end", asked=None):
        self.name, self.upstream, self.own, self.streams, self.whole, self.read = name, upstream, own, streams, whole, read
        self.model = upstream.__name__
        self.asked = asked or self.model


SCENARIOS = [
    Scenario("a line without an end", endless_line, EVENT),
    Scenario("an event without an end", endless_event, EVENT),
    Scenario("a line that waits for the rest of its event", lines_that_wait, EVENT, read="first"),
    Scenario("events without an end, until the deadline", endless_events, 64 << 10, asked="short"),
    Scenario("events without an end that nobody reads", endless_events, 64 << 10, read=None),
    # As it comes, and as it goes.
    Scenario("the largest events without an end, until the deadline", largest_events, 2 * EVENT, asked="short_largest"),
    Scenario("a whole answer without an end", endless_answer, WHOLE, whole=True),
    Scenario("a gzip bomb (1 GiB in 1 MiB)", gzip_bomb, MIB, whole=True),
    Scenario("a chunk of 2 GiB announced", huge_chunk, 64 << 10, read="first"),
    Scenario("a length of 1 TiB announced", huge_length, 64 << 10, whole=True, read=None),
    Scenario("2,000 small events with 64 KiB of comment each, kept", padded_events, KEPT, read="last", asked="kept"),
    Scenario("1,000 streams held open", slow_events, 0, streams=1000, read="first"),
]


def configuration(port):
    # One call a request: what a call has let go of, the allocator gives back within a second.
    text = "[server]\nattempts = 1\n"
    text += f'[[providers]]\nname = "hostile"\nkind = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    for model in sorted({scenario.model for scenario in SCENARIOS} | {"ordinary"}):
        text += f'[[models]]\nname = "{model}"\nprovider = "hostile"\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 1.0\n'
    for route, model, more in [("short", "endless_events", "total_s = 3\n"), ("short_largest", "largest_events", "total_s = 3\n"), ("kept", "padded_events", "[routes.cache]\n")]:
        text += f'[[routes]]\nname = "{route}"\nmodels = ["{model}"]\n{more}'
    return text


async def serve(reader, writer):
    """One answer a connection; the caller's leaving ends it."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            upstream = next((s.upstream for s in SCENARIOS if s.model == body["model"]), None)
            for piece in upstream() if upstream else ordinary(body.get("stream")):
                writer.write(piece)
                await writer.drain()
            if upstream:
                await reader.read()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def client(port, scenario, number):
    """Asks, reads as the scenario says, and gives back the connection and the end of what it read."""
    body = json.dumps({"model": scenario.asked, "stream": not scenario.whole, "messages": [{"role": "user", "content": f"Question {number}?"}]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    tail = b""
    while scenario.read:
        data = await reader.read(1 << 20)
        tail = (tail + data)[-2000:]
        if not data or (scenario.read != "end" and scenario.read.encode() in tail):
            break
    return writer, tail


class Process:
    """What the kernel says of it, bytes."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def status(self, field):
        lines = self.folder.joinpath("status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field + ":"))

    def forget_peak(self):
        self.folder.joinpath("clear_refs").write_text("5")

    async def settled(self):
        """Resident once it has not moved by more than a page in half a second."""
        seen = []
        while len(seen) < 10 or max(seen[-10:]) - min(seen[-10:]) > 64 << 10:
            await asyncio.sleep(0.05)
            seen.append(self.status("VmRSS"))
        return seen[-1]


async def measure(gateway, scenario):
    """What was resident before, and how far above it each stream led at most."""
    await warm(gateway)
    process = Process(gateway.process.pid)
    before = await process.settled()
    process.forget_peak()
    clients = await asyncio.gather(*(client(gateway.port, scenario, i) for i in range(scenario.streams)))
    if scenario.read != "end":
        await process.settled()
    peak = process.status("VmHWM")
    for writer, tail in clients:
        writer.close()
        assert scenario.read != "end" or b"error" in tail, f"{scenario.name}: no error at the end of {tail!r}"
        assert scenario.read in (None, "end") or scenario.read.encode() in tail, f"{scenario.name}: {tail!r}"
    return before, (peak - before) / scenario.streams


async def warm(gateway):
    for number in range(50):
        kinds = [Scenario("ordinary", ordinary, 0, whole=i % 2 == 0, asked="ordinary") for i in range(16)]
        for writer, _ in await asyncio.gather(*(client(gateway.port, kind, number) for kind in kinds)):
            writer.close()


async def run(gateway_of, only):
    """Each scenario with a gateway of its own: what one leaves behind would hide what the next one takes."""
    server, bad = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 16, backlog=2048), 0
    print(f"{'MiB, of each stream':<60}{'before':>8}{'peak':>8}{'on purpose':>12}{'above':>8}")
    for scenario in (s for s in SCENARIOS if not only or only in s.name):
        gateway = await asyncio.to_thread(gateway_of, configuration(server.sockets[0].getsockname()[1]))
        try:
            before, peak = await measure(gateway, scenario)
        finally:
            await asyncio.to_thread(gateway.stop)
        above = peak - scenario.own
        bad += above > ALLOWED
        name = f"8 × {scenario.name}" if scenario.streams == 8 else scenario.name
        print(f"{name:<60}{before / MIB:>8.1f}{peak / MIB:>8.2f}{scenario.own / MIB:>12.2f}{above / MIB:>8.2f}{'  too much' if above > ALLOWED else ''}", flush=True)
    server.close()
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--satisfice", required=True)
    ap.add_argument("--only", help="scenarios with this text in their name")
    a = ap.parse_args()
    if not sys.platform.startswith("linux"):
        return print("skipped: resident memory is read from /proc, which this system has not")
    os.environ["SATISFICE"] = os.path.abspath(a.satisfice)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from gateway import Gateway

    bad = asyncio.run(run(Gateway, a.only))
    print(f"{bad} failed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
