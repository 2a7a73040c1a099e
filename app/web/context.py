"""What a view may reach: the use cases and the settings of its application."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from limits.storage import Storage

from app.observability import Journal, Metrics
from app.services.catalogue import Services
from app.settings import Settings

EXTENSION = "report_remove"


@dataclass(frozen=True, slots=True)
class Context:
    """Given to `create_app`, kept in `app.extensions`."""

    services: Services
    settings: Settings
    metrics: Metrics
    journal: Journal
    counters: Storage | None = None  # shared with other processes


def context() -> Context:
    """The context of the application that handles this request."""
    found: Context = current_app.extensions[EXTENSION]
    return found


def services() -> Services:
    """The use cases."""
    return context().services


def settings() -> Settings:
    """The settings."""
    return context().settings
