"""The default sandbox profile, and whose a container is."""

from __future__ import annotations

import os
import socket
import subprocess

from sandbox import profile
from sandbox.base import Limits
from sandbox.settings import DockerSettings


def test_the_profile_is_closed_by_default() -> None:
    config = profile.host_config(Limits(), DockerSettings(), 8)
    assert config["network_mode"] == "none"
    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"] == ["no-new-privileges"]
    assert config["pids_limit"] == 512
    assert config["mem_limit"] == config["memswap_limit"] == 4 * 1024**3
    assert config["init"] is True
    assert config["log_config"] == {"Type": "none"}
    assert {(limit["Name"], limit["Soft"], limit["Hard"]) for limit in config["ulimits"]} == {
        ("core", 0, 0),
        ("nofile", 4096, 4096),
    }
    assert not {"binds", "mounts", "volumes_from", "privileged", "cap_add", "devices", "runtime"} & set(config)


def test_a_place_is_closed_but_for_what_cells_need() -> None:
    config = profile.place_config(Limits(), DockerSettings(), 8)
    assert (config["network_mode"], config["cap_drop"], config["read_only"]) == ("none", ["ALL"], True)
    assert config["cap_add"] == ["SETFCAP"], "without it the kernel maps no root into a user namespace"
    assert "no-new-privileges" in config["security_opt"]
    assert any(option.startswith("seccomp={") for option in config["security_opt"])
    assert not {"binds", "mounts", "volumes_from", "privileged", "devices"} & set(config)


def test_the_runtime_is_a_setting() -> None:
    assert profile.host_config(Limits(), DockerSettings(runtime="runsc"), 8)["runtime"] == "runsc"


def test_no_more_cpus_than_there_are() -> None:
    assert profile.host_config(Limits(cpus=4), DockerSettings(), 2)["nano_cpus"] == 2_000_000_000
    assert profile.update_body(Limits(cpus=0.5), 2)["NanoCpus"] == 500_000_000


def test_the_interpreters_folder_is_on_the_path_once() -> None:
    assert profile.environment({"PATH": "/usr/bin:/bin"}, "/conda/bin/python")["PATH"] == "/conda/bin:/usr/bin:/bin"
    assert profile.environment({"PATH": "/usr/bin:/bin"}, "/usr/bin/python3")["PATH"] == "/usr/bin:/bin"


def test_only_containers_of_dead_processes_of_this_machine_are_abandoned() -> None:
    mine = profile.labels("run", "sandbox")
    assert not profile.abandoned(mine)
    child = subprocess.Popen(["true"])
    child.wait()
    assert profile.abandoned({**mine, profile.OWNER: str(child.pid)})
    assert profile.abandoned({**mine, profile.STARTED: "1"}), "a process id that is used again"
    assert not profile.abandoned({**mine, profile.OWNER: str(child.pid), profile.HOST: "another-machine"})
    assert not profile.abandoned({profile.HOST: socket.gethostname()})
    assert profile.process_start(os.getpid())
