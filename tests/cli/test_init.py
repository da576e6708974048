"""`arqon init`, `arqon config` and the beginnings of `arqon node start`: what needs no running node."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from arqonmesh.config.load import load
from arqonmesh.trust.keystore import load_node_key
from tests.cli.conftest import Arqon


def test_init_makes_a_node_that_its_own_rooms_accept(arqon: Arqon, tmp_path: Path) -> None:
    """Identity, settings and a directory that is nobody else's."""
    at = tmp_path / "node"
    done = arqon(
        *("init", "--cluster", "factory", "--role", "spoke", "--region", "eu", "--data-dir", str(at), "--json"),
        *("--quic", "127.0.0.1:9230", "--bus", "127.0.0.1:9200", "--http", "127.0.0.1:9280"),
        *("--advertise", "a.example:1", "--advertise", "b.example:2"),
        *("--export", "telemetry:*", "--keep", "telemetry:secret*"),
    )
    assert done.code == 0, done.out
    config = load(at / "arqon.yaml", {})
    assert (config.node.cluster, config.node.role, config.node.region) == ("factory", "spoke", "eu")
    assert (config.listen.quic, config.listen.bus, config.listen.http) == (
        "127.0.0.1:9230",
        "127.0.0.1:9200",
        "127.0.0.1:9280",
    )
    assert config.listen.advertise == ("a.example:1", "b.example:2")
    assert config.federation.export.allow == ("telemetry:*",)
    assert config.federation.export.deny == ("telemetry:secret*",)
    assert load_node_key(at / "node.key").node_id == done.json["data"]["node_id"]
    assert stat.S_IMODE(at.stat().st_mode) == 0o700
    assert stat.S_IMODE((at / "node.key").stat().st_mode) == 0o600


def test_by_default_nothing_is_exported_and_init_says_so(arqon: Arqon, tmp_path: Path) -> None:
    """Default deny."""
    done = arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path / "n"))
    assert "nothing leaves the cluster yet" in done.out
    assert load(tmp_path / "n" / "arqon.yaml", {}).federation.export.allow == ()


@pytest.mark.parametrize("kept", ["node.key", "arqon.yaml"])
def test_init_never_overwrites(kept: str, arqon: Arqon, tmp_path: Path) -> None:
    """Neither an identity nor settings; and it leaves nothing half made beside them."""
    (tmp_path / kept).write_text("precious")
    done = arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path), "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "cli.already-initialised"
    assert (tmp_path / kept).read_text() == "precious"
    assert not {"node.key", "arqon.yaml"} - {kept} & set(os.listdir(tmp_path))


def test_a_node_that_lost_its_settings_gets_new_ones_and_stays_itself(arqon: Arqon, tmp_path: Path) -> None:
    """The way that the start names is one; nothing but arqon.yaml is written."""
    at = tmp_path / "n"
    made = arqon("init", "--cluster", "hq", "--data-dir", str(at), "--json").json["data"]
    key = (at / "node.key").read_bytes()
    (at / "arqon.yaml").unlink()
    refused = arqon("node", "start", "--detach", "--data-dir", str(at), "--json").json["error"]
    assert (refused["code"], refused["hint"]) == ("cli.no-node", f"arqon init --cluster NAME --data-dir {at}")
    assert "keeps its identity" in refused["message"]
    again = arqon(*refused["hint"].replace("NAME", "hq").split()[1:])
    assert (again.code, "keeps its identity and has new settings" in again.out) == (0, True)
    assert (at / "node.key").read_bytes() == key
    assert load_node_key(at / "node.key").node_id == made["node_id"]
    assert load(at / "arqon.yaml", {}).node.cluster == "hq"
    assert arqon("init", "--cluster", "hq", "--data-dir", str(at)).code == 2


@pytest.mark.parametrize(
    "wrong",
    [("--cluster", "Not A Name"), ("--cluster", "hq", "--quic", "nowhere"), ("--cluster", "hq", "--role", "boss")],
)
def test_wrong_settings_make_nothing(wrong: tuple[str, ...], arqon: Arqon, tmp_path: Path) -> None:
    """The settings are checked before a file is written."""
    at = tmp_path / "node"
    done = arqon("init", *wrong, "--data-dir", str(at), "--json")
    assert done.code == 2
    assert done.json["ok"] is False
    assert not at.exists()


