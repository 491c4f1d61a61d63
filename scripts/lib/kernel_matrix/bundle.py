# SPDX-License-Identifier: Apache-2.0
"""What a column runs: the programs in one folder, the cases as files, and the scripts that run them."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .cases import Case
from .kernels import HarnessError

GUEST_SCRIPTS = Path(__file__).parent / "guest"


def make_guest(root: Path, binaries: Path) -> bytes:
    """What all guests have, as an archive: the programs, and the first process."""
    for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    shutil.copy(GUEST_SCRIPTS / "init", root / "init")
    (root / "init").chmod(0o755)
    shutil.copytree(binaries, root / "bin", symlinks=True)
    for library in libraries_of(binaries / "sh"):
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    return archive(root)


def make_bin(folder: Path, apus: Path, programs: list[Path]) -> None:
    """A folder that, alone in PATH, has the same commands in a guest and natively.

    sh is dash: busybox's own sh runs its applets without an exec, and a tracer of execs would see none.
    """
    folder.mkdir(parents=True)
    busybox = _static("busybox", _find("busybox", "BUSYBOX"))
    shutil.copy(busybox, folder / "busybox")
    for applet in _run([str(busybox), "--list"]).split():
        if applet not in ("busybox", "sh"):
            (folder / applet).symlink_to("busybox")
    shutil.copy(_find("dash", "DASH"), folder / "sh")
    for program in [apus, *programs]:
        target = folder / ("apus" if program == apus else program.name)
        target.unlink(missing_ok=True)  # a test program may have the name of an applet
        shutil.copy(program, target)
        target.chmod(0o755)


def libraries_of(program: Path) -> list[Path]:
    """The libraries of dash, which Debian links dynamically."""
    done = subprocess.run(["ldd", str(program)], text=True, capture_output=True)
    return [Path(found) for found in re.findall(r"(?:=>\s*|^\s*)(/\S+)", done.stdout, re.MULTILINE)]


def is_static(program: Path) -> bool:
    done = subprocess.run(["ldd", str(program)], text=True, capture_output=True)
    return "not a dynamic" in done.stdout + done.stderr or "statically linked" in done.stdout


def compile_programs(names: list[str], tests: Path, built: Path) -> list[Path]:
    """Static, so that they run in a guest that has no libraries. Unchanged ones are kept."""
    built.mkdir(parents=True, exist_ok=True)
    return [_compile(program_source(tests, name), built / name) for name in sorted(set(names))]


def program_source(tests: Path, name: str) -> Path:
    """In Programs, or in the folder of the command that it is for."""
    usual = tests / "Programs" / f"{name}.c"
    folders = [usual.parent, *sorted(tests.glob("Commands/*/*/programs"))]
    found = (folder / f"{name}{ending}" for ending in (".c", ".cpp") for folder in folders)
    return next((path for path in found if path.exists()), usual)


def _compile(source: Path, target: Path) -> Path:
    if not source.exists():
        raise HarnessError(f"a case file names the program {target.name}, but there is no {source}")
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    # Compiled beside its place and renamed into it: another run may be using the old one.
    handle, fresh = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        variable, usual = ("CXX", "c++") if source.suffix == ".cpp" else ("CC", "cc")
        compiler = os.environ.get(variable, usual).split()
        _run([*compiler, "-O2", "-g", "-static", "-pthread", "-o", fresh, str(source)])
        os.chmod(fresh, 0o755)
        os.rename(fresh, target)
    finally:
        Path(fresh).unlink(missing_ok=True)
    return target


def write_matrix(folder: Path, cases: dict[str, Case], slowness: float = 1) -> None:
    """The cases as the runner reads them: a folder for each, with a file for each part.

    Their limits are those of an idle machine times `slowness`.
    """
    for script in ("run-cases", "run-one"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(GUEST_SCRIPTS / script, folder / script)
    (folder / "cases").mkdir()
    for identifier, case in cases.items():
        where = folder / "cases" / identifier
        where.mkdir()
        parts = {
            "limit": [str(round(case.limit * slowness))],
            "setup": case.setup,
            "run": [case.run],
            "after": case.after or None,
            # A `stop` waits until the command is ready, as `meanwhile` does.
            "meanwhile": case.meanwhile or ([] if case.stop else None),
            "stop": [case.stop] if case.stop else None,
            "ready": [case.ready] if case.ready else None,
            "hide-btf": [] if case.hide_btf else None,
        }
        for name, lines in parts.items():
            if lines is not None:
                (where / name).write_text("".join(line + "\n" for line in lines))


def archive(root: Path) -> bytes:
    """The folder as an initramfs (cpio, newc), everything owned by root.

    Not compressed: unpacking costs an emulated CPU more than reading.
    """
    entries = [root, *sorted(root.rglob("*"))]
    chunks = [_entry(number, path, str(path.relative_to(root))) for number, path in enumerate(entries, 1)]
    return b"".join(chunks) + _header(0, 0, 0, "TRAILER!!!")


def _entry(number: int, path: Path, name: str) -> bytes:
    info = path.lstat()
    if path.is_symlink():
        body = os.readlink(path).encode()
    else:
        body = path.read_bytes() if path.is_file() else b""
    return _header(number, info.st_mode, len(body), name) + body + b"\0" * (-len(body) % 4)


def _header(number: int, mode: int, size: int, name: str) -> bytes:
    encoded = name.encode() + b"\0"
    # magic, inode, mode, owner, group, links, time, size, device (2), device of a node (2), length, checksum
    values = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % value for value in values) + encoded
    return header + b"\0" * (-len(header) % 4)


def write_modules(target: Path, work: Path, modules_dir: Path, names: list[str]) -> None:
    """Kernel modules for a guest, with `order`: the order in which they load."""
    names = [name for name in names if not _is_built_in(modules_dir, name)]
    if not names:
        return
    base = work / "lib" / "modules"
    base.mkdir(parents=True)
    (base / modules_dir.name).symlink_to(modules_dir.resolve())
    root = str(work)
    if not (modules_dir / "modules.dep").exists():
        _run(["/sbin/depmod", "-b", root, modules_dir.name])
    target.mkdir(parents=True)
    order: list[str] = []
    for name in names:
        listing = _run(["/sbin/modprobe", "-d", root, "-S", modules_dir.name, "--show-depends", name])
        for path in map(Path, re.findall(r"^insmod (\S+)", listing, re.MULTILINE)):
            plain = re.sub(r"\.(xz|zst)$", "", path.name)
            if plain not in order:
                order.append(plain)
                (target / plain).write_bytes(_unpacked(path))
    (target / "order").write_text("".join(name + "\n" for name in order))


def _is_built_in(modules_dir: Path, name: str) -> bool:
    listing = modules_dir / "modules.builtin"
    wanted = re.compile(rf"/{name.replace('_', '[-_]')}\.ko$", re.MULTILINE)
    return listing.exists() and wanted.search(listing.read_text()) is not None


def _unpacked(path: Path) -> bytes:
    tool = {".xz": "xz", ".zst": "zstd"}.get(path.suffix)
    if not tool:
        return path.read_bytes()
    return subprocess.run([tool, "-dcq", str(path)], check=True, stdout=subprocess.PIPE).stdout


def _find(name: str, variable: str) -> Path:
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        raise HarnessError(f"{name} is not installed (or set {variable})")
    return Path(found)


def _static(name: str, path: Path) -> Path:
    if not is_static(path):
        raise HarnessError(f"{path} is not static: install {name}-static or set {name.upper()}")
    return path


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, text=True, capture_output=True)
    except FileNotFoundError:
        raise HarnessError(f"{command[0]} is not installed") from None
    if done.returncode:
        raise HarnessError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
