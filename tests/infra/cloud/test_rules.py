"""Our rules hold on our templates, and each fails on one that is broken in just its respect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.infra.cloud.templates import ALL, RULES, judged, load

Resource = dict[str, Any]
Break = Callable[[Resource], Any]
NAMES = [
    name
    for file in sorted(RULES.glob("*.guard"))
    for name in re.findall(r"^rule (\w+)", file.read_text(), re.MULTILINE)
]


def test_our_templates_break_no_rule() -> None:
    assert judged(*ALL) == {template.name: set() for template in ALL}


def without(*path: str) -> Break:
    """Take a property away."""

    def change(resource: Resource) -> None:
        for step in path[:-1]:
            resource = resource[step]
        del resource[path[-1]]

    return change


def with_(value: Any, *path: str) -> Break:
    """Give a property a value."""

    def change(resource: Resource) -> None:
        for step in path[:-1]:
            resource = resource.setdefault(step, {})
        resource[path[-1]] = value

    return change


def allowing(**statement: Any) -> Break:
    """Add a statement that allows something."""

    def change(resource: Resource) -> None:
        properties = resource["Properties"]
        policies = properties.get("Policies", [properties])
        document = policies[0].get("PolicyDocument") or policies[0]["KeyPolicy"]
        document["Statement"].append({"Effect": "Allow", **statement})

    return change


def everybody_takes(resource: Resource) -> None:
    """Let anybody of any account take a role."""
    document = resource["Properties"]["AssumeRolePolicyDocument"]
    document["Statement"][0]["Principal"] = {"AWS": ["*"]}


def each(name: str, key: str, value: Any) -> Break:
    """Give each of a list's members a value."""

    def change(resource: Resource) -> None:
        for member in resource["Properties"][name]:
            member[key] = value

    return change


