# SPDX-License-Identifier: Apache-2.0
"""A model server that is not there: the story waits, then is held with the reason, and the wire lives on."""
import json
import os
import socket
from pathlib import Path

import soak

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["TELEX_BUILD"])


def test_a_story_whose_model_server_is_down_is_held_and_can_be_retried(tmp_path):
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        seed = (ROOT / "configs" / "seed.yaml").read_text()
        local = 'plugin: model-cpu, options: {path: "${env:TELEX_MODEL_PATH}"}'
        assert local in seed
        server = f'plugin: model-http, options: {{base_url: "http://127.0.0.1:{port}/v1", model: any}}'
        config = tmp_path / "seed.yaml"
        text = seed.replace(local, server).replace("path: seed-", f"path: {ROOT}/configs/seed-")
        text = text.replace("    model: desk\n", "    model: desk\n    retries: 2\n    retry: 100ms\n")
        config.write_text(text)
        folder = tmp_path / "run"
        folder.mkdir()
        wire = soak.Archive(folder, BUILD, config, "process", model="unused")
        assert wire.start().wait(120) == 0, (folder / "log").read_text()[-3000:]
    wire.audit()
    held = [json.loads(line) for line in wire.command("quarantine", "list", "--json", str(wire.journal())).stdout.splitlines()]
    assert len(held) == 1
    assert held[0]["stage"] == "write" and str(port) in held[0]["reason"], held[0]["reason"]
    log = (folder / "log").read_text()
    assert "retry 1 of 2" in log and "retry 2 of 2" in log
    # The same pipeline with a model that answers: the held story is put back and published once.
    wire.config.write_text(wire.config.read_text().replace(server, "plugin: model-script"))
    assert wire.command("quarantine", "retry", str(wire.journal()), "all").returncode == 0
    assert wire.start().wait(120) == 0
    wire.audit()
    assert len(wire.command("dispatches", str(wire.journal())).stdout.splitlines()) == 1
