import pytest

from localcloud.testing.waiting import eventually


def test_the_first_true_answer_is_returned() -> None:
    answers = iter([0, "", [], "yes", "no"])
    assert eventually(lambda: next(answers)) == "yes"


def test_what_was_waited_for_is_shown_with_its_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"this was not true within 0 s: .*queue_is_empty.*; last answer: False"):
        eventually(queue_is_empty, 0)


def queue_is_empty() -> bool:
    return False


def test_a_check_without_source_code_is_named() -> None:
    with pytest.raises(AssertionError, match="built-in method"):
        eventually([].sort, 0)
