"""Serf agents on this machine, one loopback address each, beside our nodes in the same run: the measure to beat.

Their own log lines are the observation, stamped as they arrive at one thread of this process. LAN profile, which is
memberlist with Lifeguard. Where no `serf` is installed, the benches say so and go on without.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from arqonmesh_testbed.loopback import until

JOIN_PATIENCE_S = 90.0
LINE = re.compile(
    r"serf: EventMember(?P<what>Join|Failed|Leave): (?P<about>\S+)"
    r"|memberlist: (?P<suspect>Suspect) (?P<suspected>\S+) has failed"
    r"|agent: Received event: user-event: (?P<event>\S+)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """One line of an agent: `what` is join, failed, leave, suspect or event; `about` a node or an event's name."""

    at_s: float
    agent: str
    what: str
    about: str


@dataclass(slots=True)
class SerfAgent:
    name: str
    address: str
    process: subprocess.Popen[bytes]
    rest: bytes = b""


@dataclass(slots=True)
class SerfAgents:
    """All agents of one cluster, in order; `said` grows while they run."""

    agents: dict[str, SerfAgent] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    _selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _over: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None

    def start(self, count: int) -> None:
        """`count` agents that join the first, and wait until everyone has seen everyone."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        for index in range(count):
            self.add(f"s{index:03}", f"127.0.{100 + index // 200}.{1 + index % 200}")
            if index == 0:
                time.sleep(0.5)
        until("all serf agents seeing each other", self.is_whole, JOIN_PATIENCE_S, every_s=0.2)

    def add(self, name: str, address: str) -> None:
        command = ["serf", "agent", f"-node={name}", f"-bind={address}:7946", f"-rpc-addr={address}:7373"]
        command += ["-profile=lan", "-log-level=info"]
        if self.agents:
            first = next(iter(self.agents.values())).address
            command += [f"-retry-join={first}", "-retry-interval=1s"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        agent = self.agents[name] = SerfAgent(name, address, process)
        self._selector.register(process.stdout, selectors.EVENT_READ, agent)

    def is_whole(self) -> bool:
        seen: dict[str, set[str]] = {}
        for said in list(self.said):
            if said.what == "join":
                seen.setdefault(said.agent, set()).add(said.about)
            elif said.what in ("failed", "leave"):
                seen.get(said.agent, set()).discard(said.about)
        return all(len(seen.get(name, ())) == len(self.agents) for name in self.agents)

    def kill(self, name: str) -> None:
        """kill -9."""
        agent = self.agents.pop(name)
        agent.process.kill()
        agent.process.wait()

    def event(self, name: str) -> None:
        first = next(iter(self.agents.values()))
        command = ["serf", "event", f"-rpc-addr={first.address}:7373", "-coalesce=false", name]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.agents[name].process.send_signal(number)

    def close(self) -> None:
        self._over.set()
        for agent in self.agents.values():
            agent.process.kill()
        for agent in self.agents.values():
            agent.process.wait()
        if self._reader is not None:
            self._reader.join(5)

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.1):
                agent: SerfAgent = key.data
                data = os.read(key.fd, 1 << 16)
                now = time.time()
                if not data:
                    self._selector.unregister(key.fileobj)
                    continue
                *lines, agent.rest = (agent.rest + data).split(b"\n")
                for line in lines:
                    found = LINE.search(line.decode(errors="replace"))
                    if found is not None:
                        self.said.append(_said(now, agent.name, found))


def _said(now: float, agent: str, found: re.Match[str]) -> Said:
    if found["suspect"]:
        return Said(now, agent, "suspect", found["suspected"])
    if found["event"]:
        return Said(now, agent, "event", found["event"])
    return Said(now, agent, found["what"].lower(), found["about"])


def installed() -> str:
    """Serf's version, or "" where there is none."""
    if shutil.which("serf") is None:
        return ""
    done = subprocess.run(["serf", "version"], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.split("\n", 1)[0].strip() or "unknown version"


@contextmanager
def serf_agents(count: int) -> Iterator[SerfAgents]:
    agents = SerfAgents()
    try:
        agents.start(count)
        yield agents
    finally:
        agents.close()
