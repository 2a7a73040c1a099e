"""The box in one piece, for a phone without internet.

A frame without an origin is served by no worker, so offline its modules cannot be fetched. Here the
same modules stand in one script, each in a function of its own. It is inline in a document that the
page itself puts into the frame, and named by its digest in the page's policy: no other may run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import PurePosixPath

_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
# Nothing is loaded from it: workers are gone in the box, and the library asks only for an address.
_NOWHERE = '"https://box.invalid/"'


class NotBundled(ValueError):
    """A module is written in a way that this does not understand; the message names it."""


def bundled(entry: str, sources: Mapping[str, str]) -> str:
    """One classic script that does what the module at `entry` does.

    `sources` are modules by absolute address. Raises NotBundled.
    """
    needs: dict[str, set[str]] = {}
    waiting = [entry]
    while waiting:
        address = waiting.pop()
        if address not in needs:
            needs[address] = {_resolved(address, to) for _, to in _imports(address, sources)}
            waiting += needs[address]
    order = list(TopologicalSorter(needs).static_order())
    parts = [_wrapped(address, sources[address], order) for address in order]
    return "\n".join(parts)


def inline(first: str, style: str, script: str) -> str:
    """What stands between the tags: `first` runs first, the style is applied, then the script."""
    styled = (
        "const style = new CSSStyleSheet();\n"
        f"style.replaceSync({json.dumps(style)});\n"
        "document.adoptedStyleSheets = [style];\n"
    )
    return f"{first}\n(() => {{\n{styled}{script}\n}})();\n".replace("</", "<\\/")


def digest(code: str) -> str:
    """The source expression that lets exactly this inline script run (CSP Level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _imports(address: str, sources: Mapping[str, str]) -> list[tuple[str, str]]:
    if address not in sources:
        raise NotBundled(f"{address} is not there")
    return _IMPORT.findall(sources[address])


def _resolved(address: str, to: str) -> str:
    return to if to.startswith("/") else str(PurePosixPath(address).parent / to)


def _wrapped(address: str, source: str, order: list[str]) -> str:
    def taken(match: re.Match[str]) -> str:
        names = " ".join(match[1].split()).replace(" as ", ": ")
        return f"const {{ {names} }} = m{order.index(_resolved(address, match[2]))};\n"

    exported = [name for _, name in _EXPORT.findall(source)]
    plain = _EXPORT.sub(r"\1", _IMPORT.sub(taken, source))
    if _OTHER.search(plain):
        raise NotBundled(f"{address} imports or exports in a way of its own")
    plain = plain.replace("import.meta.url", _NOWHERE)
    names = ", ".join(exported)
    return f"const m{order.index(address)} = (() => {{\n{plain}\nreturn {{ {names} }};\n}})();"
