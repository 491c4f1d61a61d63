# SPDX-License-Identifier: Apache-2.0
"""Debian's cloud kernels, fetched once from the mirror apt is set up with and kept in a cache.

Nothing here needs root: `apt-get download` and `dpkg -x` do not touch the system.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple


class HarnessError(Exception):
    """Something the machine or the user has to put right; not a failure of Apus."""


class Source(NamedTuple):
    suite: str
    package: str  # matches the one package (image) or each of the packages that make up a kernel
    has_security: bool  # backports have no security suite of their own


# Cloud kernels: small, with BTF, and with a serial port and initramfs support built in.
# From 7.x on Debian ships a kernel as linux-base, linux-binary and linux-modules instead of linux-image.
SOURCES = {
    "5.10": Source("bullseye", r"linux-(image)-(5\.10\.0-[0-9]+-cloud-amd64)", True),
    "6.1": Source("bookworm", r"linux-(image)-(6\.1\.0-[0-9]+-cloud-amd64)", True),
    "6.12": Source("trixie", r"linux-(image)-(6\.12\.[0-9]+\+deb13-cloud-amd64)", True),
    "7.x": Source("trixie-backports", r"linux-(base|binary|modules)-(7\.[0-9.]+\+deb13-cloud-amd64)", False),
}
SERIES = tuple(SOURCES)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Kernel(NamedTuple):
    series: str
    release: str  # what `uname -r` says in the guest
    image: Path
    modules: Path  # lib/modules/RELEASE


def cache_folder() -> Path:
    if "APUS_KERNEL_CACHE" in os.environ:
        return Path(os.environ["APUS_KERNEL_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apus-kernels"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock, so that two runs that find the cache empty download once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def get(series: str, refresh: bool = False) -> Kernel:
    """The cached kernel of a series; `refresh` looks whether the mirror has a newer one."""
    if os.uname().machine != "x86_64":
        raise HarnessError("the virtual machines need an x86-64 host; use --native-only")
    folder = cache_folder() / series
    with locked(cache_folder() / f"{series}.lock"):
        if refresh or not (folder / "release").exists():
            _download(series, folder)
    return _open(series, folder)


def _open(series: str, folder: Path) -> Kernel:
    release = (folder / "release").read_text().strip()
    images = [*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")]
    modules = [*folder.glob("usr/lib/modules/*/"), *folder.glob("lib/modules/*/")]
    if not images or not modules:
        raise HarnessError(f"{folder} holds no complete kernel: remove it and try again")
    return Kernel(series, release, images[0], modules[0])


def _download(series: str, folder: Path) -> None:
    source = SOURCES[series]
    options = _apt_options(source)
    # A suite without its security part still offers a kernel: what matters is checked below.
    update = subprocess.run(["apt-get", *options, "-qq", "update"], capture_output=True, text=True)
    names = _run(["apt-cache", *options, "pkgnames", "linux-"]).split()
    release, packages = newest(source.package, names)
    if release is None:
        raise HarnessError(f"the mirror offers no kernel for {series} in {source.suite} {update.stderr}".strip())
    if (folder / "release").exists() and (folder / "release").read_text().strip() == release:
        return
    # Unpacked beside its place and renamed into it: an interrupted download leaves nothing half-done.
    unpacked = Path(tempfile.mkdtemp(prefix=f"{series}.", dir=folder.parent))
    try:
        _run(["apt-get", *options, "-qq", "download", *packages], cwd=unpacked)
        for archive in sorted(unpacked.glob("*.deb")):
            _run(["dpkg", "-x", str(archive), str(unpacked)])
            archive.unlink()
        (unpacked / "release").write_text(release + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def newest(pattern: str, names: list[str]) -> tuple[str | None, list[str]]:
    """The newest release of which every package is there, and those packages."""
    parts = set(re.findall(r"[a-z]+", re.search(r"\(([a-z|]+)\)", pattern).group(1)))
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := re.fullmatch(pattern, name):
            found.setdefault(match[2], {})[match[1]] = name
    complete = [release for release, packages in found.items() if set(packages) == parts]
    if not complete:
        return None, []
    release = max(complete, key=lambda text: [int(number) for number in re.findall(r"\d+", text)])
    return release, sorted(found[release].values())


def _apt_options(source: Source) -> list[str]:
    """apt with one suite as its only source and with its own lists: the system's stay as they are."""
    folder = cache_folder() / "apt" / source.suite
    lists = folder / "lists"  # `update` removes what it does not know from here
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    main, security = _mirrors()
    lines = [f"deb {signed}{main} {source.suite} main"]
    if source.has_security and security:
        lines.append(f"deb {signed}{security} {source.suite}-security main")
    sources = folder / "sources.list"
    sources.write_text("\n".join(lines) + "\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        # The sandbox user could not write to a cache in somebody's home.
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _mirrors() -> tuple[str, str | None]:
    """The main and the security archive of the Debian mirror this machine is set up with."""
    try:
        listing = _run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
        )
    except FileNotFoundError:
        raise HarnessError("the kernels are fetched with apt-get, which is not here") from None
    addresses = sorted(set(listing.split()))
    main = [address for address in addresses if "security" not in address]
    security = [address for address in addresses if "security" in address]
    if not main:
        raise HarnessError("apt has no Debian mirror to fetch kernels from (or needs an `apt-get update`)")
    return main[0], security[0] if security else None


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        raise HarnessError(f"{' '.join(command[:1] + command[-2:])}: {done.stderr.strip()}")
    return done.stdout
