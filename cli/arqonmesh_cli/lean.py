"""What a node imports, without what its libraries import for others.

A start is mostly imports (three quarters of its CPU seconds), and a node keeps what it has imported for months. Some
of it is named at the head of a library's file and called by nobody here: aioquic checks certificates with pyOpenSSL
and service_identity unless told that the application does (trust/certificates.py does); h11 is needed from the first
HTTP request on. Such modules are put off: the import succeeds, and whoever asks for the first attribute loads them.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

PUT_OFF: Final = ("service_identity", "OpenSSL.crypto", "h11")


def import_lean() -> None:
    """To be called before anything of the node is imported. The garbage collector rests until the node sets aside what
    the start has made (runtime/main.py): nothing of that is garbage, and it would look through it a dozen times."""
    gc.disable()
    _import_structlog()
    for name in PUT_OFF:
        put_off(name)


class _PutOff(ModuleType):
    """A module whose code has not run. (importlib.util.LazyLoader's runs it as soon as a second file imports it.)"""

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet."""
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # from now on it is like any other
        try:
            spec.loader.exec_module(self)
        except BaseException:
            _forget(self.__name__)  # as import does: the next one tries again, and says why it fails
            raise
        return getattr(self, name)


def put_off(name: str) -> None:
    """Make `import NAME` run nothing until something in the module is asked for. A package around it is made without
    running its own code. Does nothing where one of them is loaded already or is not there."""
    package, _, part = name.rpartition(".")
    if name in sys.modules or package in sys.modules:
        return
    outer = _unrun(package) if package else None
    if package and outer is None:
        return
    module = _unrun(name)
    if module is None:
        sys.modules.pop(package, None)
        return
    module.__class__ = _PutOff
    if outer is not None:
        setattr(outer, part, module)


def _forget(name: str) -> None:
    """Where an import would find it: among the modules, and in the package around it."""
    sys.modules.pop(name, None)
    package, _, part = name.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(part, None)


def _unrun(name: str) -> ModuleType | None:
    """A module as it is before its code runs, where an import finds it."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    return module


def _import_structlog() -> None:
    """Without rich, which it would load for coloured tracebacks: a log's are plain."""
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails, and structlog does without
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
