"""Global variables that the program declared in C++: workers get the values that they have when a graph is run.

Told by what they were when they were declared: numbers, texts, arrays and containers, and objects of classes that ROOT
writes as a whole (``object_states``), also behind a pointer; in namespaces and as static members, too. What has been
written to a variable of another type since is not seen.
"""

from __future__ import annotations

import array
import ctypes
import functools
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from . import recording, statements
from .recording import Step

if TYPE_CHECKING:
    from .object_states import State

__all__ = ["before", "declared", "keep", "needed_libraries", "with_values"]

logger = logging.getLogger(__name__)

Held: TypeAlias = "str | State | tuple[State, ...]"  # of an array of objects, each
MOST_VALUES = 100_000  # of one array
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
_CONTAINER = re.compile(r"(vector|RVec|map|multimap|unordered_map|set|multiset|unordered_set|array|deque|list|pair)<")
_UNUSUAL = {"nan": '__builtin_nanf("")', "inf": "__builtin_inff()", "-inf": "-__builtin_inff()"}  # narrower than any list
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,:;=+-*/<>()[]{}!#%&|^~'$@`")
_NUMBERS = {  # in Python's array, of what vectors hold that are read as they lie in memory
    "std::vector<double>": "d",
    "std::vector<float>": "f",
    "std::vector<int>": "i",
    "std::vector<unsigned int>": "I",
    "std::vector<long>": "l",
    "std::vector<unsigned long>": "L",
    "std::vector<long long>": "q",
    "std::vector<unsigned long long>": "Q",
    "std::vector<short>": "h",
    "std::vector<unsigned short>": "H",
}
_VALUE = "the value of "  # and a variable: where a step comes from that assigns to it
MOST_OF_CALLS = 10_000  # characters of what a call has made, which travels though it is as it was declared
_declared: dict[str, Held] = {}  # by qualified name: what the steps leave it with; empty where nobody knows
_always: set[str] = set()  # those whose value travels with each run, as workers may come to another by the steps
_looks: dict[str, Callable[[], bool]] = {}  # likewise, of pointers: whether the object that one leads to is still there
_traces: dict[str, bytes] = {}  # likewise: what an object is in memory that cannot travel with what it holds
_places: dict[str, tuple[int, int]] = {}  # and the address and bytes of those that ROOT does not describe


def before() -> dict[str, Held]:
    """What the variables hold that travel: to be asked for before C++ is run that may use or change them, for ``keep``."""
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
        if name in changed or now != held:
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
        if _is_no_variable(_value(name)):
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
    described = [ROOT.TClass.GetClass(kind) for kind in kinds if kind and not _CONTAINER.match(kind.removeprefix("std::"))]
    named = [name for each in described if each for name in str(each.GetSharedLibs() or "").split()]
    return [name for name in dict.fromkeys(named) if not os.path.isabs(name)]


