"""Settings from their three places, and what is said when one of them is wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Settings
from harness.errors import SettingsError
from harness.load import keys, load
from harness.units import read_budget, read_bytes, read_count, read_seconds


def _file(folder: Path, text: str) -> Path:
    path = folder / "bestpatch.toml"
    path.write_text(text)
    return path


def test_flags_win_over_variables_and_those_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _file(tmp_path, "candidates = 3\nseed = 3\ntest_turns = 3\n[selection]\nshortlist = 3\n")
    monkeypatch.setenv("BESTPATCH_CANDIDATES", "4")
    monkeypatch.setenv("BESTPATCH_SEED", "4")
    monkeypatch.setenv("BESTPATCH_SELECTION__COMPARISON_TURNS", "5")
    settings = load(config=config, flags={"candidates": 5, "selection": {"min_confidence": 0.5}})
    assert (settings.candidates, settings.seed, settings.test_turns) == (5, 4, 3)
    # One section, three sources: none hides the others.
    assert settings.selection.shortlist == 3
    assert settings.selection.comparison_turns == 5
    assert settings.selection.min_confidence == 0.5


def test_quantities_as_people_write_them(tmp_path: Path) -> None:
    config = _file(
        tmp_path, '[limits]\nmemory = "512m"\nseconds = "2m"\n[budget]\ntokens = "200k"\nwall_seconds = 60\n'
    )
    settings = load(config=config)
    assert settings.limits.memory == 512 * 1024**2
    assert settings.limits.seconds == 120.0
    assert settings.budget.tokens == 200_000
    assert settings.budget.wall_seconds == 60.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("candidats = 3\n", ["'candidats'", "did you mean candidates?"]),
        ("[selection]\nshortlst = 3\n", ["'selection.shortlst'", "did you mean selection.shortlist"]),
        ("shortlist = 3\n", ["'shortlist'", "did you mean selection.shortlist?"]),
        ("zzzzqqqq = 3\n", ["'zzzzqqqq'", "settings.md"]),
        ("candidates = 'many'\n", ["candidates", "valid integer"]),
        ("candidates = 0\n", ["candidates", "greater than or equal to 1"]),
        ("[limits]\nseconds = 'soon'\n", ["limits.seconds", "'soon'", "90s"]),
        ("[environment]\nimage = 'a'\npython = '3.9'\n", ["environment", "image cannot stand beside python"]),
        ("[environment]\nimage = 'a'\ndockerfile = 'b'\n", ["image and dockerfile exclude each other"]),
        ("candidates = \n", ["is not TOML"]),
    ],
)
def test_a_wrong_file_is_named_with_key_and_near_matches(tmp_path: Path, text: str, parts: list[str]) -> None:
    config = _file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(config=config)
    for part in [str(config), *parts]:
        assert part in str(caught.value)


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_SELECTION__SHORTLST", "3")
    with pytest.raises(SettingsError, match=r"BESTPATCH_SELECTION__SHORTLST.*BESTPATCH_SELECTION__SHORTLIST"):
        load()


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_BUDGET__TOKENS", "lots")
    with pytest.raises(SettingsError, match=r"BESTPATCH_BUDGET__TOKENS: budget.tokens: 'lots' is not a number"):
        load()


def test_variables_that_are_no_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTPATCH_API_KEY", "secret")
    assert "secret" not in load().model_dump_json()


def test_the_repositorys_own_file_is_read(tmp_path: Path) -> None:
    _file(tmp_path, '[environment]\ninstall = ["make install"]\n')
    assert load(repository=tmp_path).environment.install == ("make install",)


@pytest.mark.parametrize(
    "text",
    [
        'model = "openai:m@http://elsewhere.example/v1"\n',  # would be sent the user's key
        '[paths]\ncache = "/somewhere"\n',
        "[sandbox]\nfree_disk_bytes = 0\n",
        '[sandbox]\nbuild_network = "host"\n',
        "[profile]\ntemperature = 0\n",
    ],
)
def test_the_repositorys_own_file_may_not_decide_about_this_host(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(SettingsError, match="may not be set by a repository's own file"):
        load(repository=tmp_path)
    load(config=path)  # the same file is fine when the user names it


def test_a_link_in_the_repository_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("candidates = 3\n")
    root = tmp_path / "repo"
    root.mkdir()
    (root / "bestpatch.toml").symlink_to(secret)
    assert load(repository=root).candidates == Settings().candidates


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        load(config=tmp_path / "none.toml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().candidates = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_every_key_has_a_description() -> None:
    from harness.load import section_of

    for name in keys():
        model: object = Settings
        for part in name.split("."):
            assert isinstance(model, type)
            field = model.model_fields[part]  # type: ignore[attr-defined]
            section = section_of(field.annotation)
            assert section is not None or field.description, name
            model = section


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("30m", 1800.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("1d", 86400.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "1x", "-1", "1m30", "1 hour"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        read_seconds(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_plain_numbers_read_as_themselves(number: int) -> None:
    assert read_count(str(number)) == number
    assert read_bytes(str(number)) == number
    assert read_bytes(f"{number}k") == number * 1024
    assert read_count(f"{number}k") == number * 1000


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    for read, kinds in ((read_count, int), (read_bytes, int), (read_seconds, float), (read_budget, dict)):
        value: object = None
        with suppress(ValueError):  # anything else is a defect
            value = read(text)
        assert value is None or isinstance(value, kinds)


def test_a_budget() -> None:
    assert read_budget("tokens=200k, money=2,model=1h,wall=30m") == {
        "tokens": "200k",
        "money": "2",
        "model_seconds": "1h",
        "wall_seconds": "30m",
    }


@pytest.mark.parametrize("text", ["", "tokens", "tokens=", "time=3", "tokens=1,tokens=2"])
def test_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        read_budget(text)
