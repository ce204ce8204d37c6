# SPDX-License-Identifier: Apache-2.0
"""What telex ships holds to its own rules: every config is right, every plugin keeps the contract."""
import json
import os
import pathlib

import pytest

SOURCE = pathlib.Path(os.environ["TELEX_SOURCE"])
CONFIGS = sorted((SOURCE / "configs").glob("*.yaml"))
# What the configs take from their surroundings; no value is looked at before a pipeline runs.
ENV = {"TELEX_ARCHIVE": "/archive", "TELEX_MODEL_PATH": "/model.gguf", "TELEX_RECORDS": "/records.jsonl"}
STAGES = {"signal-archive": ["-o", f"path={SOURCE}/configs/seed-records.jsonl", "-o", "format=jsonl"],
          "signal-feed": ["-o", "feeds=http://127.0.0.1:9/feed.xml"], "cluster-story": [], "write-transformer": [],
          "wire-site": ["-o", "root=site"]}


def pipelines():
    """The YAML files that are pipelines; others (lists of models) have no stages."""
    return [path for path in CONFIGS if "\nstages:" in path.read_text()]


def test_there_are_configs_to_check():
    assert len(pipelines()) >= 2


@pytest.mark.parametrize("path", pipelines(), ids=lambda p: p.stem)
def test_a_shipped_config_is_right(telex, path):
    done = telex("validate", path, path="", env=ENV)
    assert done.returncode == 0, done.stderr
    assert telex("graph", path, path="", env=ENV).stdout.count(" -> ") >= 2


@pytest.mark.parametrize("path", pipelines(), ids=lambda p: p.stem)
def test_a_shipped_config_fits_the_schema(telex, path):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    schema = json.loads(telex("schema", path="").stdout)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text()))
    assert [f"{list(e.absolute_path)}: {e.message}" for e in errors] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_shipped_stage_keeps_the_contract(telex, name):
    about = json.loads(telex("plugins", "--json", name, path="").stdout)
    done = telex("check", "--json", about["path"], *STAGES[name], path="", timeout=300)
    assert json.loads(done.stdout)["findings"] == [], done.stdout + done.stderr


def test_every_shipped_plugin_can_be_described(telex):
    listed = json.loads(telex("plugins", "--json", path="").stdout)
    assert listed["refused"] == []
    assert set(STAGES) | {"model-cpu", "model-http"} <= {p["name"] for p in listed["plugins"]}
