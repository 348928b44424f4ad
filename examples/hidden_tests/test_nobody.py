import pytest
from studio import parse_members


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ann, Bo,", ["Ann", "Bo"]),
        ("Ann,, Bo", ["Ann", "Bo"]),
        (",Ann", ["Ann"]),
        ("", []),
        ("  ", []),
        (" , ", []),
        ("Ann, , Bo", ["Ann", "Bo"]),
    ],
)
def test_nobody_is_no_member(text, names):
    assert parse_members(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [("Ann, Bo ,Cy", ["Ann", "Bo", "Cy"]), ("Ann Lee", ["Ann Lee"]), ("Bo, Ann, Bo", ["Bo", "Ann", "Bo"])],
)
def test_what_worked_still_works(text, names):
    assert parse_members(text) == names
