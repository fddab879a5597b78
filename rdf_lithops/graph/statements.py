"""C++ as text: where a statement ends, what it is (a declaration or something that is done), and which names it brings.

This is no parser: Cling has compiled each text before it is looked at here, so that only sense has to be made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["acts_outside", "assigned", "in_code", "is_declaration", "masked", "names", "runs", "split", "variables", "words"]

_LITERAL = re.compile(  # or a number, whose quotes separate digits
    r"(?P<number>(?<![\w.])\.?\d(?:[eEpP][-+]|'?[\w.])*)|"
    r'R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/',
    re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_TYPE = re.compile(r"\s*(?:class|struct|union|enum|typedef)\b")
_ELABORATED = re.compile(  # a variable, of a type that is said to be one
    r"(?:class|struct|union|enum)\s+(?!class\b|struct\b)([\w:]+\s[\s*&]*(?!final\b)\w+\s*(?:[=\[,;]|$).*)", re.DOTALL
)
_BLOCK = re.compile(r'\s*(?:inline\s+)?(?:namespace\b|extern\s+"?\s*"?\s*\{)')
_DONE = re.compile(r"\s*(?:if|for|while|do|switch|try|return|delete|throw|break|continue|goto)\b|\s*\{|\s*[-+*!(]")
_DECLARING = re.compile(
    r"\s*(?:#|using\b|namespace\b|class\b|struct\b|enum\b|union\b|typedef\b|template\b|extern\b|static\b|inline\b|constexpr\b"
    r"|const\b|auto\b|volatile\b|unsigned\b|signed\b|long\b|short\b|thread_local\b|R__LOAD_LIBRARY\b|R__ADD_INCLUDE_PATH\b)"
)
_VARIABLE = re.compile(r"\s*[\w:]+(?:\s*<.*>)?(?:::\w+)*(?:[\s&*]|const\b)+(\w+)\s*(?:[=({\[;,]|$)", re.DOTALL)
_ASSIGNED = re.compile(  # or what a function returns
    r"\s*(?:::)?([A-Za-z_]\w*)\s*(?:<[^;=]*>\s*)?(?:(?:::|\.|->)|\[.*?\]|(?:[-+*/|&^%]|<<|>>)?=(?!=)|\+\+|--"
    r"|\([^;=]*\)\s*(?:\.|->|(?:[-+*/|&^%]|<<|>>)?=(?!=)))",
    re.DOTALL,
)
_POINTER = re.compile(  # to a function or an array: what stands around its name
    r"(?<=[\w>*&\s])\(\s*(?:\w+\s*::\s*)*[*&]+\s*(?:const\s+)?(\w+)\s*((?:\[[^\]]*\]\s*)*)\)(?=\s*[(\[])"
)
_PLAINER = (
    (re.compile(r"\[\[.*?\]\]|\balignas\s*\([^()]*\)"), " "),
    (re.compile(r"\bdecltype\s*\((?:[^()]|\([^()]*\))*\)"), "auto"),
    (re.compile(r"\bauto\s*&{0,2}\s*\[([\w\s,]+)\](?=\s*[={(])"), r"auto \1"),
    (_POINTER, r" \1\2 "),
    (re.compile(r"(?<=\s)(?:\w+\s*::\s*)+\*\s*(?=\w)"), ""),  # to a member
)
_THROUGH = re.compile(  # what a pointer leads to, an element of a tuple, and what is counted up
    r"(?:(?:std::)?get\s*<[^;=]*>\s*\(\s*|\(?\s*\*\s*)(?:::)?([A-Za-z_]\w*)[^=;]*(?<![=!<>])=(?!=)|(?:\+\+|--)\s*(?:::)?([A-Za-z_]\w*)"
)
_OUTSIDE = re.compile(
    r"gSystem\s*->\s*(?:Exec|Unlink|Rename|CopyFile|mkdir|Symlink|OpenPipe|Exit)|\b(?:system|popen|fopen|unlink|remove|rename"
    r"|exit|abort|fork)\s*\(|\bofstream\b|(?:->|\.)\s*(?:Write|SaveAs|SaveSource|Print|Draw|Snapshot|WriteObject|Terminate)\s*\("
    r"|\b(?:TCanvas|TBrowser|TApplication|TServerSocket|TPad)\b"
)
_WRITING = re.compile(r'"\s*(?:recreate|update|new|create)\s*"', re.IGNORECASE)


def masked(text: str) -> str:
    """``text`` with literals (but numbers) and comments blanked, each character in its place."""

    def blank(found: re.Match[str]) -> str:
        if found["number"]:
            return found[0]
        inner = re.sub(r"[^\n]", " ", found[0])
        return inner if found[0].startswith("/") else f'"{inner[1:-1]}"'

    return _LITERAL.sub(blank, text)


def words(text: str) -> set[str]:
    """The identifiers in ``text``, outside of literals and comments."""
    return set(_WORD.findall(masked(text)))


def in_code(pattern: str, by: str, text: str) -> str:
    """``text`` with identifiers that match replaced, but for literals and comments."""
    pieces, end = [], 0
    for found in re.finditer(rf"\b{pattern}\b", masked(text)):
        pieces += [text[end : found.start()], by]
        end = found.end()
    return "".join([*pieces, text[end:]])


def split(text: str) -> list[str]:
    """The statements of ``text`` at its outermost level, comments before them included."""
    ends = list(_ends(masked(text)))
    pieces = [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return [piece for piece in pieces if masked(piece).strip(" \t\r\n;")]


def _ends(text: str) -> Iterator[int]:
    """Where statements of masked ``text`` end."""
    begin, depth, at = 0, 0, 0
    while at < len(text):
        character = text[at]
        at += 1
        if depth == 0 and character == "#" and not text[begin : at - 1].strip():
            at = _line_end(text, at)
        elif character in "([{":
            depth += 1
            continue
        elif character in ")]}":
            depth -= 1
            if depth or character != "}" or not _closes(text[begin:at], text[at:]):
                continue
        elif depth or character != ";":
            continue
        yield at
        begin = at


def _line_end(text: str, at: int) -> int:
    """The end of the preprocessor's line that goes on at ``at``."""
    while (end := text.find("\n", at)) != -1 and text[:end].rstrip(" \t\r").endswith("\\"):
        at = end + 1
    return len(text) if end == -1 else end + 1


