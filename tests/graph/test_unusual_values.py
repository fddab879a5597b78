"""Variables travel with values that C++ has no plain literal for: not a number, infinity, quotation marks, zero bytes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import ROOT
from test_declared import total

pytestmark = pytest.mark.usefixtures("registries")

TEXTS = ['5" pipe', 'x)rdfl"; 1 + ("', "back\\slash ??=", "{([", "line\nline", "énergie", "a\0b", "// /*"]
NUMBERS = (
    "double all_{0}() {{ double sum = 0;"
    "for (auto x : v_{0}) sum = 3 * sum + (x != x ? 1 : x > 1e38 ? 2 : x < -1e38 ? 5 : x); return sum; }}"
)
TEXT = """
#include <map>
std::string v_{0}; std::vector<std::string> w_{0}; std::map<std::string, int> m_{0};
double all_{0}()
{{
   double sum = 0;
   for (unsigned char x : v_{0}) sum = 1.3 * sum + x;
   for (auto &each : w_{0}) sum += 1e3 * each.size();
   for (auto &[key, n] : m_{0}) sum += 1e6 * n + 1e8 * key.size();
   return sum;
}}
"""


@pytest.mark.parametrize(
    "kind", ["std::vector<float>", "std::vector<double>", "std::list<float>", "std::array<float, 4>", "float[4]"]
)
def test_numbers(kind: str, fexec: Any, tag: str) -> None:
    """A list with numbers that are none, or infinite, or of the largest and smallest."""
    values = [math.nan, math.inf, -math.inf, 1e-30]
    kind, behind = ("float", "[4]") if kind.endswith("]") else (kind, "")
    ROOT.gInterpreter.Declare(f"#include <list>\n#include <array>\n{kind} v_{tag}{behind}{{}}; {NUMBERS.format(tag)}")
    held = getattr(ROOT, f"v_{tag}")
    for number, value in enumerate(values):
        if hasattr(held, "push_back"):
            held.push_back(value)
        else:
            held[number] = value
    assert total(f"all_{tag}()") == total(f"all_{tag}()", fexec)


@pytest.mark.parametrize("kind", ["double", "float"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_number(kind: str, value: float, fexec: Any, tag: str) -> None:
    """One that is none, or infinite."""
    ROOT.gInterpreter.Declare(f"{kind} v_{tag} = 1;")
    setattr(ROOT, f"v_{tag}", value)
    for look in (f"v_{tag} != v_{tag}", f"v_{tag} > 1e30", f"v_{tag} < -1e30"):
        assert total(look) == total(look, fexec)


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str, fexec: Any, tag: str) -> None:
    """In a string, in a list of them, as a key, and behind a pointer."""
    ROOT.gInterpreter.Declare(TEXT.format(tag))
    setattr(ROOT, f"v_{tag}", text)
    getattr(ROOT, f"w_{tag}").push_back(text)
    getattr(ROOT, f"m_{tag}")[text] = 7
    assert total(f"all_{tag}()") == total(f"all_{tag}()", fexec)


def test_texts_of_c(fexec: Any, tag: str) -> None:
    """What a line of C++ has put behind a pointer, and into an array of characters."""
    ROOT.gInterpreter.Declare(f'#include <cstring>\nconst char *v_{tag} = ""; char w_{tag}[20] = ""; char c_{tag} = 1;')
    ROOT.gInterpreter.ProcessLine(f'[] {{ v_{tag} = "5\\" pipe"; strcpy(w_{tag}, "\\\\ \\"("); c_{tag} = \'"\'; }}();')
    look = f"strlen(v_{tag}) + 10. * strlen(w_{tag}) + 100. * (v_{tag}[1] == '\"') + 1000. * w_{tag}[2] + 1e6 * c_{tag}"
    assert total(look) == total(look, fexec)
