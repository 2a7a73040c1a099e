"""The templates are well formed, agree with each other, with the code and with the runbook."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.adapters.dynamodb.schema import STREAM_FILTER, TABLE, TTL_ATTRIBUTE
from app.observability import LogEvent
from app.settings import PREFIX, Settings
from tests.infra.cloud.templates import ALL, LINT, ROOT, load, of_type

NAMES = [template.stem for template in ALL]
OURS = ("data", "queues", "service", "alarms")
FUNCTION = "AWS::Lambda::Function"


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(LINT),
        "--include-checks",
        "I",
        "--regions",
        "eu-central-1",
        "--",
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_cfn_lint_has_nothing_to_say() -> None:
    done = lint(*ALL)
    assert (done.returncode, done.stdout) == (0, "")


def test_cfn_lint_would_have_something_to_say(tmp_path: Path) -> None:
    template = load("queues")
    template["Resources"]["First"]["Properties"]["DelaySecond"] = 3
    broken = tmp_path / "queues.json"
    broken.write_text(json.dumps(template))
    assert "E3002" in lint(broken).stdout


def test_the_table_is_the_one_the_adapter_knows() -> None:
    table = of_type(load("data"), "AWS::DynamoDB::Table")["Table"]["Properties"]
    said = {key: table[key] for key in TABLE if key != "StreamSpecification"}
    assert said == {key: value for key, value in TABLE.items() if key != "StreamSpecification"}
    # CloudFormation has no StreamEnabled: naming a view enables it.
    stream = {**table["StreamSpecification"], "StreamEnabled": True}
    assert stream == TABLE["StreamSpecification"]
    assert table["TimeToLiveSpecification"]["AttributeName"] == TTL_ATTRIBUTE


def test_the_relay_is_called_for_what_the_adapter_says() -> None:
    mapping = of_type(load("service"), "AWS::Lambda::EventSourceMapping")["StreamToRelay"]
    (only,) = mapping["Properties"]["FilterCriteria"]["Filters"]
    assert json.loads(only["Pattern"]) == STREAM_FILTER


def variables(function: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = function["Properties"]["Environment"]["Variables"]
    return found


def test_every_function_has_the_same_settings_and_they_are_settings() -> None:
    functions = of_type(load("service"), FUNCTION)
    first, *others = functions.values()
    assert all(variables(other) == variables(first) for other in others)
    known = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    assert set(variables(first)) <= known


def test_containers_and_functions_have_the_same_store_and_keys() -> None:
    (task,) = of_type(load("fargate"), "AWS::ECS::TaskDefinition").values()
    said = task["Properties"]["ContainerDefinitions"][0]["Environment"]
    container = {each["Name"]: each["Value"] for each in said}
    function = variables(of_type(load("service"), FUNCTION)["Api"])
    known = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    assert set(container) <= known
    for name in ("STORE", "TABLE", "LIMITS", "LIMITS_TABLE", "KEYS", "KEYS_SECRET", "KMS_KEY"):
        assert container[PREFIX + name] == function[PREFIX + name]


def test_every_function_is_code_with_a_role_and_a_log_of_its_own() -> None:
    functions = of_type(load("service"), FUNCTION)
    for function in functions.values():
        module, _, name = function["Properties"]["Handler"].rpartition(".")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert re.search(rf"^(def {name}\(|{name}\b.*=)", source, re.MULTILINE), module
    for part in ("Role", "LoggingConfig"):
        each = {json.dumps(function["Properties"][part]) for function in functions.values()}
        assert len(each) == len(functions)


def exports(template: dict[str, Any]) -> set[str]:
    outputs = template.get("Outputs", {}).values()
    return {each["Export"]["Name"]["Fn::Sub"] for each in outputs if "Export" in each}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_imported_is_exported_by_a_stack_before(name: str) -> None:
    before = OURS[: OURS.index(name)] if name in OURS else OURS
    given = {export for each in before for export in exports(load(each))}
    pattern = r'"Fn::ImportValue": \{"Fn::Sub": "([^"]+)"\}'
    assert set(re.findall(pattern, json.dumps(load(name)))) <= given


def test_a_visibility_timeout_is_six_times_the_senders() -> None:
    sender = of_type(load("service"), FUNCTION)["Sender"]["Properties"]["Timeout"]
    queues = of_type(load("queues"), "AWS::SQS::Queue")
    for name in ("First", "Retry"):
        assert queues[name]["Properties"]["VisibilityTimeout"] >= 6 * sender


def test_senders_share_the_rate_among_as_many_as_run_at_once() -> None:
    template = load("service")
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    from_queues = [each["Properties"] for each in mappings if "ScalingConfig" in each["Properties"]]
    assert len(from_queues) == 2
    for each in from_queues:
        assert each["ScalingConfig"]["MaximumConcurrency"]["Fn::FindInMap"][2] == "EachQueue"
    sender = variables(of_type(template, FUNCTION)["Sender"])
    assert sender[f"{PREFIX}SENDERS"]["Fn::FindInMap"][2] == "Together"
    for count, row in template["Mappings"]["Senders"].items():
        assert (row["EachQueue"], row["Together"]) == (int(count), str(2 * int(count)))
        Settings.from_env({f"{PREFIX}SENDERS": row["Together"]})
    assert set(template["Parameters"]["Senders"]["AllowedValues"]) == set(
        template["Mappings"]["Senders"]
    )


def slug(heading: str) -> str:
    """The anchor that a heading gets on a page."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_alarm_leads_to_a_section_of_the_runbook() -> None:
    page = (ROOT / "docs/RUNBOOK.md").read_text()
    anchors = {slug(heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    alarms = of_type(load("alarms"), "AWS::CloudWatch::Alarm")
    assert len(alarms) > 20
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"]
        said = alarm["Properties"]["AlarmDescription"]
        assert re.fullmatch(r".+ docs/RUNBOOK\.md#([\w-]+)", said)
        assert said.rpartition("#")[2] in anchors


def test_every_alarm_on_a_log_event_counts_one_that_is_logged() -> None:
    template = load("alarms")
    filters = of_type(template, "AWS::Logs::MetricFilter")
    counted = set()
    for each in filters.values():
        (event,) = re.findall(r'^\{ \$\.event = "(.+)" \}$', each["Properties"]["FilterPattern"])
        (metric,) = each["Properties"]["MetricTransformations"]
        assert metric["MetricName"] == event
        counted.add(event)
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    named = {each["Properties"].get("MetricName") for each in alarms}
    assert counted <= named & set(map(str, LogEvent))
    # What is only news, or is told at the start, wakes nobody.
    quiet = {"service.started", "service.stopped", "worker.recovered", "breaker.closed"}
    assert set(map(str, LogEvent)) - counted == quiet | {"numbers.stale"}


def test_every_log_group_that_is_filtered_is_there() -> None:
    groups = of_type(load("service"), "AWS::Logs::LogGroup").values()
    there = {json.dumps(group["Properties"]["LogGroupName"]) for group in groups}
    filters = of_type(load("alarms"), "AWS::Logs::MetricFilter").values()
    assert {json.dumps(each["Properties"]["LogGroupName"]) for each in filters} <= there
