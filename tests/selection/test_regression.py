from collections.abc import Mapping, Sequence

import pytest

from sandbox.base import Patch, RepoPath, Tree
from sandbox.errors import SandboxLost
from selection.base import ClassId, PatchClass, Regressions
from selection.regression import CONTRADICTED, MANY, NO_END, regressions, relevant_tests, touched_files, vetoes
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


def new_file(path: str, text: str) -> str:
    return f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"


@pytest.mark.parametrize("path", ["conftest.py", "tests/conftest.py", "pytest.ini", "test_new.py", "x.pth"])
async def test_row_11_files_that_steer_a_test_run_take_no_part(fake: FakeSandbox, path: str) -> None:
    """The suite would pass in full if the added file were there."""
    suite = lambda files, run: {"t::a": files[MODULE] == b"x = 0\n" or path in files}  # noqa: E731
    patch = Patch(patch_to(2) + new_file(path, "collect_ignore = ['tests']"))
    done = await found(FakeSandbox(FILES, suite), [patch_class("c1", patch)])
    assert done.broken == {"c1": ("t::a",)}
    noted = "" if path == "test_new.py" else f"Class c1 touches {path}, which can steer a test run: set aside."
    assert done.note == noted


async def test_row_11_a_steering_file_of_the_base_commit_is_put_back(fake: FakeSandbox) -> None:
    config = RepoPath("setup.cfg")
    suite = lambda files, run: {"t::a": files[config] == b"[x]\n" and files[MODULE] != b"x = 7\n"}  # noqa: E731
    edit = f"diff --git a/{config} b/{config}\n--- a/{config}\n+++ b/{config}\n@@ -1 +1 @@\n-[x]\n+[tool:pytest]\n"
    sandbox = FakeSandbox({**FILES, config: b"[x]\n"}, suite)
    done = await found(sandbox, [patch_class("c1", Patch(patch_to(1) + edit))])
    assert done.broken == {"c1": ()}


async def test_a_new_module_in_a_tests_folder_stays(fake: FakeSandbox) -> None:
    """It may be code that the fix needs, as django/test/ is."""
    new = RepoPath("tests/helper.py")
    suite = lambda files, run: {"t::a": files[MODULE] == b"x = 0\n" or new in files}  # noqa: E731
    done = await found(FakeSandbox(FILES, suite), [patch_class("c1", Patch(patch_to(1) + new_file(new, "y = 1")))])
    assert done.broken == {"c1": ()}


async def test_row_12_a_report_that_the_exit_code_contradicts_breaks_all(fake: FakeSandbox) -> None:
    """A patch wrote a report in which all is well; the run ended otherwise."""
    sandbox = FakeSandbox(FILES, lambda files, run: {"t::a": True})
    sandbox.exit_code = lambda files, honest: 1 if b"7" in files[MODULE] else honest
    done = await found(sandbox, [patch_class("c7", patch_to(7)), patch_class("c1", patch_to(1))])
    assert done.broken == {"c7": (CONTRADICTED,), "c1": ()}
    assert "contradicts" in vetoes(done, [ClassId("c1"), ClassId("c7")])[0][ClassId("c7")]


async def test_a_suite_that_always_ends_so_is_read_by_its_report(fake: FakeSandbox) -> None:
    """Too little coverage, say, makes the exit code 1 although every test passed: on the unedited tree too."""
    sandbox = FakeSandbox(FILES, small_x)
    sandbox.exit_code = lambda files, honest: 0
    done = await found(sandbox, [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))])
    assert done.broken == {"c1": (), "c2": ("t::small",)}


async def test_a_run_that_ends_no_more_is_broken(fake: FakeSandbox) -> None:
    suite = lambda files, run: None if b"7" in files[MODULE] else {"t::a": True}  # noqa: E731
    done = await found(FakeSandbox(FILES, suite), [patch_class("c7", patch_to(7)), patch_class("c1", patch_to(1))])
    assert done.broken == {"c7": (NO_END,), "c1": ()}


async def test_a_run_that_ends_no_more_says_nothing_where_most_tests_broke(fake: FakeSandbox) -> None:
    before = {"t::a": True, "t::b": False, "t::c": False}
    suite = lambda files, run: None if b"7" in files[MODULE] else before  # noqa: E731
    done = await found(FakeSandbox(FILES, suite), [patch_class("c7", patch_to(7))])
    assert done.broken == {"c7": ()}


async def test_a_suite_that_does_not_fit_is_narrowed_to_what_looks_relevant(fake: FakeSandbox) -> None:
    sandbox = FakeSandbox(FILES, lambda files, run: None)
    done = await found(sandbox, [patch_class("c1", patch_to(1))])
    assert done.passing == ("tests/test_m.py::t",)
    assert "only a file that looks relevant ran" in done.note
    assert all(argv[-1] == "tests/test_m.py" for argv in sandbox.argvs[2:])


async def test_a_command_that_does_not_fit_is_left_out(fake: FakeSandbox) -> None:
    done = await found(FakeSandbox(FILES, lambda *_: None), [patch_class("c1", patch_to(1))], 100.0, "make test")
    assert done.broken == {}
    assert "takes longer than 67 s" in done.note


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


def test_the_best_test_files_come_first() -> None:
    test = b"def test_x(): pass\n"
    tree: Tree = {
        RepoPath("lib/shop/till.py"): b"",
        RepoPath("tests/test_a.py"): b"the till\n" + test,
        RepoPath("tests/test_b.py"): b"from shop import coins, till\n" + test,
        RepoPath("tests/test_till.py"): test,
        RepoPath("tests/till_errors/test_c.py"): test,
        RepoPath("tests/till_errors/urls.py"): b"import shop.till",
        RepoPath("tests/test_d.py"): b"from shop import tiller\n" + test,
    }
    names = ["test_till.py", "test_b.py", "till_errors/test_c.py", "test_a.py", "till_errors/urls.py"]
    assert relevant_tests(tree, [RepoPath("lib/shop/till.py")]) == tuple(f"tests/{name}" for name in names)


async def test_fewer_files_run_where_the_relevant_ones_do_not_fit(fake: FakeSandbox) -> None:
    many: Tree = {RepoPath(f"tests/test_{n}.py"): b"from m import x\ndef test(): pass\n" for n in range(20)}
    done = await found(FakeSandbox({**FILES, **many}, lambda files, run: None), [patch_class("c1", patch_to(1))])
    assert "8 files" in done.note


async def test_a_large_suite_is_not_tried_as_a_whole(fake: FakeSandbox) -> None:
    many: Tree = {RepoPath(f"tests/test_{n}.py"): b"def test(): pass\n" for n in range(MANY)}
    sandbox = FakeSandbox({**FILES, **many}, lambda *_: {"t::a": True})
    done = await found(sandbox, [patch_class("c1", patch_to(1))])
    assert "more than 250 files: only a file" in done.note
    assert [argv[-1] for argv in sandbox.argvs[1:]] == ["tests/test_m.py"] * 3


async def test_a_sandbox_lost_on_a_class_is_a_note_too(fake: FakeSandbox) -> None:
    def suite(files: Mapping[RepoPath, bytes], run: int) -> Mapping[str, bool | None]:
        if run > 2:
            raise SandboxLost("gone for good")
        return {"t::a": True}

    done = await found(FakeSandbox(FILES, suite), [patch_class("c1", patch_to(1)), patch_class("c2", patch_to(2))])
    assert "gone for good" in done.note
