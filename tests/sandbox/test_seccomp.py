"""The seccomp filters: what a small interpreter of BPF says of them, call by call."""

from __future__ import annotations

import json
import struct

import pytest

from sandbox.seccomp import command_filter, place_profile

ALLOWED, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
X86, ARM = 0xC000003E, 0xC00000B7
NEWUSER, NEWNS, THREAD = 0x10000000, 0x00020000, 0x003D0F00


def decision(program: bytes, arch: int, number: int, first: int = 0) -> int:
    """What the kernel would answer: classic BPF over `struct seccomp_data`."""
    data = struct.pack("<IIQ6Q", number, arch, 0, first, 0, 0, 0, 0, 0)
    instructions = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, true, false, k = instructions[at]
        at += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif code == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x45: bool(accumulator & k)}[code]
            at += true if holds else false


@pytest.mark.parametrize(
    ("arch", "machine", "number", "first", "expected"),
    [
        (X86, "x86_64", 0, 0, ALLOWED),  # read
        (X86, "x86_64", 59, 0, ALLOWED),  # execve
        (X86, "x86_64", 56, THREAD, ALLOWED),  # clone, as a thread
        (X86, "x86_64", 56, NEWUSER, EPERM),
        (X86, "x86_64", 56, NEWNS | 17, EPERM),
        (X86, "x86_64", 435, 0, ENOSYS),  # clone3
        (X86, "x86_64", 272, 0, EPERM),  # unshare
        (X86, "x86_64", 165, 0, EPERM),  # mount
        (X86, "x86_64", 101, 0, EPERM),  # ptrace
        (X86, "x86_64", 425, 0, EPERM),  # io_uring_setup
        (X86, "x86_64", 41, 2, ALLOWED),  # socket, AF_INET
        (X86, "x86_64", 41, 1, ALLOWED),  # AF_UNIX
        (X86, "x86_64", 41, 10, ALLOWED),  # AF_INET6
        (X86, "x86_64", 41, 16, ALLOWED),  # AF_NETLINK
        (X86, "x86_64", 41, 17, EPERM),  # AF_PACKET
        (X86, "x86_64", 41, 30, EPERM),  # AF_TIPC
        (X86, "x86_64", 41, 40, EPERM),  # AF_VSOCK
        (X86, "x86_64", 41, 38, EPERM),  # AF_ALG
        (X86, "x86_64", 0x40000000 | 56, NEWUSER, ENOSYS),  # x32
        (X86, "x86_64", 999, 0, ENOSYS),  # a call of the future
        (0x40000003, "x86_64", 5, 0, ENOSYS),  # i386
        (ARM, "aarch64", 63, 0, ALLOWED),  # read
        (ARM, "aarch64", 220, NEWUSER, EPERM),  # clone
        (ARM, "aarch64", 220, THREAD, ALLOWED),
        (ARM, "aarch64", 97, 0, EPERM),  # unshare
        (ARM, "aarch64", 198, 40, EPERM),  # socket, AF_VSOCK
        (ARM, "aarch64", 198, 2, ALLOWED),
        (X86, "aarch64", 63, 0, ENOSYS),
    ],
)
def test_what_a_command_may_ask(arch: int, machine: str, number: int, first: int, expected: int) -> None:
    assert decision(command_filter(machine), arch, number, first) == expected


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(KeyError):
        command_filter("pdp11")


def test_a_place_may_make_namespaces_but_not_load_code_into_the_kernel() -> None:
    profile = json.loads(place_profile())
    denied = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert {"bpf", "init_module", "keyctl", "ptrace", "kexec_load", "io_uring_setup"} <= denied
    assert not {"mount", "unshare", "clone", "setns", "pivot_root"} & denied
