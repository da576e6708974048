"""The certificate of a node as `arqon certs show` has it."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import CertificateSettings
from arqonmesh.ids import ClusterId
from arqonmesh.runtime.certificates import Certificates
from arqonmesh.trust.keys import NodeKey

NOW_MS = 1_760_000_000_000


@pytest.mark.parametrize(("drawn", "serial"), [(10, "b"), ((1 << 126) + 2, "4" + "0" * 30 + "3")])
def test_a_serial_has_as_many_digits_whatever_was_drawn(
    drawn: int, serial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them can be held side by side, and one be looked for in the output of other tools."""
    monkeypatch.setattr("arqonmesh.trust.certificates.secrets.randbits", lambda bits: drawn)
    made = Certificates(NodeKey.generate(), ClusterId("hq"), None, CertificateSettings(), lambda: NOW_MS)
    assert made.view().serial == serial.rjust(32, "0")
