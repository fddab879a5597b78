"""Global variables that the program declared in C++: workers get the values that they have when a graph is run.

Told by what they were when they were declared: numbers, texts, arrays and containers, and objects of classes that ROOT
writes as a whole (``object_states``), also behind a pointer; in namespaces and as static members, too. What has been
written to a variable of another type since is not seen.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from . import cpp_literals, recording, singletons, statements
from .recording import Step

if TYPE_CHECKING:
    from .object_states import State

__all__ = ["before", "declared", "keep", "needed_libraries", "with_values"]

logger = logging.getLogger(__name__)

Held: TypeAlias = "str | State | tuple[State, ...]"  # of an array of objects, each
MOST_WATCHED = 500  # variables
_WATCH = """
#include <memory>
#include <string>
#include <utility>
#include <vector>
namespace rdf_lithops {
using Seen = std::pair<const char *, std::size_t>;
template <typename T> Seen seen(const T &variable)
{
   return {reinterpret_cast<const char *>(&variable), sizeof(T) > 1 << 20 ? 0 : sizeof(T)};
}
// what is made when it is first needed
template <typename T> Seen seen(T *const &) { return {"", 0}; }
template <typename T> Seen seen(const std::unique_ptr<T> &) { return {"", 0}; }
template <typename T> Seen seen(const std::shared_ptr<T> &) { return {"", 0}; }
inline std::string all_held()
{
   std::string all;
   for (const Seen &each : std::vector<Seen>{VARIABLES})
      all.append(each.first, each.second);
   return all;
}
inline const std::string held_before = all_held();
inline bool is_written_to() { return all_held() != held_before; }
} // namespace rdf_lithops
"""
_VALUE = "the value of "  # and a variable: where a step comes from that assigns to it
MOST_OF_CALLS = 10_000  # characters of what a call has made, which travels though it is as it was declared
_declared: dict[str, Held] = {}  # by qualified name: what the steps leave it with; empty where nobody knows
_always: set[str] = set()  # those whose value travels with each run, as workers may come to another by the steps
_looks: dict[str, Callable[[], bool]] = {}  # likewise, of pointers: whether the object that one leads to is still there
_traces: dict[str, bytes] = {}  # likewise: what an object is in memory that cannot travel with what it holds
_places: dict[str, tuple[int, int]] = {}  # and the address and bytes of those that ROOT does not describe


def before() -> dict[str, Held]:
    """What the variables hold that travel: to be asked for before C++ is run that may use or change them, for ``keep``."""
    _add_singletons(recording.steps())
    given = {name for step in recording.steps() for name in _variables_of_step(step)}
    return {name: held for name in sorted(given & _declared.keys()) if (held := _held(name))}


def keep(  # decision 426
    step: Step,
    held_before: Mapping[str, Held],
    put: Callable[[Step], None] = recording.note,
    has_run: bool = False,
    is_whole: bool = True,
) -> None:
    """Keep ``step``, C++ that has just been run, with ``put``; before it what gives workers the values that Python, or a
    call, had given to variables before it.

    ``has_run``: a function of it has been called here since; not ``is_whole``: the program's line did more than the step.
    """
    changed = {name: held for name, held in held_before.items() if held != _declared[name] and _is_small(held)}
    for each in _assignments(changed):
        recording.append(each)
    put(step)
    is_known = is_whole and not has_run
    for name, held in held_before.items():
        now = _held(name)
        if not now and is_known and _value(name) is not None:  # what a map that was empty holds does not travel
            del _declared[name]
            _traces[name] = _trace(name) or b""
        elif name in changed or now != held:
            _declared[name] = now if is_known or now == held else ""
            _always.add(name)
    declared(step, has_run)
    _always.update(name for name in _made_by_calls(step) if isinstance(_declared.get(name), str))
    if not is_whole:
        _declared.update(dict.fromkeys(_declared.keys() & _variables_of_step(step), ""))


def _made_by_calls(step: Step) -> set[str]:
    """The variables that the program's own text initialises, or sets at once, with what a function returns: it may read a
    file that workers lack."""
    if step.kind not in ("declare", "line", "code"):
        return set()
    pieces = [piece for piece in statements.split(step.written) if "(" in statements.masked(piece).partition("=")[2]]
    made = {name for piece in pieces for name in (*_variables_of(piece), statements.assigned(piece))}
    return {name for name in made & _declared.keys() if len(str(_declared[name])) <= MOST_OF_CALLS}


def declared(step: Step, has_run: bool = False) -> None:
    """To be told of C++ that has just been declared: what its variables are is what they begin with on workers, unless it
    ``has_run`` here since."""
    from . import object_states

    unseen = _pointers_of_step(step)  # PyROOT compiles code to read one, each time
    for name in _variables_of_step(step):
        if singletons.is_one(name) or _is_no_variable(_value(name)):
            continue
        _places.pop(name, None)
        if look := object_states.look_at(name, _value(name)):
            _looks[name] = look
        held = _held(name)
        if held:
            _declared[name] = "" if has_run else held
        elif trace := object_states.trace(_value(name)):
            _traces[name] = b"before" if has_run else trace
        else:
            unseen.append(name)
    for name in unseen:
        _places.pop(name, None)
        _traces[name] = b""
    _places.update(object_states.places_of(unseen))
    for name in [name for name in unseen if name in _places]:
        _traces[name] = b"before" if has_run else _trace(name) or b""
    for name in _traces.keys() & _assigned_by(step):  # workers do the same
        _traces[name] = _trace(name) or b""


def _is_no_variable(value: Any) -> bool:
    """Whether PyROOT has a function or a type under the name: a prototype looks as a variable does that is made with
    arguments."""
    return isinstance(value, type) or type(value).__name__ in ("CPPOverload", "TemplateProxy")


def needed_libraries(text: str) -> list[str]:
    """Of C++ that has just been declared, ROOT's libraries that have its variables' classes: without them a worker cannot
    make the variables."""
    import ROOT

    from . import object_states

    kinds = [object_states.kind_of(value) for value in map(_value, sorted(statements.variables(text)))]
    described = [
        ROOT.TClass.GetClass(kind) for kind in kinds if kind and not cpp_literals.CONTAINER.match(kind.removeprefix("std::"))
    ]
    named = [name for each in described if each for name in str(each.GetSharedLibs() or "").split()]
    return [name for name in dict.fromkeys(named) if not os.path.isabs(name)]


def with_values(steps: Iterable[Step]) -> list[Step]:
    """``steps``, and behind them an assignment to each variable of theirs that has another value now than they leave it
    with, and what tells a worker that a graph has written to one."""
    kept = list(_of_known(steps))
    _add_singletons(kept)
    given = list(dict.fromkeys(name for step in kept for name in _variables_of_step(step)))
    pointers = [name for step in kept for name in _pointers_of_step(step)]
    _warn_of_changes(name for name in (*given, *pointers) if name in _traces)
    now = {name: _held(name) for name in given if name in _declared}
    for name in [name for name, held in now.items() if not held and _value(name) is not None]:  # a map that was empty
        del _declared[name]
        _traces[name] = b"before"
        _warn_of_changes([name])
    watched = [name for name in given if (name in _declared or name in _traces) and name[0] != "*"][:MOST_WATCHED]
    watch = [Step("watch", _WATCH.replace("VARIABLES", ", ".join(f"seen(::{name})" for name in watched)))] if watched else []
    changed = {
        name: held
        for name, held in now.items()
        if held and (held != _declared[name] or name in _always) and _may_travel(name, held)
    }
    return [*kept, *_assignments(changed), *watch]


def _assignments(values: Mapping[str, Held]) -> list[Step]:
    """What gives variables these values on workers."""
    from . import object_states

    helpers = [Step("declare", object_states.HELPERS, "values of variables")] if values else []
    return [*helpers, *(Step("line", _assignment(name, held), f"{_VALUE}{name}") for name, held in values.items())]


def _of_known(steps: Iterable[Step]) -> Iterator[Step]:
    """``steps`` without values of variables whose declaration has been replaced since by other code."""
    known: set[str] = set()
    for step in steps:
        known.update(_variables_of_step(step))
        if not step.where.startswith(_VALUE) or step.where.removeprefix(_VALUE) in known:
            yield step


def _warn_of_changes(names: Iterable[str]) -> None:  # decision 368
    """Warn, once, of each variable that does not travel and has changed since it was declared."""
    from . import object_states

    for name in dict.fromkeys(names):
        if (now := _trace(name)) not in (None, known := _traces[name]):
            _traces[name] = now
            kind = "" if name in _places else object_states.kind_of(_value(name))
            logger.warning(
                "the variable %s %s changed since it was declared, and %s does not travel: workers have "
                "it as C++ made it; change it by ROOT.gInterpreter.ProcessLine, or in ROOT.RDF.Distributed.initialize",
                name,
                "may have" if known == b"before" else "has",
                f"an object of class {kind}" if kind else "what it is now",
            )


def _trace(name: str) -> bytes | None:
    """What the variable is in memory, to see whether it changes; None where it is no more."""
    from . import object_states

    if name in _places:
        return ctypes.string_at(*_places[name])
    return None if (value := _value(name)) is None else object_states.trace(value)


def _assigned_by(step: Step) -> set[str]:
    """Return the variables with traces that a line which workers repeat assigns to, or calls a method of."""
    roots = {statements.assigned(piece) for piece in statements.split(step.written)} if step.kind == "line" else set()
    return {name for name in _traces if name.partition("::")[0] in roots}


def _may_travel(name: str, held: Held) -> bool:
    if _is_small(held):
        return True
    logger.warning("the variable %s holds more than travels: workers have it as it was declared", name)
    return False


def _is_small(held: Held) -> bool:
    from . import object_states

    return isinstance(held, str) or object_states.text_bytes(held) <= object_states.MOST_BYTES


def _assignment(name: str, held: Held) -> str:
    """C++ that gives a variable its value; a whole number may be that of an enumeration, which takes no other."""
    from . import object_states

    if not isinstance(held, str):
        return object_states.assignment(name, held)
    if held.startswith("["):  # an array, which takes no other as a whole
        kind = f"std::remove_all_extents_t<decltype({name})>"
        return (
            f"{{ const {kind} rdfl[] = {{{held[1:-1]}}}; std::copy(std::begin(rdfl), std::end(rdfl), ({kind} *)&{name}); }}"
        )
    if held.startswith('"'):
        return f"rdf_lithops::put_text({name}, {held});"
    if held.startswith("{"):  # a container, or what a pointer to one leads to
        return f"rdf_lithops::held_in({name}) = std::decay_t<decltype(rdf_lithops::held_in({name}))>{held};"
    is_whole = held.rstrip("ul").lstrip("-").isdigit()
    return f"{name} = static_cast<std::remove_reference_t<decltype({name})>>({held});" if is_whole else f"{name} = {held};"


def _variables_of_step(step: Step) -> list[str]:
    return [name for text in step.sources for name in _variables_of(text)]


def _pointers_of_step(step: Step) -> list[str]:
    return [name for text in step.sources for name in _pointers_of(text)]


@functools.lru_cache(maxsize=1024)
def _pointers_of(text: str) -> tuple[str, ...]:
    return tuple(sorted(statements.variables(text, to_functions=True, that_change=True)))


@functools.lru_cache(maxsize=1024)
def _variables_of(text: str) -> tuple[str, ...]:
    return (*sorted(statements.variables(text, that_change=True)), *singletons.names_in(text))


def _held(name: str) -> Held:
    """What a variable holds: the C++ that has this value, or the state of an object; empty for what cannot be told."""
    from . import object_states

    value = _value(name)
    if value is None:
        value = _character(name)
    if isinstance(value, str) and (len(value) != 1 or "!" <= value <= "~"):  # by a pointer or in an array, or one character
        return cpp_literals.quoted(value.encode()) if value.isascii() else ""
    return cpp_literals.literal(value) or object_states.state(value) or object_states.states(value) or ""


def _add_singletons(steps: Iterable[Step]) -> None:
    """Take what functions of the program keep for variables, once the program has used those functions."""
    texts = [text for step in steps for text in step.sources]
    if not any(map(singletons.names_in, texts)):
        return
    for name in singletons.used(texts):
        if name not in _declared and name not in _traces:
            if _held(name):
                _declared[name] = ""
            elif _value(name) is not None:
                _traces[name] = b"before"


def _character(name: str) -> int | None:
    """The number of a character that was read when it was declared, and that PyROOT cannot read now: it is no text."""
    known = _declared.get(name, "")
    if not isinstance(known, str) or not known.isdigit() or name in _looks:
        return None
    import ROOT

    return int(ROOT.gInterpreter.Calc(f"static_cast<long>({name})"))


def _value(name: str) -> Any:
    """What the variable of that qualified name is; None where there is none, as another declaration took its place, and
    where it points to what has been deleted."""
    import ROOT

    if name in _looks and not _looks[name]():
        return None
    found: Any = ROOT
    try:
        if singletons.is_one(name):
            return singletons.called(name)
        for part in name.split("::"):
            found = getattr(found, part)
    except Exception:  # whatever looking a name up raises
        return None
    return found
