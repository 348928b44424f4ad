"""The texts that images are built from."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.dockerfile import (
    apt_command,
    argument_lines,
    env_line,
    environment_dockerfile,
    python_dockerfile,
    run_line,
    with_host_network,
)
from sandbox.errors import EnvironmentUnavailable


def environment(**more: object) -> list[str]:
    given: dict[str, object] = {"arguments": {}, "user": "10001:10001", "copy_repository": True, **more}
    return environment_dockerfile("base:1", **given).splitlines()  # pyright: ignore[reportArgumentType]


def test_an_environment_from_base_to_user() -> None:
    lines = environment(apt=("libxml2", "git=1:2.39"), install=("pip install -e .",), env=(("A", "b"),))
    steps = [line.split(" ", 1)[0] for line in lines if line]
    assert lines[0] == "FROM base:1"
    assert lines[-1] == "USER 10001:10001"
    assert steps == [
        "FROM",
        "LABEL",
        "USER",
        "COPY",
        "RUN",
        "RUN",
        "RUN",
        "ENV",
        "COPY",
        "COPY",
        "RUN",
        "WORKDIR",
        "RUN",
        "RUN",
        "USER",
    ]
    commands = [json.loads(line[4:])[2] for line in lines if line.startswith("RUN ")]
    assert "libxml2 git=1:2.39" in commands[0]
    assert "compileall" in commands[2]
    assert "begin" in commands[3]
    assert commands[4] == "pip install -e ."
    assert "finish" in commands[5]


def test_without_a_snapshot_the_images_repository_stays() -> None:
    assert not any("repository/" in line for line in environment(copy_repository=False))


def test_what_other_commits_share_comes_before_the_repository_and_the_helpers() -> None:
    lines = environment(apt=("a",), shared=("pip install b",), install=("pip install -e .",))
    shared = next(at for at, line in enumerate(lines) if "pip install b" in line)
    assert "apt-get" in lines[shared - 2]
    assert lines[shared + 1].startswith("COPY bestpatch/ ")


def test_packages_come_before_the_repository() -> None:
    """So that a new commit does not have them installed again."""
    lines = environment(apt=("libxml2",))
    assert next(i for i, line in enumerate(lines) if "libxml2" in line) < next(
        i for i, line in enumerate(lines) if "repository/" in line
    )


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_command_is_one_line_whatever_it_holds(command: str) -> None:
    line = run_line(command)
    assert len(line.split("\n")) == 1
    assert json.loads(line.removeprefix("RUN ")) == ["/bin/sh", "-ec", command]


@pytest.mark.parametrize("package", ["", "a b", "a;b", "$(id)", "-y", "A", "a\nRUN id", "a&&b"])
def test_what_is_no_package_is_refused(package: str) -> None:
    with pytest.raises(EnvironmentUnavailable):
        apt_command([package])


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [("A", "b c", 'ENV A="b c"'), ("A", 'a"b\\c$d', 'ENV A="a\\"b\\\\c\\$d"'), ("_A1", "", 'ENV _A1=""')],
)
def test_environment_variables_are_quoted(name: str, value: str, line: str) -> None:
    assert env_line(name, value) == line


@pytest.mark.parametrize(("name", "value"), [("1A", "x"), ("A B", "x"), ("A", "x\nUSER root"), ("", "x")])
def test_what_is_no_environment_variable_is_refused(name: str, value: str) -> None:
    with pytest.raises(EnvironmentUnavailable):
        env_line(name, value)


def test_proxies_are_never_declared() -> None:
    """The engine keeps undeclared proxies out of the image's history; a declared argument is kept in it."""
    names = {"http_proxy": "x", "HTTPS_PROXY": "x", "no_proxy": "x", "PIP_INDEX_URL": "x"}
    assert argument_lines(names) == ["ARG PIP_INDEX_URL"]


def test_no_value_of_an_argument_is_in_the_text() -> None:
    secret = {"PIP_INDEX_URL": "https://me:secret@host/simple", "http_proxy": "http://me:secret@proxy"}
    for text in (
        "\n".join(environment(arguments=secret)),
        with_host_network("FROM x\nRUN y\n", secret),
        python_dockerfile("x", version="3.11", from_registry=True, arguments=secret),
    ):
        assert "secret" not in text


def test_a_projects_dockerfile_learns_of_the_network_in_each_stage() -> None:
    text = with_host_network(
        "# c\nFROM a AS one\nRUN x\nfrom --platform=linux/amd64 b\nFROM scratch\n", {"PIP_CERT": "c"}
    )
    lines = text.splitlines()
    assert [i for i, line in enumerate(lines) if line == "ARG PIP_CERT"] == [3, 8]
    assert lines[-1] == "FROM scratch"
    assert [line for line in lines if line.startswith("COPY")] == ["COPY .bestpatch/ca.crt /opt/bestpatch/ca.crt"] * 2


@pytest.mark.parametrize("from_registry", [True, False])
def test_the_shell_texts_are_shell(from_registry: bool) -> None:
    texts = [
        *environment(apt=("x",)),
        *python_dockerfile("x", version="3.11", from_registry=from_registry, arguments={}).splitlines(),
    ]
    for line in texts:
        if line.startswith("RUN ["):
            assert subprocess.run(["sh", "-n", "-c", json.loads(line[4:])[2]], check=False).returncode == 0, line
