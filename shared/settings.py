"""Settings from the environment (prefix TOCSIN_), read once, frozen; a bad one is named in the error."""

from __future__ import annotations

from base64 import b64decode
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Listed = Annotated[tuple[str, ...], NoDecode]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Environment = Literal["staging", "production"]


class BadSettings(Exception):
    """The environment is incomplete or wrong; the text names each variable."""


class Settings(BaseSettings):
    """All of Tocsin's settings. Times are seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    redis_url: SecretStr
    encryption_keys: Secrets

    aura_base_url: str = ""
    aura_client_id: str = ""
    aura_client_secret: SecretStr = SecretStr("")
    aura_webhook_secrets: Secrets = ()
    aura_environment: Environment = "staging"
    aura_options: dict[str, Any] = Field(default_factory=dict)

    noonlight_base_url: str = ""
    noonlight_token: SecretStr = SecretStr("")
    noonlight_webhook_secrets: Secrets = ()
    noonlight_environment: Environment = "staging"
    noonlight_options: dict[str, Any] = Field(default_factory=dict)

    escalation_url: str = ""
    escalation_secret: SecretStr = SecretStr("")
    heartbeat_url: str = ""
    public_url: str = "http://127.0.0.1:8080"

    # Where platforms may tell us to write to beyond public addresses by https; see docs/security.md. Loopback unless
    # said: only while `public_url` is there too, as at a desk.
    allow_private_endpoints: bool = False
    allow_loopback_endpoints: bool | None = None
    # Hosts that platforms may name as their location source, `host` or `host:port`; loopback needs no entry.
    location_hosts: Listed = ()

    max_body_bytes: int = Field(default=262_144, ge=1024)
    # Per web process (ADR 8); 0: no limit. Changes and webhooks are never refused for their number.
    key_reads_per_minute: int = Field(default=3_000, ge=0)
    address_reads_per_minute: int = Field(default=12_000, ge=0)
    address_failures_per_minute: int = Field(default=60, ge=0)
    # How many proxies of ours stand before the door and add to X-Forwarded-For; 0: the peer's address counts.
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    hold_without_database_s: float = Field(default=3.0, ge=0, le=10)

    # A call is over after call_s; its lease outlasts it by lease_margin_s (law 3).
    call_s: float = Field(default=15.0, gt=0)
    lease_margin_s: float = Field(default=5.0, gt=0)
    least_exchange_s: float = Field(default=5.0, gt=0)

    dispatch_threads: int = Field(default=16, ge=4)
    outgoing_threads: int = Field(default=8, ge=2)
    watchman_threads: int = Field(default=8, ge=4)
    watchman_patience_s: float = Field(default=3.0, gt=0)
    intake_batch: int = Field(default=200, ge=1)
    database_pool: int = Field(default=10, ge=2)

    told_after_s: float = Field(default=30.0, gt=0)
    unconfirmed_after_s: float = Field(default=10.0, gt=0)
    create_max_age_s: float = Field(default=1800.0, gt=0)
    park_strangers_s: float = Field(default=900.0, gt=0)

    # Each account is asked this often whether it can be used (0: never).
    probe_every_s: float = Field(default=3600.0, ge=0)

    # Sites are compared with the provider's listing this often (0: only when asked), and after so many changes.
    reconcile_every_s: float = Field(default=3600.0, ge=0)
    reconcile_after_changes: int = Field(default=500, ge=1)
    # From this distance in metres on a site has moved.
    site_moved_m: float = Field(default=50.0, ge=0)
    # A listing may take so long in all, and so long without a byte.
    listing_s: float = Field(default=1800.0, gt=0)
    listing_idle_s: float = Field(default=30.0, gt=0)

    # A portfolio of sites as one file: its size, by how much it may be smaller than the last one, how long its upload
    # may take, and for how long the provider's call back is waited for.
    max_import_bytes: int = Field(default=50_000_000, ge=1024)
    import_fall_share: float = Field(default=0.1, ge=0, le=1)
    upload_s: float = Field(default=120.0, gt=0)
    import_callback_s: float = Field(default=1800.0, gt=0)

    log_level: str = "INFO"

    @field_validator(
        "encryption_keys", "aura_webhook_secrets", "noonlight_webhook_secrets", "location_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        """A list is comma-separated in the environment."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("escalation_secret")
    @classmethod
    def _signs(cls, value: SecretStr) -> SecretStr:
        """Else it would be found out with the first alarm that nobody answers."""
        text = value.get_secret_value()
        try:
            decoded = text == "" or b64decode(text.removeprefix("whsec_") + "==")
        except ValueError:
            decoded = b""
        if not decoded:
            raise ValueError("must be Base64 after whsec_")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _some_key(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not value:
            raise ValueError("needs at least one key (tocsin keys new-encryption-key prints one)")
        return value

    def lease_s(self) -> float:
        """How long a lease on a row that calls out lasts."""
        return self.call_s + self.lease_margin_s

    def default_accounts(self) -> list[dict[str, Any]]:
        """The provider accounts that the environment describes, one per provider at most."""
        found: list[dict[str, Any]] = []
        if self.aura_base_url:
            found.append(
                {
                    "provider": "aura",
                    "base_url": self.aura_base_url.rstrip("/"),
                    "environment": self.aura_environment,
                    "credentials": {
                        "client_id": self.aura_client_id,
                        "client_secret": self.aura_client_secret.get_secret_value(),
                    },
                    "webhook_secrets": [s.get_secret_value() for s in self.aura_webhook_secrets],
                    "options": self.aura_options,
                }
            )
        if self.noonlight_base_url:
            found.append(
                {
                    "provider": "noonlight",
                    "base_url": self.noonlight_base_url.rstrip("/"),
                    "environment": self.noonlight_environment,
                    "credentials": {"token": self.noonlight_token.get_secret_value()},
                    "webhook_secrets": [s.get_secret_value() for s in self.noonlight_webhook_secrets],
                    "options": self.noonlight_options,
                }
            )
        return found


def load() -> Settings:
    """Settings from the environment. Raises BadSettings that names each wrong variable, never a value."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"TOCSIN_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise BadSettings("settings are not usable:\n  " + "\n  ".join(lines)) from None


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read at first use."""
    return load()
