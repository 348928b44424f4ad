from collections.abc import Mapping, Sequence

import pytest

from sandbox.base import Patch, RepoPath, Tree
from sandbox.errors import SandboxLost
from selection.base import ClassId, PatchClass, Regressions
from selection.regression import NO_END, regressions, relevant_tests, touched_files, vetoes
from tests.selection.fakes import MODULE, FakeSandbox, ListRecorder, patch_class, patch_to, task

TEST = RepoPath("tests/test_m.py")
FILES: Tree = {MODULE: b"x = 0\n", TEST: b"from m import x\n", RepoPath("tests/test_other.py"): b"import other\n"}


def small_x(files: Mapping[RepoPath, bytes], run: int) -> Mapping[str, bool | None]:
    """Test `small` wants x below 2, test `even` fails from the start."""
    value = int(files[MODULE].split()[-1])
    return {"t::small": value < 2, "t::even": False, "t::always": True}


async def found(
    sandbox: FakeSandbox, classes: Sequence[PatchClass], seconds: float = 100.0, command: str | None = None
) -> Regressions:
    return await regressions(task(command), sandbox.files, classes, sandbox, seconds, 2, ListRecorder())


async def test_a_class_that_breaks_what_passed_is_named(fake: FakeSandbox) -> None:
    sandbox = FakeSandbox(FILES, small_x)
    done = await found(sandbox, [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))])
    assert done.passing == ("t::always", "t::small")
    assert done.broken == {"c1": (), "c2": ("t::small",)}
    assert sandbox.suite_runs == 4
    assert done.command == "python -m pytest -q"


async def test_a_test_that_disagrees_with_itself_says_nothing(fake: FakeSandbox) -> None:
    sandbox = FakeSandbox(FILES, lambda files, run: {"t::flaky": run == 1, "t::sound": True})
    done = await found(sandbox, [patch_class("c1", patch_to(1))])
    assert (done.passing, done.flaky, done.broken) == (("t::sound",), ("t::flaky",), {"c1": ()})


async def test_a_test_that_vanishes_is_broken(fake: FakeSandbox) -> None:
    suite = lambda files, run: {} if b"7" in files[MODULE] else {"t::a": True}  # noqa: E731
    done = await found(FakeSandbox(FILES, suite), [patch_class("c7", patch_to(7))])
    # An empty report is no report: then the exit code of the whole run is all there is, and t::a is not in it.
    assert done.broken == {"c7": ("t::a",)}


async def test_a_patch_cannot_pass_by_editing_the_tests(fake: FakeSandbox) -> None:
    def strict(files: Mapping[RepoPath, bytes], run: int) -> Mapping[str, bool | None]:
        return {"t::small": files[TEST] != FILES[TEST] or files[MODULE] == FILES[MODULE]}

    edit = Patch(
        patch_to(2) + "diff --git a/tests/test_m.py b/tests/test_m.py\n--- a/tests/test_m.py\n"
        "+++ b/tests/test_m.py\n@@ -1 +1 @@\n-from m import x\n+pass\n"
    )
    done = await found(FakeSandbox(FILES, strict), [patch_class("c1", edit)])
    assert done.broken == {"c1": ("t::small",)}


async def test_files_that_steer_a_test_run_are_noted(fake: FakeSandbox) -> None:
    added = Patch(
        patch_to(1) + "diff --git a/conftest.py b/conftest.py\nnew file mode 100644\n--- /dev/null\n"
        "+++ b/conftest.py\n@@ -0,0 +1 @@\n+collect_ignore = ['tests']\n"
    )
    done = await found(FakeSandbox(FILES, small_x), [patch_class("c1", added)])
    assert done.note == "Class c1 adds conftest.py, which can steer a test run."


async def test_a_run_that_ends_no_more_is_broken(fake: FakeSandbox) -> None:
    suite = lambda files, run: None if b"7" in files[MODULE] else {"t::a": True}  # noqa: E731
    done = await found(FakeSandbox(FILES, suite), [patch_class("c7", patch_to(7)), patch_class("c1", patch_to(1))])
    assert done.broken == {"c7": (NO_END,), "c1": ()}


