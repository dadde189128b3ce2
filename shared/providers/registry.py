"""Finds the providers: every package in this folder that declares `PROVIDER`. Adding one is adding a folder."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

import shared.providers
from shared.providers.base import Provider


class UnknownProvider(KeyError):
    """No folder of this name declares a provider."""


@cache
def _all() -> dict[str, Provider]:
    packages = (module.name for module in pkgutil.iter_modules(shared.providers.__path__) if module.ispkg)
    modules = (import_module(f"{shared.providers.__name__}.{name}") for name in packages)
    found = (getattr(module, "PROVIDER", None) for module in modules)
    return {provider.name: provider for provider in found if isinstance(provider, Provider)}


def get(name: str) -> Provider:
    """The provider of this name. Raises UnknownProvider."""
    try:
        return _all()[name]
    except KeyError:
        raise UnknownProvider(name) from None


def names() -> list[str]:
    """The names of all providers, sorted."""
    return sorted(_all())
