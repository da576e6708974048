"""What happens to a lab and what must hold: the file, checked. story.py makes it happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec

from arqonmesh.errors import ConfigError
from arqonmesh_testbed.files import load
from arqonmesh_testbed.topology import Topology
from arqonmesh_testbed.topology import read as read_topology

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
_Rate = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
STEPS_MAX: Final = 1_000


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client of one node's bus publishes numbered messages, clients of other nodes' buses take them down."""

    from_: str = msgspec.field(name="from")
    to: tuple[str, ...]
    channel: str = "telemetry:lab"
    per_s: _Rate = 100
    bytes: _Bytes = 128


class Arrives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every receiver has at least so many more messages than when the step began."""

    at_least: int
    within_s: _Seconds = 10


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lose every packet silently: in both directions, or only from the first to the second."""

    between: tuple[str, str]
    one_way: bool = False


class Heal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End all cuts."""


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event logs of both sides say it, later than the last cut or heal; `measure`: how long that took, in ms."""

    between: tuple[str, str]
    is_: Literal["up", "down"] = msgspec.field(name="is")
    within_s: _Seconds = 5
    measure: str = ""


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`arqon mesh status` at a node says one of these."""

    at: str
    is_: tuple[Literal["healthy", "degraded", "critical"], ...] = msgspec.field(name="is")
    within_s: _Seconds = 10


class Held(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`arqon node status` counts at least so many messages that were held for others since the last cut."""

    at: str
    at_least: int
    within_s: _Seconds = 10


class RootsEqual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All nodes have the same records: equal root hashes; `measure`: ms since the last cut or heal."""

    within_s: _Seconds = 10
    measure: str = ""


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A datagram that nobody asked for, sent from one node to another's QUIC port, is dropped on the way."""

    from_: str = msgspec.field(name="from")
    to: str


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Change what a link does to packets, in both directions unless `one_way`."""

    between: tuple[str, str]
    changes: dict[str, Any]
    one_way: bool = False


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    s: _Seconds


class StopTraffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Publishers end; receivers go on."""


class Delivered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every receiver has every message, once and in order."""

    within_s: _Seconds = 10


class SameProcesses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No node's process has ended or been replaced since the lab came up."""


class Repeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    times: Annotated[int, msgspec.Meta(ge=1, le=STEPS_MAX)]
    steps: tuple[Step, ...]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of these."""

    traffic: Traffic | None = None
    arrives: Arrives | None = None
    cut: Cut | None = None
    heal: Heal | None = None
    link: Link | None = None
    partition: Partition | None = None
    held: Held | None = None
    roots_equal: RootsEqual | None = None
    refused: Refused | None = None
    model: Model | None = None
    pause: Pause | None = None
    stop_traffic: StopTraffic | None = None
    delivered: Delivered | None = None
    same_processes: SameProcesses | None = None
    repeat: Repeat | None = None

    def action(self) -> tuple[str, Any]:
        """Its name and what is in it."""
        return next((name, getattr(self, name)) for name in self.__struct_fields__ if getattr(self, name) is not None)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The most that a measure may be, in its own unit."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of scenarios/."""

    says: str
    topology: str
    steps: tuple[Step, ...]
    outbound_only: tuple[str, ...] = ()
    limits: dict[str, Limit] = {}


def read(name: str) -> tuple[str, Scenario, str, Topology]:
    """Scenario and topology by name or path, with their short names. Raises NotFound, ConfigError."""
    short, scenario = load("scenario", name, Scenario)
    topology_name, topology = read_topology(scenario.topology)
    check(scenario, topology, name)
    return short, scenario, topology_name, topology


def check(scenario: Scenario, topology: Topology, name: str) -> None:
    """Raises ConfigError `lab.file`: a mistake shows before a lab is built, not in its middle."""
    measures = set()
    for step in _all(scenario.steps, name):
        given = [field for field in step.__struct_fields__ if getattr(step, field) is not None]
        if len(given) != 1:
            raise _wrong(name, f"a step holds {given or 'nothing'}; it needs to hold exactly one thing to do")
        _, what = step.action()
        for node in _nodes_of(what):
            if node not in topology.nodes:
                raise _wrong(name, f"{given[0]} names {node!r}; it needs to be one of {', '.join(topology.nodes)}")
        between = getattr(what, "between", None)
        if between is not None and between[1] not in topology.neighbours(between[0]):
            raise _wrong(name, f"{given[0]} names {' and '.join(between)}, which are not linked")
        measures.add(getattr(what, "measure", ""))
    for node in scenario.outbound_only:
        if node not in topology.nodes:
            raise _wrong(name, f"outbound_only names {node!r}; it needs to be one of {', '.join(topology.nodes)}")
    for measure in scenario.limits:
        if measure not in measures:
            raise _wrong(name, f"limits names {measure!r}, which no step measures")


def _all(steps: tuple[Step, ...], name: str) -> Iterator[Step]:
    for step in steps:
        yield step
        if step.repeat is not None:
            if any(inner.repeat is not None for inner in step.repeat.steps):
                raise _wrong(name, "a repeat stands in a repeat; one level is enough")
            yield from step.repeat.steps


def _nodes_of(what: Any) -> list[str]:
    named = [getattr(what, field) for field in ("from_", "at") if hasattr(what, field)]
    for field in ("to", "between"):
        value = getattr(what, field, ())
        named += [value] if isinstance(value, str) else value
    return named


def _wrong(name: str, sentence: str) -> ConfigError:
    return ConfigError("lab.file", f"{name}: {sentence}")