def _closes(statement: str, rest: str) -> bool:
    """Whether ``statement``, which ends with a brace, is complete: functions, namespaces and loops are, types are not."""
    head = _without_template(statement)
    before = head.partition("{")[0]
    if _BLOCK.match(statement):
        return True
    if re.match(r"\s*(?:else\b|catch\b|while\b)", rest) and _DONE.match(statement):
        return False
    if _DONE.match(head):
        return True
    if _TYPE.match(head) and ")" not in before:
        return False
    return bool(re.search(r"\boperator\b", before)) or (")" in before and "=" not in _outside_parentheses(before))


def _without_template(text: str) -> str:
    """``text`` without ``template <...>`` at its begin."""
    head = re.match(r"\s*template\s*<", text)
    if head is None:
        return text
    depth, at = 1, head.end()
    while at < len(text) and depth:
        depth += {"<": 1, ">": -1}.get(text[at], 0)
        at += 1
    return _without_template(text[at:])


def _outside_parentheses(text: str) -> str:
    """What of ``text`` stands in no parentheses or brackets."""
    while (less := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", text)) != text:
        text = less
    return text


def is_declaration(statement: str) -> bool:
    """Whether ``statement`` declares or defines something, or is the preprocessor's; else it does something."""
    text = _plain(masked(statement))
    if _DONE.match(text):
        return False
    if re.match(r"[\w:&*<>, ]+\boperator\b", text):
        return True
    return bool(_DECLARING.match(text) or _VARIABLE.match(text))


def runs(text: str) -> bool:
    """Whether anything may be computed when ``text`` is given to the interpreter: not by functions and types alone."""
    plain = [masked(piece).strip() for piece in split(text)]
    quiet = r"(?:template|class|struct|namespace|using|typedef)\b|#(?!\s*include\b)"
    return bool(variables(text)) or not all(re.match(quiet, piece) or _is_function(piece) for piece in plain)


def _is_function(text: str) -> bool:
    return text.endswith("}") and _closes(text, "") and not _DONE.match(text)


def _plain(text: str) -> str:
    """Masked ``text`` with all as plain variables that is declared otherwise: pointers to functions, arrays and members,
    structured bindings, what has attributes."""
    for pattern, by in _PLAINER:
        text = pattern.sub(by, text)
    return text.strip()


def _is_pointer_to_function(text: str) -> bool:
    """Whether masked ``text`` begins a variable that is one, or is an array of them; not a function that is given one."""
    found = _POINTER.search(text)
    if found is None or text.count("(", 0, found.start()) > text.count(")", 0, found.start()):
        return False
    return text[found.end() :].lstrip().startswith("(")


def assigned(statement: str) -> str:
    """The variable that ``statement``, no declaration, assigns to or calls a method of; empty for others."""
    text = masked(statement).strip()
    found = _THROUGH.match(text) or _ASSIGNED.match(text)
    return found[found.lastindex or 1] if found else ""


def acts_outside(text: str) -> str:
    """What in ``text`` writes, draws or starts something outside of the process, as it is written there; empty for none."""
    found = _OUTSIDE.search(masked(text)) or _WRITING.search(text)
    return found[0].strip() if found else ""


def names(text: str) -> set[str]:
    """The names that ``text`` declares outside of functions and classes, those in namespaces included."""
    found: set[str] = set()
    for statement in split(text):
        found |= _names_of(masked(statement).strip())
    return found - {"operator", "const", "noexcept"}


def variables(text: str, inside: str = "", to_functions: bool = False, that_change: bool = False) -> set[str]:
    """The qualified names of the variables that ``text`` defines outside of functions, static members included; or of the
    pointers to functions, and no others. ``that_change``: without constants."""
    found: set[str] = set()
    for statement in split(text):
        plain = masked(statement).strip()
        block = re.match(r"(?:inline\s+)?namespace\s*([\w:]*)\s*\{", plain)
        if block:
            body = statement[statement.index("{") + 1 : statement.rindex("}")]
            found |= variables(body, f"{inside}{block[1]}::" if block[1] else inside, to_functions, that_change)
        elif _is_pointer_to_function(plain.partition("=")[0]) != to_functions or (that_change and _is_constant(plain)):
            continue
        elif re.match(r"(?:class|struct|union|enum)\b", plain):
            of_it = _names_of(plain) if _ELABORATED.match(plain) else _names_behind_body(plain)
            found |= {f"{inside}{name}" for name in of_it}
            if re.match(r"(?:class|struct)\s+\w+[^;()]*\{", plain):
                found |= _static_members(statement, inside)
        elif not re.match(r"#|using\b|typedef\b|template\b|extern\b|namespace\b", plain):
            is_function = _closes(plain, "") and plain.endswith("}")
            is_lambda = re.match(r"(?:(?:static|inline|const|constexpr)\s+)*auto\b[^=]*=\s*\[.*\}\s*;?$", plain, re.DOTALL)
            if not is_function and not is_lambda and (is_declaration(statement) or plain.startswith("auto ")):
                found |= {f"{inside}{name}" for name in _names_of(plain) - {"operator", "const", "noexcept"}}
    return found


def _is_constant(text: str) -> bool:
    """Whether masked ``text`` declares variables that nobody may assign to."""
    head = re.split(r"[=({;]", text, maxsplit=1)[0]
    while (less := re.sub(r"<[^<>]*>", "", head)) != head:
        head = less
    return bool(re.search(r"\bconst\b.*\*\s*const\b|\bconstexpr\b" if "*" in head else r"\bconst(?:expr)?\b", head))


def _static_members(statement: str, inside: str) -> set[str]:
    """The qualified names of the static members that are variables of the class which ``statement`` defines."""
    name = re.match(r"\s*(?:class|struct)\s+(\w+)", masked(statement))
    body = statement[statement.index("{") + 1 : statement.rindex("}")]
    pieces = [re.sub(r"^\s*(?:public|private|protected)\s*:", "", masked(piece)).strip() for piece in split(body)]
    fields = [re.match(r"(?:inline\s+)?static\s+(?!const)[^=({;]*?(\w+)\s*(?:[={;]|$)", piece) for piece in pieces]
    return {f"{inside}{name[1]}::{field[1]}" for field in fields if field} if name else set()


def _names_of(text: str) -> set[str]:
    if text.startswith("#"):
        return set(re.findall(r"#\s*define\s+(\w+)", text))
    head = _plain(_without_template(text))
    if _BLOCK.match(head):
        return names(head.partition("{")[2].rpartition("}")[0]) | set(
            re.findall(r"namespace\s+(\w+)", head.partition("{")[0])
        )
    if head.startswith("using"):
        return set(re.findall(r"using\s+(\w+)\s*=", head))
    if found := _ELABORATED.match(head):
        return _names_of(found[1])
    if _TYPE.match(head):
        kinds = re.findall(r"(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)", head)[:1]
        others = _WORD.findall(head)[-1:] if head.startswith("typedef") else []
        return {*kinds, *others, *_names_behind_body(head)}
    called = re.match(r"[^={;]*?([A-Za-z_]\w*)\s*\(", head)
    if called and _closes(head, "") and head.endswith("}"):
        return {called[1]}
    outside = _outside_parentheses(re.sub(r"\{.*?\}", "{", head, flags=re.DOTALL))
    declared = re.sub(r"=[^,;]*", "=", outside)
    while (less := re.sub(r"<[^<>;]*>", "", declared)) != declared:
        declared = less
    return set(re.findall(r"([A-Za-z_]\w*)\s*(?=[=({\[;,]|$)", declared))


def _names_behind_body(text: str) -> set[str]:
    """The variables that masked ``text`` declares behind the body of the class, union or enumeration that it defines."""
    depth = 0
    for at, character in enumerate("" if text.startswith("typedef") else text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "}" and not depth:
            behind = text[at + 1 :].strip(" \t\r\n;")
            return _names_of(f"auto {behind}") if behind else set()
    return set()
