"""Who may import whom: the folders in the order in which a query passes them, one seam with Lithops, few with ROOT."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CAPTURED, REPOSITORY

PACKAGE = REPOSITORY / "rdf_lithops"
MODULES = sorted(PACKAGE.rglob("*.py"))
DRIVER = ("cli", "demo", "face", "graph", "executor", "reporting", "run", "deployment", "planning", "dataset")
BOTH = ("frame", "files", "fold", "processes", "compiled", "travels")
ORDER = (*DRIVER, "worker", *BOTH, "batch", "words")  # a folder imports what stands after it, and nothing before it
FACE = ("__init__", "__main__", "registration", "pyrdf")  # the modules at the top that users see
WORDS = ("errors", "options", "_version")  # and those that all of the package speaks with
# what the driver knows of the far side: the tasks that it sends, where ROOT runs a graph, and how its processes begin
KNOWN_OF_THE_WORKER = {
    "worker.copying",
    "worker.fold_task",
    "worker.messages",
    "worker.payload",
    "worker.root.execute",
    "worker.root.graphs",
    "worker.root.smoke",
    "worker.start.launcher",
    "worker.start.pre_run",
    "worker.start.prefork",
    "worker.surroundings",
    "worker.task",
    "worker.together",
}
# users of the package: they construct an executor, or a data frame
PROGRAMS_WITH_LITHOPS = {"deployment/check.py", "pyrdf.py", "cli/_run.py", "cli/runtime.py"}
PROGRAMS_WITH_ROOT = {
    "cli/_run.py",
    "cli/demo.py",
    "demo/analysis.py",
    "demo/inputs.py",
    "demo/picture.py",
    "demo/sample.py",
    "deployment/runtime.py",
    "pyrdf.py",
}
# the entry point of the Lambda image is called by Lambda and calls Lithops; all else in worker/ is called by Lithops
USERS_OF_LITHOPS = {
    "executor/jobs.py",
    "executor/lithops_copy.py",
    "executor/looks.py",
    "executor/registry.py",
    "executor/run_folders.py",
    "executor/lithops_patches.py",
    "executor/submission.py",
    "executor/under_way.py",
    "worker/start/lambda_handler.py",
}
# back ends for Lithops are called by Lithops, too
BATCH = {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "batch").rglob("*.py")}
USERS_OF_ROOT = {
    "dataset/joining.py",
    "dataset/names.py",
    "dataset/ranges_by_load.py",
    "dataset/signed_sources.py",
    "dataset/survey.py",
    "files/ranged.py",
    "files/signed_files.py",
    "files/snapshot_parts.py",
    "files/stores.py",
    "files/xrootd.py",
    "fold/arrays.py",
    "fold/moments.py",
    "fold/partials.py",
    "fold/sums.py",
    "compiled/compiling.py",
    "frame/in_memory.py",
    "frame/opening.py",
    "frame/ranges.py",
    "frame/samples.py",
    "frame/selection.py",
    "graph/afterwards.py",
    "graph/answers.py",
    "graph/backend.py",
    "graph/bad_files.py",
    "graph/booking.py",
    "graph/composed.py",
    "graph/computation.py",
    "graph/cpp_literals.py",
    "graph/declaring.py",
    "graph/delivering.py",
    "graph/default_types.py",
    "graph/drawn_graph.py",
    "graph/first_entries.py",
    "graph/foreseeing.py",
    "graph/functions.py",
    "graph/graphs.py",
    "graph/in_memory.py",
    "graph/included.py",
    "graph/indexed_friends.py",
    "graph/listening.py",
    "graph/live_drawing.py",
    "graph/naming.py",
    "graph/object_states.py",
    "graph/openable.py",
    "graph/operations.py",
    "graph/preparing.py",
    "graph/own_axis.py",
    "graph/proxies.py",
    "graph/spellings.py",
    "graph/reference.py",
    "graph/rewriting.py",
    "graph/sameness.py",
    "graph/selecting.py",
    "graph/told_entries.py",
    "graph/travelling.py",
    "graph/variables.py",
    "graph/uncompiled.py",
    "graph/unfetched.py",
    "graph/undeclared.py",
    "graph/varied_values.py",
    "graph/weighted_statistics.py",
    "graph/weighted_values.py",
    "registration.py",
    "worker/faults.py",
    "compiled/build.py",
    "compiled/library.py",
    "compiled/noting.py",
    "compiled/ours.py",
    "worker/payload.py",
    "worker/root/clones.py",
    "worker/root/execute.py",
    "worker/root/first_uses.py",
    "worker/root/graphs.py",
    "worker/root/initialisation.py",
    "worker/root/renewal.py",
    "worker/root/smoke.py",
}


def name_of(path: Path) -> str:
    """The module's path inside the package."""
    return path.relative_to(PACKAGE).as_posix()


