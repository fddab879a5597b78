"""Python and ROOT on the nodes that do not share the driver's: an environment in a tarball, which a node unpacks once."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import lithops
import pytest
import ROOT
from batch.cluster import NODES, Slurm
from conftest import REPOSITORY
from test_batch import executor, section_of  # noqa: F401  # a fixture is among them
from waiting import until

Make = Callable[..., lithops.FunctionExecutor]


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], Path]:
    """Packs an environment that says its name; its packages are those of this one, which is no part of the promise."""

    def pack(name: str) -> Path:
        home = tmp_path / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--copies", str(home)], check=True)
        (packages,) = home.glob("lib/python*/site-packages")
        (packages / "its_name.py").write_text(f"NAME = {name!r}\n")
        borrowed = [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]
        (packages / "borrowed.pth").write_text("\n".join(borrowed))
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as packed:
            packed.add(home, arcname=".")
        return tmp_path / f"{name}.tar.gz"

    return pack


def whereabouts(number: int) -> tuple[str, str, str]:
    """Which environment runs a call, where it lies, and on which node."""
    import its_name  # type: ignore[import-not-found]  # of the tarball alone

    return its_name.NAME, sys.prefix, os.environ["SLURMD_NODENAME"]


@pytest.mark.slow
def test_an_environment_in_a_tarball(executor: Make, environment: Callable[[str], Path], tmp_path: Path) -> None:  # noqa: F811
    """Calls run in it, from the node's own disk, where it is unpacked once; another one takes its place when it is used."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    first = executor(tarball=str(environment("one")), scratch=str(scratch))
    found = first.get_result(first.map(whereabouts, range(3)))
    assert {"one"} == {name for name, _, _ in found}
    (home,) = {prefix for _, prefix, _ in found}
    assert Path(home).parent == scratch
    written = os.stat(os.path.join(home, ".whole")).st_mtime_ns
    total = ROOT.RDataFrame(100, executor=first, npartitions=2).Sum("rdfentry_")
    assert 4950 == total.GetValue()
    assert written == os.stat(os.path.join(home, ".whole")).st_mtime_ns
    second = executor(tarball=str(environment("two")), scratch=str(scratch))
    assert {"two"} == {name for name, _, _ in second.get_result(second.map(whereabouts, range(2)))}
    assert until(lambda: not os.path.exists(home))
    assert 1 == len([path for path in scratch.iterdir() if path.is_dir()])


@pytest.mark.slow
def test_a_tarball_in_an_allocation(
    slurm: Slurm,
    executor: Make,  # noqa: F811
    environment: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """The processes that stay on its nodes run in it, too."""
    nodes = {"nodes": 2, "minutes": 10, "cpus": 1, "memory_mib": 2000}
    fexec = executor(tarball=str(environment("one")), scratch=str(tmp_path), allocation=nodes)
    found = fexec.get_result(fexec.map(whereabouts, range(4)))
    assert ({"one"}, set(NODES)) == ({name for name, _, _ in found}, {node for _, _, node in found})


def test_an_environment_is_one_thing(tmp_path: Path) -> None:
    """A container and a tarball are not both the environment, and a tarball is there."""
    (tmp_path / "there.tar").touch()
    with pytest.raises(ValueError, match="container or tarball"):
        section_of(container="root.sif", tarball=str(tmp_path / "there.tar"))
    with pytest.raises(ValueError, match=r"no file .*/gone\.tar"):
        section_of(tarball=str(tmp_path / "gone.tar"))
