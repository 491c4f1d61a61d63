# SPDX-License-Identifier: Apache-2.0
"""A bit of everything: compilers, a database, bursts of opens and of short processes."""

import os
import signal
import subprocess
import time
from pathlib import Path

from bench.setup import program

SOURCE = """
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define F(n) double f##n(double x) { char t[64]; snprintf(t, sizeof t, "%f", x); return strlen(t) * sin(x) + cos(x * n); }
#define G(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
G(1) G(2) G(3) G(4) G(5)
"""


class MixedLoad:
    """Runs until it is left; `redis` is the server's PID."""

    def __init__(self, room: str):
        self.room = Path(room)
        self.socket = str(self.room / "redis.sock")
        self.parts: list[subprocess.Popen] = []

    def __enter__(self) -> "MixedLoad":
        for number in range(8):
            (self.room / f"part{number}.c").write_text(SOURCE)
        server = self._start(["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"])
        self.redis = server.pid
        while not os.path.exists(self.socket):
            time.sleep(0.05)
        self._start(["redis-benchmark", "-s", self.socket, "-l", "-q", "-c", "20", "-r", "1000", "-t", "set,get,lpush,lpop"])
        jobs = os.cpu_count()
        self._loop(f"seq 0 7 | xargs -P {jobs} -I N cc -O2 -c part'N'.c -o part'N'.o")
        self._loop(f"{program('open-burst', folder='Benchmarks')} 20000 1 /etc/hostname; sleep 2")
        self._loop("for i in $(seq 300); do /bin/true; done; sleep 1")
        self._loop(f"{program('short-threads')} 2000; sleep 1")
        return self

    def answers(self) -> bool:
        """Whether the database still does."""
        done = subprocess.run(["redis-cli", "-s", self.socket, "ping"], capture_output=True, text=True)
        return done.stdout.strip() == "PONG"

    def __exit__(self, *_) -> None:
        for part in self.parts:
            os.killpg(part.pid, signal.SIGKILL)
        for part in self.parts:
            part.wait()

    def _loop(self, line: str) -> None:
        self._start(["sh", "-c", f"while :; do {line}; done"])

    def _start(self, words: list[str]) -> subprocess.Popen:
        """In a group of its own, that is ended as a whole."""
        part = subprocess.Popen(words, cwd=self.room, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)
        self.parts.append(part)
        return part
