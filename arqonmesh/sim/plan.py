"""What goes wrong in a world, as data: a mesh, and timed actions against it. A plan can be written down, read back,
made smaller, and played again; whoever plays it takes nothing from the dice but what the network and the disks draw.

Every action ends by itself (`for_us`), and one that makes no sense when its time comes (a crash of who is down) is
passed over: so any subset of a plan is a plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from arqonmesh.errors import ConfigError
from arqonmesh.sim.link_model import Spread

FORMAT: Final = 1
Name = Annotated[str, Meta(min_length=1, max_length=63)]
Natural = Annotated[int, Meta(ge=0)]
Ppm = Annotated[int, Meta(ge=0, le=1_000_000)]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base: unknown keys are errors."""


class Weather(Part, frozen=True):
    """One direction of one path; see link_model.LinkModel."""

    delay_us: Natural = 500
    jitter_us: Natural = 0
    spread: Spread = "uniform"
    loss_ppm: Ppm = 0
    duplicate_ppm: Ppm = 0
    reorder_ppm: Ppm = 0
    bandwidth_bytes_per_s: Natural = 0


class Machine(Part, frozen=True):
    """One node and its clocks."""

    name: Name
    cluster: Name
    role: Literal["hub", "spoke"] = "hub"
    wall_offset_ms: int = 0
    drift_ppm: Annotated[int, Meta(ge=-100_000, le=100_000)] = 0
    """Its clocks run so much too fast."""
    torn_writes: bool = False
    """The loss of power leaves a torn transaction behind."""


class Action(Part, frozen=True):
    """`kind` says which of the other fields count:

    cut          nodes -/-> others (and back unless one_way), silently, for_us
    kill, power, disk-error, kill-writing    nodes[0] goes down and comes back after for_us
    slow-disk    nodes[0]: `amount` times slower, for_us
    stop         nodes[0]: SIGSTOP, for_us
    weather      nodes[0] --> others[0] turns so, for_us
    clog         nodes[0] --> others[0] stands still for_us, then bursts
    clock-step   nodes[0]: the wall clock jumps by `amount` ms
    leave        nodes[0] says farewell and is gone for good
    join         nodes[0], new, is let in by others[0]
    next-version nodes[0] says a statement and sends a message that no node of this version knows
    """

    at_us: Natural
    kind: Literal[
        "cut",
        "kill",
        "power",
        "disk-error",
        "kill-writing",
        "slow-disk",
        "stop",
        "weather",
        "clog",
        "clock-step",
        "leave",
        "join",
        "next-version",
    ]
    nodes: tuple[Name, ...] = ()
    others: tuple[Name, ...] = ()
    one_way: bool = False
    for_us: Natural = 0
    amount: int = 0
    weather: Weather | None = None


class Plan(Part, frozen=True):
    """A world: `seed` is what network, disks and nodes draw from."""

    seed: int
    machines: Annotated[tuple[Machine, ...], Meta(min_length=1, max_length=64)]
    length_us: Natural
    """How long the trouble lasts."""
    v: Literal[1] = FORMAT
    auto: Literal["hubs", "full", "overlay"] = "hubs"
    talk_every_us: Natural = 150_000
    faults: tuple[str, ...] = ()
    """Which kinds of trouble this seed drew at all; told, nothing follows from it."""
    climate: Weather | None = None
    """What all paths are like until the liveness phase."""
    actions: tuple[Action, ...] = ()
    core: tuple[Name, ...] = ()
    """The quorum that alone is healed when the trouble ends, and has to agree; empty: all are healed at once."""
    shut_out: bool = True
    """Nothing passes between the core and the others meanwhile; else paths between them stay as they are."""


def encode_plan(plan: Plan) -> str:
    """JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2).decode() + "\n"


def decode_plan(text: bytes | str, name: str = "plan") -> Plan:
    """Raises ConfigError `sim.plan`."""
    try:
        plan = msgspec.json.decode(text, type=Plan)
    except msgspec.DecodeError as error:
        raise ConfigError("sim.plan", f"{name} is no plan: {error}", hint="arqon sim run swarm --save FILE") from None
    known = {machine.name for machine in plan.machines}
    for action in plan.actions:
        known |= set(action.nodes) if action.kind == "join" else set()
        for who in (*action.nodes, *action.others):
            if who not in known:
                raise ConfigError(
                    "sim.plan",
                    f"{name} names {who!r} in `{action.kind}` at {action.at_us / 1e6:g} s; it needs one of "
                    f"{', '.join(sorted(known))}",
                    hint="arqon sim run swarm --save FILE",
                )
    return plan


def read_plan(path: Path) -> Plan:
    """Raises ConfigError `sim.plan`."""
    try:
        return decode_plan(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError("sim.plan", f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from None


def told(action: Action) -> str:
    """One line for people."""
    fields: dict[str, Any] = msgspec.to_builtins(action)
    words = [f"{action.at_us / 1e6:8.3f} s  {action.kind}"]
    words += [" ".join(action.nodes)] if action.nodes else []
    words += [f"{'-/->' if action.kind == 'cut' else 'and'} {' '.join(action.others)}"] if action.others else []
    words += [f"for {action.for_us / 1e6:g} s"] if action.for_us else []
    words += [f"amount {action.amount}"] if action.amount else []
    words += ["one way"] if action.one_way else []
    words += [str(fields["weather"])] if action.weather else []
    return " ".join(words)
