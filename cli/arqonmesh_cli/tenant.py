"""A tenant on the command line, and in the URL of a bus."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant
from arqonmesh.errors import UsageError


def check_tenant(tenant: str) -> None:
    """Raises UsageError `bus.tenant` for what cannot be one."""
    if not is_tenant(tenant):
        raise UsageError(
            "bus.tenant",
            f"--tenant is {tenant[:80]!r}; it needs to be {TENANT_FORM}",
            hint="arqon sub '*' --tenant acme",
        )


def in_tenant(url: str, tenant: str) -> str:
    """The URL of this tenant's bus; `url` as it is where no tenant is named. Raises UsageError `bus.tenant` where it
    names another already."""
    if not tenant:
        return url
    parts = urlsplit(url)
    path = f"/t/{tenant}"
    if parts.path.rstrip("/") not in ("", path):
        raise UsageError(
            "bus.tenant",
            f"--tenant is {tenant} and the URL's path is {parts.path[:80]!r}; it needs to be / or {path}",
            hint=f"arqon sub '*' --url {parts.scheme}://{parts.netloc}/ --tenant {tenant}",
        )
    return urlunsplit(parts._replace(path=path))
