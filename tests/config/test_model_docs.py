"""Every setting is documented, in the model, the reference and the schema alike."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from arqonmesh.config import reference, schema
from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.load import loads
from arqonmesh.config.schema import json_schema
from arqonmesh.config.write import render
from arqonmesh.errors import ConfigError

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"
SCHEMA = REFERENCE.with_name("config.schema.json")


@pytest.mark.parametrize("setting", settings().values(), ids=lambda setting: setting.name)
def test_every_setting_says_what_it_does(setting: Setting) -> None:
    """A sentence stands under each field of the model, or in its section's docstring."""
    assert setting.doc.endswith("."), f"{setting.name} has no sentence in config/model.py"
    assert setting.needs


def test_the_reference_page_is_current() -> None:
    """`python -m arqonmesh.config.reference > docs/reference/config.md`, or `just docs`."""
    assert REFERENCE.read_text() == reference.render()


def test_the_schema_file_is_current() -> None:
    """`python -m arqonmesh.config.schema > docs/reference/config.schema.json`, or `just docs`."""
    assert SCHEMA.read_text() == schema.render()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (render({"node": {"cluster": "hq"}}), True),
        ("node: {cluster: hq}\nbus: {history: 3}\nlinks:\n", True),
        ("node: {cluster: hq}\nbus: {rooms: [{room: science, channels: [a]}]}\nlog: {level: debug}", True),
        ("node: {cluster: hq}\nbus: {histroy: 3}", False),
        ("node: {cluster: hq, role: boss}", False),
        ("node: {cluster: hq}\nbus: {history: -1}", False),
        ("bus: {}", False),
    ],
)
def test_editors_and_the_node_agree_on_a_file(text: str, fits: bool) -> None:
    """What `arqon init` writes has no red line, and what a node refuses has one."""
    assert jsonschema_rs.is_valid(json_schema(), yaml.safe_load(text)) is fits
    if fits:
        loads(text.encode())
    else:
        with pytest.raises(ConfigError):
            loads(text.encode())


def test_the_schema_describes_every_setting() -> None:
    """JSON Schema with descriptions, and it is JSON."""
    text = json.dumps(json_schema())
    for setting in settings().values():
        assert json.dumps(setting.doc)[1:-1] in text


@pytest.mark.parametrize(
    "values",
    [
        {"node": {"cluster": "hq"}},
        {"node": {"cluster": "2024", "role": "spoke", "region": "no"}, "listen": {"quic": "[::1]:0"}},
        {
            "node": {"cluster": "factory", "region": 'a "quoted" # text: ünïcode'},
            "listen": {"bus": "127.0.0.1:0", "advertise": ["h:1", "g:2"]},
            "federation": {"export": {"allow": ["telemetry:*"], "deny": ["telemetry:secret*"]}, "ttl": 3},
            "certificates": {"lifetime_s": 10.5, "renew_after_s": 5},
        },
    ],
)
def test_what_is_written_for_a_new_node_loads_back_as_the_same_settings(values: dict[str, object]) -> None:
    """The commented file means exactly what was asked for, defaults elsewhere."""
    assert loads(render(values).encode()) == loads(json.dumps(values).encode())


def test_every_commented_line_can_be_uncommented_as_it_stands() -> None:
    """Removing the '#' before every default gives the same settings, written out."""
    text = render({"node": {"cluster": "hq"}})
    names = {setting.path[-1] for setting in settings().values()}
    lines = []
    for line in text.splitlines():
        stripped = line.lstrip()
        bare = stripped.removeprefix("#")
        if stripped.startswith("#") and bare.partition(":")[0] in names:
            line = line.replace("#", "", 1)
        lines.append(line)
    whole = "\n".join(lines)
    assert loads(whole.encode()) == loads(text.encode())
    given = yaml.safe_load(whole)
    for setting in settings().values():
        value = given
        for part in setting.path:
            value = value[part]
        assert (value is None) <= setting.section


def test_values_that_are_no_settings_are_refused_before_anything_is_written() -> None:
    """`arqon init` cannot write a file that the node would then refuse."""
    with pytest.raises(ConfigError, match=r"bus\.histroy is not a setting; did you mean bus\.history"):
        render({"node": {"cluster": "hq"}, "bus": {"histroy": 3}})
    with pytest.raises(ConfigError, match=r"listen\.quic is 'x'"):
        render({"node": {"cluster": "hq"}, "listen": {"quic": "x"}})
