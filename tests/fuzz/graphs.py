"""Strategies for graphs: Python lines that book nodes on ``df`` and yield results."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from .schemas import SCALARS, element_of
from .sources import Source

__all__ = ["Graph", "graphs"]


@dataclass(frozen=True)
class Graph:
    """The lines of a book's body, and how often each operation is in them."""

    lines: tuple[str, ...]
    operations: tuple[str, ...]


@dataclass
class _Node:
    """A node of the graph that grows: its variable, its columns, and whether something in it varies."""

    name: str
    columns: dict[str, str]
    varied: bool = False

    def numbers(self) -> list[str]:
        return [name for name, kind in self.columns.items() if kind in SCALARS or element_of(kind)]

    def scalars(self) -> list[str]:
        return [name for name, kind in self.columns.items() if kind in SCALARS]


@dataclass
class _Growing:
    """What has been drawn so far."""

    draw: st.DrawFn
    source: Source
    nodes: list[_Node]
    lines: list[str] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def column(self, names: list[str]) -> str:
        return self.draw(st.sampled_from(names))


# -- transformations: each returns the call, and the columns that it adds or changes -----------------------------------


def _condition(g: _Growing, node: _Node) -> str:
    column = g.column(node.scalars())
    threshold = g.draw(st.sampled_from([-30, 0, 1, 5, 20, 90]))
    return g.pick(f"{column} > {threshold}", f"{column} <= {threshold}", f"int({column}) % 3 != 0", "rdfentry_ % 5 != 2")