def with_values(steps: Iterable[Step]) -> list[Step]:
    """``steps``, and behind them an assignment to each variable of theirs that has another value now than they leave it
    with, and what tells a worker that a graph has written to one."""
    kept = list(_of_known(steps))
    given = list(dict.fromkeys(name for step in kept for name in _variables_of_step(step)))
    pointers = [name for step in kept for name in _pointers_of_step(step)]
    _warn_of_changes(name for name in (*given, *pointers) if name in _traces)
    now = {name: _held(name) for name in given if name in _declared}
    for name in [name for name, held in now.items() if not held and _value(name) is not None]:  # a map that was empty
        del _declared[name]
        _traces[name] = b"before"
        _warn_of_changes([name])
    watched = [name for name in given if name in _declared or name in _traces][:MOST_WATCHED]
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
        if (now := _trace(name)) not in (None, _traces[name]):
            _traces[name] = now
            kind = "" if name in _places else object_states.kind_of(_value(name))
            logger.warning(
                "the variable %s has changed since it was declared, and %s does not travel: workers have "
                "it as C++ made it; change it by ROOT.gInterpreter.ProcessLine, or in ROOT.RDF.Distributed.initialize",
                name,
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
    return tuple(sorted(statements.variables(text, to_functions=True)))


@functools.lru_cache(maxsize=1024)
def _variables_of(text: str) -> tuple[str, ...]:
    return tuple(sorted(statements.variables(text)))


def _held(name: str) -> Held:
    """What a variable holds: the C++ that has this value, or the state of an object; empty for what cannot be told."""
    from . import object_states

    value = _value(name)
    if isinstance(value, str) and (len(value) != 1 or "!" <= value <= "~"):  # by a pointer or in an array, or one character
        return _quoted(value.encode()) if value.isascii() else ""
    return _literal(value) or object_states.state(value) or object_states.states(value) or ""


def _value(name: str) -> Any:
    """What the variable of that qualified name is; None where there is none, as another declaration took its place, and
    where it points to what has been deleted."""
    import ROOT

    if name in _looks and not _looks[name]():
        return None
    found: Any = ROOT
    try:
        for part in name.split("::"):
            found = getattr(found, part)
    except Exception:  # whatever looking a name up raises
        return None
    return found


def _literal(value: Any) -> str:
    """The C++ that has this value, of a container in braces, of an array in brackets; empty for what has none."""
    import ROOT

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}{'ull' if value >= 2**63 else 'll' if abs(value) >= 2**31 else ''}"
    if isinstance(value, float):
        return value.hex() if math.isfinite(value) else _UNUSUAL[str(value)]
    if isinstance(value, str):  # a char, as PyROOT has it
        return str(ord(value)) if len(value) == 1 else ""
    if isinstance(value, ROOT.std.string):
        return f"std::string({_quoted(bytes(value))}, {len(bytes(value))})"
    if type(value).__name__ == "LowLevelView":
        return _literal_of_array(value)
    return _literal_of_container(value) if _CONTAINER.match(type(value).__name__) else ""


def _quoted(text: bytes) -> str:
    """The C++ literal of these characters: Cling takes a line for unfinished whose raw one has a single quotation mark."""
    return '"{}"'.format("".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in text))


def _literal_of_container(value: Any) -> str:
    """The values of a container; empty where one of them cannot be written down, or for a pointer to nothing."""
    import ROOT

    if not ROOT.addressof(value):
        return ""
    if code := _NUMBERS.get(type(value).__cpp_name__):
        return _literal_of_numbers(code, _in_memory(value))
    is_pair = type(value).__name__.startswith("pair<")
    items = [value.first, value.second] if is_pair else list(value) if len(value) <= MOST_VALUES else [None]
    literals = [_literal(item) for item in items]
    return f"{{{', '.join(literals)}}}" if all(literals) else ""


def _in_memory(vector: Any) -> bytes:
    """The items of a vector of numbers, which begin where its first word says, and end where its second does."""
    import ROOT

    begin, end = (ctypes.c_size_t * 2).from_address(ROOT.addressof(vector))
    return ctypes.string_at(begin, end - begin) if begin else b""


@functools.lru_cache(maxsize=256)  # they are looked at again and again
def _literal_of_numbers(code: str, items: bytes) -> str:
    """The values of a vector of numbers in braces; empty for too many of them."""
    numbers = array.array(code, items)
    return f"{{{', '.join(map(_literal, numbers))}}}" if len(numbers) <= MOST_VALUES else ""


def _literal_of_array(view: Any) -> str:
    """The values of a C array of numbers, row by row; empty for a pointer, whose end nobody knows."""
    shape = [int(extent) for extent in view.shape]
    if not 0 < math.prod(shape) <= MOST_VALUES or min(shape) < 1:
        return ""
    has_rows = len(shape) > 1
    items = [_literal_of_array(view[row])[1:-1] if has_rows else _literal(view[row]) for row in range(shape[0])]
    return f"[{', '.join(items)}]" if all(items) else ""
