"""The zip holds what functions import and nothing else, the same bytes each time."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from infra.cloud import package as module
from infra.cloud.package import Package, PackageFailed, Target, build, here, locked
from tests.infra.cloud.templates import ROOT, load, of_type

MB = 2**20
ZIPPED_AT_MOST, UNZIPPED_AT_MOST = 24 * MB, 70 * MB
ADAPTER = "apig-wsgi"  # between an event and WSGI: of functions alone
HANDLERS = [
    function["Properties"]["Handler"]
    for function in of_type(load("service"), "AWS::Lambda::Function").values()
]


@pytest.fixture(scope="module")
def names(package: Package) -> list[str]:
    with zipfile.ZipFile(package.file) as archive:
        return archive.namelist()


def test_the_same_content_makes_the_same_bytes(issuers: Path, tmp_path: Path) -> None:
    first, again, changed = (tmp_path / f"{name}.zip" for name in ("first", "again", "changed"))
    digest = build(first, here(), {"issuers.toml": issuers}).sha256
    assert build(again, here(), {"issuers.toml": issuers}).sha256 == digest
    assert first.read_bytes() == again.read_bytes()
    other = tmp_path / "other.toml"
    other.write_text("# another\n")
    assert build(changed, here(), {"issuers.toml": other}).sha256 != digest


def test_it_stays_small(package: Package) -> None:
    assert package.file.stat().st_size == package.zipped < ZIPPED_AT_MOST
    assert package.unzipped < UNZIPPED_AT_MOST


def test_every_function_is_importable_from_it_alone(package: Package, tmp_path: Path) -> None:
    """With neither this environment nor the checkout on the path."""
    with zipfile.ZipFile(package.file) as archive:
        archive.extractall(tmp_path)
    modules = ", ".join(handler.rpartition(".")[0] for handler in HANDLERS)
    # What functions import only once they are called.
    lazily = "partners.sender, app.web.application, app.adapters.sqs, app.adapters.kms_keys"
    lazily += ", app.adapters.dynamodb.store, app.adapters.dynamodb_limits, flask_smorest"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {modules}, {lazily}"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_in_it_that_only_developers_use(names: list[str]) -> None:
    there = {canonicalize_name(name.split("-")[0]) for name in names if ".dist-info/" in name}
    assert there == set(locked())
    assert not there & {"numpy", "pillow", "pdqhash", "waitress", "pytest", "mypy", "ministack"}
    tops = {name.split("/")[0] for name in names}
    assert not tops & {"numpy", "PIL", "pdqhash", "waitress", "pytest", "tests", "infra", "bench"}
    assert not [name for name in names if name.startswith(("app/cli", "app/demo", "app/client"))]
    assert not [name for name in names if "/tests/" in name]


def test_of_botocore_there_are_the_services_that_are_called(names: list[str]) -> None:
    found = {name.split("/")[2] for name in names if re.match(r"botocore/data/[^/]+/", name)}
    assert found == {"dynamodb", "kms", "secretsmanager", "sqs", "sts"}


def test_licences_are_in_it(names: list[str]) -> None:
    assert [name for name in names if "flask-" in name and "LICENSE" in name]


def test_what_is_asked_to_be_in_it_is(package: Package, issuers: Path) -> None:
    with zipfile.ZipFile(package.file) as archive:
        assert archive.read("issuers.toml") == issuers.read_bytes()


def versions(lock: str) -> dict[str, str]:
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.MULTILINE))


def test_its_versions_are_the_services() -> None:
    service, ours = versions("app"), versions("functions")
    assert {name: ours[name] for name in ours if name in service}.items() <= service.items()
    assert set(ours) - set(service) == {ADAPTER}


def test_its_dependencies_are_the_services_without_what_one_machine_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked, every = project["dependency-groups"]["functions"], project["project"]["dependencies"]
    assert {re.split(r"[>=]", each)[0] for each in set(asked) - set(every)} == {ADAPTER, "botocore"}
    left_out = {re.split(r"[>=]", each)[0] for each in set(every) - set(asked)}
    assert left_out == {"boto3", "cattrs", "click", "numpy", "pdqhash", "pillow", "waitress"}


def test_another_version_than_the_locked_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "functions.txt"
    lock.write_text("flask==0.1 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(module, "LOCK", lock)
    with pytest.raises(PackageFailed, match=r"flask 0\.1"):
        build(tmp_path / "out.zip", here())


def test_a_machine_that_lambda_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageFailed, match="riscv64"):
        build(tmp_path / "out.zip", Target("3.12", "riscv64"))
