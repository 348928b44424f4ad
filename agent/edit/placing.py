"""Places search/replace blocks in the tree, and tells the model why one cannot be placed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from agent.edit.lines import Line, Source, read_source, replace_lines
from agent.edit.matching import Match, Near, Several, find
from agent.edit.paths import alike, resolve
from agent.edit.search_replace import FORM, EditBlock, Split
from agent.edit.values import EditProblem, capped, first_problems
from sandbox.base import Changes, RepoPath, Tree


def place_blocks(blocks: Sequence[EditBlock], tree: Tree, shown: Sequence[RepoPath]) -> Changes | EditProblem:
    """What the blocks make of the tree, all placed in the files as they are; or why they cannot be placed."""
    problems: list[EditProblem] = []
    changes: dict[RepoPath, bytes | None] = {}
    matches: dict[RepoPath, list[Match]] = {}
    for block in dict.fromkeys(blocks):  # a model that repeats itself means one edit
        path = _path(block, tree, shown)
        if isinstance(path, EditProblem):
            problems.append(path)
        elif block.delete:
            if path not in tree:
                problems.append(EditProblem(f"`{path}` cannot be deleted: there is no such file.{_alike(path, tree)}"))
            changes[path] = None
        elif path not in tree or (not tree[path] and not any(line for split in block.splits for line in split.search)):
            content = _new_file(block, path, tree)
            if isinstance(content, EditProblem):
                problems.append(content)
            elif path in changes:
                problems.append(EditProblem(f"Several blocks write the new file `{path}`. Write it in one block."))
            else:
                changes[path] = content
        else:
            match = _match(block, path, read_source(tree[path]), tree, shown)
            if isinstance(match, EditProblem):
                problems.append(match)
            else:
                matches.setdefault(path, []).append(match)
    for path, found in matches.items():
        if path in changes:
            problems.append(EditProblem(f"`{path}` is both edited and deleted. Do one of them."))
            continue
        content = _apply(path, read_source(tree[path]), found)
        if isinstance(content, EditProblem):
            problems.append(content)
        else:
            changes[path] = content
    return first_problems(problems) if problems else changes


def _path(block: EditBlock, tree: Tree, shown: Sequence[RepoPath]) -> RepoPath | EditProblem:
    if block.name is not None:
        return resolve(block.name, tree, shown)
    if block.splits and any(line.strip() for line in block.splits[0].search):
        holding = [path for path in shown if path in tree and _fits(block, tree[path])]
        if len(holding) == 1:
            return holding[0]
    if len(shown) == 1 and not block.delete:
        return shown[0]
    return EditProblem(
        f"A block does not say which file it is for. Write the file's path on the line before it:\n\n{FORM}"
    )


def _fits(block: EditBlock, content: bytes) -> bool:
    texts = read_source(content).texts
    return any(
        isinstance(find(texts, split.search, split.replacement), Match)
        for split in block.splits
        if any(line.strip() for line in split.search)
    )


def _new_file(block: EditBlock, path: RepoPath, tree: Tree) -> bytes | EditProblem:
    split = block.splits[0]
    if any(line.strip() for line in split.search):
        return EditProblem(
            f"There is no file `{path}`.{_alike(path, tree)} To make a new file, leave the search part empty."
        )
    if any(other.startswith(f"{path}/") for other in tree):
        return EditProblem(f"`{path}` is a folder, so it cannot be a file.")
    parent = next((other for other in tree if path.startswith(f"{other}/")), None)
    if parent:
        return EditProblem(f"`{path}` cannot be made: `{parent}` is a file, not a folder.")
    try:
        return "".join(f"{line}\n" for line in split.replacement).encode("utf-8")
    except UnicodeEncodeError:
        return EditProblem(f"The new file `{path}` has characters that UTF-8 cannot hold.")


def _match(
    block: EditBlock, path: RepoPath, source: Source, tree: Tree, shown: Sequence[RepoPath]
) -> Match | EditProblem:
    """The place of a block. Among several ways to read it, the one whose search part the file holds."""
    texts = source.texts
    splits = [split for split in block.splits if any(line.strip() for line in split.search)]
    if not splits:
        return EditProblem(
            f"The search part for `{path}` is empty, but the file exists. Put the lines that are to be replaced there; "
            "to insert, repeat a line beside the place in both parts."
        )
    found = [find(texts, split.search, split.replacement) for split in splits]
    matching = [(split, item) for split, item in zip(splits, found, strict=True) if isinstance(item, Match)]
    if len(matching) > 1:
        # A heading and its underline in both parts: the divider is the middle one of an odd number.
        middle = block.splits[len(block.splits) // 2] if len(block.splits) % 2 else None
        matching = [pair for pair in matching if pair[0] == middle]
        if not matching:
            return EditProblem(
                f"A block for `{path}` can be read in several ways, because text lines in it look like the dividing "
                "line. Write it with ten characters in each marker: `<<<<<<<<<< SEARCH`, `==========`, "
                "`>>>>>>>>>> REPLACE`."
            )
    if matching:
        split, match = matching[0]
        if list(match.replacement) == texts[match.start : match.stop] or split.search == split.replacement:
            return EditProblem(
                f"A block for `{path}` replaces lines {match.start + 1} to {match.stop} by the same text, so it "
                "changes nothing. Write what the lines should become after the dividing line."
            )
        return match
    several = next((item for item in found if isinstance(item, Several)), None)
    if several:
        listed = ", ".join(str(line) for line in several.lines[:5]) + (", ..." if len(several.lines) > 5 else "")
        return EditProblem(
            f"The search text occurs {len(several.lines)} times in `{path}`, from lines {listed}. Add lines before or "
            "after it, to both parts, until it occurs once."
        )
    near = next((item for item in found if isinstance(item, Near) and item.places), Near(()))
    return _not_found(splits[0], path, source, near, tree, shown)


def _not_found(
    split: Split, path: RepoPath, source: Source, near: Near, tree: Tree, shown: Sequence[RepoPath]
) -> EditProblem:
    texts = source.texts
    if near.whitespace_only:
        start, stop, _ = near.places[0]
        return EditProblem(
            f"The search text differs from lines {start + 1} to {stop} of `{path}` in white space, in a way that does "
            f"not say how to indent the replacement. The lines are:\n\n{_quote(texts[start:stop], 1_400)}\n\n"
            "Copy them exactly."
        )
    others = _elsewhere(split, path, tree, shown)
    if others:
        return EditProblem(
            f"The search text is not in `{path}`, but it is in {', '.join(f'`{item}`' for item in others)}. "
            "Name that file in the line before the block."
        )
    head = (
        f"The search text is not in `{path}`. It must be lines of the file as they are now, not as they should become."
    )
    wanted = [line for line in split.replacement if line.strip()]
    if wanted and isinstance(find(texts, split.replacement, ()), Match):
        head += " The file already holds the replacement text."
    if not near.places:
        begins = next(line for line in split.search if line.strip())
        return EditProblem(f"{head} It begins with:\n\n{_quote([begins], 300)}\n\nNothing in the file is like it.")
    share = 1_300 // len(near.places)
    shown_places = "\n\n".join(
        f"Lines {start + 1} to {stop}:\n\n{_quote(texts[start:stop], share)}" for start, stop, _ in near.places
    )
    return EditProblem(f"{head} The most similar text there:\n\n{shown_places}\n\nCopy the lines exactly.")


def _quote(texts: Sequence[str], limit: int) -> str:
    return f"```\n{capped(chr(10).join(texts), limit)}\n```"


def _elsewhere(split: Split, path: RepoPath, tree: Tree, shown: Sequence[RepoPath]) -> list[RepoPath]:
    """Up to three other files that hold the search text, those shown to the model first."""
    longest = max((line.strip() for line in split.search), key=len)
    key = longest.encode("utf-8", "replace")
    if len(longest) < 4:
        return []
    found: list[RepoPath] = []
    for other in dict.fromkeys([*shown, *tree]):
        if other != path and other in tree and key in tree[other]:
            if isinstance(find(read_source(tree[other]).texts, split.search, ()), Match | Several):
                found.append(other)
            if len(found) == 3:
                break
    return found


def _alike(path: RepoPath, tree: Tree) -> str:
    found = alike(path, tree)
    return f" Did you mean {' or '.join(f'`{item}`' for item in found)}?" if found else ""


def _apply(path: RepoPath, source: Source, found: Sequence[Match]) -> bytes | EditProblem:
    ordered = sorted(found, key=lambda match: match.start)
    for first, second in itertools.pairwise(ordered):
        if second.start < first.stop:
            return EditProblem(
                f"Two blocks for `{path}` overlap, at lines {first.start + 1} to {first.stop} and "
                f"{second.start + 1} to {second.stop}. All blocks refer to the file as it is now: join them into one."
            )
    lines: list[Line] = list(source.lines)
    for match in reversed(ordered):
        lines = replace_lines(lines, match.start, match.stop, match.replacement, source.newline)
    try:
        return source.render(lines)
    except UnicodeEncodeError as error:
        return EditProblem(
            f"`{path}` is written in {source.encoding}, which has no {error.object[error.start : error.end]!r}. "
            "Use characters that it has."
        )
