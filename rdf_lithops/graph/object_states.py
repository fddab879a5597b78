"""What an object of a class holds, as ROOT writes it: histograms, functions, vectors, maps, and structs of plain members.

A variable that was declared holds on workers what its declaration says; one that Python or a call has filled since travels
with what it holds now.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..frame import compiler

# isort: split
import ROOT

__all__ = [
    "HELPERS",
    "MOST_BYTES",
    "State",
    "assignment",
    "is_whole",
    "kind_of",
    "look_at",
    "places_of",
    "state",
    "states",
    "text_bytes",
    "trace",
]

MOST_BYTES = 2**20  # of one object, as text
MOST_ITEMS = 1000  # of a container, which are looked at
_OF_OBJECTS = re.compile(r"(?:std::)?(?:vector|map|unordered_map|list|deque|set)<")
HELPERS = """
#ifndef RDF_LITHOPS_OBJECT_STATES
#define RDF_LITHOPS_OBJECT_STATES
#include <TBase64.h>
#include <TBufferFile.h>
#include <TClass.h>
#include <cstring>
#include <memory>
#include <string>
namespace rdf_lithops {
inline std::string state_of(ULong64_t address, const char *type)
{
   TBufferFile buffer(TBuffer::kWrite, 4096);
   TClass::GetClass(type)->Streamer(reinterpret_cast<void *>(address), buffer);
   return TBase64::Encode(buffer.Buffer(), buffer.Length()).Data();
}
inline void put_state(void *object, const char *type, const char *text)
{
   const TString bytes = TBase64::Decode(text);
   TBufferFile buffer(TBuffer::kRead, bytes.Length(), const_cast<char *>(bytes.Data()), false);
   TClass::GetClass(type)->Streamer(object, buffer);
}
inline void put_text(const char *&pointer, const char *text) { pointer = text; }
inline void put_text(char *&pointer, const char *text) { pointer = strdup(text); }
inline void put_text(char *const &pointer, const char *text) { strncpy(pointer, text, strlen(pointer)); }
template <std::size_t N> void put_text(char (&array)[N], const char *text) { strncpy(array, text, N); }
template <typename T> void put_text(T &character, const char *text) { character = static_cast<T>(*text); }
template <typename T> T &held_in(T &object) { return object; }
template <typename T> T &held_in(T *&pointer) { return pointer ? *pointer : *(pointer = new T); }
template <typename T> T &held_in(T *const &pointer) { return *pointer; }
template <typename T> T &held_in(std::unique_ptr<T> &pointer)
{
   return pointer ? *pointer : *(pointer = std::make_unique<T>());
}
template <typename T> T &held_in(std::shared_ptr<T> &pointer)
{
   return pointer ? *pointer : *(pointer = std::make_shared<T>());
}
template <typename T> void put_in(T &object, const char *type, const char *text) { put_state(&object, type, text); }
template <typename T> void put_in(T *&pointer, const char *type, const char *text)
{
   void *made = TClass::GetClass(type)->New(TClass::kClassNew, true); // it may be of a class that is derived from T
   if (made)
      pointer = static_cast<T *>(made);
   if (pointer)
      put_state(pointer, type, text);
   else
      fprintf(stderr, "value:1:1: error: a %s has no default constructor: make it in C++, not in Python or a call\\n", type);
}
template <typename T> void put_in(T *const &pointer, const char *type, const char *text) { put_state(pointer, type, text); }
template <typename T> void put_in(std::unique_ptr<T> &pointer, const char *type, const char *text)
{
   T *made = nullptr;
   put_in(made, type, text);
   pointer.reset(made);
}
template <typename T> void put_in(std::shared_ptr<T> &pointer, const char *type, const char *text)
{
   T *made = nullptr;
   put_in(made, type, text);
   pointer.reset(made);
}
} // namespace rdf_lithops
#endif
"""
_LOOK = """
#include <cstring>
#include <cxxabi.h>
#include <dlfcn.h>
#include <functional>
#include <sys/syscall.h>
#include <type_traits>
#include <typeinfo>
#include <unistd.h>
#include <vector>
namespace rdf_lithops {
inline std::vector<std::function<bool()>> looks;
inline bool copied(const void *from, void *word)
{
   struct { const void *base; std::size_t length; } here{word, sizeof(void *)}, there{from, sizeof(void *)}; // an iovec
   return syscall(SYS_process_vm_readv, long(getpid()), &here, 1L, &there, 1L, 0L) == sizeof(void *);
}
inline bool read_word(const char *from, char **word)
{
   char *one = nullptr, *other = nullptr;
   if (!copied(&one, &other)) // it is forbidden here
      return memcpy(word, from, sizeof(void *));
   return copied(from, word);
}
// An object with virtual functions leads to the description of its class, and that to those of such descriptions (the
// Itanium ABI); what destructors leave behind is an object of a base class.
inline bool is_one(const void *object, const std::type_info &kind)
{
   char *functions, *type, *of_types;
   Dl_info found;
   if (!read_word(static_cast<const char *>(object), &functions) || !read_word(functions - sizeof(void *), &type) ||
       !read_word(type, &of_types) || !dladdr(of_types, &found) || !found.dli_sname ||
       strncmp(found.dli_sname, "_ZTVN10__cxxabiv1", 17))
      return false;
   void *there = const_cast<void *>(object);
   return reinterpret_cast<std::type_info *>(type)->__do_upcast(
      static_cast<const __cxxabiv1::__class_type_info *>(&kind), &there);
}
template <typename T> std::size_t look_at(T &variable)
{
   if constexpr (std::is_pointer_v<T>)
      if constexpr (std::is_polymorphic_v<std::remove_pointer_t<T>>)
         looks.push_back([&variable] { return !variable || is_one(variable, typeid(std::remove_pointer_t<T>)); });
   return looks.size();
}
} // namespace rdf_lithops
"""
_ROOTS = (  # classes of ROOT's that are whole once they are read back
    "TH1",
    "THnBase",
    "TF1",
    "TGraph",
    "TGraph2D",
    "TEfficiency",
    "TSpline",
    "TLorentzVector",
    "TVector2",
    "TVector3",
    "TVectorT<double>",
    "TVectorT<float>",
    "TMatrixT<double>",
    "TMatrixT<float>",
)


class State(NamedTuple):
    """The class of an object, and what it holds; an empty ``text`` for no object, of a pointer."""

    kind: str
    text: str


def kind_of(value: Any) -> str:
    """Return the C++ class of ``value``, as PyROOT gives a variable; empty for what is no object of one."""
    name = getattr(type(value), "__cpp_name__", "")
    return name if isinstance(name, str) and not isinstance(value, type) else ""


def state(value: Any) -> State | None:
    """Return what ``value``, as PyROOT gives a variable, holds; None for what does not travel so."""
    kind = kind_of(value)
    if not kind or not is_whole(kind):
        return None
    address = ROOT.addressof(value)
    if not address:
        return State(kind, "")
    _declare()
    level, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kFatal
    try:
        return State(kind, str(ROOT.rdf_lithops.state_of(address, kind)))
    finally:
        ROOT.gErrorIgnoreLevel = level


def states(value: Any) -> tuple[State, ...]:
    """Return what the objects of an array hold, as PyROOT gives such a variable; empty for what does not travel so."""
    if type(value).__name__ != "InstancesArray":
        return ()
    found = [state(value[number]) for number in range(len(value))]
    return tuple(each for each in found if each) if all(found) else ()


def trace(value: Any) -> bytes:
    """Return the bytes in memory of ``value``, as PyROOT gives a variable: they tell whether it has changed; empty where
    that cannot be told."""
    kind = kind_of(value)
    described = ROOT.TClass.GetClass(kind) if kind else None
    if not described or not described.HasInterpreterInfo():
        return b""
    address = ROOT.addressof(value)
    if not address:
        return b"null"
    items = itertools.islice(value, MOST_ITEMS) if _OF_OBJECTS.match(kind) else ()
    return ctypes.string_at(address, described.Size()) + b"".join(map(trace, items))


def places_of(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the address of each of the variables, and its bytes, but for those that have none, or more than
    ``MOST_BYTES``. They are asked for together, as Cling takes as long for one as for many."""
    if not names:
        return {}
    asked = ", ".join(f"(Long_t)&{name}, (Long_t)sizeof({name})" for name in names)
    with compiler.heard(aloud=False):  # of a name that nobody may use
        found = int(ROOT.gInterpreter.Calc(f"(Long_t)new Long_t[{2 * len(names)}]{{{asked}}}"))
    if found:
        told = list((ctypes.c_long * (2 * len(names))).from_address(found))
        pairs = zip(names, told[::2], told[1::2], strict=True)
        return {name: (address, size) for name, address, size in pairs if address and 0 < size <= MOST_BYTES}
    half = len(names) // 2
    return {**places_of(names[:half]), **places_of(names[half:])} if half else {}


