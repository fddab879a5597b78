"""How large the rooms of the package are, and how they hang together: ``make house`` prints it.

What is too large today stands in a list, which may only get shorter: who splits a module takes it out.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY
from test_design import arrows
from test_layers import MODULES, ORDER, dotted, folder_of, ours

MODULE_LINES, FUNCTION_LINES, MEDIAN_LINES, NINETIETH_LINES = 400, 60, 10, 25
LARGE_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
CIRCLES: set[frozenset[str]] = set()


def lines_of(path: Path) -> int:
    """Lines of a module."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions() -> Iterator[tuple[str, int]]:
    """Each function and method, by its module and name, with its lines from ``def`` to its last one, docstring included."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{dotted(path)}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def uphill() -> set[tuple[str, str]]:
    """Arrows from a folder to one that stands before it; the package's own face hands out what it is asked for."""
    return {
        (folder, target)
        for folder, targets in arrows().items()
        for target in targets
        if folder != "face" and ORDER.index(target) < ORDER.index(folder)
    }


def circles() -> set[frozenset[str]]:
    """Modules that import each other, directly or through others, in the smallest sets."""
    names = {dotted(path) for path in MODULES}
    imported = {dotted(path): {target for target in ours(path) if target in names} for path in MODULES}
    reached = {name: _reached_from(name, imported) for name in names}
    together = (frozenset(other for other in names if name in reached[other] and other in reached[name]) for name in names)
    return {circle for circle in together if len(circle) > 1}


def _reached_from(name: str, imported: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        for target in imported[todo.pop()] - found:
            found.add(target)
            todo.append(target)
    return found


def test_modules_have_one_subject() -> None:
    """None but those of the list is longer than 400 lines, and those still are."""
    long = {dotted(path) for path in MODULES if lines_of(path) > MODULE_LINES}
    assert LARGE_MODULES == long


def test_functions_are_short() -> None:
    """Half of them within 10 lines, nine in ten within 25, none over 60 but those of the list."""
    lengths = dict(functions())
    assert len(lengths) > 1000
    assert LONG_FUNCTIONS == {name for name, length in lengths.items() if length > FUNCTION_LINES}
    assert statistics.median(lengths.values()) <= MEDIAN_LINES
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= NINETIETH_LINES


def test_nothing_runs_up() -> None:
    """No folder imports one through which a query has passed before."""
    assert set() == uphill()


def test_circles_get_fewer() -> None:
    """Modules that import each other are those of the list, and no others."""
    assert circles() == CIRCLES


def asserts(test: ast.FunctionDef) -> bool:
    """Whether a test says itself what is to be: a helper that fails does not tell its reader."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.raises", "pytest.warns"))
        for node in ast.walk(test)
    )


def test_each_test_says_what_is_to_be() -> None:
    """There is an ``assert``, or an error that is expected, in each of them."""
    silent, tests = [], 0
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                tests += 1
                silent += [] if asserts(node) else [f"{path.name}: {node.name}"]
    assert tests > 500
    assert [] == silent


def printed() -> str:
    """The house in figures."""
    lengths = dict(functions())
    modules = sorted(MODULES, key=lines_of, reverse=True)
    drawn = sum(map(len, arrows().values()))
    longest = max(lengths, key=lambda name: lengths[name])
    tenths = statistics.quantiles(lengths.values(), n=10)
    lines = [
        f"modules    {len(modules)} in {len({folder_of(dotted(path)) for path in modules})} folders",
        f"longest    {', '.join(f'{dotted(path)} {lines_of(path)}' for path in modules[:8])} lines",
        f"functions  {len(lengths)}: median {statistics.median(lengths.values()):.0f} lines, p90 {tenths[-1]:.0f}, "
        f"longest {longest} {lengths[longest]}",
        f"arrows     {drawn} between folders, of which {len(uphill())} run up",
        f"circles    {len(circles())}: {'; '.join(' <-> '.join(sorted(circle)) for circle in circles()) or 'none'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(printed())  # the figures, for people
