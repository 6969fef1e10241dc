"""The official Node SDKs (openai, @anthropic-ai/sdk) against the gateway; skipped, and said so, where there is no npm."""
import os, pathlib, shutil, subprocess

import pytest

from gateway import Gateway, Upstream, configuration

HERE = pathlib.Path(__file__).parent / "node"
MODULES = HERE.parents[2] / "target/e2e-node"


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not here: the Node SDKs are not tried")
def test_the_official_node_sdks():
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "sdks.test.js"):
        shutil.copy(HERE / name, MODULES / name)
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=MODULES, check=True)
    upstream = Upstream()
    gateway = Gateway(configuration(upstream.port))
    address = f"http://127.0.0.1:{gateway.port}"
    run = subprocess.run(["node", "--test", "sdks.test.js"], cwd=MODULES, env={**os.environ, "GATEWAY": address}, capture_output=True, text=True)
    assert gateway.stop() == 0 and run.returncode == 0, run.stdout + run.stderr
