# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema says the same as `telex validate`, as far as a schema can."""
import json
import pathlib

import pytest

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = None

pytestmark = pytest.mark.skipif(jsonschema is None, reason="jsonschema or PyYAML is not installed")

HERE = pathlib.Path(__file__).parent / "configs"


@pytest.fixture
def schema(telex):
    done = telex("schema")
    assert done.returncode == 0
    return json.loads(done.stdout)


def errors_of(schema, text):
    return [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", sorted(HERE.glob("good-*.yaml")), ids=lambda p: p.stem)
def test_good_configs_fit(schema, path):
    assert errors_of(schema, path.read_text()) == []


@pytest.mark.parametrize("name", ["unknown-keys", "wrong-types", "ranges", "required", "missing", "stages-empty", "names"])
def test_bad_configs_do_not(schema, name):
    assert errors_of(schema, (HERE / f"{name}.yaml").read_text())


def test_every_installed_plugin_brings_its_options(schema):
    rules = schema["properties"]["stages"]["additionalProperties"]["allOf"]
    by_name = {rule["if"]["properties"]["plugin"]["const"]: rule["then"] for rule in rules}
    assert {"source-count", "sink-file", "stage-options"} <= set(by_name)
    options = by_name["stage-options"]["properties"]["options"]["properties"]
    assert options["choice"]["default"] == "green" and options["choice"]["description"]
    assert by_name["sink-file"]["required"] == ["options"]
