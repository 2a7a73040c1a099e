"""`python -m tests.infra.broker.at TIME CONFIG`: the broker's process with a clock that stands."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.broker.configuration import load
from infra.broker.server import serve
from tests.infra.broker.running import Hands


def main() -> None:
    time, path = sys.argv[1:]
    clock = Hands(datetime.fromisoformat(time))

    def say(ready: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    serve(load(Path(path), development=True), say, clock)


if __name__ == "__main__":
    main()
