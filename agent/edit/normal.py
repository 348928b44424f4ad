"""A form of a file that is equal for files that differ in formatting and comments only.

The rule is that two programs that may behave differently never get the same form; where it cannot be sure, the form
is the text itself. Docstrings stay, for programs can read them.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib

from tree_sitter import Node

from agent.edit.parse import python_error, python_tree
from sandbox.base import RepoPath

_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_LINE_LANGUAGES = (".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".js", ".ts", ".go", ".kt")
_SPANS_LINES = re.compile(rb'`|"""|R"|\\\r?$|[<]<', re.MULTILINE)
"""What may hold white space that counts, in those languages: strings over several lines, continued lines."""
_COMMA_ENDS = {
    "argument_list", "parameters", "list", "dictionary", "set", "list_pattern", "import_from_statement",
}  # fmt: skip


def normal_form(path: RepoPath, content: bytes) -> str:
    """The form of a file's content, after the rules of the language that its name says."""
    if path.endswith((".py", ".pyi")):
        form = _python(content)
    elif path.endswith((".json", ".toml")):
        form = _data(path, content)
    elif path.endswith(_LINE_LANGUAGES) and not _SPANS_LINES.search(content):
        form = "lines\n" + "\n".join(line.strip() for line in _text(content).split("\n") if line.strip())
    else:
        form = None
    return form if form is not None else "text\n" + _text(content)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _data(path: RepoPath, content: bytes) -> str | None:
    """JSON and TOML by value. Order and number spelling stay: readers can see them."""
    try:
        if path.endswith(".json"):
            value: object = json.loads(
                content, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=_spelled, parse_int=_spelled
            )
        else:
            value = tomllib.loads(content.decode("utf-8").replace("\r\n", "\n"), parse_float=_spelled)
        return f"data\n{value!r}"
    except (ValueError, RecursionError):
        return None


def _spelled(text: str) -> tuple[str, str]:
    return ("number", text)


def _python(content: bytes) -> str | None:
    """The tokens of a Python file and its block structure; None when it has a syntax error.

    The compiler is asked as well: the grammar of tree-sitter lets a line that is indented by mistake pass.
    """
    root = python_tree(content).root_node
    if (
        root.has_error
        or python_error(content) is not None
        or b"\r" in content.replace(b"\r\n", b"")
        or b"\f" in content
    ):
        # Lone carriage returns and form feeds mean different things to different tokenizers.
        return None
    parts: list[str] = []
    coding = next((found[1] for line in content.split(b"\n")[:2] if (found := _CODING.match(line))), b"utf-8")
    if coding.lower().replace(b"_", b"-") not in {b"utf-8", b"utf8"}:
        parts.append(f"coding {coding.decode('ascii')}\n")
    _emit(root, parts)
    return "python\n" + "".join(parts)


def _emit(root: Node, parts: list[str]) -> None:
    """Write tokens and block structure in order. A stack, for expressions can nest deeper than Python calls may."""
    pending: list[Node | str] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.type in {"comment", "line_continuation", ";"}:
            continue
        elif node.type == "string":
            parts.append(_string(node) + " ")
        elif node.child_count == 0:
            parts.append(" ".join(_source(node).split()) + " ")
        elif node.type in {"module", "block"}:
            statements = [child for child in node.children if child.type not in {"comment", ";"}]
            close: list[Node | str] = ["}\n"] if node.type == "block" else []
            inner: list[Node | str] = [item for child in statements for item in (child, "\n")]
            if node.type == "block":
                parts.append("{\n")
            pending.extend(reversed([*inner, *close]))
        else:
            pending.extend(reversed(_without_last_comma(node)))


def _without_last_comma(node: Node) -> list[Node]:
    children = [child for child in node.children if child.type not in {"comment", "line_continuation"}]
    # One comma makes a tuple; a second one at its end, or one at the end of a call, means nothing.
    idle = node.type in _COMMA_ENDS or (node.type == "tuple" and sum(child.type == "," for child in children) > 1)
    if idle and len(children) > 2 and children[-1].type in {")", "]", "}"} and children[-2].type == ",":
        del children[-2]
    return children


def _string(node: Node) -> str:
    """A string literal: its value where it is a plain one, else its text; f-strings always as they stand."""
    text = _source(node).replace("\r\n", "\n")
    prefix = re.match(r"[A-Za-z]*", text)
    kind = prefix[0].lower() if prefix else ""
    if set(kind) <= {"r"} and len(text) < 100_000 and "\\" not in text:
        try:
            return repr(ast.literal_eval(text))
        except (ValueError, SyntaxError, MemoryError):
            return text
    return text


def _source(node: Node) -> str:
    return node.text.decode("utf-8", "surrogateescape") if node.text is not None else ""
