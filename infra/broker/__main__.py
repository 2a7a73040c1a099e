"""The broker's command line: `python -m infra.broker --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.broker.assembly import load_keys, open_signer
from infra.broker.configuration import Configuration, KeyEntry, load
from infra.broker.development import configuration_for
from infra.broker.errors import StartRefused
from infra.broker.issuance import IssuerKey, problems_of
from infra.broker.signers.port import BlindSigner

_TRIES = 20  # new keys, until one ends in a byte that no other does


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0, or 5 when the broker cannot start with what it was given."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except StartRefused as refused:
        for problem in refused.problems:
            sys.stderr.write(f"{problem}\n")
        return 5
    return 0


def _serve(options: argparse.Namespace) -> None:
    _run(load(options.config, options.development))


def _develop(options: argparse.Namespace) -> None:
    _run(configuration_for(options.folder, options.port, options.returns))


def _run(configuration: Configuration) -> None:
    from infra.broker.server import serve

    serve(configuration, _say)


def _make(options: argparse.Namespace) -> None:
    configuration = load(options.config, options.development)
    entry = _entry(configuration, options.label)
    signer = open_signer(configuration.signer)
    others = list(_loadable(signer, configuration, entry.label))
    for _ in range(_TRIES):
        signer.make(entry.label)
        made = _loaded(signer, entry)
        if not problems_of([*others, made]):
            sys.stdout.write(_lines(made))
            return
        signer.destroy(entry.label)
    raise StartRefused(["key: it would not stand beside the others; see `keys show`"])


def _show(options: argparse.Namespace) -> None:
    configuration = load(options.config, options.development)
    for key in load_keys(open_signer(configuration.signer), configuration):
        sys.stdout.write(_lines(key))


def _entry(configuration: Configuration, label: str) -> KeyEntry:
    for entry in configuration.keys:
        if entry.label == label:
            return entry
    raise StartRefused(["key: the configuration has no [[key]] of that label"])


def _loadable(signer: BlindSigner, configuration: Configuration, but: str) -> list[IssuerKey]:
    """The other keys that have been made so far."""
    found = []
    for entry in configuration.keys:
        if entry.label != but:
            try:
                found.append(_loaded(signer, entry))
            except StartRefused:
                continue
    return found


def _loaded(signer: BlindSigner, entry: KeyEntry) -> IssuerKey:
    modulus, _ = signer.public(entry.label)
    return IssuerKey(entry.label, entry.predicate, modulus, entry.not_before_at)


def _lines(key: IssuerKey) -> str:
    """What goes into the service's issuer file (docs/AGE.md), under the issuer of that basis."""
    return (
        f'# {key.label}: {key.predicate}\n[[issuer.keys]]\nspki = "{key.spki_text.rstrip("=")}"\n\n'
    )


def _say(ready: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.broker",
        description="The age broker: signs under-18 passes blind for whom a provider has checked.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = _command(commands, "serve", _serve, "serve until SIGTERM")
    _with_configuration(serving)
    keys = commands.add_parser("keys", help="make or show the issuer keys")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    making = _command(actions, "make", _make, "make the key of a [[key]] entry and show it")
    making.add_argument("label", help="its label in the configuration")
    _with_configuration(making)
    _with_configuration(_command(actions, "show", _show, "lines for the service's issuer file"))
    developing = _command(
        commands, "develop", _develop, "serve on this machine with keys of its own; CHECKS NOBODY"
    )
    developing.add_argument("--folder", type=Path, required=True, help="for keys and database")
    developing.add_argument("--port", type=int, default=8090, help="on 127.0.0.1 (%(default)s)")
    developing.add_argument(
        "--returns", action="append", required=True, metavar="ORIGIN", help="where passes may go"
    )
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], words: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=words, description=words)
    parser.set_defaults(command=run)
    return parser


def _with_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="see README.md")
    parser.add_argument(
        "--development",
        action="store_true",
        help="permit what checks nobody, plain keys, and http on loopback",
    )


if __name__ == "__main__":
    sys.exit(main())
