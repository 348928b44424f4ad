"""Reads whole definitions out of fenced Python code, and puts each in the place of the one it means.

What a small model does best is to write a function again (0.40 of samples solved, against 0.09 with search/replace
blocks: models.md, section 4). So it writes code as in a file, and everything else is deterministic: which file,
which class, what indentation; that the rest stays; that examples and tests beside the code are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.edit.blocks import Block, block_path, fenced_blocks, without_path_line
from agent.edit.definitions import Definition, outline
from agent.edit.imports import add_imports
from agent.edit.lines import read_source
from agent.edit.locate import Place, Wanted, definitions_of, files_naming, locate
from agent.edit.merge import FileEdit
from agent.edit.novel import is_code, is_test, may_be_made, unknown
from agent.edit.parse import first_error
from agent.edit.paths import named_path, resolve
from agent.edit.reindent import dedented
from agent.edit.values import EditProblem, first_problems
from sandbox.base import Changes, RepoPath, Tree

FORM = """```python
# path/to/file.py
def name(arguments):
    the whole function, every line of it
```"""

_PYTHON = {"", "py", "python", "python3", "py3", "pycon", "cython", "sage"}
_DEFINES = re.compile(r"(?m)^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+\w+")


@dataclass(frozen=True)
class Part:
    """A stretch of a block that is meant for one file."""

    name: str | None
    """The path as the model wrote it."""
    lines: tuple[str, ...]
    items: tuple[Definition, ...]
    hints: str
    info: str
    error: str | None
    closed: bool

    @property
    def definitions(self) -> list[Definition]:
        return [item for item in self.items if item.name]


@dataclass
class _Work:
    """What has been collected for the whole answer."""

    tree: Tree
    shown: tuple[RepoPath, ...]
    edits: dict[RepoPath, FileEdit] = field(default_factory=dict[RepoPath, FileEdit])
    created: dict[RepoPath, bytes | None] = field(default_factory=dict[RepoPath, bytes | None])
    problems: list[EditProblem] = field(default_factory=list[EditProblem])
    placed: list[Place] = field(default_factory=list[Place])
    orphans: list[tuple[Part, int]] = field(default_factory=list[tuple[Part, int]])
    """Parts that define only what is new and name no file, and how many places were found before each."""

    def edit(self, path: RepoPath) -> FileEdit:
        if path not in self.edits:
            self.edits[path] = FileEdit(path, read_source(self.tree[path]), definitions_of(path, self.tree))
        return self.edits[path]


def read_symbols(text: str, tree: Tree, shown: Sequence[RepoPath]) -> Changes | EditProblem:
    """What the definitions in a reply make of the tree, or why they cannot be placed. Never raises."""
    parts = [part for block in _code_blocks(text) for part in _parts(block, tree)]
    parts = [part for part in parts if part.definitions or part.error]
    if not parts:
        return EditProblem(_nothing(text, tree))
    work = _Work(tree, tuple(path for path in shown if path in tree))
    for part in parts:
        _take(part, work)
    for part, after in work.orphans:
        _take_orphan(part, after, work)
    for edit in work.edits.values():
        if edit.stubs and not edit.splices and not work.problems:
            names = ", ".join(f"`{name}`" for name in edit.stubs[:5])
            work.problems.append(EditProblem(f"The code for {names} has no body. Write every line of it."))
    changes = dict(work.created)
    for path, edit in work.edits.items():
        content = edit.render()
        if isinstance(content, EditProblem):
            work.problems.append(content)
        else:
            changes[path] = content
    return first_problems(work.problems) if work.problems else changes


def _code_blocks(text: str) -> list[Block]:
    blocks = [
        block for block in fenced_blocks(text, _parses) if block.language in _PYTHON or "." in block.info.split(" ")[0]
    ]
    if blocks or "```" in text or not _DEFINES.search(text):
        return blocks
    return [Block("", text, True, ())]


def _parses(text: str) -> bool:
    return first_error(dedented(text).encode("utf-8", "replace")) is None


def _parts(block: Block, tree: Tree) -> list[Part]:
    """The block, cut where a comment at its margin names another file."""
    name = block_path(block, tree)
    text = dedented(without_path_line(block, tree).text)
    cuts: list[tuple[str | None, list[str]]] = [(name, [])]
    for line in text.split("\n"):
        other = named_path(line, tree) if line.startswith("#") else None
        if other and RepoPath(other) in tree:
            cuts.append((other, []))
        else:
            cuts[-1][1].append(line)
    comments = [line for line in text.split("\n") if line.lstrip().startswith("#")]
    hints = "\n".join([*block.before[-6:], *comments])
    return [_part(name, lines, hints, block) for name, lines in cuts if any(line.strip() for line in lines)]


def _part(name: str | None, lines: list[str], hints: str, block: Block) -> Part:
    text = "\n".join(lines)
    error = first_error(text.encode("utf-8", "replace"))
    return Part(name, tuple(lines), outline(text), hints, block.info, error, block.closed)


def _take(part: Part, work: _Work) -> None:
    """Find the place of everything in a part, and collect the splices or the problem."""
    if not part.closed:
        work.problems.append(
            EditProblem("The last code block is not closed: the answer was cut off. Write only what must change.")
        )
        return
    if part.error and _cut_definition(part):
        work.problems.append(EditProblem(f"The code is not valid Python: {part.error}. Write the whole code again."))
        return
    named = _named_file(part, work)
    if isinstance(named, EditProblem):
        work.problems.append(named)
        return
    wanted = part.definitions
    places = _places(part, wanted, named, work)
    if isinstance(places, EditProblem):
        work.problems.append(places)
    elif not any(places):
        _take_new(part, wanted, named, work)
    else:
        _splice(part, wanted, places, work)


def _cut_definition(part: Part) -> bool:
    """Whether a syntax error lies in a definition, not in words or an example beside it."""
    return not part.definitions or any(
        item.broken and (item.name or _DEFINES.match(part.lines[item.start]) or part.lines[item.start].startswith("@"))
        for item in part.items
    )


def _named_file(part: Part, work: _Work) -> RepoPath | EditProblem | None:
    if part.name is None:
        return None
    path = resolve(part.name, work.tree, work.shown)
    if not isinstance(path, EditProblem) and path in work.tree and not path.endswith((".py", ".pyi")):
        return EditProblem(
            f"`{path}` is no Python file, so it is not changed by definitions. Use a search/replace block."
        )
    return path


def _places(
    part: Part, wanted: list[Definition], named: RepoPath | None, work: _Work
) -> list[Place | None] | EditProblem:
    """For each definition its place, or None when it is new."""

    def among(files: Sequence[RepoPath], hints: str = part.hints) -> list[Place | EditProblem | None]:
        return [
            locate(Wanted(item, "\n".join(part.lines[item.start : item.stop]), hints), files, work.tree)
            for item in wanted
        ]

    found: list[Place | EditProblem | None] = [None for _ in wanted]
    if named and named in work.tree:
        found = among([named])
    if not any(found):
        found = among([path for path in work.shown if path != named])
    if not any(found):
        others = [item for item in wanted if item.kind != "assignment" and not is_test(item)]
        found = among(list(dict.fromkeys(path for item in others for path in files_naming(item, work.tree))))
    # The file and the class where some definitions surely are decide for those that could be in several.
    sure = list(dict.fromkeys(item.path for item in found if isinstance(item, Place)))
    if any(isinstance(item, EditProblem) for item in found) and sure:
        near = " ".join(item.definition.name for item in found if isinstance(item, Place))
        again = among(sure, f"{part.hints}\n{near}")
        found = [b if isinstance(a, EditProblem) and b else a for a, b in zip(found, again, strict=True)]
    # Beside functions, an assignment of a name that only another file has belongs to an example of use.
    homes = {item.path for item, new in zip(found, wanted, strict=True) if is_code(new) and isinstance(item, Place)}
    if any(is_code(item) for item in wanted):
        found = [
            None if new.kind == "assignment" and not (isinstance(item, Place) and item.path in homes) else item
            for item, new in zip(found, wanted, strict=True)
        ]
    problem = next((item for item in found if isinstance(item, EditProblem)), None)
    return problem or [item for item in found if not isinstance(item, EditProblem)]


def _take_new(part: Part, wanted: list[Definition], named: RepoPath | None, work: _Work) -> None:
    """Nothing in the part is known: a new file if one is named, else it may belong beside what another part has."""
    if part.name is None and any(is_code(item) for item in wanted):
        work.orphans.append((part, len(work.placed)))
    elif named and not part.error and may_be_made(named, work.tree):
        work.created[named] = ("\n".join(part.lines).strip("\n") + "\n").encode("utf-8", "replace")
    else:
        work.problems.append(unknown(wanted, named, work.shown, work.tree))


def _take_orphan(part: Part, after: int, work: _Work) -> None:
    """Put new helpers that stand in a block of their own beside the definition before it, or else after it."""
    if not work.placed:
        work.problems.append(unknown(part.definitions, None, work.shown, work.tree))
        return
    beside = work.placed[after - 1] if after else work.placed[0]
    wanted = [item for item in part.definitions if is_code(item) and not is_test(item)]
    places = [beside, *(None for _ in wanted)] if after else [*(None for _ in wanted), beside]
    known = [replace(beside.definition, names=frozenset())]
    _splice(part, [*known, *wanted] if after else [*wanted, *known], places, work, beside)


def _splice(
    part: Part, wanted: list[Definition], places: list[Place | None], work: _Work, fixed: Place | None = None
) -> None:
    """Replace what has a place, and insert what has none beside it. `fixed` only stands for a place to be beside."""
    used: dict[RepoPath, frozenset[str]] = {}
    code = [item.start for item in wanted if is_code(item) and not is_test(item)]
    if fixed is None:
        work.placed += [place for place in places if place is not None]
    for number, (item, place) in enumerate(zip(wanted, places, strict=True)):
        if place is not None:
            problem = work.edit(place.path).replace(item, part.lines, place.definition) if place != fixed else None
            path = place.path
        elif is_test(item) or (item.kind == "assignment" and code and item.start > code[-1]):
            continue  # a test, or what an example of use after the code assigns
        else:
            after = next((p for p in reversed(places[:number]) if p is not None), None)
            before = next((p for p in places[number:] if p is not None), None)
            if item.kind == "assignment" and before is not None:
                after = None
            beside = after or before
            if beside is None:
                continue
            path = beside.path
            edit = work.edit(path)
            anchor = _anchor(item, beside.definition, edit)
            problem = edit.insert(item, part.lines, after=anchor if after else None, before=None if after else anchor)
        used[path] = used.get(path, frozenset()) | item.names
        if problem:
            work.problems.append(problem)
    imports = [(item, part.lines) for item in part.items if item.kind == "import"]
    for path, names in used.items():
        add_imports(work.edit(path), imports, names)


def _anchor(new: Definition, beside: Definition, edit: FileEdit) -> Definition:
    """Beside a method stands another method; anything else stands beside its class."""
    is_method = new.kind == "function" and new.parameters.startswith(("(self", "(cls"))
    if "." not in beside.name or is_method:
        return beside
    return next((item for item in edit.definitions if item.start <= beside.start < item.stop), beside)


def _nothing(text: str, tree: Tree) -> str:
    other = [block for block in fenced_blocks(text) if block.language not in _PYTHON]
    names = [name for block in other if (name := block_path(block, tree))]
    if names:
        return f"`{names[0]}` is no Python code with definitions. Change it with a search/replace block."
    return (
        f"No Python definition was found in your answer. Write the changed function, method or class whole:\n\n{FORM}"
    )
