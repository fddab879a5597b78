"""Random programs, for hypothesis: what it shrinks to is the smallest program that still differs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .columns import KINDS, NTUPLE_KINDS, Column
from .programs import Action, Graph, Program, Step
from .sources import File, Source

SIZES = st.sampled_from([0, 1, 2, 3, 7, 20, 50])
LENGTHS = st.sampled_from([1, 2, 3, 7, 20, 50])  # without files
MAX_COLUMNS = 4


@st.composite
def columns(draw: Any, kinds: tuple[str, ...]) -> tuple[Column, ...]:
    """Columns of different names: ``a`` is always a number, so that there is something to compute."""
    first = draw(st.sampled_from(["double", "float", "int"]))
    chosen = [first, *draw(st.lists(st.sampled_from(kinds), max_size=MAX_COLUMNS - 1))]
    offsets = st.sampled_from([0.0, 0.0, 0.0, 1e6])
    return tuple(
        Column(name, kind, draw(st.integers(1, 5)), draw(offsets) if kind == "double" else 0.0)
        for name, kind in zip("abcd", chosen, strict=False)
    )


@st.composite
def sources(draw: Any) -> Source:
    """Datasets of every kind, mostly of several files; now and then with files that do not fit together."""
    kind = draw(st.sampled_from(["entries", "tree", "tree", "tree", "glob", "chain", "spec", "ntuple"]))
    if kind == "entries":
        return Source(kind, entries=draw(LENGTHS))
    known = draw(columns(tuple(NTUPLE_KINDS) if kind == "ntuple" else KINDS))
    if kind == "ntuple":
        known = tuple(column for column in known if column.kind in NTUPLE_KINDS)
    tree = "t" if kind == "ntuple" else draw(st.sampled_from(["t", "t", "t", "d/t"]))
    others = draw(st.sampled_from([(), (), ("other",)])) if kind != "ntuple" else ()
    files = tuple(
        File(draw(SIZES), draw(st.integers(1, 20)), draw(_fitting(known)), tree, others)
        for _ in range(draw(st.integers(1, 4)))
    )
    friends: tuple[File, ...] = ()
    if kind in ("chain", "spec") and draw(st.integers(0, 3)) == 0:
        entries = sum(file.entries for file in files) + draw(st.sampled_from([0, 0, 0, -1, 2]))
        friends = (File(max(0, entries), draw(st.integers(1, 20)), (Column("q", "double", 2),), "fr"),)
    selected = None
    if kind == "spec" and draw(st.integers(0, 3)) == 0:
        begin = draw(st.integers(0, 10))
        selected = (begin, begin + draw(st.integers(1, 30)))
    return Source(kind, files, friends=friends, selected=selected)


@st.composite
def _fitting(draw: Any, known: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns of one file: nearly always all of them; else the last is missing or has another type."""
    change = draw(st.integers(0, 24))
    if change == 1 and len(known) > 1:
        return known[:-1]
    if change == 2:
        last = known[-1]
        other = {"int": "double", "double": "float", "float": "double"}.get(last.kind)
        return known if other is None else (*known[:-1], Column(last.name, other, last.factor))
    return known


class _Scope:
    """Names that a node can use: numbers and vectors."""

    def __init__(self, source: Source) -> None:
        self.numbers = [column.name for column in source.columns if column.is_scalar]
        self.vectors = [column.name for column in source.columns if column.is_vector]
        self.expressions = [column.numeric() for column in source.columns]
        if source.friends:
            self.numbers.append("fr.q")
        self.expressions.append("double(rdfentry_)")
        self.defined: list[str] = []  # doubles
        self.varied = False
        self.filters = 0

    def copy(self) -> _Scope:
        """For a branch of its own."""
        other = object.__new__(_Scope)
        other.__dict__ = {name: value[:] if isinstance(value, list) else value for name, value in self.__dict__.items()}
        return other


@st.composite
def graphs(draw: Any, source: Source) -> Graph:
    """A chain of nodes with a branch now and then, and one to four actions on them."""
    steps: list[Step] = []
    scopes = {-1: _Scope(source)}
    for number in range(draw(st.integers(1, 5))):
        parent = draw(st.sampled_from([number - 1, number - 1, number - 1, max(-1, number - 2)]))
        scope = scopes[parent].copy()
        steps.append(Step(parent, *draw(_node(scope, number, source))))
        scopes[number] = scope
    actions = tuple(draw(_action(scopes)) for _ in range(draw(st.integers(1, 4))))
    return Graph(tuple(steps), actions)


def _double(draw: Any, scope: _Scope) -> str:
    """C++ that gives a double."""
    return draw(st.sampled_from([*scope.expressions, *scope.defined, *scope.defined]))


