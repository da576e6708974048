"""Whether this kernel could bend traffic by itself (sch_netem). The lab only says so: its switch does the same
everywhere, packet by packet, with the simulator's own model."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Final

_SETTING: Final = "CONFIG_NET_SCH_NETEM"


def describe() -> str:
    """One phrase for `arqon lab status`."""
    return "in this kernel, not used: the switch applies the link models" if available() else "not in this kernel"


def available() -> bool:
    """sch_netem is loaded, built in, or there to be loaded."""
    if Path("/sys/module/sch_netem").exists():
        return True
    release = os.uname().release
    try:
        with gzip.open("/proc/config.gz", "rt") as config:
            built = next((line for line in config if line.startswith(f"{_SETTING}=")), "")
    except OSError:
        built = ""
    if built.strip() == f"{_SETTING}=y":
        return True
    try:
        modules = Path(f"/lib/modules/{release}/modules.dep").read_text()
    except OSError:
        return False
    return "/sch_netem.ko" in modules
