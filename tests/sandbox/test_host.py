"""What a build is told about this machine's network."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.host import CA_PATH, apt_mirror, host_network, pip_config, run_host


def test_proxies_reach_the_build_in_both_spellings() -> None:
    found = host_network({"HTTPS_PROXY": "http://p:1", "no_proxy": "localhost"}, {}).arguments
    assert found["https_proxy"] == found["HTTPS_PROXY"] == "http://p:1"
    assert found["no_proxy"] == found["NO_PROXY"] == "localhost"
    assert "http_proxy" not in found


def test_the_package_index_reaches_the_build_but_no_folder_of_this_machine() -> None:
    env = {"PIP_FIND_LINKS": "/opt/wheels https://host/wheels", "PIP_INDEX_URL": "https://env/simple"}
    pip = {"index-url": "https://file/simple", "extra-index-url": "file:///x https://b/simple\nhttps://c/simple"}
    found = host_network(env, pip).arguments
    assert found["PIP_FIND_LINKS"] == "https://host/wheels"
    assert found["PIP_INDEX_URL"] == "https://env/simple"
    assert found["PIP_EXTRA_INDEX_URL"] == "https://b/simple https://c/simple"
    assert "PIP_FIND_LINKS" not in host_network({"PIP_FIND_LINKS": "/opt/wheels"}, {}).arguments


def test_the_ca_bundle_is_the_one_the_machine_uses(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("CERTIFICATES")
    found = host_network({"SSL_CERT_FILE": str(bundle), "PIP_CERT": "/no/such"}, {})
    assert found.ca == b"CERTIFICATES"
    assert found.arguments["PIP_CERT"] == found.arguments["REQUESTS_CA_BUNDLE"] == CA_PATH


def test_no_ca_bundle_no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.host._CA_FILES", ())
    found = host_network({}, {})
    assert found.ca is None
    assert found.arguments == {}


@pytest.mark.parametrize(
    ("env", "secret"),
    [
        ({"PIP_INDEX_URL": "https://me:word@host/simple"}, True),
        ({"PIP_EXTRA_INDEX_URL": "https://a/simple https://token@host/simple"}, True),
        ({"PIP_INDEX_URL": "https://host/simple?a@b"}, False),
        ({"http_proxy": "http://me:word@proxy"}, False),  # the engine keeps proxies out of the history
    ],
)
def test_an_address_with_a_password_is_noticed(env: dict[str, str], secret: bool) -> None:
    assert host_network(env, {}).secret is secret


def test_pip_configuration_files(tmp_path: Path) -> None:
    one, two, bad = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    one.write_text(
        "[global]\nindex-url = https://one\ntimeout = 9\n[install]\nfind-links =\n  https://a\n  https://b\n"
    )
    two.write_text("[global]\nindex_url = https://two\n")
    bad.write_text("not a configuration")
    assert pip_config((one, tmp_path / "none", two, bad)) == {
        "index-url": "https://two",
        "timeout": "9",
        "find-links": "https://a https://b",
    }


def test_the_mirror_of_the_machines_own_release(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    assert apt_mirror("bookworm", tmp_path) is None
    (folder / "a.sources").write_text(
        "Types: deb\nURIs: http://sec/debian-security\nSuites: bookworm-security\n\n"
        "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\n"
    )
    assert apt_mirror("bookworm", tmp_path) == "http://mirror/debian"
    (tmp_path / "sources.list").write_text(
        "# deb http://no bookworm main\ndeb [arch=amd64] https://one/debian bookworm main\n"
    )
    assert apt_mirror("bookworm", tmp_path) == "https://one/debian"
    assert apt_mirror("trixie", tmp_path) is None


def test_programs_of_this_machine() -> None:
    assert run_host(["sh", "-c", "echo out; echo err >&2; exit 3"], 10) == (3, "out\nerr\n")
    assert run_host(["no-such-program"], 10)[0] == 127
    assert run_host(["sleep", "60"], 0.2)[0] == 124
    assert run_host(["sh", "-c", "echo $ODD"], 10, {"ODD": "x"}) == (0, "x\n")
