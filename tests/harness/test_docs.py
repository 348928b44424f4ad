"""The reference is what the code says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.load import keys
from harness.result import Result
from selection.pool import PoolTask
from selection.study import StudyRecord

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(generate: ModuleType) -> None:
    for name, text in generate.pages().items():
        written = (DOCS / "reference" / name).read_text()
        assert written == text, f"docs/reference/{name} is out of date: python docs/generate.py"


def test_every_setting_is_described() -> None:
    page = (DOCS / "reference" / "settings.md").read_text()
    for key in keys():
        section, _, name = key.rpartition(".")
        assert f"`{name}`" in page or f"[{key}]" in page, key
        assert not section or f"[{section}]" in page


def test_the_schema_is_published() -> None:
    for name, model in (("result", Result), ("pool", PoolTask), ("study", StudyRecord)):
        schema = json.loads((DOCS / "reference" / f"{name}.schema.json").read_text())
        assert schema == model.model_json_schema()


def test_links_of_the_pages_lead_somewhere() -> None:
    import re

    for page in (DOCS / "how-to" / "solve.md", DOCS / "how-to" / "study.md", *(DOCS / "reference").glob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", ["solve.md", "study.md"])
def test_commands_of_the_how_to_exist(name: str) -> None:
    """Every option that the page shows is one of the command's."""
    import re

    help_text = (DOCS / "reference" / "cli.md").read_text()
    page = (DOCS / "how-to" / name).read_text()
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert shown
    assert {option for option in shown if option not in help_text} == set()
