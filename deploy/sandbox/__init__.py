"""A stand-in for both response providers and for an operator's platform, over real HTTP on loopback.

Built from the public facts about each provider, and independent of the rest of the tree, so that it can
disagree with it. `with Sandbox(config) as s:` runs all three; `s.noonlight.url`, `s.aura.url` and
`s.platform.url` are where they listen.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from deploy.sandbox.aura import Aura
from deploy.sandbox.config import AuraConfig, NoonlightConfig, PlatformConfig, SandboxConfig
from deploy.sandbox.noonlight import Noonlight
from deploy.sandbox.platform import Platform

__all__ = ["AuraConfig", "NoonlightConfig", "PlatformConfig", "Sandbox", "SandboxConfig"]


class Sandbox:
    """The three services, started and stopped together."""

    def __init__(self, config: SandboxConfig | dict[str, Any] | None = None) -> None:
        if config is None or isinstance(config, dict):
            config = SandboxConfig.from_json(config or {})
        self.config = config
        self.noonlight = Noonlight(config.noonlight)
        self.aura = Aura(config.aura)
        self.platform = Platform(config.platform)

    def start(self) -> Sandbox:
        for service in (self.noonlight, self.aura, self.platform):
            service.start()
        return self

    def stop(self) -> None:
        for service in (self.noonlight, self.aura, self.platform):
            service.stop()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
