"""arqon.yaml and the environment: what is understood, and how what is not is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.load import load, loads
from arqonmesh.config.model import Config, NodeSettings
from arqonmesh.errors import CATALOGUE, ConfigError

MINIMAL = "node: {cluster: hq}\n"


def refusal(text: str, **environ: str) -> ConfigError:
    """The error that this file and environment are refused with."""
    with pytest.raises(ConfigError) as caught:
        loads(text.encode(), environ=environ)
    assert caught.value.code in CATALOGUE
    return caught.value


def outcome(data: bytes) -> str:
    """ "understood", or the code it was refused with; anything else escapes."""
    try:
        loads(data)
    except ConfigError as error:
        return error.code
    return "understood"


def test_a_cluster_name_is_all_that_a_node_needs() -> None:
    """Everything else has a default."""
    assert loads(MINIMAL.encode()) == Config(node=NodeSettings(cluster="hq"))


def test_values_of_every_kind_are_read() -> None:
    """Text, integers with underscores, numbers, lists, nested sections and the `import` key."""
    config = loads(b"""
node: {cluster: factory, role: spoke, region: eu}
listen: {bus: "127.0.0.1:0", advertise: ["a.example:9130"]}
federation:
  export:
    allow: ["telemetry:*"]
    deny:
      - telemetry:secret*
  import: {allow: []}
