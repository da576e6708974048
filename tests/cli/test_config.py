"""`arqon config`: what is wrong, what holds and why, and what a running node makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Arqon, Served

FILE = """\
node: {cluster: hq}
bus:
  rate_per_s: 5
  auth_token: hunter2hunter2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arqon.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.requirement("R-CF-1")
def test_check_tells_every_problem_with_line_key_and_remedy(arqon: Arqon, file: Path) -> None:
    """Exit code 2; the same as data."""
    file.write_text(FILE + "  clients_max: many\nbuss: {}\nlisten: {quic: 3}\n")
    done = arqon("config", "check", str(file))
    assert done.code == 2
    assert done.out.splitlines()[:6] == [
        "arqon.yaml, line 5: bus.clients_max is 'many' [config.type]",
        "    it needs to be an integer above 0",
        "arqon.yaml, line 6: buss is not a setting [config.unknown-key]",
        "    did you mean bus",
        "arqon.yaml, line 7: listen.quic is 3 [config.type]",
        "    it needs to be text",
    ]
    assert "3 problems" in done.out
    data = arqon("config", "check", str(file), "--json").json["data"]
    assert data["valid"] is False
    assert data["problems"][0] == {
        "code": "config.type",
        "key": "bus.clients_max",
        "seen": "bus.clients_max is 'many'",
        "right": "it needs to be an integer above 0",
        "hint": "",
        "origin": {"kind": "file", "name": "arqon.yaml", "line": 5},
    }


@pytest.mark.parametrize("verb", ["check", "show"])
def test_a_file_that_is_named_and_not_there_is_a_slip_in_its_name(verb: str, arqon: Arqon, tmp_path: Path) -> None:
    """And no wish to make a node where it was looked for."""
    error = arqon("config", verb, str(tmp_path / "nonexist.yaml"), "--json").json["error"]
    assert (error["code"], error["hint"]) == ("config.missing-file", f"ls {tmp_path}")
    error = arqon("config", verb, "--data-dir", str(tmp_path / "absent"), "--json").json["error"]
    assert error["hint"] == f"arqon init --cluster NAME --data-dir {tmp_path}/absent"


def test_check_of_a_file_that_holds_says_so_and_warns(
    arqon: Arqon, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that nobody reads is a warning with the nearest that somebody does; secrets are masked."""
    monkeypatch.setenv("ARQON_DATADIR", "/x")
    done = arqon("config", "check", str(file))
    assert done.code == 0
    assert "warning: ARQON_DATADIR is read by nobody; did you mean ARQON_DATA_DIR" in done.out
    data = arqon("config", "check", str(file), "--json").json["data"]
    assert data["settings"]["bus"]["auth_token"] == "********"
    assert data["warnings"][0]["nearest"] == "ARQON_DATA_DIR"
    assert "hunter2" not in str(data)


@pytest.mark.requirement("R-CF-1")
@pytest.mark.requirement("R-CF-1")
def test_check_tells_what_the_start_would_refuse(arqon: Arqon, tmp_path: Path) -> None:
    """A bus that others reach without anything that says who may use it; keys that are not there; until both are."""
    from arqonmesh.bridge.auth.api_keys import FILE as KEYS
    from arqonmesh.bridge.auth.api_keys import ApiKeys

    node, new = tmp_path / "node", tmp_path / "new.yaml"
    assert arqon("init", "--cluster", "hq", "--data-dir", str(node)).code == 0

    def codes(text: str) -> tuple[int, list[tuple[str, str]]]:
        new.write_text("node: {cluster: hq}\n" + text)
        done = arqon("config", "check", str(new), "--data-dir", str(node), "--json")
        return done.code, [(problem["code"], problem["key"]) for problem in done.json["data"]["problems"]]

    everywhere = "listen: {bus: '0.0.0.0:9100', telemetry: '0.0.0.0:9101'}\n"
    by_file = "bus: {auth: {jwt: {secret_file: bus.secret}}}\n"
    assert codes(everywhere) == (2, [("bus.open", "listen.bus"), ("bus.open", "listen.telemetry")])
    assert codes(by_file) == (2, [("bus.auth-keys", "bus.auth.jwt")])
    assert not (node / KEYS).exists(), "a check makes nothing"
    assert arqon("config", "check", str(new), "--data-dir", str(node)).out.startswith("new.yaml, line 2: ")
    (node / "bus.secret").write_text("s" * 64)
    (node / "bus.secret").chmod(0o600)
    assert codes(everywhere + by_file) == (0, [])
    keys = ApiKeys(node / KEYS, lambda: 1)
    keys.new("first", "user")
    keys.close()
    assert codes(everywhere) == (0, [])


def test_show_tells_each_value_and_where_it_comes_from(
    arqon: Arqon, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default, file and line, or variable; what was given alone without --origin."""
    monkeypatch.setenv("ARQONBUS_HISTORY_SIZE", "7")
    rows = [line.split() for line in arqon("config", "show", str(file), "--origin").out.splitlines()]
    assert ["bus.rate_per_s", "5", "arqon.yaml,", "line", "3"] in rows
    assert ["bus.auth_token", '"********"', "arqon.yaml,", "line", "4"] in rows
    assert ["bus.history.per_channel", "7", "environment", "ARQONBUS_HISTORY_SIZE"] in rows
    assert ["node.role", '"hub"', "default"] in rows
    few = [line.split()[0] for line in arqon("config", "show", str(file)).out.splitlines()]
    assert few == ["SETTING", "node.cluster", "bus.history.per_channel", "bus.rate_per_s", "bus.auth_token"]
    data = arqon("config", "show", str(file), "--json").json["data"]["settings"]
    assert {"key": "bus.rate_per_s", "value": 5, "hot": True, "origin": {
        "kind": "file", "name": "arqon.yaml", "line": 3,
    }} in data  # fmt: skip
    file.write_text("x")
    assert arqon("config", "show", str(file)).code == 2


@pytest.mark.requirement("R-CF-2")
@pytest.mark.parametrize("verb", ["diff", "reload"])
def test_a_running_node_says_what_it_takes_and_what_waits_for_a_restart(
    arqon: Arqon, served: Served, verb: str
) -> None:
    """Asked over its control socket: its own file, under its own environment."""
    done = arqon("config", verb, *served.at)
    assert done.code == 0
    rows = [" ".join(line.split()) for line in done.out.splitlines()]
    effect = "taken now" if verb == "reload" else "at once, by arqon config reload"
    assert f"bus.rate_per_s 0 100 arqon.yaml, line 3 {effect}" in rows
    assert 'listen.bus "127.0.0.1:9100" "127.0.0.1:9200" environment ARQON_LISTEN__BUS after a restart' in rows
    assert "1 setting needs a restart: arqon node stop, then arqon node start" in rows
    data = arqon("config", verb, *served.at, "--json").json["data"]
    assert (data["applied"], data["restart"]) == (verb == "reload", ["listen.bus"])
    assert data["changes"][0]["file"] == 100
    assert served.node.calls[-1] == ("config_changes", (verb == "reload",))


def test_without_a_node_there_is_nothing_to_compare_with(arqon: Arqon, file: Path) -> None:
    """Exit code 3."""
    assert arqon("config", "diff", "--data-dir", str(file.parent)).code == 3


def test_a_new_node_has_its_schema_beside_its_settings(arqon: Arqon, tmp_path: Path) -> None:
    """An editor with a YAML language server finds it by the first line."""
    assert arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path / "n")).code == 0
    first = (tmp_path / "n" / "arqon.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=arqon.schema.json"
    assert (tmp_path / "n" / "arqon.schema.json").read_text() == arqon("config", "schema").out
