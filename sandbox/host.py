"""What an image build must be told about this machine's network: CA bundle, proxies, package index.

Only builds hear of it. Executions have no network, and the environment of a sandbox holds none of this.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PIP_ADDRESSES = ("index-url", "extra-index-url", "find-links")
_PIP_OTHERS = ("trusted-host", "timeout", "default-timeout", "retries")

CA_PATH = "/opt/bestpatch/ca.crt"
"""Where the CA bundle lies in images."""


@dataclass(frozen=True)
class HostNetwork:
    """Build arguments for the network. `arguments` may hold credentials inside addresses."""

    arguments: Mapping[str, str]
    ca: bytes | None

    @property
    def secret(self) -> bool:
        """True when an address holds a password or token that `docker history` of the image would show."""
        shown = (value for name, value in self.arguments.items() if name.lower() not in _PROXIES)
        return any(re.search(r"://[^/\s@]+@", value) for value in shown)


def host_network(env: Mapping[str, str] | None = None, pip: Mapping[str, str] | None = None) -> HostNetwork:
    """This process' environment, pip's configuration and the CA bundle, as arguments for a build."""
    env = os.environ if env is None else env
    pip = pip_config() if pip is None else pip
    arguments: dict[str, str] = {}
    for name in _PROXIES:
        # Both spellings: programs differ in which they read. The engine keeps these out of an image's history.
        value = env.get(name) or env.get(name.upper())
        if value:
            arguments[name] = arguments[name.upper()] = value
    for key in (*_PIP_ADDRESSES, *_PIP_OTHERS):
        name = "PIP_" + key.upper().replace("-", "_")
        value = env.get(name) or pip.get(key, "")
        if key in _PIP_ADDRESSES:
            # A folder of this machine does not exist inside the build; pip would stop on it.
            value = " ".join(word for word in value.split() if re.match(r"https?://", word))
        if value:
            arguments[name] = value
    ca = _ca_bundle(env)
    if ca is not None:
        for name in (*_CA_VARIABLES, "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO"):
            arguments[name] = CA_PATH
    return HostNetwork(arguments, ca)


def _ca_bundle(env: Mapping[str, str]) -> bytes | None:
    named = [env[name] for name in _CA_VARIABLES if env.get(name)]
    for path in (*named, *_CA_FILES):
        try:
            return Path(path).read_bytes()
        except OSError:
            continue
    return None


def pip_config(files: tuple[Path, ...] | None = None) -> dict[str, str]:
    """The values of pip's configuration files that matter to a build, later files first in rank."""
    if files is None:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        own = os.environ.get("PIP_CONFIG_FILE")
        found = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf"]
        files = (*found, home / "pip" / "pip.conf", Path(sys.prefix) / "pip.conf", *([Path(own)] if own else []))
    values: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                values.update({key.replace("_", "-"): " ".join(value.split()) for key, value in parser.items(section)})
    return values


def apt_mirror(codename: str, folder: Path = Path("/etc/apt")) -> str | None:
    """The http(s) address from which this machine gets the packages of its own release, if its sources name one."""
    texts: list[str] = []
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        try:
            texts.append(path.read_text("utf-8", "replace"))
        except OSError:
            continue
    for text in texts:
        for line in text.splitlines():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(https?://\S+)\s+(\S+)", line.strip())
            if match and match[2] == codename:
                return match[1]
        for stanza in re.split(r"\n\s*\n", text):
            uri = re.search(r"^URIs:\s*(https?://\S+)", stanza, re.MULTILINE)
            suites = re.search(r"^Suites:\s*(.+)$", stanza, re.MULTILINE)
            if uri and suites and codename in suites[1].split():
                return uri[1]
    return None


def run_host(argv: list[str], seconds: float, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a fixed program of this machine; exit code and the end of its output. 127 when it is missing."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError:
        return 127, f"{argv[0]}: not found"
    except subprocess.TimeoutExpired as error:
        return 124, f"{argv[0]}: no end within {seconds:.0f} s\n" + (error.stdout or b"").decode("utf-8", "replace")
    return done.returncode, done.stdout.decode("utf-8", "replace")[-20_000:]