bus: {history: 1_000}
certificates: {lifetime_s: 60, renew_after_s: 0.5e1}
""")
    assert config.node.role == "spoke"
    assert config.listen.advertise == ("a.example:9130",)
    assert config.federation.export.deny == ("telemetry:secret*",)
    assert config.federation.import_.allow == ()
    assert config.bus.history.per_channel == 1_000
    assert (config.certificates.lifetime_s, config.certificates.renew_after_s) == (60.0, 5.0)


def test_an_empty_section_means_its_defaults() -> None:
    """As the file of `arqon init` has them, with everything commented out."""
    assert loads(b"node: {cluster: hq}\nlinks:\nfederation:\n  export:\n") == loads(MINIMAL.encode())


def test_words_stay_words() -> None:
    """YAML 1.2: `no`, `on` and 12:30 are text, not a boolean or a number of seconds."""
    assert loads(b"node: {cluster: no, region: 12:30}").node == NodeSettings(cluster="no", region="12:30")


def test_an_alias_stands_for_what_its_anchor_names() -> None:
    """Two channels' rules may share a list."""
    config = loads(b"node: {cluster: hq}\nfederation: {export: {allow: &a [x:y]}, import: {allow: *a}}")
    assert config.federation.import_.allow == ("x:y",)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("node: {cluster: hq}\nbus:\n  histroy: 3", "config.unknown-key",
         "bus.histroy is not a setting; did you mean bus.history (arqon.yaml, line 3)"),
        ("node: {cluster: hq}\nhistory: 3", "config.unknown-key",
         "history is not a setting; did you mean bus.history (arqon.yaml, line 2)"),
        ("node: {cluster: hq}\n\nbus:\n  history: -1", "config.type",
         "bus.history.per_channel is -1; it needs to be an integer from 0 to 100,000 (arqon.yaml, line 4)"),
        ("node: {cluster: hq}\ngossip: {tombstone_horizon_s: 3599}", "config.type",
         "gossip.tombstone_horizon_s is 3599; it needs to be a number of at least 3,600 (arqon.yaml, line 2)"),
        ("node: {cluster: hq, role: boss}", "config.type",
         "node.role is 'boss'; it needs to be one of hub, leader or spoke (arqon.yaml, line 1)"),
        ("node: {cluster: hq}\nbus: 3", "config.type",
         "bus is 3; it needs to be a group of settings (arqon.yaml, line 2)"),
        ("node: {cluster: hq}\nlisten:\n  advertise:\n    - a:1\n    - 2", "config.type",
         "listen.advertise[1] is 2; it needs to be text (arqon.yaml, line 5)"),
        ("bus: {history: 3}", "config.missing-key", "node.cluster is not given; it needs to be text (arqon.yaml)"),
        ("node: {role: hub}", "config.missing-key",
         "node.cluster is not given; it needs to be text (arqon.yaml, line 1)"),
        ("", "config.missing-key", "node.cluster is not given; it needs to be text (arqon.yaml)"),
        ("node: {cluster: hq}\nbus: {}\nbus: {}", "config.duplicate-key",
         "bus is given twice; it needs to be given once (arqon.yaml, lines 2 and 3)"),
        ("[1]", "config.type",
         "the file holds a list; it needs to hold sections such as `node:` and `listen:` (arqon.yaml)"),
        ("node: {cluster: hq}\nlisten: {http: here}", "config.relation",
         "listen.http is 'here'; it needs to be HOST:PORT with a port from 0 to 65535, IPv6 in brackets "
         "(arqon.yaml, line 2)"),
        ("node: {cluster: hq}\nlisten: {http: 'h:1', bus: 'h:1'}", "config.relation",
         "listen.http is 'h:1'; it needs to be another address than listen.bus (arqon.yaml, line 2)"),
        ("node: {cluster: hq}\nmembership:\n  probe_timeout_ms: 5000", "config.relation",
         "membership.probe_timeout_ms is 5000; it needs to be at most membership.probe_interval_ms, which is 1000 "
         "(arqon.yaml, line 3)"),
        ("node: {cluster: hq}\ncertificates:\n  renew_after_s: 200_000", "config.relation",
         "certificates.renew_after_s is 200000.0; it needs to be less than certificates.lifetime_s, which is 172800 "
         "(arqon.yaml, line 3)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_its_value_what_fits_and_its_line(text: str, code: str, sentence: str) -> None:
    """The error speaks of the setting by its dotted name."""
    error = refusal(text)
    assert (error.code, error.sentence) == (code, sentence)


def test_a_number_where_text_is_needed_is_answered_with_quotes() -> None:
    """A cluster called 2024 is possible."""
    assert refusal("node: {cluster: 2024}").hint == 'write it in quotes: cluster: "2024"'
    assert loads(b'node: {cluster: "2024"}').node.cluster == "2024"


def test_a_cluster_name_that_does_not_fit_is_refused_where_it_stands() -> None:
    """Names go into certificates and policies."""
    error = refusal("node:\n  cluster: Head Quarters")
    assert error.code == "config.cluster-name"
    assert error.sentence.endswith("(arqon.yaml, line 2)")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("node: [1", "config.syntax"),
        ("node: {cluster: hq}\n---\nnode: {cluster: b}", "config.syntax"),
        ("node: !!python/object/apply:os.getcwd []", "config.syntax"),
        ("? [a]\n: b", "config.syntax"),
        ("\x00", "config.syntax"),
        ("a: " + "[" * 5_000, "config.too-large"),
        ("# " + "x" * 300_000, "config.too-large"),
        ("node: &x {y: *x}", "config.too-large"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
        ), "config.too-large"),
    ],
)  # fmt: skip
def test_bombs_and_rubbish_are_refused_quickly(text: str, code: str) -> None:
    """Deep nests, endless aliases and objects are read no further than they have to be."""
    assert refusal(text).code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    """And nothing else happens."""
    assert outcome(data) in {"understood", *CATALOGUE}


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["node", "bus", "cluster", "history", "export", "allow", "federation", "x"]), inner, max_size=3
    ),
    max_leaves=12,
)  # fmt: skip


@given(_TREES)
def test_any_tree_of_values_is_understood_or_refused(tree: object) -> None:
    """JSON is YAML, so every shape can be tried."""
    assert outcome(json.dumps(tree).encode()) in {"understood", *CATALOGUE}


