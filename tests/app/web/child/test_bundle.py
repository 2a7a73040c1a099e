"""Modules in one script do what they do apart; what is not understood is refused by name."""

from __future__ import annotations

import json
import subprocess

import pytest

from app.web.child.bundle import NotBundled, bundled, digest, inline

MODULES = {
    "/a/main.js": 'import { twice as two } from "/b/twice.js";\n'
    'import {\n  ONE,\n} from "./one.js";\n'
    "console.log(JSON.stringify([two(ONE), new URL('x', import.meta.url).host]));\n",
    "/a/one.js": "export const ONE = hidden();\nfunction hidden() {\n  return 1;\n}\n",
    "/b/twice.js": 'import { ONE } from "../a/one.js";\nexport function twice(n) {\n'
    "  return n + ONE;\n}\nexport async function later() {}\nexport class Not {}\n",
}


def run(script: str) -> str:
    return subprocess.run(
        ["node", "-e", script], capture_output=True, check=True, text=True, timeout=30
    ).stdout


def test_it_does_what_the_modules_do() -> None:
    modules = {**MODULES, "/b/twice.js": MODULES["/b/twice.js"].replace("../a", "/a")}
    assert json.loads(run(bundled("/a/main.js", modules))) == [2, "box.invalid"]


@pytest.mark.parametrize(
    "source",
    [
        "export default 1;\n",
        "export { a };\n",
        'import all from "./one.js";\n',
        'import * as all from "./one.js";\n',
        'import { a } from "./missing.js";\n',
    ],
)
def test_what_it_does_not_understand_is_refused(source: str) -> None:
    with pytest.raises(NotBundled):
        bundled("/a/odd.js", {**MODULES, "/a/odd.js": source})


def test_no_text_ends_the_script_early() -> None:
    code = inline("", "p::after { content: '</script>' }", "const end = '</script>';")
    assert "</" not in code
    assert digest(code) != digest(f"{code} ")
