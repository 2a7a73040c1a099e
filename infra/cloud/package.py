"""The zip that all functions run from: our code and locks/functions.txt, the same bytes each time.

    python -m infra.cloud.package OUT.zip --python 3.12 --machine arm64

What this interpreter and machine can run is taken from the installed environment, compiled, with no
network; anything else is fetched from PyPI by the same hashes. Nothing is in it that no function
imports: no images, no numpy, no command line, no tests, and of botocore only the services we call.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import marshal
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "locks" / "functions.txt"
OURS = ("app", "partners", "hashing")
# The command line, the server of one machine, and what reads images.
NOT_THERE = (
    "app/cli",
    "app/client",
    "app/conformance",
    "app/demo",
    "app/root_keys.py",
    "app/services/move_records.py",
    "app/version.py",
    "app/web/server.py",
    "app/wsgi.py",
    "hashing/frames.py",
    "hashing/index.py",
    "hashing/reference.py",
)
SERVICES = ("dynamodb", "kms", "secretsmanager", "sqs", "sts")
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}  # as Lambda and as Python call them
GLIBC = ("2_34", "2_28", "2_17")  # Amazon Linux 2023, and older wheels that run there
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a zip has no earlier time
_UNCHECKED = (1).to_bytes(4, "little")  # by its hash, and the hash is believed
UNZIPPED_LIMIT = 250 * 2**20  # what Lambda takes (its quotas page, 2026)


class PackageFailed(Exception):
    """The zip could not be made; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Target:
    """The runtime it is made for: `python` such as 3.12, `machine` x86_64 or arm64."""

    python: str
    machine: str

    @property
    def is_here(self) -> bool:
        """Whether this interpreter runs what that runtime runs."""
        return self == here()


@dataclass(frozen=True, slots=True)
class Package:
    """A zip that was made. Sizes are bytes; the digest names it."""

    file: Path
    sha256: str
    zipped: int
    unzipped: int


def here() -> Target:
    """What runs on this machine, as the emulator does."""
    machine = next((ours for ours, its in MACHINES.items() if its == platform.machine()), "")
    return Target(f"{sys.version_info.major}.{sys.version_info.minor}", machine)


def build(out: Path, target: Target, extra: Mapping[str, Path] | None = None) -> Package:
    """Write the zip. `extra` are files to put in, by their names there (the age issuers).

    Raises PackageFailed.
    """
    with tempfile.TemporaryDirectory(prefix="report-remove-package-") as scratch:
        site = _site(target, Path(scratch))
        entries = dict(_ours()) | dict(_theirs(site))
        entries |= {name: file.read_bytes() for name, file in (extra or {}).items()}
        if target.is_here:
            entries |= dict(_compiled(entries))
    _write(out, entries)
    unzipped = sum(map(len, entries.values()))
    if unzipped > UNZIPPED_LIMIT:
        raise PackageFailed(f"{unzipped} bytes unzipped: Lambda takes {UNZIPPED_LIMIT}")
    return Package(out, _digest(out), out.stat().st_size, unzipped)


def locked() -> dict[NormalizedName, str]:
    """The version of each package of the lock, by canonical name."""
    lines = (line.rstrip("\\").strip() for line in LOCK.read_text().splitlines())
    wanted = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in wanted
        if each.marker is None or each.marker.evaluate()
    }


def _ours() -> Iterator[tuple[str, bytes]]:
    for package in OURS:
        for file in sorted((ROOT / package).rglob("*")):
            name = file.relative_to(ROOT).as_posix()
            left_out = any(name == each or name.startswith(f"{each}/") for each in NOT_THERE)
            if file.is_file() and not left_out and "__pycache__" not in file.parts:
                yield name, file.read_bytes()


def _site(target: Target, scratch: Path) -> Path:
    if target.is_here:
        return Path(sysconfig.get_path("platlib"))
    folder = scratch / "site"
    _fetch(target, folder)
    return folder


