"""A broker for one machine, from nothing: its keys, its configuration. It checks nobody."""

from __future__ import annotations

import json
from pathlib import Path

from infra.broker.configuration import Configuration, load
from infra.broker.errors import StartRefused
from infra.broker.issuance import IssuerKey, Predicate, problems_of
from infra.broker.signers.development import DevelopmentSigner

_WORDS = {
    Predicate.DOCUMENT: ("development", "Choose an age, as if a document said it"),
    Predicate.ESTIMATE: ("development-estimate", "Choose an age, as if it were estimated"),
}


def configuration_for(folder: Path, port: int, returns: list[str]) -> Configuration:
    """Keys are made where they are missing, broker.toml is written anew. Raises StartRefused."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_keys(DevelopmentSigner(folder))
        path = folder / "broker.toml"
        path.write_text(_text(port, returns), "utf-8")
    except OSError:
        raise StartRefused(["folder: it cannot be written to"]) from None
    return load(path, development=True)


def _make_keys(signer: DevelopmentSigner) -> None:
    for predicate in Predicate:
        try:
            signer.public(predicate)
        except StartRefused:
            signer.make(predicate)
    while problems_of(_keys(signer)):
        signer.destroy(Predicate.ESTIMATE)
        signer.make(Predicate.ESTIMATE)


def _keys(signer: DevelopmentSigner) -> list[IssuerKey]:
    return [IssuerKey(p, p, signer.public(p).modulus) for p in Predicate]


def _text(port: int, returns: list[str]) -> str:
    tables = "".join(_tables(predicate, *_WORDS[predicate]) for predicate in Predicate)
    return f"""# Written by `python -m infra.broker develop`. It checks nobody.
format = 1
public_url = "http://127.0.0.1:{port}"
port = {port}
database = "day.sqlite"
returns = {json.dumps(returns)}

[signer]
kind = "development"
folder = "."
{tables}"""


def _tables(predicate: Predicate, name: str, title: str) -> str:
    return f"""
[[key]]
label = "{predicate}"
predicate = "{predicate}"

[[provider]]
name = "{name}"
kind = "development"
predicate = "{predicate}"
title = "{title}"
learns = "Nobody learns anything: this is for development."
"""