class TestEnvironment:
    @pytest.mark.requirement("R-CF-1")
    def test_wins_over_the_file(self) -> None:
        """Text, numbers, lists and nested sections, by their dotted name in upper case."""
        config = loads(
            b"node: {cluster: hq}\nbus: {history: 3}",
            environ={
                "ARQON_BUS__HISTORY": "100",
                "ARQON_NODE__CLUSTER": "7",
                "ARQON_FEDERATION__IMPORT__ALLOW": "a:*, b:c",
                "ARQON_FEDERATION__EXPORT__DENY": "",
                "ARQON_CERTIFICATES__LIFETIME_S": "1e6",
            },
        )
        assert config.bus.history.per_channel == 100
        assert config.node.cluster == "7"
        assert config.federation.import_.allow == ("a:*", "b:c")
        assert config.federation.export.deny == ()
        assert config.certificates.lifetime_s == 1_000_000.0

    def test_alone_is_enough(self) -> None:
        """A container may have no file content at all."""
        assert loads(b"", environ={"ARQON_NODE__CLUSTER": "hq"}).node.cluster == "hq"

    def test_is_named_when_it_does_not_fit(self) -> None:
        """The variable instead of file and line."""
        assert refusal(MINIMAL, ARQON_BUS__HISTORY="many").sentence == (
            "bus.history.per_channel is 'many'; it needs to be an integer from 0 to 100,000 "
            "(environment ARQON_BUS__HISTORY)"
        )

    def test_typos_are_errors_with_a_suggestion(self) -> None:
        """Just as in the file."""
        error = refusal(MINIMAL, ARQON_BUS__HISTROY="1")
        assert error.code == "config.unknown-key"
        assert "did you mean ARQON_BUS__HISTORY" in error.sentence

    def test_a_section_is_not_a_value(self) -> None:
        """`ARQON_FEDERATION__EXPORT` names a group."""
        assert refusal(MINIMAL, ARQON_FEDERATION__EXPORT="x").code == "config.unknown-key"

    def test_does_not_hide_a_broken_section(self) -> None:
        """A value laid over `bus: 3` does not make the 3 right."""
        assert refusal("node: {cluster: hq}\nbus: 3", ARQON_BUS__HISTORY="1").sentence.startswith("bus is 3;")

    def test_reads_the_redis_address_under_the_names_people_use(self) -> None:
        """ARQONBUS_REDIS_URL as ArqonBus 1.0 has it, ARQON_REDIS_URL over it, the full name over both."""
        both = {"ARQONBUS_REDIS_URL": "redis://old", "ARQON_REDIS_URL": "redis://new"}
        for environ, url in (
            ({"ARQONBUS_REDIS_URL": "redis://old"}, "redis://old"),
            (both, "redis://new"),
            ({**both, "ARQON_BUS__HISTORY__REDIS_URL": "redis://full"}, "redis://full"),
        ):
            assert loads(MINIMAL.encode(), environ=environ).bus.history.redis_url == url

    def test_leaves_variables_that_are_no_settings_alone(self) -> None:
        """ARQON_DATA_DIR speaks to the command line, ARQONBUS_TELEMETRY_X to another program."""
        environ = {"ARQON_DATA_DIR": "/x", "ARQONBUS_TELEMETRY_X": "1", "PATH": "/bin"}
        assert loads(MINIMAL.encode(), environ=environ) == loads(MINIMAL.encode())

    @pytest.mark.requirement("R-CF-1")
    def test_knows_the_names_of_arqonbus(self) -> None:
        """Host and port apart, levels in upper case; ours win over theirs."""
        config = loads(
            MINIMAL.encode(),
            environ={
                "ARQONBUS_SERVER_HOST": "0.0.0.0",
                "ARQONBUS_HTTP_PORT": "8080",
                "ARQONBUS_LOG_LEVEL": "WARN",
                "ARQONBUS_HISTORY_SIZE": "7",
                "ARQON_BUS__HISTORY": "8",
            },
        )
        assert config.listen.bus == "0.0.0.0:9100"
        assert config.listen.http == "127.0.0.1:8080"
        assert config.log.level == "warning"
        assert config.bus.history.per_channel == 8


def test_a_missing_file_is_answered_with_the_command_that_makes_it(tmp_path: Path) -> None:
    """`arqon init` writes it."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "arqon.yaml", {})
    assert caught.value.code == "config.missing-file"
    assert caught.value.hint == f"arqon init --cluster NAME --data-dir {tmp_path}"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory of that name, for one."""
    (tmp_path / "arqon.yaml").mkdir()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "arqon.yaml", {})
    assert caught.value.code == "config.unreadable"


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    """And messages call it by its name."""
    path = tmp_path / "arqon.yaml"
    path.write_text(MINIMAL)
    assert load(path, {}).node.cluster == "hq"
