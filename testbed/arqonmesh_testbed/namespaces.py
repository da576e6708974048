"""Network namespaces with one TUN interface each, and ways to do something inside them.

Everything is named `arqon-<lab>-<node>`; nothing else is ever touched. A namespace is bound to a thread, not to a
process (setns(2)), so a short-lived thread enters one, does the work and ends: sockets opened and processes started
there belong to the namespace for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from arqonmesh.errors import ArqonError, Denied

RUN_NETNS: Final = Path("/run/netns")
PREFIX: Final = "arqon-"
INTERFACE: Final = "arqon0"
NETWORK_BITS: Final = 16
MTU: Final = 1_400
TUN_DEVICE: Final = Path("/dev/net/tun")

_CLONE_NEWNET: Final = 0x4000_0000
_TUNSETIFF: Final = 0x4004_54CA
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_CAP_SYS_ADMIN: Final = 1 << 21
_CAP_NET_ADMIN: Final = 1 << 12

T = TypeVar("T")


def why_not() -> str | None:
    """Why no lab can be built here; None when one can."""
    effective = _effective_capabilities()
    if not effective & _CAP_SYS_ADMIN or not effective & _CAP_NET_ADMIN:
        return "this process may not make network namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
    if not TUN_DEVICE.exists():
        return f"there is no {TUN_DEVICE}"
    return None


def require() -> None:
    """Raises Denied when no lab can be built here."""
    reason = why_not()
    if reason is not None:
        raise Denied("lab.rights", f"{reason}; a lab needs root and TUN devices", hint="sudo arqon lab up star3")


def name_of(lab: str, node: str) -> str:
    return f"{PREFIX}{lab}-{node}"


def of_lab(lab: str) -> list[str]:
    """The namespaces of a lab that exist now. Lab names hold no hyphen, so one's prefix is never another's."""
    try:
        return sorted(name for name in os.listdir(RUN_NETNS) if name.startswith(f"{PREFIX}{lab}-"))
    except FileNotFoundError:
        return []


def create(namespace: str, address: str) -> int:
    """Make a namespace with lo up and a TUN that holds `address`; returns the TUN's descriptor, non-blocking.

    The interface lives as long as the descriptor is open somewhere; the namespace until `remove`.
    """
    from pyroute2 import netns

    netns.create(namespace)
    try:
        return inside(namespace, lambda: _make_tun(address))
    except BaseException:
        remove(namespace)
        raise


def remove(namespace: str) -> None:
    """Remove a namespace of ours; nothing when it is gone already."""
    from pyroute2 import netns

    if not namespace.startswith(PREFIX):
        raise ValueError(f"{namespace} is not a namespace of a lab")
    try:
        netns.remove(namespace)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        # EINVAL: the file is left of a namespace whose making was interrupted before it was mounted.
        with contextlib.suppress(FileNotFoundError):
            (RUN_NETNS / namespace).unlink()


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do `work` inside a namespace, in a thread of its own; its result or exception is passed on."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            enter(namespace)
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name=namespace, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def enter(namespace: str) -> None:
    """Move the calling thread into a namespace, for the rest of its life. Raises ArqonError."""
    try:
        descriptor = os.open(RUN_NETNS / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArqonError(
            "lab.namespace-gone",
            f"the namespace {namespace} is gone; it needs to stand while the lab is up",
            hint="arqon lab down",
        ) from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
    finally:
        os.close(descriptor)


def inode(namespace: str) -> int | None:
    """What identifies a namespace in /proc/PID/ns/net; None when it is gone."""
    try:
        return (RUN_NETNS / namespace).stat().st_ino
    except FileNotFoundError:
        return None


def _make_tun(address: str) -> int:
    from pyroute2 import IPRoute

    tun = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), _IFF_TUN | _IFF_NO_PI))
        with contextlib.suppress(OSError):  # a kernel without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6").write_text("1")
        with IPRoute() as ip:
            ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
            index = ip.link_lookup(ifname=INTERFACE)[0]
            ip.addr("add", index=index, address=address, prefixlen=NETWORK_BITS)
            ip.link("set", index=index, mtu=MTU, state="up")
    except BaseException:
        os.close(tun)
        raise
    return tun


def _effective_capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
