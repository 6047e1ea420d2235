import logging
import threading
import warnings

import pytest

from bone_age_tf.files.quiet import without_messages_of


def _speak(package: str) -> None:
    """As a module of the package would."""
    logging.getLogger(package).warning("a log line")
    warnings.warn_explicit("a warning", UserWarning, "reader.py", 1, module=f"{package}.reader")


def test_a_package_is_silent_inside_and_speaks_outside(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with without_messages_of("quiet", "talkative"):
            _speak("talkative")
            logging.getLogger("talkative.reader").warning("a line of a logger below it")
        assert caplog.records == []
        with pytest.raises(UserWarning):
            _speak("talkative")
    assert [record.message for record in caplog.records] == ["a log line"]


def test_others_speak_inside() -> None:
    with without_messages_of("talkative"), pytest.warns(UserWarning, match="a warning"):
        _speak("another")


def test_filters_are_as_before_after_an_error_and_in_many_threads() -> None:
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(50):
            try:
                with without_messages_of("talkative"):
                    raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    assert logging.getLogger("talkative").level == logging.NOTSET
