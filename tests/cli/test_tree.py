"""What holds for every verb: an example in its help, --json, and valid JSON whatever happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from arqonmesh_cli.app import VERBS, root, wants_json
from tests.cli.conftest import Arqon, Served

EXPECTED = {
    "init", "node start", "node stop", "node status", "node logs", "mesh seed", "mesh join", "mesh status",
    "mesh leave", "invite new", "invite ls", "invite revoke", "link add", "link rm", "link ls", "peer ls", "peer show",
    "pub", "sub", "tail", "status", "certs show", "certs rotate", "policy show", "policy explain", "policy packs",
    "lab up", "lab cut", "lab heal",
    "lab status", "lab run", "lab down", "demo", "explain", "version", "config schema",
    "config check", "config show", "config diff", "config reload",
    "bus key new", "bus key ls", "bus key revoke", "bus token", "bus clients",
}  # fmt: skip


def verbs(commands: Any, before: str = "") -> dict[str, Any]:
    """Every verb by its words, as typer's command."""
    found: dict[str, Any] = {}
    for name, command in commands.items():
        children = getattr(command, "commands", None)
        if children is None:
            found[before + name] = command
        else:
            found |= verbs(children, f"{before}{name} ")
    return found


TREE = verbs(root().commands)


def test_the_verbs_are_those_promised() -> None:
    """A verb that disappears breaks somebody's script."""
    assert set(TREE) >= EXPECTED
    assert list(root().commands) == list(VERBS)


@pytest.mark.parametrize("words", sorted(TREE))
def test_every_verb_has_a_sentence_an_example_and_json(words: str, arqon: Arqon) -> None:
    """--help shows how the verb is typed, not only what it is."""
    done = arqon(*words.split(), "--help")
    assert done.code == 0
    assert re.search(r"Examples?:\n(.|\n)*arqon", done.out), "no example"
    assert "--json" in done.out
    assert TREE[words].help and TREE[words].help[0].isupper() and TREE[words].help.splitlines()[0].endswith(".")


@pytest.mark.parametrize("words", sorted(TREE))
def test_a_usage_error_is_valid_json_with_json(words: str, arqon: Arqon) -> None:
    """R: --json is always valid JSON, also when the command line itself is wrong. Exit code 2."""
    done = arqon(*words.split(), "--no-such-option", "--json")
    assert done.code == 2
    error = done.json
    assert error["v"] == 1
    assert error["ok"] is False
    assert set(error["error"]) == {"code", "message", "hint"}
    assert error["error"]["code"] == "cli.usage"
    assert "--no-such-option" in error["error"]["message"]
    assert error["error"]["hint"] == f"arqon {words} --help"


@pytest.mark.parametrize("words", sorted(set(TREE) - {"version"}))
def test_a_usage_error_is_three_lines_for_people(words: str, arqon: Arqon) -> None:
    """What was seen, what would be right, what to type."""
    done = arqon(*words.split(), "--no-such-option")
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("       usage: arqon ")
    assert lines[2] == f"try:   arqon {words} --help"


@pytest.mark.parametrize("words", ["mesh", "node", "link", "mesh nonsense", "nonsense"])
def test_an_unknown_or_missing_verb_names_those_that_there_are(words: str, arqon: Arqon) -> None:
    """Nobody has to look up the list."""
    done = arqon(*words.split())
    assert done.code == 2
    assert "one of: " in done.err
    assert json.loads(arqon(*words.split(), "--json").out)["ok"] is False


def test_a_slip_of_the_finger_is_answered_with_the_verb_meant(arqon: Arqon) -> None:
    """arqon mehs status"""
    assert "'mesh'" in arqon("mehs", "status").err


def test_an_argument_that_is_no_text_is_an_error_like_any_other(arqon: Arqon, served: Served) -> None:
    """Python hands bytes that are not UTF-8 over as halves of characters; neither gRPC nor JSON takes those."""
    answer = arqon("peer", "show", "\udcff", *served.at, "--json")
    assert (answer.code, answer.json["error"]["code"]) == (2, "cli.not-text")
    for words in (("\udcff",), ("pub", "a:b", "x", "--context", "\udcff")):
        assert arqon(*words, "--json").json["ok"] is False


def test_arqon_alone_shows_what_there_is(arqon: Arqon) -> None:
    """The first thing anyone types."""
    done = arqon()
    assert done.code == 0
    for name in VERBS:
        assert re.search(rf"^  {name} ", done.out, re.MULTILINE), name


def test_json_is_an_option_only_before_the_double_dash() -> None:
    """`arqon pub a:b -- --json` publishes the text."""
    assert wants_json(["pub", "a:b", "x", "--json"])
    assert not wants_json(["pub", "a:b", "--", "--json"])


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_the_version_is_told_without_importing_anything_slow(arguments: list[str]) -> None:
    """0.3 s is a promise; what keeps it is that nothing heavy is imported."""
    code = (
        "import sys; sys.argv = ['arqon', *sys.argv[1:]]\n"
        "from arqonmesh_cli.__main__ import main; main()\n"
        "heavy = {'grpc', 'textual', 'typer', 'rich', 'msgspec', 'google.protobuf', 'asyncio', 'cryptography'}\n"
        "found = heavy & set(sys.modules); assert not found, found\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=30)
    print(f"took {time.monotonic() - begun:.3f} s")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"arqon \d+\.\d+\.\d+, protocol \d+\n", done.stdout)


def test_one_noun_does_not_import_the_others() -> None:
    """A verb pays for itself alone: no gRPC, no textual for `explain`."""
    code = (
        "import sys\nfrom arqonmesh_cli.app import run; assert run(['explain', 'cli.usage', '--json']) == 0\n"
        "found = {'grpc', 'textual', 'arqonmesh_cli.demo', 'arqonmesh_cli.mesh'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    """arqon explain | head -1"""
    command = f"{sys.executable} -m arqonmesh_cli explain | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_module_can_be_run_beside_the_script() -> None:
    """python -m arqonmesh_cli"""
    environment = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "arqonmesh_cli", "nonsense"], capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
