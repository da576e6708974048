"""Which packet arrives where and when. Pure: bytes and times go in, plans come out; switch.py moves the packets.

Each direction of each link has its own `LinkModel`, the class that the simulator uses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from arqonmesh.errors import ConfigError, NotFound
from arqonmesh.sim.link_model import MILLION, LinkModel, Spread
from arqonmesh_testbed.flows import Flows

SHARES: Final = ("loss_ppm", "duplicate_ppm", "reorder_ppm")
AMOUNTS: Final = ("delay_us", "jitter_us", "reorder_by_us", "bandwidth_bytes_per_s", "queue_bytes")
SPREADS: Final = get_args(Spread)
MODEL_FIELDS: Final = (*AMOUNTS, *SHARES, "cut", "spread")
AMOUNT_MAX: Final = 1 << 40

Plan = tuple[str, tuple[int, ...]]


def set_model(model: LinkModel, changes: dict[str, Any]) -> None:
    """Change a model in place, all or nothing; what is on its way stays on its way. Raises ConfigError."""
    for name, value in changes.items():
        if name not in MODEL_FIELDS:
            raise ConfigError(
                "lab.model", f"a link model has no {name!r}; it needs to be one of {', '.join(MODEL_FIELDS)}"
            )
        if name == "cut":
            if not isinstance(value, bool):
                raise ConfigError("lab.model", f"cut is {value!r}; it needs to be true or false")
            continue
        if name == "spread":
            if value not in SPREADS:
                raise ConfigError("lab.model", f"spread is {value!r}; it needs to be one of {', '.join(SPREADS)}")
            continue
        most = MILLION if name in SHARES else AMOUNT_MAX
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise ConfigError("lab.model", f"{name} is {value!r}; it needs to be a whole number from 0 to {most:,}")
    for name, value in changes.items():
        setattr(model, name, value)


def model_dict(model: LinkModel) -> dict[str, Any]:
    """A model as plain data, for `set_model` and screens."""
    return {name: getattr(model, name) for name in MODEL_FIELDS}


@dataclass(slots=True)
class Path:
    """One direction of one link."""

    source: str
    target: str
    model: LinkModel
    dice: random.Random
    packets: int = 0
    bytes: int = 0
    lost: int = 0
    cut: int = 0
    unsolicited: int = 0
    refused: int = 0
    """Not taken by the receiving kernel."""


@dataclass(slots=True)
class _Port:
    name: str
    address: bytes
    flows: Flows | None = None
    paths: dict[bytes, Path] = field(default_factory=dict)
    strays: int = 0
    """Packets to an address that no link leads to."""


class Fabric:
    """Nodes, the links between them, and what has been done to them."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._ports: dict[str, _Port] = {}

    def add_node(self, name: str, address: bytes) -> None:
        """`address`: 4 bytes."""
        self._ports[name] = _Port(name, address)

    def add_link(self, a: str, b: str, model: dict[str, Any]) -> None:
        """Both directions get a model of their own with the same figures. Raises ConfigError, NotFound."""
        for source, target in ((a, b), (b, a)):
            path = Path(source, target, LinkModel(), random.Random(f"{self._seed} {source} {target}"))
            set_model(path.model, model)
            self._port(source).paths[self._port(target).address] = path

    def plan(self, now_us: int, source: str, packet: bytes) -> Plan | None:
        """To whom and when a packet from `source` comes out; None when nowhere. Everything else is counted."""
        port = self._ports[source]
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return None  # IPv6 neighbour chatter of the kernel
        path = port.paths.get(packet[16:20])
        if path is None:
            port.strays += 1
            return None
        path.packets += 1
        path.bytes += len(packet)
        if port.flows is not None:
            port.flows.went_out(now_us, packet)
        times = path.model.plan(now_us, len(packet), path.dice)
        if not times:
            if path.model.cut:
                path.cut += 1
            else:
                path.lost += 1
            return None
        guard = self._ports[path.target].flows
        if guard is not None and not guard.may_come_in(times[0], packet):
            path.unsolicited += 1
            return None
        return path.target, times

    def path(self, source: str, target: str) -> Path:
        """Raises NotFound when no link leads from one to the other."""
        path = self._port(source).paths.get(self._port(target).address)
        if path is None:
            linked = ", ".join(sorted(other.target for other in self._port(source).paths.values())) or "no one"
            raise NotFound("lab.no-link", f"no link from {source} to {target}; {source} is linked to {linked}")
        return path

    def cut(self, a: str, b: str, one_way: bool = False) -> None:
        """Lose every packet from a to b, and from b to a unless `one_way`."""
        paths = [self.path(a, b)] if one_way else [self.path(a, b), self.path(b, a)]
        for path in paths:
            path.model.cut = True

    def heal(self) -> int:
        """End all cuts; how many directions were cut."""
        healed = 0
        for path in self.paths():
            healed += path.model.cut
            path.model.cut = False
        return healed

    def set_outbound_only(self, name: str, on: bool) -> None:
        """From now on only answers to what the node sent get in; flows opened before do not count."""
        self._port(name).flows = Flows() if on else None

    def paths(self) -> list[Path]:
        return [path for port in self._ports.values() for path in port.paths.values()]

    def stats(self) -> dict[str, Any]:
        """Plain data: nodes and directed paths."""
        return {
            "nodes": [
                {"node": port.name, "outbound_only": port.flows is not None, "strays": port.strays}
                for port in self._ports.values()
            ],
            "paths": [
                {
                    "from": path.source,
                    "to": path.target,
                    "packets": path.packets,
                    "bytes": path.bytes,
                    "lost": path.lost,
                    "cut": path.cut,
                    "unsolicited": path.unsolicited,
                    "refused": path.refused,
                    "model": model_dict(path.model),
                }
                for path in self.paths()
            ],
        }

    def _port(self, name: str) -> _Port:
        port = self._ports.get(name)
        if port is None:
            raise NotFound(
                "lab.no-node", f"the lab has no node {name!r}; it has {', '.join(self._ports)}", hint="arqon lab status"
            )
        return port
