"""The broker's one TOML file: complete and checked, every problem told at once (README.md)."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.broker.desk import Limits
from infra.broker.errors import StartRefused
from infra.broker.issuance import Predicate
from infra.broker.providers import yoti

FORMAT = 1
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_CLAIM = re.compile(r"[\x21-\x7e]{1,128}")
_WORDS = re.compile(r"[^\x00-\x1f\x7f]{1,300}")
_SECRET_BYTES = 4096


@dataclass(frozen=True, slots=True)
class SignerEntry:
    """Where private keys are. `folder` is the development signer's, the others PKCS#11's."""

    kind: str
    folder: Path = Path()
    module: Path = Path()
    token: str = ""
    pin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A live key: its label at the signer, what it says, and from when on."""

    label: str
    predicate: Predicate
    not_before_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider as the page lists it; `options` are of its kind."""

    name: str
    kind: str
    predicate: Predicate
    title: str
    learns: str
    options: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything an operator chooses."""

    public_url: str
    host: str
    port: int
    database: Path
    returns: tuple[str, ...]
    limits: Limits
    signer: SignerEntry
    keys: tuple[KeyEntry, ...]
    providers: tuple[ProviderEntry, ...]
    development: bool

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by TLS."""
        return self.public_url.startswith("https:")


def load(path: Path, development: bool) -> Configuration:
    """The configuration of a file; paths in it are from its folder. Raises StartRefused."""
    try:
        members = tomllib.loads(path.read_text("utf-8"))
    except OSError:
        raise StartRefused(["file: it cannot be read"]) from None
    except (ValueError, RecursionError):
        raise StartRefused(["file: it is not TOML"]) from None
    problems: list[str] = []
    configuration = _configuration(_Table("file", members, problems, path.parent), development)
    problems += _doubles("key", "label", (key.label for key in configuration.keys))
    problems += _doubles("provider", "name", (entry.name for entry in configuration.providers))
    if problems:
        raise StartRefused(problems)
    return configuration


class _Table:
    """One table of the file. What does not fit is a problem, and reading goes on."""

    def __init__(self, where: str, members: dict[str, Any], problems: list[str], folder: Path):
        self.where = where
        self._members = dict(members)
        self._problems = problems
        self._folder = folder

    def problem(self, words: str) -> None:
        self._problems.append(f"{self.where}: {words}")

    def take(self, name: str, default: object = None) -> Any:
        """The raw member, `default` if it is not there."""
        return self._members.pop(name, default)

    def text(self, name: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        value = self.take(name, default)
        if isinstance(value, str) and (value == default or pattern.fullmatch(value)):
            return value
        self.problem(f"{name} must be a text of the right form")
        return ""

    def choice(self, name: str, choices: Iterable[str]) -> str:
        choices = tuple(choices)
        value = self.take(name)
        if isinstance(value, str) and value in choices:
            return value
        self.problem(f"{name} must be one of {', '.join(choices)}")
        return choices[0]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.take(name, default)
        if type(value) is int and low <= value <= high:
            return value
        self.problem(f"{name} must be a whole number from {low} to {high}")
        return default

    def moment(self, name: str) -> datetime | None:
        value = self.take(name)
        if value is None or (isinstance(value, datetime) and value.tzinfo):
            return value.astimezone(UTC) if value else None
        self.problem(f"{name} must be a date and time with its offset")
        return None

    def path(self, name: str) -> Path:
        value = self.take(name)
        if isinstance(value, str) and value and "\0" not in value:
            return self._folder / value
        self.problem(f"{name} must be a path")
        return self._folder

    def secret(self, name: str) -> str:
        """The one line of the file named, which only its owner and group may read."""
        path = self.path(name)
        try:
            if path.stat().st_mode & 0o007:
                self.problem(f"{name}: others may read it; chmod 600")
            value = path.read_bytes()[:_SECRET_BYTES].decode("ascii").strip()
        except (OSError, ValueError):
            value = ""
        if not value or not value.isprintable():
            self.problem(f"{name}: the file cannot be read, or is not one line of ASCII")
        return value

    def url(self, name: str, loopback: bool, origin: bool = True, default: str = "") -> str:
        value = self.take(name, default)
        if isinstance(value, str) and _is_url(value, loopback, origin):
            return value
        more = " or http on loopback" if loopback else ""
        self.problem(f"{name} must be https://host{more}, {'no path' if origin else 'no query'}")
        return "https://invalid"

    def texts(self, name: str) -> list[Any]:
        value = self.take(name)
        if isinstance(value, list) and value:
            return value
        self.problem(f"{name} must be a list that is not empty")
        return []

    def tables(self, name: str, otherwise: str = "") -> list[_Table]:
        value = self.take(name, [])
        if not isinstance(value, list) or not value or not all(isinstance(t, dict) for t in value):
            self.problem(otherwise or f"there must be at least one [[{name}]]")
            return []
        return [
            _Table(f"{name} {place}", table, self._problems, self._folder)
            for place, table in enumerate(value, 1)
        ]

    def table(self, name: str) -> _Table:
        value = self.take(name)
        if not isinstance(value, dict):
            self.problem(f"there must be a table [{name}]")
            value = {}
        return _Table(name, value, self._problems, self._folder)

    def close(self) -> None:
        for name in self._members:
            # The name may be a value that was put in the wrong place.
            shown = name if _LABEL.fullmatch(name.replace("_", "-")) else "a name"
            self.problem(f"{shown} is not known here")


def _configuration(top: _Table, development: bool) -> Configuration:
    found = top.take("format")
    if type(found) is not int or found != FORMAT:
        top.problem(f"format must be {FORMAT}")
    configuration = Configuration(
        public_url=top.url("public_url", development),
        host=top.text("host", re.compile(r"[0-9a-zA-Z.:-]{1,255}"), "127.0.0.1"),
        port=top.whole("port", 8090, 0, 65535),
        database=top.path("database"),
        returns=_returns(top, development),
        limits=Limits(
            top.whole("tokens_per_grant", 3, 1, 20), top.whole("tokens_per_day", 6, 1, 100)
        ),
        signer=_signer(top.table("signer"), development),
        keys=tuple(_key(table) for table in top.tables("key")),
        providers=tuple(_provider(table, development) for table in top.tables("provider")),
        development=development,
    )
    top.close()
    return configuration


def _returns(top: _Table, development: bool) -> tuple[str, ...]:
    origins = top.texts("returns")
    if not all(isinstance(o, str) and _is_origin(o, development) for o in origins):
        top.problem("returns must hold origins: https://host, without a path")
        return ()
    return tuple(origins)


def _is_origin(text: str, loopback: bool) -> bool:
    """As a browser writes it, for it is compared letter by letter: small, no default port."""
    _, _, port = text.rpartition(":")
    usual = "443" if text.startswith("https:") else "80"
    is_usual = text == text.lower() and port not in ("", usual) and not port.startswith("0")
    return is_usual and _is_url(text, loopback, origin=True)


def _signer(table: _Table, development: bool) -> SignerEntry:
    kind = table.choice("kind", ("pkcs11", "development"))
    if kind == "development":
        if not development:
            table.problem("kind development is for --development only")
        entry = SignerEntry(kind, folder=table.path("folder"))
    else:
        entry = SignerEntry(
            kind,
            module=table.path("module"),
            token=table.text("token", _WORDS),
            pin=table.secret("pin_file"),
        )
    table.close()
    return entry


def _key(table: _Table) -> KeyEntry:
    entry = KeyEntry(
        table.text("label", _LABEL),
        Predicate(table.choice("predicate", Predicate)),
        table.moment("not_before_at"),
    )
    table.close()
    return entry


def _provider(table: _Table, development: bool) -> ProviderEntry:
    kind = table.choice("kind", _KINDS)
    entry = ProviderEntry(
        name=table.text("name", _LABEL),
        kind=kind,
        predicate=Predicate(table.choice("predicate", Predicate)),
        title=table.text("title", _WORDS),
        learns=table.text("learns", _WORDS),
        options=_KINDS[kind](table, development),
    )
    table.close()
    return entry


def _development_options(table: _Table, development: bool) -> dict[str, Any]:
    if not development:
        table.problem("kind development is for --development only")
    return {}


def _oidc_options(table: _Table, development: bool) -> dict[str, Any]:
    algorithms = table.texts("algorithms")
    if not set(map(str, algorithms)) <= set(ALGORITHMS):
        table.problem(f"algorithms must be among {', '.join(ALGORITHMS)}")
    scope = table.text("scope", re.compile(r"[\x21-\x7e ]{1,255}"), "openid")
    if "openid" not in scope.split():
        table.problem("scope must hold openid")
    return {
        "issuer": table.url("issuer", development, origin=False),
        "client_id": table.text("client_id", _CLAIM),
        "client_secret": table.secret("client_secret_file"),
        "claim": table.text("claim", _CLAIM),
        "scope": scope,
        "algorithms": tuple(map(str, algorithms)),
    }


def _yoti_options(table: _Table, development: bool) -> dict[str, Any]:
    return {
        "sdk_id": table.text("sdk_id", re.compile(r"[A-Za-z0-9_-]{14,40}")),
        "api_key": table.secret("api_key_file"),
        "threshold": table.whole("threshold", 18, 10, 18),
        "base": table.url("base", development, origin=False, default=yoti.BASE),
    }


_KINDS = {
    "development": _development_options,
    "oidc": _oidc_options,
    "yoti": _yoti_options,
}


def _is_url(text: str, loopback: bool, origin: bool) -> bool:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", text):
        return False
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or (origin and parts.path):
        return False
    return parts.scheme == "https" or (loopback and host in ("127.0.0.1", "localhost", "::1"))


def _doubles(what: str, name: str, values: Iterable[str]) -> list[str]:
    twice = any(count > 1 for value, count in Counter(values).items() if value)
    return [f"file: two entries [[{what}]] have one {name}"] if twice else []