def _filter(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    name = g.pick("", "", ', "cut"', ', "other cut"')
    return f'Filter("{_condition(g, node)}"{name})', {}


def _define(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    column, name = g.column(node.numbers()), f"d{len(g.nodes)}"
    if element_of(node.columns[column]):
        return f'Define("{name}", "{column} * 2")', {name: f"ROOT::RVec<{element_of(node.columns[column])}>"}
    if g.pick("one", "two", "entry") == "entry":
        return f'Define("{name}", "double(rdfentry_) + {column}")', {name: "double"}
    return f'Define("{name}", "double({column}) * 2 + 1")', {name: "double"}


def _redefine(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    column = g.column(node.scalars())
    return f'Redefine("{column}", "double({column}) / 2")', {column: "double"}


def _alias(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    column, name = g.column(list(node.columns)), f"a{len(g.nodes)}"
    return f'Alias("{name}", "{column}")', {name: node.columns[column]}


def _per_sample(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    name, path = f"p{len(g.nodes)}", g.column(list(g.source.paths) or ["none"])
    return f'DefinePerSample("{name}", "rdfsampleinfo_.Contains(\\"{path}\\") ? 2.0 : 0.5")', {name: "double"}


def _vary(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    column = g.column([name for name in node.scalars() if "." not in name])
    kind = node.columns[column]
    alike = [name for name in node.scalars() if node.columns[name] == kind and name != column and "." not in name]
    values = "{{{0}({1} / 2), {0}(1)}}".format
    if alike and g.pick("one", "several") == "several":
        other = g.column(alike)
        both = f"ROOT::RVec<ROOT::RVec<{kind}>>{{{values(kind, column)}, {values(kind, other)}}}"
        return f'Vary(["{column}", "{other}"], "{both}", 2, "v{len(g.nodes)}")', {}
    return f'Vary("{column}", "ROOT::RVec<{kind}>{values(kind, column)}", ["down", "up"], "v{len(g.nodes)}")', {}


def _missing(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    column = g.column([name for name in node.scalars() if name in {c.name for c in g.source.columns}])
    return g.pick(
        f'FilterAvailable("{column}")',
        f'FilterMissing("{column}")',
        f'DefaultValueFor{_default(node.columns[column])}("{column}", 5)',
    ), {}


def _default(kind: str) -> str:
    """What tells PyROOT the kind; nothing where it takes no number for it."""
    return "" if "char" in kind else f'["{kind}"]'


def _failing(g: _Growing, node: _Node) -> tuple[str, dict[str, str]]:
    """What fails, or fails for some entries."""
    column = g.column(node.scalars())
    threshold = g.draw(st.sampled_from([3, 1000]))
    return g.pick(
        f'Filter("if ({column} > {threshold}) throw std::runtime_error(\\"on purpose\\"); return true;")',
        'Filter("nosuchcolumn > 1")',
        f'Define("{column}", "1")',
        'Define("w", "x +")',
    ), {}


TRANSFORMATIONS = {
    "Filter": _filter,
    "Define": _define,
    "Redefine": _redefine,
    "Alias": _alias,
    "DefinePerSample": _per_sample,
    "Vary": _vary,
    "missing": _missing,
    "failing": _failing,
}
WEIGHTED = [
    name for name, weight in {**dict.fromkeys(TRANSFORMATIONS, 4), "missing": 1, "failing": 1}.items() for _ in range(weight)
]


def _has_an_empty_ntuple(source: Source) -> bool:
    """ROOT 6.40 itself crashes where it is to tell a sample of an RNTuple without entries."""
    return any(tree.ntuple and not tree.entries for file in source.files for tree in file.trees)


def _grow(g: _Growing) -> None:
    """One node more, somewhere in the graph."""
    parent, kind = g.draw(st.sampled_from(g.nodes)), g.draw(st.sampled_from(WEIGHTED))
    of_source = {column.name for column in g.source.columns}
    if kind in ("Vary", "Redefine") and not [name for name in parent.scalars() if "." not in name]:
        kind = "Define"
    if kind == "missing" and (not g.source.files or not of_source & set(parent.scalars())):
        kind = "Filter"
    if kind == "DefinePerSample" and _has_an_empty_ntuple(g.source):
        kind = "Define"
    call, changed = TRANSFORMATIONS[kind](g, parent)
    name = f"n{len(g.nodes)}"
    g.lines.append(f"{name} = {parent.name}.{call}")
    g.nodes.append(_Node(name, {**parent.columns, **changed}, parent.varied or kind == "Vary"))
    g.operations.append(call.partition("(")[0] if kind != "failing" else "failing")


# -- actions -----------------------------------------------------------------------------------------------------------

NUMERIC = ("Sum", "Mean", "StdDev", "Min", "Max", "Stats")
BINS = ("8, -10.0, 30.0", "5, 0.0, 100.0", "1, -1e13, 1e13")


def _model(g: _Growing, dimensions: int) -> str:
    bins = ", ".join(g.pick(*BINS) for _ in range(dimensions))
    return f'("h{len(g.lines)}", "a title;x;y", {bins})'


def _histogram(g: _Growing, node: _Node, name: str) -> str:
    """The call of an action that fills bins or points; columns are all scalars, or all the same one."""
    dimensions, values = {
        "Histo1D": (1, 1),
        "Histo2D": (2, 2),
        "Histo3D": (3, 3),
        "Profile1D": (1, 2),
        "Profile2D": (2, 3),
        "Graph": (0, 2),
    }[name]
    chosen = [g.column(node.numbers())] * values
    if node.columns[chosen[0]] in SCALARS:
        chosen = [chosen[0], *(g.column(node.scalars()) for _ in chosen[1:])]
        if name != "Graph" and g.draw(st.booleans()):
            chosen.append(g.column(node.scalars()))
    columns = ", ".join(f'"{column}"' for column in chosen)
    return f"{name}({columns})" if name == "Graph" else f"{name}({_model(g, dimensions)}, {columns})"


def _act(g: _Growing, number: int) -> str:
    """Book an action; the expression that is to be yielded."""
    node = g.draw(st.sampled_from(g.nodes))
    if node.varied and g.pick("nominal", "varied") == "varied":
        name = g.pick("Count", "Sum", "Mean", "Min", "StdDev", "Histo1D", "Profile1D", "Histo2D")
        g.lines.append(f"r{number} = {node.name}.{_call(g, node, name)}")
        g.operations.append("VariationsFor")
        return f'r{number}, ("VariationsFor", ROOT.RDF.Experimental.VariationsFor(r{number}))'
    name = g.pick(
        "Count",
        *NUMERIC,
        "Histo1D",
        "Histo1D",
        "Histo2D",
        "Histo3D",
        "Profile1D",
        "Profile2D",
        "Graph",
        "AsNumpy",
        "AsNumpy",
        "Report",
    )
    g.lines.append(f"r{number} = {node.name}.{_call(g, node, name)}")
    return f"r{number}"


def _call(g: _Growing, node: _Node, name: str) -> str:
    g.operations.append(name)
    if name in NUMERIC:
        return f'{name}("{g.column(node.numbers())}")'
    if name == "AsNumpy":
        wanted = g.draw(st.lists(st.sampled_from(list(node.columns)), min_size=1, max_size=3, unique=True))
        return f"AsNumpy({wanted}, lazy=True)"
    return f"{name}()" if name in ("Count", "Report") else _histogram(g, node, name)


def _write(g: _Growing) -> None:
    """An instant Snapshot, and what is read of it: through the frame that it returns."""
    node = g.draw(st.sampled_from(g.nodes))
    wanted = g.draw(
        st.lists(st.sampled_from([name for name in node.columns if "." not in name]), min_size=1, max_size=3, unique=True)
    )
    g.lines.append(f's = {node.name}.Snapshot("t", f"{{out}}/s.root", {wanted})')
    g.lines.append(f"yield [s.Count(), s.AsNumpy({wanted}, lazy=True)]")
    g.operations.append("Snapshot")


@st.composite
def graphs(draw: st.DrawFn, source: Source) -> Graph:
    """A graph on ``source``: nodes, one or two batches of results; the second is booked when the first has been read."""
    g = _Growing(draw, source, [_Node("df", {column.name: column.kind for column in source.columns})], list(source.lines))
    number = 0
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        for _ in range(draw(st.integers(0, 4))):
            _grow(g)
        results = []
        for _ in range(draw(st.integers(1, 4))):
            results.append(_act(g, number))
            number += 1
        g.lines.append(f"yield [{', '.join(results)}]")
    if draw(st.sampled_from([False, False, False, True])):
        _write(g)
    return Graph(tuple(g.lines), tuple(g.operations))
