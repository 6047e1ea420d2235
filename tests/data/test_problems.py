"""Problems are counted by kind, shown by example, and listed in full as CSV."""

from pathlib import Path

from bone_age_tf.data.problems import Problem, problems_csv, summary, write_problems


def _problem(row: int, code: str, message: str = "") -> Problem:
    return Problem("a.csv", row, f"i{row}", "", code, message or f"why {row}")


def test_a_summary_counts_each_kind_and_shows_examples() -> None:
    problems = [_problem(row, "no_image") for row in range(2, 15_616)]
    problems += [_problem(20_000, "bad_sex", "what to do")]
    lines = summary(problems).splitlines()
    assert lines[:2] == [
        "  15614  row without a file [no_image]",
        "      1  unclear or unknown sex [bad_sex]",
    ]
    assert lines[3] == "  a.csv, row 2, id i2: why 2 [no_image]"
    assert lines[-1] == "  a.csv, row 20000, id i20000: what to do [bad_sex]"
    assert len(lines) == 7


def test_many_problems_with_one_message_have_one_example() -> None:
    problems = [_problem(row, "bad_sex", f"the sex '{row % 2}'") for row in range(2, 12)]
    assert summary(problems).splitlines()[2:] == [
        "  a.csv, row 2, id i2: the sex '0' [bad_sex]",
        "  a.csv, row 3, id i3: the sex '1' [bad_sex]",
    ]


def test_a_reason_of_rejection_is_counted_as_one() -> None:
    text = summary([_problem(2, "not_a_hand"), _problem(3, "not_a_hand")])
    assert text.startswith("  2  rejected radiograph [not_a_hand]\n")
    assert len(text.splitlines()) == 4


def test_a_single_problem_is_its_line() -> None:
    assert summary([_problem(2, "bad_age")]) == "  a.csv, row 2, id i2: why 2 [bad_age]"


def test_problems_csv_holds_every_problem_on_a_line() -> None:
    problems = [Problem("a.csv", 2, "1", "1.png", "bad_age", 'the age "x", no number')]
    assert problems_csv(problems) == (
        'table,row,id,file,code,message\na.csv,2,1,1.png,bad_age,"the age ""x"", no number"\n'
    )


def test_problems_of_an_earlier_call_do_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "problems.csv"
    write_problems(path, [_problem(2, "bad_age")])
    assert path.read_text().count("\n") == 2
    write_problems(path, [])
    assert not path.exists()
