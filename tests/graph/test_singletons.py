"""What a function keeps and hands out (``static Config c; return c;``) is on workers as the program has changed it."""

from __future__ import annotations

from typing import Any

import pytest
import ROOT
from test_declared import total

from rdf_lithops.graph import singletons

pytestmark = pytest.mark.usefixtures("registries")

CONFIG = "struct Config_{0} {{ double a = 1; std::vector<double> cuts; std::string name; }};"
KEPT = {  # C++ ({0}: the tag) and the call that gives it, in C++ and in Python
    "function": ("Config_{0} &config_{0}() {{ static Config_{0} c; return c; }}", "config_{0}().", "config_{0}()"),
    "in a namespace": (
        "namespace n_{0} {{ inline Config_{0} &get() {{ static Config_{0} c{{2.}}; return c; }} }}",
        "n_{0}::get().",
        "n_{0}.get()",
    ),
    "of a class": (
        "class One_{0} {{ public: static One_{0} &get() {{ static One_{0} c; return c; }} double a = 1;"
        "std::vector<double> cuts; std::string name; }};",
        "One_{0}::get().",
        "One_{0}.get()",
    ),
    "by a pointer": (
        "struct One_{0} : Config_{0} {{ static One_{0} *get() {{ static One_{0} *c = new One_{0}; return c; }} }};",
        "One_{0}::get()->",
        "One_{0}.get()",
    ),
}


@pytest.mark.parametrize("kind", KEPT)
def test_changed_in_python(kind: str, fexec: Any, tag: str) -> None:
    """Its members, also between declarations that use them, and again later."""
    code, in_cpp, in_python = (text.format(tag) for text in KEPT[kind])
    ROOT.gInterpreter.Declare(CONFIG.format(tag) + code)
    look = f"{in_cpp}a + 10 * {in_cpp}name.size() + 100 * {in_cpp}cuts.size()"
    assert total(look) == total(look, fexec)
    kept = eval(f"ROOT.{in_python}", {"ROOT": ROOT})
    kept.a, kept.name = 5.0, "tight"
    kept.cuts.push_back(3.0)
    ROOT.gInterpreter.Declare(f"double before_{tag} = {in_cpp}a;")
    kept.a = 7.0
    look += f" + 1000 * before_{tag}"
    assert 4 * 5157.0 == total(look) == total(look, fexec)


@pytest.mark.parametrize("kind", KEPT)
def test_changed_by_lines(kind: str, fexec: Any, tag: str) -> None:
    """A line that sets a member of what the call gives is repeated."""
    code, in_cpp, _ = (text.format(tag) for text in KEPT[kind])
    ROOT.gInterpreter.Declare(CONFIG.format(tag) + code)
    ROOT.gInterpreter.ProcessLine(f"{in_cpp}a = 7;")
    ROOT.gInterpreter.ProcessLine(f"double before_{tag} = {in_cpp}a; {in_cpp}a = 8;")
    look = f"{in_cpp}a + 10 * before_{tag}"
    assert 4 * 78.0 == total(look) == total(look, fexec)


@pytest.mark.parametrize("spelling", ["line", "Python"])
def test_changed_by_a_call(spelling: str, fexec: Any, tag: str) -> None:
    """A function that the program has called, which is not repeated, has set a member."""
    code, in_cpp, _ = (text.format(tag) for text in KEPT["function"])
    ROOT.gInterpreter.Declare(f"{CONFIG.format(tag)} {code} void configure_{tag}(double x) {{ {in_cpp}a = x; }}")
    if spelling == "line":
        ROOT.gInterpreter.ProcessLine(f"configure_{tag}(7);")
    else:
        getattr(ROOT, f"configure_{tag}")(7.0)
    assert 4 * 7.0 == total(f"{in_cpp}a") == total(f"{in_cpp}a", fexec)


def test_what_does_not_travel_is_told(fexec: Any, tag: str, caplog: Any) -> None:
    """One that holds what ROOT cannot write, and that the program has used, is warned of, once."""
    ROOT.gInterpreter.Declare(
        f"struct Table_{tag} {{ std::map<int, double> of; }};"
        f"Table_{tag} &table_{tag}() {{ static Table_{tag} t; return t; }}"
    )
    assert total(f"table_{tag}().of.size()", fexec) == 0.0
    assert [] == [record.message for record in caplog.records if tag in record.message]
    getattr(ROOT, f"table_{tag}")().of[3] = 5.0
    for _ in range(2):
        total(f"table_{tag}().of.size()", fexec)
    (told,) = [record.message for record in caplog.records if tag in record.message]
    assert f"table_{tag}() may have changed" in told
    assert "does not travel" in told


def test_a_collection(fexec: Any, tag: str) -> None:
    """One that a function keeps travels, too, also when it has been emptied."""
    ROOT.gInterpreter.Declare(
        f"std::map<int, double> &table_{tag}() {{ static std::map<int, double> t{{{{1, 2.}}}}; return t; }}"
        f"double at_{tag}(int n) {{ auto &t = table_{tag}(); return t.count(n) ? t[n] : -1; }}"
    )
    table = getattr(ROOT, f"table_{tag}")()
    table[3] = 5.0
    assert 4 * 7.0 == total(f"at_{tag}(1) + at_{tag}(3)", fexec)
    table.clear()
    assert 4 * -2.0 == total(f"at_{tag}(1) + at_{tag}(3)", fexec)


def test_there_is_none(fexec: Any, tag: str) -> None:
    """A pointer to nothing, which the program has asked for, has nothing to travel; once it leads to an object that does."""
    ROOT.gInterpreter.Declare(
        f"struct One_{tag} {{ double a = 1; static One_{tag} *&get() {{ static One_{tag} *one = nullptr; return one; }} }};"
        f"struct Two_{tag} {{ double a = 1; static Two_{tag} *get() {{ static Two_{tag} *one = nullptr; return one; }} }};"
    )
    assert not getattr(ROOT, f"One_{tag}").get()
    assert not getattr(ROOT, f"Two_{tag}").get()
    look = f"One_{tag}::get() ? One_{tag}::get()->a : Two_{tag}::get() ? 1. : 2."
    assert 4 * 2.0 == total(look) == total(look, fexec)


def test_nobody_elses_is_made(fexec: Any, tag: str) -> None:
    """One that the program has not used is not made here: its constructor may do anything."""
    ROOT.gInterpreter.Declare(
        f"int made_{tag} = 0; struct Heavy_{tag} {{ double a = 1; Heavy_{tag}() {{ ++made_{tag}; }} }};"
        f"Heavy_{tag} &heavy_{tag}() {{ static Heavy_{tag} h; return h; }}"
    )
    assert 4.0 == total("1.", fexec)
    assert 0 == getattr(ROOT, f"made_{tag}")


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("Config &config() { static Config c; return c; }", ["config()"]),
        ("Config &Config::get() noexcept { static Config c(1, 2); return c; }", ["Config::get()"]),
        ("std::map<int, double> &table() { static std::map<int, double> t{{1, 2.}}; return t; }", ["table()"]),
        ("struct A { A &me() { static A a; return a; } };", []),
        ("const A &a() { static const A a; return a; }", []),
        ("double count() { static double n = 0; return ++n; }", []),
        ("A &of(int n) { static A a; return a; }", []),
    ],
)
def test_which_functions_keep_something(code: str, names: list[str]) -> None:
    """A body that makes a static object and returns it, without arguments, from a function or a static member."""
    assert names == list(singletons.names_in(code))
