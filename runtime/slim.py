"""Take out of an installed ROOT what RDataFrame never loads: ``python slim.py PREFIX``. Runs in the image's build.

A module of ROOT goes as a whole: its library, its precompiled module (.pcm), its maps, its headers and its block in
``ROOT.modulemap``; a block without its headers makes Cling fail. Libraries that the wheel holds three times (it cannot hold
links) become links, debugging symbols go. ROOT's licence stays. Whoever needs more builds with ``SLIM=no``.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Not needed to run: documentation, pictures, fonts and programs. LICENSE stays.
FOLDERS = ("tutorials", "fonts", "README", "icons", "man", "macros", "JsMVA", "js", "ui5", "cmake", "bin", "_jupyroot")

# Modules that no RDataFrame action, expression or source of data loads.
MODULES = (
    *("RooFitCodegen", "RooFitCore", "RooFit", "RooFitMore", "RooStats", "HistFactory", "RooFitJSONInterface", "RooFitHS3"),
    *("RooFitXRooFit", "ROOTMLDataLoader", "SPlot", "Foam", "MLP", "Quadp", "Fumili", "FFTW", "Minuit2", "Smatrix", "EG"),
    *("Gui", "Ged", "FitPanel", "GuiBld", "GuiHtml", "Recorder", "X3d", "GX11", "GX11TTF", "ASImage", "ASImageGui", "RCsg"),
    *("TreeViewer", "ROOTTreeMap", "ROOTNTupleBrowse", "ROOTNTupleUtil", "SQLIO", "XMLIO", "RootAuth"),
)
LIBRARIES = ("libRooBatchCompute*", "libXrdAppUtils*", "libXrdClProxy*", "libXrdClRecorder*", "libXrdPosix*")

# What a worker asks of boto3: its storage, its role, and Lithops' remote invoker. The rest is 20 MB of other services.
AWS_SERVICES = frozenset({"s3", "sts", "lambda", "sso", "sso-oidc"})
INSTALLERS = ("pip", "setuptools", "pkg_resources", "_distutils_hack")


def main(prefix: Path) -> None:
    before = _size(prefix)
    root = next((path.parent for path in prefix.rglob("ROOT.modulemap")), None)
    if root is None:
        raise SystemExit(f"expected ROOT under {prefix}, found no ROOT.modulemap")
    _slim_root(root.parent)
    for packages in prefix.glob("lib/python3*/site-packages"):
        _slim_packages(packages)
    print(f"slim: {before / 1e6:.0f} MB before, {_size(prefix) / 1e6:.0f} MB after")


def _slim_root(root: Path) -> None:
    for name in FOLDERS:
        shutil.rmtree(root / name, ignore_errors=True)
    headers = set(_cut_modulemap(root / "include" / "ROOT.modulemap"))
    for header in headers:
        (root / "include" / header).unlink(missing_ok=True)
    library = root / "lib"
    for module in MODULES:
        for name in (f"{module}.pcm", f"lib{module}.so", f"lib{module}.rootmap", f"lib{module}_rdict.pcm"):
            (library / name).unlink(missing_ok=True)
    for pattern in LIBRARIES:
        for path in library.glob(pattern):
            path.unlink()
    _link_copies(library)
    _strip(library)
    for name in ("modules.idx", "modules.timestamp"):  # ROOT writes them anew at its next start
        (library / name).unlink(missing_ok=True)


def _cut_modulemap(path: Path) -> Iterator[str]:
    """Take the blocks of MODULES out of the module map; yields the headers that they name."""
    kept: list[str] = []
    depth = 0
    for line in path.read_text().splitlines(keepends=True):
        start = re.match(r'module "?(\w+)"?\s*\{', line)
        if depth or (start and start[1] in MODULES):
            depth += line.count("{") - line.count("}")
            yield from re.findall(r'header "([^"]+)"', line)
        else:
            kept.append(line)
    path.write_text("".join(kept))


def _link_copies(library: Path) -> None:
    """``libX.so`` and ``libX.so.3`` become links to ``libX.so.3.0.0`` where they are copies of it."""
    for full in sorted(library.glob("lib*.so.*.*")):
        stem, _, version = full.name.partition(".so.")
        for name in (f"{stem}.so.{version.split('.')[0]}", f"{stem}.so"):
            copy = library / name
            if copy != full and copy.is_file() and not copy.is_symlink() and filecmp.cmp(copy, full, shallow=False):
                copy.unlink()
                copy.symlink_to(full.name)


def _strip(library: Path) -> None:
    for path in sorted(library.glob("lib*.so*")):
        if not path.is_symlink():
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=False, stderr=subprocess.DEVNULL)


def _slim_packages(packages: Path) -> None:
    for name in INSTALLERS:
        shutil.rmtree(packages / name, ignore_errors=True)
    (packages / "distutils-precedence.pth").unlink(missing_ok=True)  # imports one of them at each start
    for service in packages.glob("botocore/data/*/"):
        if service.name not in AWS_SERVICES:
            shutil.rmtree(service)
    for tests in [*packages.glob("numpy/**/tests"), *packages.glob("psutil/tests")]:
        shutil.rmtree(tests)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    os.umask(0o022)
    main(Path(sys.argv[1]))
