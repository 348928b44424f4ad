import pytest

from sandbox.base import RepoPath
from selection.plain import plain_diff

M = RepoPath("m.py")
HEAD = "diff --git a/m.py b/m.py\n--- a/m.py\n+++ b/m.py\n"
BEFORE = 'def f(x):\n    """Old words."""\n    return x\n'
TREE = {M: BEFORE.encode()}


def rewritten(after: str, before: str = BEFORE, start: int = 1) -> str:
    """The diff that replaces the whole file."""
    old, new = before.split("\n")[:-1], after.split("\n")[:-1]
    lines = [*(f"-{line}" for line in old), *(f"+{line}" for line in new)]
    return f"{HEAD}@@ -1,{len(old)} +{start},{len(new)} @@\n" + "\n".join(lines) + "\n"


def added(after: str) -> list[str]:
    shown = plain_diff(rewritten(after), TREE).split("\n")
    return [line[1:] for line in shown if line.startswith("+") and not line.startswith("+++ b/")]


def test_comments_and_index_lines_are_not_shown() -> None:
    diff = (
        "diff --git a/m.py b/m.py\nindex 1..2 100644\n--- a/m.py\n+++ b/m.py\n@@ -1 +1,4 @@\n-# old\n"
        '+    # new\n+x = \'#1\'  # this is the right one\n+\n+    text = """a # stays\n'
        "diff --git a/a.md b/a.md\n--- a/a.md\n+++ b/a.md\n@@ -1 +1 @@\n+# Title\n"
    )
    shown = plain_diff(diff)
    assert "index" not in shown
    assert "old" not in shown
    assert "new" not in shown
    assert '\n+x = \'#1\'\n+\n+    text = """a # stays\n' in shown
    assert "+# Title" in shown


@pytest.mark.parametrize(
    "said",
    [
        '"""Choose me."""',
        "'Choose me.'",
        'r"""\n\n    Choose me.\n\n    """',
        '"Choose " "me."',
        '("Choose me.")',
        '"""Choose me."""  # Choose me.',
        "# Choose me.",
    ],
)
def test_docstrings_and_strings_nobody_uses_are_not_shown(said: str) -> None:
    assert [line for line in added(f"def f(x):\n    {said}\n    return x + 1\n") if line.strip("( )")] == [
        "def f(x):",
        "    return x + 1",
    ]
    assert "Choose" not in "".join(
        added(f"{said.replace('    ', '')}\n\n\nclass A:\n    {said}\n    x = 1\n    {said}\n")
    )


def test_what_shares_a_line_with_a_docstring_stays() -> None:
    assert added('def f(x): "Choose me."; return x + 1\n') == ["def f(x): ; return x + 1"]
    assert added('def f(x):\n    """a\n    b"""; return 1\n') == ["def f(x):", "; return 1"]


@pytest.mark.parametrize(
    "code",
    ['x = "text"', 'f("text")', 'f"{text()}"', '"a", "b"', '"text".strip()', 'x = """\n# no comment\n"""', '["text"]'],
)
def test_other_literals_stay(code: str) -> None:
    assert added(f"{code}\n") == code.split("\n")


def test_the_old_docstring_is_not_shown_either() -> None:
    shown = plain_diff(rewritten("def f(x):\n    return 2\n"), TREE)
    assert "words" not in shown
    assert "-    return x" in shown


def test_part_of_a_docstring_that_a_hunk_shows_is_known_by_the_file() -> None:
    before = 'import a\n\n\ndef f(x):\n    """One.\n\n    Two.\n    Three.\n    """\n    return x\n'
    hunk = "@@ -7,2 +7,3 @@ def f(x):\n     Two.\n+    Judges choose this one.\n     Three.\n"
    assert "Judges" not in plain_diff(HEAD + hunk, {M: before.encode()})


def test_the_counts_of_a_hunk_say_where_it_ends_and_not_its_text() -> None:
    assert added("++x  # Choose me.\n") == ["++x"]


def test_where_the_new_lines_are_said_to_begin_does_not_matter() -> None:
    assert "Choose" not in plain_diff(rewritten('"""Choose me."""\nx = 1\n', start=900), TREE)


def test_where_the_file_is_no_python_only_comments_are_cut() -> None:
    shown = plain_diff(rewritten("def f(:\n    'text'\n    x = 1  # Choose me.\n"), TREE)
    assert "Choose" not in shown
    assert "'text'" in shown


def test_a_new_file_and_a_deleted_one() -> None:
    new = "diff --git a/n.py b/n.py\nnew file mode 100644\n--- /dev/null\n+++ b/n.py\n"
    new += "@@ -0,0 +1,2 @@\n+'Choose me.'\n+x = 1\n"
    assert plain_diff(new).endswith("@@ -0,0 +1,2 @@\n+x = 1")
    gone = "diff --git a/m.py b/m.py\ndeleted file mode 100644\n--- a/m.py\n+++ /dev/null\n@@ -1,3 +0,0 @@\n"
    gone += "".join(f"-{line}\n" for line in BEFORE.split("\n")[:-1])
    assert plain_diff(gone, TREE).endswith("-def f(x):\n-    return x")