async def test_a_suite_that_does_not_fit_is_narrowed_to_what_looks_relevant(fake: FakeSandbox) -> None:
    sandbox = FakeSandbox(FILES, lambda files, run: None)
    done = await found(sandbox, [patch_class("c1", patch_to(1))])
    assert done.passing == ("tests/test_m.py::t",)
    assert "only 1 files that look relevant ran" in done.note
    assert all(argv[-1] == "tests/test_m.py" for argv in sandbox.argvs[2:])


async def test_a_command_that_does_not_fit_is_left_out(fake: FakeSandbox) -> None:
    done = await found(FakeSandbox(FILES, lambda *_: None), [patch_class("c1", patch_to(1))], 100.0, "make test")
    assert done.broken == {}
    assert "take longer than 67 s" in done.note


async def test_no_tests_is_a_note(fake: FakeSandbox) -> None:
    done = await found(FakeSandbox(), [patch_class("c1", patch_to(1))])
    assert (done.command, done.note) == ("", "The repository has no tests that could be found.")


async def test_nothing_that_passes_twice_is_a_note(fake: FakeSandbox) -> None:
    done = await found(FakeSandbox(FILES, lambda *_: {"t::a": False}), [patch_class("c1", patch_to(1))])
    assert (done.broken, done.note) == ({}, "No test passed twice on the unedited tree.")


async def test_a_sandbox_that_stays_lost_is_a_note(fake: FakeSandbox) -> None:
    sandbox = FakeSandbox(FILES, small_x)
    sandbox.stumbles = [SandboxLost("gone")]
    done = await found(sandbox, [patch_class("c1", patch_to(1))])
    assert "the sandbox was lost (gone)" in done.note


def verdicts(**broken: int) -> Regressions:
    names = {ClassId(c): tuple(f"t{number}" for number in range(count)) for c, count in broken.items()}
    return Regressions("pytest", ("t0", "t1", "t2"), (), names)


@pytest.mark.parametrize(
    ("broken", "out"),
    [
        ({"c1": 0, "c2": 0}, set()),
        ({"c1": 0, "c2": 1}, {"c2"}),
        ({"c1": 1, "c2": 1}, set()),
        ({"c1": 1, "c2": 2}, {"c2"}),
    ],
)
def test_a_veto_never_takes_the_last_candidate(broken: dict[str, int], out: set[str]) -> None:
    vetoed, note = vetoes(verdicts(**broken), [ClassId(c) for c in broken])
    assert set(vetoed) == out
    assert ("Every candidate breaks tests" in note) == (min(broken.values()) > 0)


def test_without_regressions_there_is_no_veto() -> None:
    assert vetoes(Regressions("", (), (), {}), [ClassId("c1")]) == ({}, "")
    assert vetoes(Regressions("", (), (), {}), []) == ({}, "")


def test_a_reason_names_tests() -> None:
    vetoed, _ = vetoes(verdicts(c1=0, c2=3), [ClassId("c1"), ClassId("c2")])
    assert vetoed["c2"] == "it breaks 3 of the tests that passed before: t0, t1 and 1 more"


def test_touched_files_are_those_of_the_diff() -> None:
    assert touched_files(patch_to(1)) == ("m.py",)
    assert touched_files(Patch("")) == ()
    assert touched_files(Patch("@@ nonsense\n")) == ()


def test_relevant_tests_name_a_touched_module() -> None:
    tree: Tree = {
        RepoPath("pkg/shop/__init__.py"): b"",
        RepoPath("tests/test_shop.py"): b"",
        RepoPath("tests/test_a.py"): b"from pkg.shop import x",
        RepoPath("tests/test_b.py"): b"workshop",
        RepoPath("tests/conftest.py"): b"import shop",
    }
    assert relevant_tests(tree, [RepoPath("pkg/shop/__init__.py")]) == ("tests/test_a.py", "tests/test_shop.py")
    assert relevant_tests(tree, [RepoPath("README.md")]) == ()


async def test_a_sandbox_lost_on_a_class_is_a_note_too(fake: FakeSandbox) -> None:
    def suite(files: Mapping[RepoPath, bytes], run: int) -> Mapping[str, bool | None]:
        if run > 2:
            raise SandboxLost("gone for good")
        return {"t::a": True}

    done = await found(FakeSandbox(FILES, suite), [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))])
    assert "gone for good" in done.note
