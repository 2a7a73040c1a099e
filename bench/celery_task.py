"""What one would write instead: a Celery task that seals, signs and posts, with `requests`.

It does the same job as its README examples would: joserfc seals, standardwebhooks signs (v1), and
`requests.post` opens a connection each time; `post_kept` keeps a session instead.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any, cast

import requests
from celery import Celery
from joserfc import jwe, jwk, jws
from standardwebhooks.webhooks import Webhook

app = Celery("bench", broker=os.environ.get("BENCH_BROKER", "redis://127.0.0.1:6379/0"))
app.conf.update(
    task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True
)

_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]
_kept = requests.Session()


def sealed(payload: dict[str, Any], our_key: dict[str, str], their_key: dict[str, str]) -> str:
    """The nested token, as the library's documentation does it."""
    header = {"alg": "EdDSA"}
    signed = jws.serialize_compact(
        header, json.dumps(payload), jwk.OKPKey.import_key(cast(Any, our_key)), algorithms=["EdDSA"]
    )
    header = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"}
    key = jwk.ECKey.import_key(cast(Any, their_key))
    return jwe.encrypt_compact(header, signed, key, algorithms=_ALGORITHMS)


def request(job: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a job."""
    now = datetime.now(UTC)
    data = {"sealed": sealed(job["payload"], job["our_key"], job["their_key"])}
    body = json.dumps({"type": "removal.requested", "timestamp": now.isoformat(), "data": data})
    headers = {
        "webhook-id": job["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(job["secret"]).sign(job["id"], now, body),
        "content-type": "application/json",
    }
    return body.encode(), headers


@app.task  # type: ignore[untyped-decorator]
def post(job: dict[str, Any]) -> None:
    """Post it over a connection of its own."""
    body, headers = request(job)
    requests.post(job["url"], data=body, headers=headers, timeout=15).raise_for_status()


@app.task  # type: ignore[untyped-decorator]
def post_kept(job: dict[str, Any]) -> None:
    """Post it over a connection that this worker keeps."""
    body, headers = request(job)
    _kept.post(job["url"], data=body, headers=headers, timeout=15).raise_for_status()
