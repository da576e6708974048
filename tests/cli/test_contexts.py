"""Named data directories of a running demo."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from arqonmesh.errors import ConfigError, NotFound, UsageError
from arqonmesh_cli import contexts
from arqonmesh_cli.where import place_of
from tests.cli.conftest import Arqon, Served


def test_a_registered_name_finds_its_directory_until_it_is_removed(tmp_path: Path) -> None:
    """Who starts named nodes writes the names and removes them."""
    names = {"hq": tmp_path / "hq", "factory": tmp_path / "factory"}
    contexts.register(names)
    assert contexts.contexts() == names
    contexts.unregister({"hq": tmp_path / "hq"})
    assert contexts.contexts() == {"factory": tmp_path / "factory"}


def test_another_s_name_is_not_removed(tmp_path: Path) -> None:
    """A second demo took the name over; the first one's end must not take it away."""
    contexts.register({"hq": tmp_path / "second"})
    contexts.unregister({"hq": tmp_path / "first"})
    assert contexts.find("hq") == tmp_path / "second"


def test_a_name_that_somebody_else_s_running_nodes_have_is_not_taken_from_them(arqon: Arqon, tmp_path: Path) -> None:
    """The first demo goes on showing commands with it: a second one is refused, and told whose the names are."""
    first = subprocess.Popen(["sleep", "60"])
    try:
        contexts.register({"hq": tmp_path / "first"}, owner=first.pid)
        done = arqon("demo", "--once", "--json")
        assert (done.code, done.json["error"]["code"]) == (2, "cli.context-taken")
        assert f"process {first.pid}" in done.json["error"]["message"]
        assert done.err == "", "nothing was started"
        with pytest.raises(UsageError):
            contexts.claim({"factory": tmp_path / "second" / "factory", "hq": tmp_path / "second" / "hq"})
        assert contexts.contexts() == {"hq": tmp_path / "first"}
    finally:
        first.kill()
        first.wait()
    contexts.claim({"hq": tmp_path / "second"})
    assert contexts.find("hq") == tmp_path / "second"


def test_a_name_does_not_hold_for_a_process_that_only_has_its_owner_s_number(tmp_path: Path) -> None:
    """Numbers come round: a demo that was killed would bar the next one for as long as somebody else runs."""
    contexts.register({"hq": tmp_path})
    path = contexts.registry_path()
    entries = json.loads(path.read_text())
    entries["hq"]["since"] = "1"
    path.write_text(json.dumps(entries))
    assert contexts.contexts() == {}


def test_an_unknown_name_is_answered_with_a_command_for_one_that_there_is(tmp_path: Path) -> None:
    """And with the demo, which makes some, only where there is none."""
    with pytest.raises(NotFound) as caught:
        contexts.find("nosuch")
    assert caught.value.hint == "arqon demo"
    contexts.register({"store": tmp_path / "store", "factory": tmp_path / "factory"})
    with pytest.raises(NotFound) as caught:
        contexts.find("nosuch")
    assert caught.value.hint == "arqon node status --context factory"


def test_a_name_whose_owner_died_does_not_count(tmp_path: Path) -> None:
    """After kill -9 of the demo its names must not lead into the void."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    contexts.register({"hq": tmp_path})
    path = contexts.registry_path()
    entries = json.loads(path.read_text())
    entries["hq"]["pid"] = dead.pid
    path.write_text(json.dumps(entries))
    assert contexts.contexts() == {}
    with pytest.raises(NotFound) as caught:
        contexts.find("hq")
    assert caught.value.exit_code == 5


def test_a_registry_of_rubbish_is_an_empty_one(tmp_path: Path) -> None:
    """The file is a convenience; losing it loses only names."""
    contexts.registry_path().write_text("{not json")
    assert contexts.contexts() == {}
    contexts.register({"hq": tmp_path})
    assert contexts.find("hq") == tmp_path


def test_a_runtime_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Whoever could write there could send our commands to a node of theirs."""
    directory = contexts.registry_path().parent
    os.chmod(directory, 0o777)
    with pytest.raises(ConfigError) as caught:
        contexts.contexts()
    assert caught.value.code == "cli.runtime-dir"


def test_a_command_speaks_to_the_node_of_its_context(arqon: Arqon, served: Served) -> None:
    """--context wins over --data-dir, so that it works also where ARQON_DATA_DIR is set."""
    contexts.register({"hq": served.data_dir})
    assert arqon("node", "status", "--context", "hq", "--data-dir", "/nonexistent").code == 0
    missing = arqon("node", "status", "--context", "nowhere", "--json")
    assert missing.code == 5
    assert "hq" in missing.json["error"]["message"]


def test_a_name_can_hold_for_as_long_as_another_process_runs(tmp_path: Path) -> None:
    """A lab is built by a command that ends; its switch runs on."""
    owner = subprocess.Popen(["sleep", "60"])
    contexts.register({"hub": tmp_path}, owner=owner.pid)
    assert contexts.find("hub") == tmp_path
    owner.kill()
    owner.wait()
    assert contexts.contexts() == {}


def test_a_suggested_command_means_the_node_that_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed as shown it must not reach another node; nothing is added where the environment already says which."""
    contexts.register({"hq": tmp_path / "hq"})
    assert place_of(None, "hq").suffix == " --context hq"
    assert place_of(tmp_path / "b", None).suffix == f" --data-dir {tmp_path / 'b'}"
    monkeypatch.setenv("ARQON_DATA_DIR", str(tmp_path / "b"))
    assert place_of(tmp_path / "b", None).suffix == ""
    assert place_of(None, None).suffix == ""