def look_at(name: str, value: Any) -> Callable[[], bool] | None:  # decision 411
    """Return what tells whether the object is still there to which the variable ``name`` points: PyROOT, which asks an
    object for its class, would crash. None for what is no pointer to objects with virtual functions. ``value`` is what
    PyROOT gives for it now."""
    kind = kind_of(value)
    described = ROOT.TClass.GetClass(kind) if kind else None
    if not described or not described.HasInterpreterInfo() or not described.ClassProperty() & ROOT.kClassHasVirtual:
        return None
    if not _declare_look():
        return None
    looks = ROOT.rdf_lithops.looks
    before = looks.size()
    with compiler.heard(aloud=False):  # of a name that nobody may use
        after = int(ROOT.gInterpreter.Calc(f"rdf_lithops::look_at({name})"))
    return (lambda: bool(looks[before]())) if after > before else None


def text_bytes(now: State | tuple[State, ...]) -> int:
    """Return how much a state, or those of an array's objects, is as text."""
    return len(now.text) if isinstance(now, State) else sum(map(text_bytes, now))


def assignment(name: str, now: State | tuple[State, ...]) -> str:
    """Return the C++ that gives the variable ``name`` a state, or its objects theirs; HELPERS come before it."""
    if not isinstance(now, State):
        return " ".join(assignment(f"{name}[{number}]", each) for number, each in enumerate(now))
    return f'rdf_lithops::put_in({name}, "{now.kind}", "{now.text}");' if now.text else f"{name} = nullptr;"


