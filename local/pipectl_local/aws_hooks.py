# SPDX-License-Identifier: Apache-2.0
"""Changes to ministack's modules, made when ministack loads them: it loads a service on its first request.

To load them all at the start would cost seconds.
"""
from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hook = Callable[[Any], None]
PACKAGE = "ministack.services."


def loaded(service: str) -> Any:
    """ministack's module of a service, or `None` while nobody has used it."""
    module = sys.modules.get(PACKAGE + service)
    return module if module is not None and not getattr(module.__spec__, "_initializing", False) else None


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, hooks: list[Hook]) -> None:
        self._loader, self._hooks = loader, hooks

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for hook in self._hooks:
            hook(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that have hooks, as the finders after it do, and runs the hooks once a module is executed."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Hook]] = {}
        sys.meta_path.insert(0, self)

    def when(self, service: str, hook: Hook) -> None:
        """Calls `hook` with the module; at once if it is loaded already."""
        module = sys.modules.get(PACKAGE + service)
        if module is not None:
            hook(module)
        else:
            self._hooks.setdefault(PACKAGE + service, []).append(hook)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        hooks = self._hooks.pop(fullname, None)
        if hooks is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, hooks)
        return spec
