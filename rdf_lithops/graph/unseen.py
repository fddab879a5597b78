"""What a run's answer may depend on that nobody sees: code that may reach for a file, the network or the clock by itself.

C++ is read for its names alone. What is called, named with its scope, or a type, must be known as harmless or be defined in
text that is read as well; what reaches out by its name counts wherever it stands. In doubt there is something unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..executor.payload import Payload
from . import recording
from .recording import Step

__all__ = ["in_code", "in_graph", "in_run", "in_text"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEYWORDS = _words(
    "alignas alignof and and_eq bitand bitor break case catch compl concept const consteval constexpr constinit const_cast "
    "continue decltype default define defined delete do dynamic_cast elif else endif enum error explicit export extern "
    "false final for friend goto if ifdef ifndef inline mutable namespace new noexcept not not_eq nullptr once operator or "
    "or_eq override pragma private protected public register reinterpret_cast requires return sizeof static static_assert "
    "static_cast switch template this throw true try typedef typeid typename undef union using virtual volatile while xor "
    "xor_eq struct class thread_local"
)
_NAMING = _words("struct class enum union namespace typename define using concept")  # a name that is new follows
_TYPES = _words(
    "auto bool char double float int long short signed unsigned void size_t ptrdiff_t int8_t int16_t int32_t int64_t "
    "uint8_t uint16_t uint32_t uint64_t Bool_t Char_t UChar_t Short_t UShort_t Int_t UInt_t Long_t ULong_t Long64_t "
    "ULong64_t Float_t Double_t Float16_t Double32_t Size_t string string_view vector array pair tuple map set "
    "unordered_map unordered_set optional function complex numeric_limits initializer_list deque list bitset RVec RVecB "
    "RVecC RVecD RVecF RVecI RVecL RVecLL RVecU RVecUL RVecULL LorentzVector PtEtaPhiMVector PtEtaPhiEVector "
    "PxPyPzEVector PxPyPzMVector XYZTVector XYZVector XYVector Polar3DVector RhoEtaPhiVector Boost TLorentzVector TVector2 "
    "TVector3 TString const_iterator iterator value_type less greater"
)
_FUNCTIONS = _words(
    "abs acos acosh all_of any_of asin asinh atan atan2 atanh accumulate adjacent_difference at back begin bind cbegin cbrt "
    "ceil cend clamp copy copysign cos cosh count count_if distance emplace empty end erf erfc exp exp2 expm1 fabs fill "
    "find find_if floor fma fmax fmin fmod for_each forward front get hypot inner_product iota isfinite isinf isnan "
    "isnormal ldexp lgamma log log10 log1p log2 lower_bound lround make_pair make_tuple max max_element min min_element "
    "minmax move nan next none_of norm nth_element partial_sort pow prev real imag arg conj polar remainder reserve resize "
    "reverse rint round signbit sin sinh size sort sqrt stable_sort stod stof stoi stol swap tan tanh tgamma tie to_string "
    "transform trunc unique upper_bound All Angle Any ArgMax ArgMin Argsort Combinations Concatenate Construct DeltaPhi "
    "DeltaR DeltaR2 Dot Drop Enumerate Filter InvariantMass InvariantMasses InvariantMasses_PxPyPzM Intersect Map Max Mean "
    "Min Nonzero Product Range Reverse Sort StableArgsort StableSort StdDev Sum Take Var Where infinity quiet_NaN epsilon "
    "lowest npos"
)
_SCOPES = _words("std TMath ROOT VecOps Math VectorUtil numbers")
_OPEN_SCOPES = _words("TMath VecOps VectorUtil Math numbers")  # all that is in them computes
_HARMLESS = _TYPES | _FUNCTIONS | _SCOPES
_REACHES = re.compile(
    r".*stream.*|.*Stream.*|.*buf|std(in|out|err)|w?c(in|out|err|log)|errno|environ|asm|g[A-Z]\w*|T[A-Z]\w*|R(File|Raw)\w*|__\w+"
    r"|.*[Rr]andom.*|.*[Cc]lock.*|rand|[dlm]rand48|getpid|chrono|filesystem|thread|async|future|popen|system|getenv|dlopen|dlsym|syscall|mmap|socket"
)
_SEEDED = frozenset({"gRandom"})  # from the range and options.seed
_NO_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|^[ \t]*#[ \t]*include[^\n]*|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL | re.MULTILINE,
)
_TOKEN = re.compile(r"[A-Za-z_]\w*|\.?\d(?:[\w.']|(?<=[eE])[+-])*|::|->|\S")
_BODY = frozenset({"{", "const", "noexcept", "->", "override"})  # what follows a function's parameters where it is defined
_TRANSFORMS = {  # which of their arguments are C++
    "Filter": slice(0, 1),
    **dict.fromkeys(("Define", "Redefine", "DefinePerSample", "Vary"), slice(1, 2)),
    **dict.fromkeys(("Alias", "Range"), slice(0, 0)),
}
_ACTIONS = re.compile(
    r"Count|Sum|Mean|StdDev|Min|Max|Stats|Report|Take|AsNumpy|Graph(AsymmErrors)?|Histo(1|2|3|N)D|Profile[12]D|THn?(Sparse)?D"
)
MOST_SAID = 3


def in_run(graphs: Sequence[Sequence[Any]], user_code: Payload, declared: bool) -> list[str]:
    """What is unseen in a run of ``graphs``, each the nodes of one, with ``user_code``: see ``in_code`` and ``in_graph``."""
    of_code, sources = in_code(recording.steps(everything=declared), user_code)
    return list(dict.fromkeys([*of_code, *(each for nodes in graphs for each in in_graph(nodes, sources))]))


def in_graph(nodes: Iterable[Any], sources: Sequence[str] = ()) -> list[str]:
    """What is unseen in the operations of DistRDF's ``nodes``, in words; ``sources``: C++ that they may call."""
    found: list[str] = []
    known = _defined([_tokens(text) for text in sources])
    for operation in (each.operation for each in nodes if each.operation is not None):
        if operation.name not in _TRANSFORMS:
            if not _ACTIONS.fullmatch(operation.name):
                found.append(f"what {operation.name} does")
            continue
        named = [value for name, value in operation.kwargs.items() if name != "name"]
        given = [*operation.args[_TRANSFORMS[operation.name]], *named]
        if any(callable(each) for each in given):
            found.append(f"the Python function of a {operation.name}")
        texts = [each for each in given if isinstance(each, str)]
        found += [f"{name} in an expression of {operation.name}" for each in texts for name in in_text(each, known)]
    return list(dict.fromkeys(found))


