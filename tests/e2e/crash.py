#!/usr/bin/env python3
"""kill -9 under load: no acknowledged score is missing after the restart, and none is counted twice."""
import argparse, http.client, json, os, random, sys, tempfile, threading, time


def client(gateway, acknowledged, in_doubt, stop, seed):
    """Asks and scores until the gateway is gone; remembers what was acknowledged, revisions included, and what was
    under way when the kill came: that one may have become durable or not."""
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)

    def post(path, body):
        connection.request("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.getheader("x-satisfice-trace-id"), reply.read()

    traces = []
    try:
        while not stop.is_set():
            status, trace, _ = post("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": f"{rng.random()} + 1?"}]})
            if status == 200:
                traces.append(trace)
            target = rng.choice(traces[-20:])
            value = round(rng.random(), 6)
            key = target, f"s{seed}"
            in_doubt[key] = value
            status, _, _ = post("/v1/feedback", {"trace_id": target, "name": "quality", "value": value, "source": key[1]})
            if status == 200:
                acknowledged[key] = value
                del in_doubt[key]
    except (OSError, http.client.HTTPException):
        pass  # killed


def check(gateway, acknowledged, in_doubt):
    """Every acknowledged score is there, once, with its newest value."""
    missing = doubled = 0
    for (trace, source), value in acknowledged.items():
        status, _, raw = gateway.call("GET", f"/v1/traces/{trace}")
        found = [s["value"] for s in json.loads(raw)["scores"] if s["source"] == source] if status == 200 else []
        doubled += len(found) > 1
        missing += not (found == [value] or found == [in_doubt.get((trace, source))])
    return missing, doubled


def scored_answers(gateway):
    """How many scored answers the posterior counts."""
    _, _, raw = gateway.call("GET", "/metrics")
    lines = [l for l in raw.decode().splitlines() if l.startswith("satisfice_arm_scored_answers{")]
    return sum(float(l.rsplit(" ", 1)[1]) for l in lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--satisfice", required=True)
    ap.add_argument("--rounds", type=int, default=50)
    ap.add_argument("--clients", type=int, default=4)
    a = ap.parse_args()
    os.environ["SATISFICE"] = os.path.abspath(a.satisfice)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from gateway import Gateway, Upstream, configuration

    upstream, data, rng = Upstream(), tempfile.mkdtemp(prefix="satisfice-crash-"), random.Random(1)
    ever, missing, doubled, total = {}, 0, 0, 0
    gateway = Gateway(configuration(upstream.port), data)
    for round_ in range(a.rounds):
        acknowledged, in_doubt, stop = {}, {}, threading.Event()
        threads = [threading.Thread(target=client, args=(gateway, acknowledged, in_doubt, stop, i)) for i in range(a.clients)]
        [t.start() for t in threads]
        time.sleep(0.1 + rng.random() * 0.5)
        gateway.kill()
        stop.set()
        [t.join() for t in threads]
        gateway = Gateway(configuration(upstream.port), data)
        m, d = check(gateway, acknowledged, in_doubt)
        missing, doubled, total = missing + m, doubled + d, total + len(acknowledged)
        ever.update(acknowledged)
    counted = scored_answers(gateway)
    gateway.stop()
    answers = len({trace for trace, _ in ever})
    print(json.dumps({"kills": a.rounds, "acknowledged": total, "missing": missing, "doubled": doubled,
                      "scored_answers_acknowledged": answers, "scored_answers_counted": counted}))
    # A score may have become durable whose acknowledgement the kill cut off: at most one a client and kill.
    if total == 0 or missing or doubled or not answers <= counted <= answers + a.rounds * a.clients:
        sys.exit("the ledger lost or doubled a score")
    print(f"{a.rounds} passed, 0 failed")


if __name__ == "__main__":
    main()
