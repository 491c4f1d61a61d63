# SPDX-License-Identifier: Apache-2.0
"""Reads what the runner recorded, from its folder or from the port a guest sent it through."""

import base64
import io
import re
import tarfile
from pathlib import Path
from typing import NamedTuple

from .cases import Case
from .evaluate import Record


class Stream(NamedTuple):
    """What a guest has sent: complete records, and where it was when it fell silent."""

    release: str = ""  # empty: it died before the first case
    records: dict[str, dict[str, bytes]] = {}
    running: str = ""  # the case that had begun and not ended
    complete: bool = False


def read_stream(text: str) -> Stream:
    release, running, complete = "", "", False
    records: dict[str, dict[str, bytes]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "boot" and rest:
            release = rest
        elif word == "begin" and rest:
            running, lines = rest, []
        elif word == "end" and rest == running:
            records[running] = _unpack("".join(lines))
            running = ""
        elif line.strip() == "done":
            complete = True
        else:
            lines.append(line.strip())
    return Stream(release, records, running, complete)


def _unpack(encoded: str) -> dict[str, bytes]:
    """The files of one record; none if it was damaged on its way."""
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(encoded)), mode="r:gz") as bundle:
            for member in bundle:
                content = bundle.extractfile(member)
                if content:
                    files[Path(member.name).name] = content.read()
    except (ValueError, EOFError, OSError, tarfile.TarError):
        return {}
    return files


def read_folder(folder: Path) -> dict[str, dict[str, bytes]]:
    return {
        record.name: {file.name: file.read_bytes() for file in record.iterdir()}
        for record in sorted(folder.iterdir())
    }


def to_record(files: dict[str, bytes], case: Case, scratch: str, native: bool) -> Record:
    text = {name: content.decode(errors="replace") for name, content in files.items()}
    record = Record(text.get("stdout", ""), text.get("stderr", ""), text.get("after", ""))
    record.shell = text.get("runner", "")
    record.variables = {**_variables(text.get("variables", "")), "T": scratch}
    if "pid" in text:
        record.variables["PID"] = text["pid"].strip()
    record.seconds = float(text.get("ended", "0")) - float(text.get("started", "0"))
    if text.get("status", "").strip():
        record.status = int(text["status"])
    record.trouble = _trouble(text, case)
    cannot_hide = text.get("unavailable", "").strip()
    if case.hide_btf and not cannot_hide and "session" not in text:
        cannot_hide = "there are no mount namespaces here: " + record.shell.strip()
    if cannot_hide:
        # A guest has all it takes: there it would be a fault, and a skip would hide it.
        setattr(record, "unavailable" if native else "trouble", cannot_hide)
    return record


def _variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z_]\w*)=(.*)$", text, re.MULTILINE))


def _trouble(text: dict[str, str], case: Case) -> str:
    if text.get("runner-status", "").strip() == "137":
        where = f" in its {text['part'].strip()} lines" if "part" in text else ""
        where = " without ever being ready" if "waiting" in text else where
        took = float(text.get("ended", "0")) - float(text.get("started", "0"))
        return f"hung, and was killed after {max(took, case.limit):.0f} s{where}"
    if "part" in text:
        return f"a line of its {text['part'].strip()} failed"
    if "early" in text:
        return f"it ended (exit status {text.get('status', '?').strip()}) before it was ready"
    if "cut" in text:
        return f"more than 2 MiB of output ({', '.join(text['cut'].split())})"
    if text.get("runner-status", "").strip() != "0":
        return f"the runner failed with status {text.get('runner-status', '?').strip()}"
    return ""