@st.composite
def _node(draw: Any, scope: _Scope, number: int, source: Source) -> tuple[str, tuple[Any, ...]]:
    kinds = ["Define", "Define", "Filter", "Filter", "Vector", "Redefine", "Alias", "Vary", "Vary two", "Sample", "Named"]
    kind = draw(st.sampled_from(kinds))
    name = f"n{number}"
    if kind == "Filter":
        bound = draw(st.sampled_from([-1, 0, 1, 2, 3, 100]))
        return "Filter", (f"{_double(draw, scope)} > {bound}",)
    if kind == "Named":
        return "Filter", (f"{_double(draw, scope)} > 1", f"cut{number}")
    if kind == "Vector" and scope.vectors:
        column = draw(st.sampled_from(scope.vectors))
        scope.vectors.append(name)
        return "Define", (name, f"{column} * 2")
    if kind == "Redefine" and scope.defined:
        column = draw(st.sampled_from(scope.defined))
        return "Redefine", (column, f"{column} + 1")
    if kind == "Alias" and scope.numbers:
        column = draw(st.sampled_from(scope.numbers))
        scope.numbers.append(name)
        return "Alias", (name, column)
    if kind == "Vary" and scope.defined:
        scope.varied = True
        column = draw(st.sampled_from(scope.defined))
        return "Vary", (column, f"ROOT::RVecD{{{column} - 1, {column} + 2}}", 2, f"v{number}")
    if kind == "Vary two" and len(set(scope.defined)) > 1:
        scope.varied = True
        one, two = sorted(set(scope.defined))[:2]
        text = f"ROOT::RVec<ROOT::RVecD>{{{{{one}, {one} * 2}}, {{{two} - 1, {two}}}}}"
        return "Vary", ([one, two], text, ["low", "high"], f"w{number}")
    if kind == "Sample" and source.kind in ("tree", "chain", "glob", "spec"):
        scope.defined.append(name)
        return "DefinePerSample", (name, "double(rdfsampleinfo_.EntryRange().second)")
    text = _double(draw, scope)
    scope.defined.append(name)
    return "Define", (name, f"{text} * 0.5 + 1")


@st.composite
def _action(draw: Any, scopes: dict[int, _Scope]) -> Action:
    node = draw(st.sampled_from(sorted(scopes)))
    scope = scopes[node]
    numbers = [*scope.defined, *scope.numbers]
    kinds = ["Count", "Report"]
    if numbers:
        kinds += [
            "Sum",
            "Mean",
            "StdDev",
            "Min",
            "Max",
            "Histo1D",
            "Histo1D",
            "Weighted",
            "Histo2D",
            "Profile1D",
            "Graph",
            "Stats",
        ]
        kinds += ["AsNumpy", "Snapshot"]
    if scope.vectors:
        kinds += ["Vector", "Vectors"]
    kind = draw(st.sampled_from(kinds))
    varied = scope.varied and draw(st.booleans())
    if kind == "Count":
        return Action(node, "Count", (), varied)
    if kind == "Report":
        return Action(node, "Report", ())
    if kind == "Vector":
        return Action(node, "Histo1D", (("h", "", 8, -1.0, 7.0), draw(st.sampled_from(scope.vectors))))
    if kind == "Vectors":
        return Action(node, "AsNumpy", (draw(st.sampled_from(scope.vectors)),))
    x, y = draw(st.sampled_from(numbers)), draw(st.sampled_from(numbers))
    if kind == "Histo1D":
        return Action(node, kind, (("h", "title", 10, -1.0, 9.0), x), varied)
    if kind == "Weighted":
        return Action(node, "Histo1D", (("h", "", 10, -1.0, 9.0), x, y), varied)
    if kind == "Histo2D":
        return Action(node, kind, (("h", "", 4, -1.0, 9.0, 5, -1.0, 9.0), x, y), varied)
    if kind == "Profile1D":
        return Action(node, kind, (("p", "", 4, -1.0, 9.0), x, y), varied)
    if kind == "Graph":
        return Action(node, kind, (x, y))
    if kind in ("AsNumpy", "Snapshot"):
        return Action(node, kind, tuple(name for name in dict.fromkeys((x, y)) if "." not in name) or (numbers[0],))
    return Action(node, kind, (x,), varied and kind not in ("Stats",))


OPTIONS = st.sampled_from(
    [
        (),
        (),
        (("survey", True),),
        (("survey", False),),
        (("ranges_per_call", 1),),
        (("ranges_per_call", 4),),
        (("fold_partials", 2),),
    ]
)
FAULTS = st.sampled_from(
    [
        (),
        (),
        (),
        (("task", ((0, ("kill",)),)),),
        (("slot", ((1, ("segv",)),)),),
        (("slot", ((0, ("kill",)),)),),
    ]
)


@st.composite
def programs(draw: Any) -> Program:
    """One to three graphs over one dataset."""
    source = draw(sources())
    booked = tuple(draw(graphs(source)) for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))))
    return Program(
        source,
        booked,
        npartitions=draw(st.integers(1, 9)),
        options=draw(OPTIONS),
        together=len(booked) > 1 and draw(st.booleans()),
        rewritten=bool(source.files) and draw(st.integers(0, 4)) == 0,
        faults=draw(FAULTS),
    )


__all__ = ["columns", "graphs", "programs", "sources"]
