"""What the text of a cell means does not depend on how it is written, and is exact to the last digit."""

import math
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrain.data.matching import matched
from nettrain.data.values import disguised, exact_number, is_marker, moment, number, plain_number, truth

whole = st.integers(-(10**30), 10**30)
decimals = st.decimals(-(10**12), 10**12, places=4)


@given(whole)
def test_a_whole_number_keeps_all_its_digits(value):
    assert plain_number(str(value)) == str(value)
    assert plain_number(f"{value}.0") == plain_number(f"{value}.") == str(value)
    assert exact_number(f"{value}") == exact_number(f"{value}.000") == exact_number(f"{value}e0")
    assert exact_number(f"{value}") != exact_number(f"{value + 1}")


@given(decimals)
def test_the_shortest_form_is_the_same_number_and_has_no_shorter_one(value):
    text = format(value, "f")
    shortest = plain_number(text)
    assert Decimal(shortest) == value
    assert plain_number(shortest) == shortest
    assert len(shortest) <= len(text)
    assert plain_number(text.replace(".", ","), ",") == shortest
    assert plain_number(f"{text}0") == shortest


@pytest.mark.parametrize(
    "code", ["007", "00501", "-01", "1e2", "1_000", "0x10", "12 ", "", ".", "-", "1.2.3", "１", "inf"]
)
def test_what_may_be_a_code_is_no_plain_number(code):
    assert plain_number(code) is None


exact_texts = st.builds(
    lambda sign, a, b, e: f"{sign}{a}{'.' + b if b else ''}{e}",
    st.sampled_from(["", "-", "+"]),
    st.text("0123456789", min_size=1, max_size=25),
    st.text("0123456789", max_size=25),
    st.one_of(st.just(""), st.integers(-30, 30).map(lambda e: f"e{e}")),
)


@given(exact_texts, exact_texts)
def test_numbers_are_equal_as_fractions_are(first, second):
    assert (exact_number(first) == exact_number(second)) == (Fraction(first) == Fraction(second))
    assert exact_number(first) == exact_number(first + "0" if "." in first and "e" not in first else first)


def test_a_huge_exponent_takes_no_time():
    assert exact_number("1e999999999") != exact_number("1e999999998")
    assert exact_number("1e9999999999") is None


cents = st.decimals(0, 10**12, places=2)


@given(cents, st.sampled_from(["", "-", "+", "\u2212"]), st.sampled_from("$€£"), st.sampled_from(["", " ", "\u00a0"]))
def test_prices_are_read_as_what_they_say(value, sign, currency, blank):
    number = -float(value) if sign in ("-", "\u2212") else float(value)
    grouped = f"{value:,.2f}"
    continental = grouped.translate(str.maketrans(",.", ".,"))
    for text in (f"{sign}{currency}{grouped}", f"{currency}{sign}{grouped}", f"{sign}{grouped}{blank}{currency}"):
        assert disguised(text, ".") == (number, currency)
    for group in (" ", "\u00a0", "\u202f", "'", "."):
        text = continental.replace(".", group)
        assert disguised(f"{sign}{text}{blank}{currency}", ",") == (number, currency)
    assert disguised(f"({currency}{grouped})", ".") == (-float(value), currency)


@given(st.decimals(-1000, 1000, places=1))
def test_percentages_are_the_numbers_before_the_sign(value):
    assert disguised(f"{value}%", ".") == disguised(f"{value} %", ".") == (float(value), "%")
    assert disguised(f"{value}%".replace(".", ","), ",") == (float(value), "%")


@pytest.mark.parametrize(
    "text",
    [
        "1,23",
        "12,34,5",
        "0,123",
        "1,2345",
        "$",
        "%",
        "$5%",
        "5 5",
        "(12)",
        "--5",
        "$1,234.50 each",
        "1,234.5.6",
        "(5$",
        "5)",
    ],
)
def test_what_is_no_number_with_its_digits_in_groups_is_none(text):
    assert disguised(text, ".") is None


@given(st.text(max_size=12))
def test_any_text_can_be_asked_for_its_meaning(text):
    for mark in ".,":
        found = disguised(text, mark)
        assert found is None or math.isfinite(found.value)
        assert isinstance(number(text, mark), float)
    for meaning in (exact_number, moment, truth, is_marker, plain_number):
        hash(meaning(text))


times = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30))


@given(times, times)
def test_a_moment_is_the_same_in_every_way_of_writing_it(time, other):
    texts = [str(time), time.isoformat(), time.isoformat(sep=" "), f"{time:%Y-%m-%d %H:%M:%S.%f}000"]
    assert len({moment(text) for text in texts}) == 1
    assert (moment(str(time)) == moment(str(other))) == (time == other)
    utc = {moment(f"{time.isoformat()}{end}") for end in ("Z", "+00:00", "+0000", " UTC")}
    ahead = time + timedelta(hours=2)
    assert utc == {moment(f"{ahead.isoformat()}+02:00")}
    assert moment(str(time)) not in utc


def test_a_date_is_its_midnight_as_pandas_and_arrow_write_it():
    day = pd.Timestamp("2024-03-01")
    texts = ["2024-03-01", str(day), day.isoformat(), "2024-03-01 00:00", "2024-03-01 00:00:00.000000000"]
    assert len({moment(text) for text in texts}) == 1
    assert moment("2024-02-30") is moment("20240301") is moment("2024-13-01") is moment("01.03.2024") is None


@given(st.lists(st.integers(-(2**70), 2**70), unique=True, min_size=1), st.data())
def test_no_number_is_taken_for_another(numbers, data):
    known = [str(value) for value in numbers]
    forms = [data.draw(st.sampled_from([f"{v}", f"{v}.0", f"{v}.", f"{v}e0", f"{v}0e-1"])) for v in numbers]
    assert matched(forms, known) == dict(zip(forms, known, strict=True))
    assert matched([str(value) for value in numbers], forms) == dict(zip(known, forms, strict=True))


@given(st.lists(st.text(max_size=4), unique=True), st.lists(st.text(max_size=4), unique=True))
def test_a_known_text_is_itself_and_a_match_is_a_known_text(new, known):
    found = matched(new, known)
    assert {text: found[text] for text in new if text in known} == {text: text for text in new if text in known}
    assert set(found) <= set(new)
    assert set(found.values()) <= set(known)


@pytest.mark.parametrize(
    ("new", "known", "found"),
    [
        (["True", "False"], ["0", "1"], {"True": "1", "False": "0"}),
        (["1.0", "0.0"], ["False", "True"], {"1.0": "True", "0.0": "False"}),
        (["YES"], ["no", "yes"], {"YES": "yes"}),
        (["yes", "no"], ["f", "t"], {"yes": "t", "no": "f"}),
        (["yes"], ["no", "yes", "maybe"], {"yes": "yes"}),
        (["true"], ["no", "yes", "maybe"], {}),
        (["true", "maybe"], ["no", "yes"], {}),
        (["y", "t"], ["n", "y"], {"y": "y"}),  # letters of a code, rather than truth values
        (["501", "10001"], ["00501", "10001"], {"501": "00501", "10001": "10001"}),
        (["100"], ["1e2", "100"], {"100": "100"}),
        (["100.0"], ["1e2", "100"], {}),
        (["2024-01-01 00:00:00"], ["2024-01-01"], {"2024-01-01 00:00:00": "2024-01-01"}),
        (["e\u0301"], ["é"], {"e\u0301": "é"}),
        (["Bern"], ["bern"], {}),
    ],
)
def test_what_a_new_text_is_taken_for(new, known, found):
    assert matched(new, known) == found


def test_letter_case_and_a_full_stop_make_no_difference_where_that_is_asked_for():
    assert matched(["BERN", "graz"], ["Bern", "Graz"], ignore_case=True) == {"BERN": "Bern", "graz": "Graz"}
    assert matched(["BERN"], ["Bern", "bern"], ignore_case=True) == {}
    assert matched([">50K.", "<=50K."], ["<=50K", ">50K"], labels=True) == {">50K.": ">50K", "<=50K.": "<=50K"}
    assert matched([">50K.", "other"], ["<=50K", ">50K"], labels=True) == {}
    assert matched([">50K."], ["<=50K", ">50K"]) == {}