def _fetch(target: Target, folder: Path) -> None:
    """By the lock's hashes, wheels only, for a machine that need not be this one."""
    if target.machine not in MACHINES:
        raise PackageFailed(f"no wheels for {target.machine}: x86_64 or arm64")
    machine = MACHINES[target.machine]
    asked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(folder)]
    uv = shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python-version", target.python]
        command += ["--python-platform", f"{machine}-manylinux_{GLIBC[0]}"]
    else:
        # The environment itself has no pip: its maker does.
        base = Path(sys.base_prefix) / "bin" / f"python{here().python}"
        command = [str(base), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        command += ["--implementation", "cp", "--python-version", target.python]
        for glibc in GLIBC:
            command += ["--platform", f"manylinux_{glibc}_{machine}"]
        command += ["--platform", f"manylinux2014_{machine}"]
    done = subprocess.run(  # noqa: S603 - a program of this machine, with our own words
        [*command, *asked, "-r", str(LOCK)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackageFailed(f"the packages could not be fetched\n{done.stderr.strip()}")


def _theirs(site: Path) -> Iterator[tuple[str, bytes]]:
    versions = locked()
    found = {canonicalize_name(each.name): each for each in distributions(path=[str(site)])}
    for name, version in sorted(versions.items()):
        if name not in found or found[name].version != version:
            raise PackageFailed(f"{name} {version} of locks/functions.txt is not installed")
        yield from _files(found[name])


def _files(distribution: Distribution) -> Iterator[tuple[str, bytes]]:
    for each in distribution.files or ():
        if _is_wanted(PurePosixPath(each)):
            yield each.as_posix(), Path(str(distribution.locate_file(each))).read_bytes()


def _is_wanted(path: PurePosixPath) -> bool:
    """Licences stay; what an installer wrote, tests, stubs and unused services go."""
    parts = path.parts
    if parts[0] in ("..", "bin") or "__pycache__" in parts or "tests" in parts:
        return False
    if parts[0].endswith(".dist-info"):
        return path.name == "METADATA" or "licen" in path.as_posix().lower()
    if path.suffix in (".pyi", ".pyx", ".pxd", ".c", ".h") or path.name == "py.typed":
        return False
    return not _is_unused_service(parts)


def _is_unused_service(parts: tuple[str, ...]) -> bool:
    if parts[:2] == ("botocore", "data") and len(parts) > 3:
        return parts[2] not in SERVICES
    return parts[:2] in (("boto3", "data"), ("boto3", "examples")) and parts[2] not in SERVICES


def _compiled(entries: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """What the first start would otherwise compile, in a folder it may not write to (PEP 552).

    Marshal's second version has no references: where the later ones put those depends on what else
    the process has compiled.
    """
    for name, source in entries.items():
        if name.endswith(".py"):
            code = compile(source, name, "exec", dont_inherit=True, optimize=0)
            head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
            yield importlib.util.cache_from_source(name), head + marshal.dumps(code, 2)


def _write(out: Path, entries: Mapping[str, bytes]) -> None:
    """Sorted, with one time and one mode, so that the same content makes the same bytes."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, entries[name])


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def largest(package: Package, count: int = 8) -> Iterable[str]:
    """The largest parts of it, a line each, with their unzipped size."""
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(package.file) as archive:
        for entry in archive.infolist():
            part = entry.filename.split("/")[0]
            sizes[part] = sizes.get(part, 0) + entry.file_size
    for part in sorted(sizes, key=lambda part: -sizes[part])[:count]:
        yield f"{sizes[part] / 2**20:8.1f} MB  {part}"


def _main() -> None:
    parser = argparse.ArgumentParser(description="Makes the zip of the functions.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default=here().python, help="of the runtime, such as 3.12")
    parser.add_argument("--machine", default=here().machine, choices=sorted(MACHINES))
    chosen = parser.parse_args()
    try:
        package = build(chosen.out, Target(chosen.python, chosen.machine))
    except PackageFailed as fault:
        sys.exit(str(fault))
    sizes = f"{package.zipped / 2**20:.1f} MB, {package.unzipped / 2**20:.1f} MB unzipped"
    lines = [f"{package.file}: {sizes}", f"sha256 {package.sha256}", *largest(package)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    _main()
