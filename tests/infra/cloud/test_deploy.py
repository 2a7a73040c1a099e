"""`report-remove cloud` brings the stacks up, says what failed, and never deletes data."""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from app.cli.cloud import cloud
from app.root_keys import make_root_keys
from app.settings import PREFIX, Settings
from infra.cloud import deploy
from infra.cloud.emulator import REGION, ROOT, emulator
from infra.cloud.package import Package, Target, here
from tests.infra.cloud.templates import CLOUD

NAME = "trial"
CHOSEN = ("--set=Environment=development", "--set=AlarmEmail=duty@remove.example")


@dataclass(frozen=True)
class World:
    """An emulator that enforces, and the commands as one types them."""

    endpoint: str

    def command(self, *words: str) -> Result:
        return CliRunner().invoke(cloud, [*words, "--stack", NAME, "--endpoint-url", self.endpoint])

    def client(self, service: str, **more: Any) -> Any:
        return boto3.client(service, endpoint_url=self.endpoint, **more)  # type: ignore[call-overload]

    def as_role(self, function: str, service: str) -> Any:
        """A client with what that function may do."""
        found = self.client("lambda").get_function(FunctionName=f"{NAME}-{function}")
        role = found["Configuration"]["Role"]
        taken = self.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
        keys = taken["Credentials"]
        return self.client(
            service,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """The account's own credentials, and none of this machine's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", ROOT)
        patch.setenv("AWS_SECRET_ACCESS_KEY", ROOT)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture(scope="module")
def world(aws: None, package: Package) -> Iterator[World]:
    """The zip is made once, and not at every `up`."""

    def build(out: Path, target: Target, extra: Any = None) -> Package:
        assert target == package_here
        return package

    package_here = here()
    with emulator(auth=True) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.cloud.package.build", build)
        yield World(endpoint)


@pytest.fixture(scope="module")
def outputs(world: World) -> dict[str, str]:
    done = world.command("up", "--json", *CHOSEN)
    assert done.exit_code == 0, done.output
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_up_answers_with_its_addresses_and_goes_through_the_functions(
    world: World, outputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outputs["PublicUrl"].startswith(world.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.endpoint)
    settings = {
        "STORE": "dynamodb",
        "KEYS": "kms",
        "KEYS_SECRET": outputs["RootKeysName"],
        "KMS_KEY": outputs["SealingKeyArn"],
    }
    make_root_keys(Settings.from_env({PREFIX + name: value for name, value in settings.items()}))
    with urllib.request.urlopen(f"{outputs['PublicUrl']}/readyz", timeout=60) as answer:
        assert json.load(answer)["status"] == "ok"


def test_up_again_changes_nothing_and_keeps_what_was_chosen(
    world: World, outputs: dict[str, str]
) -> None:
    done = world.command("up")
    assert done.exit_code == 0, done.output
    assert done.output.count(" unchanged ") == 4
    functions = world.client("lambda").get_function(FunctionName=f"{NAME}-api")
    said = functions["Configuration"]["Environment"]["Variables"]
    assert said[f"{PREFIX}ENVIRONMENT"] == "development"
    assert said[f"{PREFIX}PUBLIC_URL"] == outputs["PublicUrl"]


def test_status_shows_every_stack(world: World, outputs: dict[str, str]) -> None:
    done = world.command("status")
    assert done.exit_code == 0
    for part in deploy.STACKS:
        assert f"{NAME}-{part}" in done.output
    assert outputs["TableArn"] in done.output


_KEY = {"pk": {"S": "test"}, "sk": {"S": "test"}}
REFUSED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("api", "sqs", "send_message", {"QueueUrl": "FirstUrl", "MessageBody": "x"}),
    ("api", "dynamodb", "scan", {"TableName": "TableName"}),
    ("api", "dynamodb", "delete_table", {"TableName": "TableName"}),
    ("api", "kms", "disable_key", {"KeyId": "SealingKeyArn"}),
    ("api", "kms", "generate_data_key", {"KeyId": "SealingKeyArn", "KeySpec": "AES_256"}),
    ("sender", "dynamodb", "delete_item", {"TableName": "TableName", "Key": _KEY}),
    ("relay", "sqs", "receive_message", {"QueueUrl": "FirstUrl"}),
    ("sender", "sqs", "send_message", {"QueueUrl": "FirstUrl", "MessageBody": "x"}),
    ("purge", "secretsmanager", "put_secret_value", {"SecretId": "RootKeysName"}),
    ("purge", "s3", "list_objects_v2", {"Bucket": "CodeBucket"}),
    ("sweeper", "sqs", "purge_queue", {"QueueUrl": "RetryUrl"}),
]


@pytest.mark.parametrize(
    ("function", "service", "call", "arguments"), REFUSED, ids=[f"{r[0]}-{r[2]}" for r in REFUSED]
)
def test_a_function_may_not_do_what_it_does_not(
    world: World,
    outputs: dict[str, str],
    function: str,
    service: str,
    call: str,
    arguments: dict[str, Any],
) -> None:
    given = {name: outputs.get(str(value), value) for name, value in arguments.items()}
    if call == "put_secret_value":
        given["SecretString"] = "mine"
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        getattr(world.as_role(function, service), call)(**given)


def operator(world: World, outputs: dict[str, str], service: str) -> Any:
    """A client with what the operator may do."""
    keys = world.client("sts").assume_role(
        RoleArn=outputs["OperatorRoleArn"], RoleSessionName="test"
    )["Credentials"]
    return world.client(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def moves(world: World, outputs: dict[str, str]) -> list[bool]:
    """Whether the operator may read the whole table, and have a root key wrapped."""
    calls = (
        ("dynamodb", "scan", {"TableName": outputs["TableName"]}),
        ("kms", "encrypt", {"KeyId": outputs["SealingKeyArn"], "Plaintext": b"root"}),
    )
    may = []
    for service, call, given in calls:
        try:
            getattr(operator(world, outputs, service), call)(**given)
        except ClientError as fault:
            may.append("AccessDenied" not in str(fault))
        else:
            may.append(True)
    return may


def test_an_operator_may_move_the_service_only_while_it_is_said_so(
    world: World, outputs: dict[str, str]
) -> None:
    assert moves(world, outputs) == [False, False]
    assert world.command("up", "--set=Moving=yes").exit_code == 0
    assert moves(world, outputs) == [True, True]
    assert world.command("up", "--set=Moving=no").exit_code == 0
    assert moves(world, outputs) == [False, False]


def test_what_a_function_did_not_foresee_leaves_nothing_of_it_in_the_log(
    world: World, outputs: dict[str, str]
) -> None:
    """Records that are none, with a word in every place that an exception might quote."""
    word = "hunter2-203.0.113.77"
    events = (
        {"Records": [{"eventName": "INSERT", "dynamodb": {"Keys": {word: word}}}]},
        {"Records": word},
        {"Records": [word]},
    )
    for name in ("relay", "sender"):
        for event in events:
            answer = world.client("lambda").invoke(
                FunctionName=f"{NAME}-{name}", LogType="Tail", Payload=json.dumps(event)
            )
            assert answer["FunctionError"]
            payload = answer["Payload"].read().decode()
            said = base64.b64decode(answer["LogResult"]).decode()
            assert '"event": "worker.failed"' in said
            assert word not in said + payload
    logs = world.client("logs")
    for name in ("relay", "sender"):
        kept = logs.filter_log_events(logGroupName=f"/{NAME}/{name}")["events"]
        assert word not in json.dumps(kept)


def test_what_is_not_to_be_chosen_is_refused(world: World) -> None:
    for wrong in ("Colour=green", "Emulated=yes", "CodeKey=x"):
        done = world.command("up", f"--set={wrong}")
        assert done.exit_code == 1
        assert f"{wrong.partition('=')[0]} is not to be chosen" in done.output
        assert "PublicUrl" in done.output
    assert world.command("up", "--set=PublicUrl").exit_code == 2


def issuers_files(world: World) -> set[str]:
    """Where the functions look for whom they trust."""
    named = world.client("lambda").list_functions()["Functions"]
    variables = [function["Environment"]["Variables"] for function in named]
    return {said[f"{PREFIX}AGE_ISSUERS_FILE"] for said in variables}


@pytest.fixture
def trusting(world: World, outputs: dict[str, str], issuers: Path) -> Iterator[None]:
    """The functions have an issuers file, for as long as the test."""
    done = world.command("up", f"--issuers-file={issuers}")
    assert done.exit_code == 0, done.output
    yield
    assert world.command("up", "--set=AgeIssuersFile=").exit_code == 0
    assert issuers_files(world) == {""}


def test_an_issuers_file_is_not_taken_away_by_leaving_it_out(
    world: World, trusting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before a zip without it is made. Whoever means it says so, as `trusting` does."""
    monkeypatch.setattr("infra.cloud.package.build", lambda *_: pytest.fail("it went on"))
    for more in ((), ("--set=Moving=yes",), ("--set=AgeIssuersFile=issuers.toml",)):
        done = world.command("up", *more)
        assert done.exit_code == 1, done.output
        assert "--issuers-file" in done.stderr
        assert done.stdout == ""
    said = json.loads(world.command("up", "--json").stderr)
    assert "--issuers-file" in said["error"]
    assert issuers_files(world) == {"issuers.toml"}


def test_an_issuers_file_that_is_given_again_stays(
    world: World, trusting: None, issuers: Path
) -> None:
    done = world.command("up", f"--issuers-file={issuers}")
    assert done.exit_code == 0, done.output
    assert done.output.count(" unchanged ") == 4
    assert issuers_files(world) == {"issuers.toml"}


def test_without_an_address_of_any_kind_it_stops(world: World, outputs: dict[str, str]) -> None:
    chosen = ("--set=FunctionUrl=no", "--set=PublicUrl=https://unset.invalid")
    done = world.command("up", *chosen)
    assert done.exit_code == 1
    assert "PublicUrl must be chosen" in done.output
    again = world.command("up", "--set=FunctionUrl=yes", "--json")
    assert json.loads(again.stdout)["PublicUrl"].startswith(world.endpoint)


def test_what_failed_is_named_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outputs: dict[str, str]
) -> None:
    for template in CLOUD.glob("*.yaml"):
        shutil.copy(template, tmp_path)
    queues = (tmp_path / "queues.yaml").read_text()
    (tmp_path / "queues.yaml").write_text(
        queues.replace("VisibilityTimeout: 720", "VisibilityTimeout: 999999", 1)
    )
    monkeypatch.setattr(deploy, "TEMPLATES", tmp_path)
    done = world.command("up")
    assert done.exit_code == 1
    assert f"{NAME}-queues" in done.output
    assert "First (AWS::SQS::Queue)" in done.output
    assert "VisibilityTimeout" in done.output


def test_no_answer_is_said_in_one_sentence(aws: None) -> None:
    done = CliRunner().invoke(cloud, ["status", "--endpoint-url", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "Could not connect" in done.output
    assert "Traceback" not in done.output


def test_down_keeps_the_data_and_up_finds_it_again(world: World, outputs: dict[str, str]) -> None:
    key = {"pk": {"S": "test"}, "sk": {"S": "test"}}
    table = outputs["TableName"]
    world.client("dynamodb").put_item(TableName=table, Item=key)
    assert world.command("down").exit_code == 1, "it asks first"
    done = world.command("down", "--yes")
    assert done.exit_code == 0, done.output
    assert "Kept" in done.output
    for kept in ("AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SecretsManager::Secret"):
        assert kept in done.output
    assert not world.client("lambda").list_functions()["Functions"]
    assert world.command("up", *CHOSEN).exit_code == 0
    assert "Item" in world.client("dynamodb").get_item(TableName=table, Key=key)
