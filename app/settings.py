"""Every setting of the service: complete and checked, or the service refuses to start.

docs/SETTINGS.md lists them for operators; a test reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from limits import parse_many

PREFIX = "REPORT_REMOVE_"
AGE_PROFILES = frozenset(
    {
        "pp-under18-v1",
        "jwt-age-v1",
        "sdjwt-age-v1",
        "mdoc-age-v1",
        "counsellor-attested-v1",
        "declared-v1",
    }
)


class BadSettings(Exception):
    """The environment does not make a usable configuration; `problems` names each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _text(raw: str) -> str:
    if not raw.strip():
        raise ValueError("must not be empty")
    return raw.strip()


def _optional_text(raw: str) -> str:
    return raw.strip()


def _path(raw: str) -> Path:
    return Path(_text(raw)).expanduser()


def _optional_path(raw: str) -> Path | None:
    return _path(raw) if raw.strip() else None


def _switch(raw: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if raw.strip().lower() not in words:
        raise ValueError("must be yes or no")
    return words[raw.strip().lower()]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not raw.strip().lstrip("-").isdigit() or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


def _days(low: int, high: int) -> Callable[[str], timedelta]:
    count = _whole(low, high)
    return lambda raw: timedelta(days=count(raw))


def _hours(low: int, high: int) -> Callable[[str], timedelta]:
    count = _whole(low, high)
    return lambda raw: timedelta(hours=count(raw))


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.strip() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw.strip()

    return parse


def _words(raw: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in _text(raw).split(",") if word.strip())


def _base_url(raw: str) -> str:
    parts = urlsplit(_text(raw))
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be http(s)://host[:port][/path] without query or fragment")
    return raw.strip().rstrip("/")


def _rate(raw: str) -> str:
    try:
        parse_many(_text(raw))
    except ValueError:
        raise ValueError("must be a rate such as '20 per hour'") from None
    return raw.strip()


def _setting(parse: Callable[[str], Any], default: str, meaning: str) -> Any:
    return field(metadata={"parse": parse, "default": default, "meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may choose. Environment names are the field names in capitals, prefixed."""

    environment: str = _setting(
        _one_of("production", "development"),
        "production",
        "`development` permits what must never face the public, such as partners on loopback",
    )
    data_dir: Path = _setting(_path, "var", "folder of the database and the root-key file")
    store: str = _setting(
        _one_of("sqlite", "dynamodb"), "sqlite", "where cases are kept (docs/decisions/0015)"
    )
    keys: str = _setting(
        _one_of("file", "kms"),
        "file",
        "where the root keys are: a file, or a secret that KMS opens",
    )
    limits: str = _setting(
        _one_of("memory", "dynamodb"), "memory", "where requests are counted; memory is one process"
    )
    table: str = _setting(_optional_text, "report-remove", "DynamoDB: the table of the store")
    shards: int = _setting(
        _whole(1, 256), "8", "DynamoDB: parts of each index by time; never fewer than there were"
    )
    limits_table: str = _setting(
        _optional_text, "report-remove-limits", "DynamoDB: the table of the counters"
    )
    keys_secret: str = _setting(
        _optional_text,
        "report-remove/keys",
        "Secrets Manager: the secret with the wrapped root keys",
    )
    kms_key: str = _setting(
        _optional_text, "alias/report-remove", "KMS: the key that wraps new root keys"
    )
    first_queue: str = _setting(
        _optional_text, "", "SQS: address of the queue of first attempts (functions only)"
    )
    retry_queue: str = _setting(
        _optional_text, "", "SQS: address of the queue of later attempts (functions only)"
    )
    senders: int = _setting(
        _whole(1, 100),
        "1",
        "senders that run at once, all together; they share what an endpoint grants",
    )
    public_url: str = _setting(
        _base_url, "http://127.0.0.1:8080", "the address by which devices and partners reach us"
    )
    host: str = _setting(_text, "127.0.0.1", "address to listen on")
    port: int = _setting(_whole(0, 65535), "8080", "port to listen on; 0 picks a free one")
    metrics_port: int = _setting(
        _whole(0, 65535), "9464", "port of the metrics, on loopback only; 0 picks a free one"
    )
    threads: int = _setting(_whole(1, 256), "16", "requests handled at once")
    processors: str = _setting(
        _one_of("one", "all"), "one", "for our threads; one is faster (docs/decisions/0019)"
    )
    trusted_proxies: int = _setting(
        _whole(0, 8), "0", "how many proxies in front of us set X-Forwarded-For"
    )
    max_body_bytes: int = _setting(
        _whole(10_000, 1_900_000), "1000000", "largest request body that is read"
    )
    max_items_per_case: int = _setting(_whole(1, 50), "50", "photos and videos in one case")
    max_hashes_per_item: int = _setting(_whole(1, 512), "128", "hashes of one photo or video")
    take_locations: bool = _setting(
        _switch,
        "no",
        "take a link or username for partners whose law needs one, sealed to that partner alone",
    )
    age_profiles: tuple[str, ...] = _setting(
        _words,
        "pp-under18-v1,jwt-age-v1,declared-v1",
        "kinds of age proof accepted, the preferred one first (docs/AGE.md)",
    )
    age_issuers_file: Path | None = _setting(
        _optional_path, "", "the trusted issuers of age tokens (docs/AGE.md)"
    )
    denylist_file: Path | None = _setting(
        _optional_path, "", "well-known harmless pictures; empty for the list we ship"
    )
    deadlines_file: Path | None = _setting(
        _optional_path, "", "deadline policies; empty for the file we ship"
    )
    allow_loopback_partners: bool = _setting(
        _switch, "no", "post to partners on this machine, over http too; development only"
    )
    limit_reports: str = _setting(_rate, "30 per hour", "reports from one network")
    limit_declared: str = _setting(
        _rate, "10 per hour", "reports from one network whose age is only declared"
    )
    limit_case: str = _setting(
        _rate, "60 per hour", "looks at and changes to a case from one network"
    )
    limit_partner: str = _setting(_rate, "6000 per minute", "calls by one partner")
    limit_overall: str = _setting(
        _rate, "60000 per minute", "requests from everybody together, to one process"
    )
    withdrawal_limit: timedelta = _setting(
        _days(1, 90), "30", "days after which a withdrawn case's hashes are erased in any event"
    )
    scrubbed_keep: timedelta = _setting(
        _days(0, 365), "30", "days a case without hashes can still be opened by its key"
    )
    case_keep: timedelta = _setting(
        _days(1, 3650), "730", "days after which an active case's hashes are erased"
    )
    answer_keep: timedelta = _setting(
        _hours(1, 168), "24", "hours an answer is kept for its Idempotency-Key"
    )
    attempt_keep: timedelta = _setting(_days(1, 365), "30", "days delivery attempts are kept")
    audit_keep: timedelta = _setting(
        _days(1, 3650), "730", "days the audit chain of a purged case is kept"
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check everything. Raises BadSettings that names every problem at once."""
        problems = [f"{name} is not a setting" for name in _unknown_names(env)]
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = PREFIX + spec.name.upper()
            try:
                values[spec.name] = spec.metadata["parse"](env.get(name, spec.metadata["default"]))
            except ValueError as fault:
                problems.append(f"{name} {fault}")
        problems += _contradictions(values)
        if problems:
            raise BadSettings(problems)
        return cls(**values)


def _unknown_names(env: Mapping[str, str]) -> list[str]:
    known = {PREFIX + spec.name.upper() for spec in fields(Settings)}
    return sorted(name for name in env if name.startswith(PREFIX) and name not in known)


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    production = values.get("environment") == "production"
    if production and values.get("allow_loopback_partners"):
        problems.append(f"{PREFIX}ALLOW_LOOPBACK_PARTNERS is for development only")
    problems += _cloud_contradictions(values)
    unknown = set(values.get("age_profiles", ())) - AGE_PROFILES
    if unknown:
        problems.append(f"{PREFIX}AGE_PROFILES names an unknown profile")
    problems += [
        f"{PREFIX}{key.upper()} is not a file"
        for key in ("age_issuers_file", "denylist_file", "deadlines_file")
        if values.get(key) is not None and not values[key].is_file()
    ]
    return problems


_NEEDED = {
    ("store", "dynamodb"): ("table",),
    ("keys", "kms"): ("keys_secret",),
    ("limits", "dynamodb"): ("limits_table",),
}


def _cloud_contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{PREFIX}{name.upper()} must not be empty with {PREFIX}{switch.upper()}={word}"
        for (switch, word), names in _NEEDED.items()
        for name in names
        if values.get(switch) == word and values.get(name) == ""
    ]
    if values.get("store") == "dynamodb" and values.get("keys") == "file":
        # Two machines would seal one table with two rings, and neither could open all of it.
        problems.append(f"{PREFIX}KEYS must be kms with {PREFIX}STORE=dynamodb")
    return problems
