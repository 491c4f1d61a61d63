# SPDX-License-Identifier: Apache-2.0
"""What the peers need mounted and not every machine has: tracefs, and debugfs, below which older ones look for it."""

import ctypes
import os
import subprocess

CLONE_NEWNS = 0x20000  # linux/sched.h
PLACES = {"tracefs": "/sys/kernel/tracing", "debugfs": "/sys/kernel/debug"}


def for_peers() -> None:
    """Mounts them where only this process and its children see it."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for kind, place in PLACES.items():
        if not os.listdir(place):
            subprocess.run(["mount", "-t", kind, kind, place], check=True)