def folder_of(dotted: str) -> str:
    """The folder in ORDER of a module of the package, by its dotted name below the package."""
    first = dotted.split(".")[0]
    if first in FACE or not first:
        return "face"
    return "words" if first in WORDS else first


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of what a module imports, at any depth of its code, those for type checkers included."""
    package = ["rdf_lithops", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def ours(path: Path) -> Iterator[str]:
    """The dotted names, below the package, of the modules of the package that a module imports."""
    for name in imports(path):
        if name.split(".")[0] == "rdf_lithops":
            parts = name.split(".")[1:]
            while parts and not _is_module(parts):
                parts.pop()
            yield ".".join(parts)


def _is_module(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def users_of(top: str) -> set[str]:
    """The modules of the package that import ``top`` or something in it."""
    return {name_of(path) for path in MODULES if any(name.split(".")[0] == top for name in imports(path))}


def dotted(path: Path) -> str:
    """A module's dotted name below the package."""
    return name_of(path).removesuffix(".py").replace("/", ".").removesuffix("__init__").removesuffix(".")


def test_each_folder_has_its_place() -> None:
    """The order names every folder of the package, and nothing that is not there."""
    there = {folder_of(dotted(path)) for path in MODULES}
    assert there == set(ORDER) & (there | {"face", "words"} | set(ORDER) - {"batch"})


def test_a_query_goes_down() -> None:
    """A folder imports what stands below it; the face of the package, which loads what it is asked for, is not asked."""
    up = {
        (dotted(path), target)
        for path in MODULES
        if dotted(path) not in ("", "__main__")
        for target in ours(path)
        if target and ORDER.index(folder_of(target)) < ORDER.index(folder_of(dotted(path)))
    }
    assert set() == up


def test_the_driver_knows_little_of_the_far_side() -> None:
    """The folder says which side of the wire a module runs on; what the driver takes from the far side is this."""
    known = {
        target
        for path in MODULES
        if folder_of(dotted(path)) in DRIVER and dotted(path) != "pyrdf"
        for target in ours(path)
        if folder_of(target) == "worker"
    }
    assert KNOWN_OF_THE_WORKER == known


def test_only_one_folder_imports_lithops() -> None:
    """These would change if Lithops did, all but one in one folder. A module that no longer imports it leaves the list."""
    assert USERS_OF_LITHOPS | PROGRAMS_WITH_LITHOPS == users_of("lithops") - BATCH


def test_only_the_seams_import_root() -> None:
    """ROOT is known to the modules that are listed, to each of them, and to no other."""
    assert USERS_OF_ROOT | PROGRAMS_WITH_ROOT == users_of("ROOT")


def test_nobody_reaches_root_or_lithops_by_name() -> None:
    """No import by string, which the tests above would not see."""
    found = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("import_module", "__import__")
        and any(isinstance(arg, ast.Constant) and str(arg.value).split(".")[0] in ("ROOT", "lithops") for arg in node.args)
    }
    assert set() == found


def test_only_two_modules_make_transfers() -> None:
    """The library that reads remote data could be replaced there: the stores, and what is asked of them."""
    assert {"files/object_stores.py", "files/remote.py"} == users_of("obstore")


def test_the_far_side_needs_only_what_every_worker_has() -> None:
    """The worker's folders import the standard library, ROOT and what the list below has, and nothing else."""
    allowed = ("rdf_lithops", "ROOT", "numpy", "cryptography", "boto3", "botocore", "urllib3", "obstore")
    wrong = {
        (name_of(path), name)
        for path in MODULES
        if folder_of(dotted(path)) in ("worker", *BOTH)
        for name in imports(path)
        if (top := name.split(".")[0]) not in sys.stdlib_module_names and top not in allowed
        if not (top in ("lithops", "snapshot_restore_py") and name_of(path) == "worker/start/lambda_handler.py")
    }
    assert set() == wrong


def test_pyrdf_is_a_leaf() -> None:
    """Nothing imports PyRDF's spelling: it can be taken away."""
    assert set() == {name_of(path) for path in MODULES for name in imports(path) if name.startswith("rdf_lithops.pyrdf")}