def in_code(steps: Iterable[Step], user_code: Payload) -> tuple[list[str], list[str]]:
    """What is unseen in what workers are given of the program, in words; and the C++ of it that was read. ``steps`` are
    those that were recorded, of which ``user_code`` was made, perhaps with more."""
    found, sources = list[str](), list[tuple[str, str]]()
    for step in steps:
        if step.kind in ("library", "shared library"):
            found.append(f"library {step.text}")
        elif step.kind == "initialize":
            found.append("the function given to initialize")
        elif step.kind == "call":
            found.append(f"the Python function {step.text}")
        elif step.kind != "environment":
            sources += [(text, step.where or step.kind) for text in step.sources]
    recorded = {step.text for step in steps} | {text for text, _ in sources}
    for step_fields in user_code.fields["steps"]:
        if step_fields["do"] in ("header", "library") or "text" in step_fields:
            found += _unrecorded(step_fields, recorded)
    known = _defined([_tokens(text) for text, _ in sources])
    for text, where in sources:
        found += [f"{name}, in C++ of {where}" for name in in_text(text, known)]
    return list(dict.fromkeys(found)), [text for text, _ in sources]


def _unrecorded(fields: dict[str, Any], recorded: set[str]) -> Iterator[str]:
    """What came into DistRDF's registries without being seen."""
    what = str(fields["what"])
    named = fields.get("text") or what.partition(" ")[2]
    if what.startswith(("header", "shared library", "C++ code given")) and not any(named in each for each in recorded):
        yield what


