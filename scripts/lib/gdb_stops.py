# SPDX-License-Identifier: Apache-2.0
"""Runs inside gdb, for scripts/check-stacks: stops the process $STOPS times and writes the addresses of every thread's
stack to $STACKS, leaf first, one line of JSON each. Functions that were inlined, or left by a tail call, have no frame
on the stack: gdb shows them, and they are left out here.
"""

import json
import os
import signal
import threading

import gdb

FIRST_PAUSE = 0.005
PAUSES = 7  # of different length, so that a periodic program is not always stopped in the same place


def write_stacks(out):
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        addresses, names, why = [], [], None
        frame = gdb.newest_frame()
        while frame is not None:
            if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
                addresses.append(frame.pc())
                names.append(frame.name() or "?")
            why = frame.unwind_stop_reason()
            frame = frame.older()
        reason = "" if why in (None, gdb.FRAME_UNWIND_OUTERMOST, gdb.FRAME_UNWIND_NO_REASON) else gdb.frame_stop_reason_string(why)
        out.write(json.dumps({"tid": thread.ptid[1], "pcs": addresses, "names": names, "why": reason}) + "\n")


def main():
    for command in ("set pagination off", "set confirm off", "set backtrace past-main on", "set backtrace limit 600"):
        gdb.execute(command)
    for which in signal.Signals:
        if which not in (signal.SIGSTOP, signal.SIGTRAP, signal.SIGKILL, signal.SIGINT):
            try:
                gdb.execute(f"handle {which.name} nostop noprint pass", to_string=True)
            except gdb.error:
                pass  # gdb does not know all of them by name
    gdb.execute("handle SIGSTOP stop print nopass", to_string=True)
    process = gdb.selected_inferior().pid
    with open(os.environ["STACKS"], "w") as out:
        for stop in range(int(os.environ["STOPS"])):
            timer = threading.Timer(FIRST_PAUSE + 0.002 * (stop % PAUSES), os.kill, (process, signal.SIGSTOP))
            timer.start()
            try:
                gdb.execute("continue", to_string=True)
            except gdb.error:
                break
            timer.join()
            write_stacks(out)


main()
