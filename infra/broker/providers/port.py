"""What the broker asks of somebody who can tell that a person is under 18."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from infra.broker.grants import Person
from infra.broker.issuance import Predicate


@dataclass(frozen=True, slots=True)
class Page:
    """A page of ours is to be shown: the template of that name."""

    template: str


@dataclass(frozen=True, slots=True)
class Away:
    """The browser is to go to `url`. `kept` is what `finish` is given when it comes back.

    `state` is what its query says then, where a provider repeats one (OAuth 2.0, RFC 6749 section
    4.1.2): several visits of one browser are told apart by it. Such a provider raises no NotYet.
    """

    url: str = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)
    state: str = field(default="", repr=False)


class Provider(Protocol):
    """One way to be found under 18.

    Whatever is not literally that result raises NoPass: a missing answer is not 'under 18'.
    """

    name: str
    predicate: Predicate
    goes_to: tuple[str, ...]
    """Origins that the browser is sent to, for the page's own policy."""

    def start(self, form: Mapping[str, str]) -> Page | Away | Person:
        """Begin. Raises NoPass."""
        ...

    def finish(self, kept: Mapping[str, str], query: Mapping[str, str]) -> Person:
        """The result, when the browser is back. Raises NoPass, or NotYet to be asked again."""
        ...