def in_text(text: str, known: Iterable[str] = ()) -> list[str]:
    """Names in C++ that may reach for something, or of which nobody knows what they do; ``known`` were defined elsewhere."""
    tokens = _tokens(text)
    harmless = _HARMLESS.union(known, _defined([tokens]))
    found = (
        name for number, name in enumerate(tokens) if name.isidentifier() and not _is_harmless(tokens, number, harmless)
    )
    return list(dict.fromkeys(found))[:MOST_SAID]


def _tokens(text: str) -> list[str]:
    """The words and signs of C++, without comments, literals and includes: what those name is read, or not known."""
    return _TOKEN.findall(_NO_CODE.sub(' ""', text))


def _is_harmless(tokens: list[str], number: int, harmless: frozenset[str] | set[str]) -> bool:
    name, before, after = tokens[number], tokens[number - 1] if number else "", tokens[number + 1 : number + 2]
    if name in _KEYWORDS or name in _SEEDED:
        return True
    if before in (".", "->") and not name.startswith("__"):  # of an object that came from what is harmless
        return True
    if name not in harmless and _REACHES.fullmatch(name):
        return False
    if before == "::":
        scope = tokens[number - 2] if number > 1 else ""
        return name in harmless or scope in _OPEN_SCOPES
    is_used = (
        after[:1] in (["("], ["{"], ["::"]) or before in ("new", "using") or tokens[number + 1 : number + 3] == [")", "("]
    )
    is_type = bool(after) and (after[0].isidentifier() or after[0] == '"') and after[0] not in _KEYWORDS
    if is_used and after == ["("] and _is_type(tokens, number - 1, harmless):
        return True  # a variable, or a function that is declared: calls of it stand elsewhere
    return name in harmless or not (is_used or is_type)


def _defined(texts: Sequence[list[str]]) -> set[str]:
    """What these texts define and others may use: types, namespaces, functions that have a body."""
    found: set[str] = set()
    for tokens in texts:
        for number, name in enumerate(tokens):
            if not name.isidentifier() or name in _KEYWORDS or not number:
                continue
            before = tokens[number - 1]
            if before in _NAMING or (before in (",", "{") and tokens[number - 2 : number - 1] == ["enum"]):
                found.add(name)
            elif _is_type(tokens, number - 1, _HARMLESS | found):
                is_lambda = tokens[number + 1 : number + 3] == ["=", "["]
                if is_lambda or (tokens[number + 1 : number + 2] == ["("] and _has_body(tokens, number + 1)):
                    found.add(name)
    return found


def _is_type(tokens: list[str], number: int, harmless: frozenset[str] | set[str]) -> bool:
    """Whether the token there is the end of a type, so that a name which follows is new."""
    while number > 0 and tokens[number] in ("*", "&", "const"):
        number -= 1
    last = tokens[number] if number >= 0 else ""
    if last == ">":
        depth = 0
        while number >= 0:
            depth += (tokens[number] == ">") - (tokens[number] == "<")
            if depth == 0:
                return number > 0 and tokens[number - 1] in harmless
            number -= 1
        return False
    return last in harmless and last not in _FUNCTIONS and last not in _SCOPES


def _has_body(tokens: list[str], opening: int) -> bool:
    depth = 0
    for number in range(opening, len(tokens)):
        depth += (tokens[number] == "(") - (tokens[number] == ")")
        if depth == 0:
            return tokens[number + 1 : number + 2] != [] and tokens[number + 1] in _BODY
    return False
