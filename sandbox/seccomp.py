"""Seccomp filters: what commands in a cell, and the place around them, may not ask of the kernel.

Both deny what has no use in a test run and has been a way out of containers before: loading code into the kernel,
keyrings, raw handles of files, other processes' memory, time, swap, io_uring, sockets that lead to a hypervisor.
Commands are also denied all that makes namespaces and mounts; the place needs those to make cells, and has no
privilege outside of the user namespaces that it makes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

# name: (number on x86_64, number on aarch64); None where the machine has no such call.
_ALWAYS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "vhangup": (153, 58),
}
_COMMANDS: dict[str, tuple[int | None, int | None]] = {
    "chroot": (161, 51),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "umount2": (166, 39),
    "unshare": (272, 97),
}
_OWNERS: dict[str, tuple[int | None, int | None]] = {
    "chown": (92, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "lchown": (94, None),
    "setfsgid": (123, 152),
    "setfsuid": (122, 151),
    "setgid": (106, 144),
    "setgroups": (116, 159),
    "setregid": (114, 143),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setreuid": (113, 145),
    "setuid": (105, 146),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_CLONE, _CLONE3, _SOCKET = (56, 220), 435, (41, 198)
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, netlink. Others lead to a hypervisor or have the kernel load code that is seldom tried."""
_NEWEST = 469
"""Calls that came to the kernel after this page was written do not exist inside."""
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _GREATER, _ANY, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_Instruction = tuple[int, int, int, int]
_CALL: _Instruction = (_LOAD, 0, 0, 0)
_FIRST_ARGUMENT: _Instruction = (_LOAD, 0, 0, 16)


def command_filter(machine: str) -> bytes:
    """The BPF program for commands, as the kernel takes it. Raises KeyError for a machine that is not known."""
    column, _ = _MACHINES[machine]
    deny = (_RETURN, 0, 0, _ERROR | _EPERM)
    # clone3's flags lie in memory, where a filter cannot look; libraries fall back to clone.
    program = [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ERROR | _ENOSYS)]
    program += [(_EQUAL, 0, 3, _CLONE[column]), _FIRST_ARGUMENT, (_ANY, 0, 1, _NEW_NAMESPACES), deny, _CALL]
    return _program(machine, _denied(machine, _COMMANDS, _EPERM) + program)


def place_filter(machine: str) -> bytes:
    """The BPF program for a place that is no engine's container. Raises KeyError."""
    return _program(machine, [])


def build_filter(machine: str) -> bytes:
    """The BPF program for the steps of a build. Raises KeyError.

    Only one user exists there, who is root in name. Giving files away and becoming another user are said to have
    gone well and do nothing, which is all that package managers ask for.
    """
    return _program(machine, _denied(machine, _OWNERS, 0))


def _program(machine: str, more: list[_Instruction]) -> bytes:
    column, arch = _MACHINES[machine]
    deny, unknown = (_RETURN, 0, 0, _ERROR | _EPERM), (_RETURN, 0, 0, _ERROR | _ENOSYS)
    program: list[_Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, arch),
        unknown,  # a 32-bit program's numbers mean other calls
        _CALL,
        (_GREATER, 0, 1, _NEWEST),  # x32's numbers too
        unknown,
        *_denied(machine, _ALWAYS, _EPERM),
        *more,
        (_EQUAL, 0, 2 + len(_FAMILIES), _SOCKET[column]),
        _FIRST_ARGUMENT,
        *((_EQUAL, len(_FAMILIES) - at, 0, family) for at, family in enumerate(_FAMILIES)),
        deny,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _denied(machine: str, calls: Mapping[str, tuple[int | None, int | None]], error: int) -> list[_Instruction]:
    column, _ = _MACHINES[machine]
    numbers = sorted(number for call in calls.values() if (number := call[column]) is not None)
    return [part for number in numbers for part in ((_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | error))]


def place_profile() -> str:
    """The engine's seccomp profile for a place, as JSON."""
    rule = {"names": sorted(_ALWAYS), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM}
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
