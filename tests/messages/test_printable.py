"""Names from files: harmless, printable and distinct."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcb.messages.printable import LONGEST, csv_text, display_names, look, printable, shortened

HOSTILE = [
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m",
    "fox\r\nTraining finished",
    "\u202eflow\u2066",
    "\ufeffwolf\u200b",
    "\ud83e",
    "\x00\x7f",
    "",
    " \u3000\t",
    "y" * 5000,
    "y" * 5001,
]
NAMES = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=6),  # with surrogates
        st.sampled_from([*HOSTILE, "fox", "fox", "hot dog", "hot_dog", "fox (2)", "fox (3)"]),
    ),
    max_size=12,
)


@settings(deadline=None, derandomize=True)
@given(names=NAMES)
def test_names_are_safe_short_and_distinct(names):
    shown = display_names(names)
    assert len(shown) == len(names)
    assert len({look(name) for name in shown}) == len(names)
    assert display_names(shown) == shown
    for name in shown:
        assert 0 < len(name) <= LONGEST
        name.encode("utf-8")
        categories = {unicodedata.category(c) for c in name} - {"Cf"}  # joiners
        assert not categories & {"Cc", "Cs", "Zl", "Zp"}
        assert not set(name) & set("\u202e\u2066\ufeff\u200b")


def test_usual_names_are_not_changed():
    usual = ["hot_dog", "monitor_(computer_equipment) computer_monitor", "猫", "ไก่", "🦊", "a\\n"]
    usual += ["👨\u200d👩\u200d👧", "\u0645\u06cc\u200c\u062e\u0648\u0627", "$x$", "<b>", "=1+1"]
    assert display_names(usual) == usual


def test_classes_with_the_same_name_are_numbered():
    assert display_names(["fish", "fish", "dog"]) == ["fish (1)", "fish (2)", "dog"]
    assert display_names(["a b", "a_b", "a  b"]) == ["a b (1)", "a_b (2)", "a  b (3)"]
    assert display_names(["a", "a", "a (2)"]) == ["a (1)", "a (3)", "a (2)"]
    # Any number of them, quickly.
    many = display_names(["fish"] * 1203)
    assert many[-1] == "fish (1203)" and len(set(many)) == 1203


def test_hostile_names_are_escaped_visibly():
    shown = display_names(HOSTILE)
    assert shown[0] == r"\x1b]0;owned\x07\x1b[2J"
    assert shown[1:7] == [
        r"\x9b31m",
        r"fox\r\nTraining finished",
        r"\u202eflow\u2066",
        r"\ufeffwolf\u200b",
        r"\ud83e",
        r"\x00\x7f",
    ]
    assert shown[7:9] == ["(no name)", r"\t"]
    assert shown[9].endswith("y… (1)") and shown[10].endswith("… (2)")


def test_printable_keeps_the_characters_it_is_told_to():
    assert printable("one\ntwo\x1b", keep="\n") == "one\ntwo\\x1b"
    assert shortened("abc", 3) == "abc" and shortened("abcd", 3) == "ab…"


FULL_WIDTH = [f"{char}A1" for char in "\uff1d\uff0b\uff0d\uff20"]


@pytest.mark.parametrize(
    "formula",
    ["=cmd|' /C calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", *FULL_WIDTH],
)
def test_no_cell_is_a_formula(formula):
    ((cell, number),) = csv.reader(io.StringIO(csv_text([[formula, -1.5]])))
    assert cell[0] == "'" and cell[1:] == printable(formula)
    assert number == "-1.5"


def test_every_table_can_be_written():
    text = csv_text([HOSTILE, [None, 1, 0.25, True, "a, b", 'c"d']])
    text.encode("utf-8")
    first, second = csv.reader(io.StringIO(text))
    assert first == [printable(name) for name in HOSTILE]
    assert second == ["", "1", "0.25", "True", "a, b", 'c"d']