@pytest.mark.parametrize(
    ("typed", "seen", "right"),
    [
        (("--quic", "foo"), "--quic is 'foo'", "HOST:PORT"),
        (("--quic", "127.0.0.1:99999"), "--quic is '127.0.0.1:99999'", "0 to 65535"),
        (("--advertise", "x:0"), "--advertise holds 'x:0'", "1 to 65535"),
        (("--bus", "127.0.0.1:1", "--telemetry", "127.0.0.1:1"), "--telemetry is", "than --bus and --http"),
        (("--export", ""), "--export is ''", "1 to 256 characters"),
        (("--export", "a:b", "--export", "nocolon"), "--export is 'nocolon'", "nocolon:* or default:nocolon"),
        (("--keep", "a:b:c"), "--keep is 'a:b:c'", "ROOM:CHANNEL"),
    ],
)
def test_what_is_wrong_is_told_by_the_option_that_was_typed(
    typed: tuple[str, ...], seen: str, right: str, arqon: Arqon, tmp_path: Path
) -> None:
    """Nobody wrote a file yet, so there are no lines and no settings' names; and nothing is made."""
    done = arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path / "n"), *typed)
    first, second, _ = done.err.splitlines()
    assert (done.code, seen in first, right in second) == (2, True, True), done.err
    assert "line" not in done.err and "listen." not in done.err
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    "words", [("init", "--cluster", "hq"), ("node", "start"), ("node", "status"), ("pub", "a:b", "x")], ids=" ".join
)
def test_a_file_in_the_place_of_the_data_directory_is_told_as_one(
    words: tuple[str, ...], arqon: Arqon, tmp_path: Path
) -> None:
    """By every command, and not as a node that needs to be made there."""
    (tmp_path / "file").touch()
    error = arqon(*words, "--data-dir", str(tmp_path / "file"), "--json").json["error"]
    assert (error["code"], error["hint"]) == ("config.data-dir", f"ls -l {tmp_path / 'file'}")
    assert error["message"] == f"{tmp_path / 'file'} is a file; a directory is needed"


def test_the_data_directory_comes_from_the_environment_too(
    arqon: Arqon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ARQON_DATA_DIR."""
    monkeypatch.setenv("ARQON_DATA_DIR", str(tmp_path / "e"))
    assert arqon("init", "--cluster", "hq").code == 0
    assert (tmp_path / "e" / "arqon.yaml").exists()


def test_config_check_says_what_is_wrong_and_where(arqon: Arqon, tmp_path: Path) -> None:
    """As the next start would see it, the environment included."""
    at = ("--data-dir", str(tmp_path))
    arqon("init", "--cluster", "hq", *at)
    assert arqon("config", "check", *at, "--json").json["data"]["settings"]["node"]["cluster"] == "hq"
    with (tmp_path / "arqon.yaml").open("a") as file:
        file.write("\nbusses: {}\n")
    done = arqon("config", "check", *at, "--json")
    assert done.code == 2
    assert [problem["key"] for problem in done.json["data"]["problems"]] == ["busses"]


def test_config_schema_is_a_json_schema(arqon: Arqon) -> None:
    """Both forms hold the same document."""
    import json

    plain = json.loads(arqon("config", "schema").out)
    assert plain["title"] == "arqon.yaml"
    assert arqon("config", "schema", "--json").json["data"] == plain


def test_starting_a_node_that_was_not_made_says_how_to_make_one(arqon: Arqon, tmp_path: Path) -> None:
    """Exit code 5: the thing named is not there."""
    done = arqon("node", "start", "--detach", "--data-dir", str(tmp_path / "absent"), "--json")
    assert done.code == 5
    assert done.json["error"]["hint"] == f"arqon init --cluster NAME --data-dir {tmp_path}/absent"


def test_an_error_of_a_detached_start_reaches_the_terminal(tmp_path: Path) -> None:
    """The process dies in the background; its error is told where it was started, with its own exit code."""
    at = ("--data-dir", str(tmp_path))
    run = [sys.executable, "-m", "arqonmesh_cli"]
    subprocess.run([*run, "init", "--cluster", "hq", *at], check=True, capture_output=True, timeout=30)
    (tmp_path / "arqon.yaml").write_text("node: {cluster: hq}\nlinks: {misses: 0}\n")
    done = subprocess.run([*run, "node", "start", "--detach", *at], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "links.misses" in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_there_is_no_log_before_a_detached_start(arqon: Arqon, tmp_path: Path) -> None:
    """And the error says which start writes one."""
    done = arqon("node", "logs", "--data-dir", str(tmp_path), "--json")
    assert done.code == 5
    assert done.json["error"]["code"] == "cli.no-log"
    assert done.json["error"]["hint"] == f"arqon init --cluster NAME --data-dir {tmp_path}"
    assert arqon("init", "--cluster", "hq", "--data-dir", str(tmp_path)).code == 0
    done = arqon("node", "logs", "--data-dir", str(tmp_path), "--json")
    assert done.json["error"]["hint"] == f"arqon node start --data-dir {tmp_path} --detach"


def test_logs_prints_the_newest_lines(arqon: Arqon, tmp_path: Path) -> None:
    """-n counts from the end; --json keeps each line, parsed where it is JSON."""
    (tmp_path / "node.log").write_text("first\nsecond\n" + '{"event":"third"}' + "\n")
    at = ("--data-dir", str(tmp_path))
    assert arqon("node", "logs", "-n", "2", *at).out == 'second\n{"event":"third"}\n'
    assert arqon("node", "logs", "-n", "1", *at, "--json").json["data"] == {
        "line": '{"event":"third"}',
        "entry": {"event": "third"},
    }


def test_following_a_log_goes_on_with_the_file_that_replaces_it(tmp_path: Path) -> None:
    """Rotation by moving away, as logrotate does it."""
    log = tmp_path / "node.log"
    log.write_text("old\n")
    command = [sys.executable, "-m", "arqonmesh_cli", "node", "logs", "-f", "-n", "1", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "old\n"
        with log.open("a") as file:
            file.write("appended\n")
        assert follower.stdout.readline() == "appended\n"
        log.rename(tmp_path / "node.log.1")
        log.write_text("new\n")
        assert follower.stdout.readline() == "new\n"
        follower.terminate()