PROPERTY = "Properties"
YES, NO = True, False
TTL = (PROPERTY, "TimeToLiveSpecification")
PITR = (PROPERTY, "PointInTimeRecoverySpecification")
SSE = (PROPERTY, "SSESpecification")
# rule, template, resource (or a new one of a type), what breaks it
CASES: list[tuple[str, str, str, Break]] = [
    ("tables_forget_what_expired", "data", "Table", without(*TTL)),
    ("tables_forget_what_expired", "data", "Table", with_(NO, *TTL, "Enabled")),
    ("tables_forget_what_expired", "data", "LimitsTable", with_("ttl", *TTL, "AttributeName")),
    ("tables_can_be_restored", "data", "Table", without(*PITR)),
    ("tables_can_be_restored", "data", "Table", with_(35, *PITR, "RecoveryPeriodInDays")),
    ("tables_can_be_restored", "data", "LimitsTable", without("Metadata")),
    ("tables_are_encrypted_with_our_key", "data", "Table", without(*SSE)),
    ("tables_are_encrypted_with_our_key", "data", "Table", without(*SSE, "KMSMasterKeyId")),
    (
        "tables_cannot_be_deleted_by_mistake",
        "data",
        "Table",
        without(PROPERTY, "DeletionProtectionEnabled"),
    ),
    ("data_outlives_its_stack", "data", "SealingKey", without("DeletionPolicy")),
    ("data_outlives_its_stack", "data", "Table", with_("Delete", "UpdateReplacePolicy")),
    ("data_outlives_its_stack", "data", "RootKeys", with_("Snapshot", "DeletionPolicy")),
    ("keys_are_rotated", "data", "SealingKey", with_(NO, PROPERTY, "EnableKeyRotation")),
    ("keys_are_rotated", "data", "StorageKey", with_(7, PROPERTY, "PendingWindowInDays")),
    ("queues_are_encrypted_with_our_key", "queues", "First", without(PROPERTY, "KmsMasterKeyId")),
    (
        "queues_are_encrypted_with_our_key",
        "queues",
        "Dead",
        with_("alias/aws/sqs", PROPERTY, "KmsMasterKeyId"),
    ),
    ("queues_have_an_end", "queues", "Retry", without(PROPERTY, "MessageRetentionPeriod")),
    ("poison_leaves_the_queue", "queues", "First", without(PROPERTY, "RedrivePolicy")),
    (
        "dead_letters_come_from_named_queues",
        "queues",
        "Dead",
        with_("allowAll", PROPERTY, "RedriveAllowPolicy", "redrivePermission"),
    ),
    ("secrets_are_encrypted_with_our_key", "data", "RootKeys", without(PROPERTY, "KmsKeyId")),
    (
        "secrets_are_encrypted_with_our_key",
        "data",
        "RootKeys",
        with_("hunter2", PROPERTY, "SecretString"),
    ),
    ("buckets_are_encrypted", "data", "Code", without(PROPERTY, "BucketEncryption")),
    ("topics_are_encrypted", "alarms", "Wake", without(PROPERTY, "KmsMasterKeyId")),
    ("volumes_are_encrypted", "data", "AWS::EFS::FileSystem", with_("Retain", "DeletionPolicy")),
    ("volumes_are_encrypted", "broker", "KeyDisk", with_(NO, PROPERTY, "Encrypted")),
    ("data_outlives_its_stack", "broker", "KeyDisk", with_("Snapshot", "DeletionPolicy")),
    ("logs_are_kept_for_a_while_only", "service", "ApiLog", without(PROPERTY, "RetentionInDays")),
    (
        "logs_are_kept_for_a_while_only",
        "service",
        "ApiLog",
        with_(365, PROPERTY, "RetentionInDays"),
    ),
    ("logs_are_encrypted_with_our_key", "service", "ApiLog", without(PROPERTY, "KmsKeyId")),
    (
        "functions_write_to_a_log_of_ours",
        "service",
        "Api",
        without(PROPERTY, "LoggingConfig"),
    ),
    (
        "functions_write_to_a_log_of_ours",
        "service",
        "Api",
        with_("Active", PROPERTY, "TracingConfig", "Mode"),
    ),
    (
        "tasks_write_to_a_log_of_ours",
        "fargate",
        "Task",
        each("ContainerDefinitions", "LogConfiguration", {"LogDriver": "json-file"}),
    ),
    (
        "the_api_logs_no_request",
        "edge",
        "Stage",
        with_({"DestinationArn": "arn"}, PROPERTY, "AccessLogSetting"),
    ),
    ("the_api_logs_no_request", "edge", "Stage", each("MethodSettings", "DataTraceEnabled", YES)),
    ("the_api_logs_no_request", "edge", "Stage", each("MethodSettings", "LoggingLevel", "INFO")),
    (
        "the_http_api_logs_no_request",
        "edge",
        "AWS::ApiGatewayV2::Stage",
        with_({"DestinationArn": "arn"}, PROPERTY, "AccessLogSettings"),
    ),
    (
        "the_firewall_remembers_no_address",
        "edge",
        "Firewall",
        with_(YES, PROPERTY, "VisibilityConfig", "SampledRequestsEnabled"),
    ),
    (
        "the_firewall_remembers_no_address",
        "edge",
        "Firewall",
        each("Rules", "VisibilityConfig", {"SampledRequestsEnabled": True}),
    ),
    (
        "the_balancer_logs_no_request",
        "fargate",
        "Balancer",
        each("LoadBalancerAttributes", "Value", "true"),
    ),
    (
        "the_balancer_logs_no_request",
        "fargate",
        "Balancer",
        with_([], PROPERTY, "LoadBalancerAttributes"),
    ),
    (
        "the_distribution_logs_no_request",
        "edge",
        "AWS::CloudFront::Distribution",
        with_({"Bucket": "b"}, PROPERTY, "DistributionConfig", "Logging"),
    ),
    ("buckets_log_no_request", "data", "Code", with_({}, PROPERTY, "LoggingConfiguration")),
    ("nothing_else_writes_addresses_down", "edge", "AWS::EC2::FlowLog", with_({}, PROPERTY)),
    (
        "nothing_else_writes_addresses_down",
        "edge",
        "AWS::WAFv2::LoggingConfiguration",
        with_({}, PROPERTY),
    ),
    ("buckets_are_private", "data", "Code", without(PROPERTY, "PublicAccessBlockConfiguration")),
    (
        "buckets_are_private",
        "data",
        "Code",
        with_(NO, PROPERTY, "PublicAccessBlockConfiguration", "BlockPublicPolicy"),
    ),
    ("no_resource_is_open_to_everybody", "queues", "OnlyTls", allowing(Principal="*")),
    (
        "no_resource_is_open_to_everybody",
        "alarms",
        "OnlyAlarmsSpeak",
        allowing(Principal={"AWS": "*"}),
    ),
    (
        "no_resource_is_open_to_everybody",
        "data",
        "CodeOnlyTls",
        allowing(Principal={"AWS": ["arn:x", "*"]}),
    ),
    ("no_key_is_open_to_everybody", "data", "SealingKey", allowing(Principal="*")),
    ("no_key_is_open_to_everybody", "data", "SealingKey", allowing(Principal={"AWS": "*"})),
    (
        "tables_have_no_policy_of_their_own",
        "data",
        "Table",
        with_({}, PROPERTY, "ResourcePolicy"),
    ),
    (
        "functions_are_called_by_whom_we_name",
        "service",
        "AnybodyMayCallTheUrl",
        without(PROPERTY, "FunctionUrlAuthType"),
    ),
    (
        "functions_are_called_by_whom_we_name",
        "service",
        "PurgeClockMayCall",
        without(PROPERTY, "SourceArn"),
    ),
    (
        "no_foreign_page_calls_the_api",
        "service",
        "ApiUrl",
        with_({"AllowOrigins": ["*"]}, PROPERTY, "Cors"),
    ),
    (
        "an_environment_holds_no_secret",
        "service",
        "Sender",
        with_("{{resolve:secretsmanager:x}}", PROPERTY, "Environment", "Variables", "X"),
    ),
    (
        "nobody_reads_a_whole_table_day_by_day",
        "service",
        "OperatorRole",
        allowing(Action=["dynamodb:GetItem", "dynamodb:Scan"], Resource="arn:x"),
    ),
    (
        "nobody_reads_a_whole_table_day_by_day",
        "service",
        "ApiRole",
        allowing(Action="dynamodb:Scan", Resource="arn:x"),
    ),
    (
        "no_policy_lets_anybody_read_a_whole_table_for_ever",
        "service",
        "WhileMoving",
        without("Condition"),
    ),
    (
        "no_policy_lets_anybody_read_a_whole_table_for_ever",
        "service",
        "WhileMoving",
        with_("OnAws", "Condition"),
    ),
    ("each_function_has_a_role_of_its_own", "service", "Api", with_("arn:x", PROPERTY, "Role")),
    ("each_function_has_a_role_of_its_own", "service", "Api", without(PROPERTY, "KmsKeyArn")),
    ("no_role_may_do_everything", "service", "ApiRole", allowing(Action="s3:*", Resource="arn:x")),
    (
        "no_role_may_do_everything",
        "service",
        "ApiRole",
        allowing(Action=["s3:GetObject"], Resource=["arn:x", "*"]),
    ),
    (
        "no_role_may_do_everything",
        "service",
        "ApiRole",
        allowing(Action="kms:Decrypt", Resource="*"),
    ),
    ("no_role_may_do_everything", "service", "ApiRole", allowing(NotAction="s3:Get", Resource="a")),
    (
        "no_role_may_do_everything",
        "service",
        "ApiRole",
        with_(["arn:aws:iam::aws:policy/AdministratorAccess"], PROPERTY, "ManagedPolicyArns"),
    ),
    (
        "no_policy_may_do_everything",
        "service",
        "AWS::IAM::Policy",
        with_({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
              PROPERTY, "PolicyDocument"),
    ),
    ("nobody_but_ours_may_take_a_role", "service", "OperatorRole", everybody_takes),
    (
        "the_api_has_one_way_in",
        "edge",
        "Api",
        with_(NO, PROPERTY, "DisableExecuteApiEndpoint"),
    ),
    ("tls_is_not_old", "edge", "Domain", with_("TLS_1_0", PROPERTY, "SecurityPolicy")),
    ("listeners_speak_tls", "fargate", "Listener", with_("HTTP", PROPERTY, "Protocol")),
    (
        "walls_let_in_https_alone",
        "fargate",
        "BalancerWall",
        each("SecurityGroupIngress", "FromPort", 22),
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What each broken template breaks, by file name: all judged in one run."""
    folder = tmp_path_factory.mktemp("broken")
    for number, (_, template, resource, change) in enumerate(CASES):
        document = load(template)
        if "::" in resource:
            document["Resources"][resource] = {"Type": resource, "Properties": {}}
        change(document["Resources"][resource])
        (folder / f"{number}.json").write_text(json.dumps(document))
    return judged(*folder.iterdir())


@pytest.mark.parametrize(
    ("rule", "template", "resource", "change"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_a_broken_template_is_found(
    rule: str,
    template: str,
    resource: str,
    change: Break,
    found: dict[str, set[str]],
) -> None:
    assert rule in found[f"{CASES.index((rule, template, resource, change))}.json"]


def test_every_rule_was_broken() -> None:
    assert {case[0] for case in CASES} == set(NAMES)
    assert len(NAMES) == len(set(NAMES))
