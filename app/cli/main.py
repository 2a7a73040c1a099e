"""`report-remove`: the device's side, the operator's side and the service, on a command line."""

from __future__ import annotations

import click

from app.cli import (
    age,
    audit,
    cloud,
    device,
    keys,
    messages,
    move,
    move_keys,
    partner,
    passes,
    service,
)
from app.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name=None, version=VERSION, prog_name="report-remove")
def main() -> None:
    """Get an intimate photo or video of a young person taken down, by hash alone.

    \b
    On a device:     hash, fetch-passes, submit, add, open, withdraw
    For operators:   serve, settings, partner, messages, audit, age, keys, export, import, cloud
    To see it work:  demo

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no answer from the service,
    4 nothing usable in a file, 5 bad settings or store.
    """


keys.keys.add_command(move_keys.import_keys)
keys.keys.add_command(move_keys.export_keys)

for command in (
    device.hash_files,
    device.submit,
    device.add,
    device.open_case,
    device.withdraw,
    passes.fetch_passes,
    service.serve,
    service.settings,
    service.demo,
    partner.partner,
    messages.messages,
    audit.audit,
    age.age,
    keys.keys,
    cloud.cloud,
    move.export_records,
    move.import_records,
):
    main.add_command(command)