def test_batch_is_a_leaf() -> None:
    """The back ends for clusters import nothing of the package but themselves, and two modules know that they are there."""
    theirs = {name for path in MODULES if name_of(path) in BATCH for name in imports(path) if name.startswith("rdf_lithops")}
    assert set() == {name for name in theirs if not name.startswith("rdf_lithops.batch")}
    users = {name_of(path) for path in MODULES for name in imports(path) if name.startswith("rdf_lithops.batch")}
    assert {"registration.py", "deployment/check.py"} >= users - BATCH


def test_reporting_is_pure() -> None:
    """A report is read where there is neither ROOT nor Lithops: its modules import values and events, and no seam."""
    seams = (
        "ROOT",
        "lithops",
        "rdf_lithops.executor",
        "rdf_lithops.graph.backend",
        "rdf_lithops.run.running",
        "rdf_lithops.registration",
    )
    modules = [path for path in MODULES if name_of(path).startswith("reporting/")]
    assert len(modules) > 5
    assert set() == {name for path in modules for name in imports(path) if name.startswith(seams)}


def test_planning_is_pure() -> None:
    """The plan is a value: nothing that it is made of imports ROOT, Lithops or the modules that do."""
    values = [
        *sorted((PACKAGE / "planning").glob("*.py")),
        PACKAGE / "dataset" / "layout.py",
        PACKAGE / "dataset" / "columns.py",
    ]
    assert len(values) > 5
    for module in values:
        names = set(imports(module))
        reached = {
            name
            for name in names
            if name.startswith(("ROOT", "lithops", "rdf_lithops.executor", "rdf_lithops.graph.backend"))
        }
        assert set() == reached


def run(program: str) -> str:
    """What a fresh Python prints that runs ``program``; anything on its way out but 0 is a failure."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], **CAPTURED)
    assert 0 == done.returncode, done.stderr[-2000:]
    return str(done.stdout).strip()


STATE = """
    import os, sys, threading
    def state():
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        return {"threads": threading.active_count(), "children": children}
"""


@pytest.mark.parametrize("first", ["", "import ROOT", "import lithops", "import lithops, ROOT"])
def test_import_starts_nothing(first: str) -> None:
    """Importing the package starts no process and no thread, and ROOT's C++ side stays down."""
    program = f"""
        {first}
        {textwrap.indent(textwrap.dedent(STATE), " " * 8).strip()}
        before = state()
        import rdf_lithops
        print(before == state(), len(os.listdir("/proc/self/task")) == before["threads"], "ROOT" in sys.modules)
        import ROOT
        print("gInterpreter" in vars(ROOT), isinstance(vars(type(ROOT)).get("RDF"), property))
    """
    assert "True True True\nFalse True" == run(program)


def test_import_twice_is_idempotent() -> None:
    """Importing again, reloading and registering again leave the functions that the first import put in place."""
    program = """
        import importlib, rdf_lithops
        import ROOT._distrdf as distrdf
        first = distrdf.RDataFrame, distrdf.FromSpec, distrdf.RunGraphs
        from rdf_lithops.registration import register
        register()
        importlib.reload(rdf_lithops)
        print(first == (distrdf.RDataFrame, distrdf.FromSpec, distrdf.RunGraphs))
    """
    assert "True" == run(program)


def test_a_task_imports_little() -> None:
    """What a worker unpickles needs neither ROOT nor Lithops nor the driver's side."""
    program = """
        import os, sys
        os.environ["LITHOPS_WORKER"] = "True"
        import rdf_lithops.worker.fold_task, rdf_lithops.worker.task
        print(sorted({name.split(".")[0] for name in sys.modules} & {"ROOT", "lithops", "cloudpickle", "numpy", "tqdm"}))
        folders = {name.split(".")[1] for name in sys.modules if name.startswith("rdf_lithops.")}
        print(sorted(folders))
    """
    imported, folders = run(program).splitlines()
    assert "[]" == imported
    assert {"_version", "worker", *BOTH} >= set(ast.literal_eval(folders))


def test_all_names_are_there() -> None:
    """Everything in ``__all__`` is sorted and can be had; another name is an AttributeError that says which."""
    program = """
        import rdf_lithops
        assert sorted(rdf_lithops.__all__) == list(rdf_lithops.__all__), rdf_lithops.__all__
        print(all(getattr(rdf_lithops, name) is not None for name in rdf_lithops.__all__))
        try:
            rdf_lithops.nonsense
        except AttributeError as error:
            print(error)
    """
    assert "True\nmodule 'rdf_lithops' has no attribute 'nonsense'" == run(program)