@functools.cache
def _declare() -> None:
    ROOT.gInterpreter.Declare(HELPERS)


@functools.cache
def _declare_look() -> bool:
    """Return whether that is there: not with another standard library of C++."""
    with compiler.heard(aloud=False):
        return bool(ROOT.gInterpreter.Declare(_LOOK))


@functools.cache
def is_whole(kind: str) -> bool:
    """Return whether ROOT writes all that an object of the class ``kind`` is: one of ``_ROOTS``, or a struct."""
    described = ROOT.TClass.GetClass(kind)
    if not described or not described.HasInterpreterInfo():
        return False
    if any(described.InheritsFrom(name) for name in _ROOTS):
        return True
    is_standard = kind.startswith("tuple<") or bool(re.fullmatch(r"(.*/)?[a-z_]+", str(described.GetDeclFileName())))
    return not is_standard and not described.InheritsFrom("TObject") and _has_whole_members(described)


def _has_whole_members(described: Any) -> bool:
    """Return whether the members of a class, and of those that it is made of, are numbers, texts and the like."""
    bases = [base.GetClassPointer() for base in described.GetListOfBases() or ()]
    members = [member for member in described.GetListOfDataMembers() or () if not int(member.Property()) & ROOT.kIsStatic]
    return all(base and _has_whole_members(base) for base in bases) and all(map(_is_whole_member, members))


def _is_whole_member(member: Any) -> bool:
    if not member.IsPersistent() or member.IsaPointer():
        return False
    # asked for a constant collection ROOT makes an emulated class, and reads others of this type through it from then on
    kind = re.sub(r"^(?:(?:const|volatile) )+", "", str(member.GetTrueTypeName()))
    if member.IsBasic() or member.IsEnum() or kind in ("string", "std::string", "TString"):
        return True
    described = ROOT.TClass.GetClass(kind)
    proxy = described.GetCollectionProxy() if described else None
    if not proxy:
        return is_whole(kind)
    emulated = int(proxy.GetProperties()) & int(ROOT.TVirtualCollectionProxy.kIsEmulated)
    return (
        not emulated and not proxy.HasPointers() and (not proxy.GetValueClass() or is_whole(proxy.GetValueClass().GetName()))
    )
