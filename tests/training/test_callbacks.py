from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bone_age_tf.training.callbacks import HistoryCsv, ProgressReport, SpeedCsv, ValidationResult

Call = tuple[str, int, int, str]


def row(epoch: int, **more: float) -> dict[str, Any]:
    return {"epoch": epoch, "mae_months": 30.0 / epoch, "learning_rate": 1e-3, **more}


def speed(path: Path, epoch: int, images_per_second: float) -> None:
    logs = {"images_per_second": images_per_second, "waiting_share": 0.1, "seconds": 3.0}
    SpeedCsv(path).on_epoch_end(epoch, {"mae_months": 9.0, **logs})


def test_groups_without_radiographs_are_left_out() -> None:
    ages = np.array([10.0, 47.9, 48.0, 240.0])
    result = ValidationResult(ages, ages + np.array([1, -3, 5, 7]), np.array([2, 0, 0, 2]))
    assert result.mae_by_sex() == {"F": 4.0, "unknown": 4.0}
    assert result.mae_by_age() == {"0-4 years": 2.0, "4-8 years": 5.0, "16-20 years": 7.0}


def test_history_holds_nothing_that_differs_between_repetitions(tmp_path: Path) -> None:
    rows = [row(1, validation_mae_months=20.0, images_per_second=81.3, seconds=2.0)]
    HistoryCsv(tmp_path / "first.csv", rows).on_epoch_end(0)
    slower = [row(1, seconds=9.0, images_per_second=7.0, validation_mae_months=20.0)]
    HistoryCsv(tmp_path / "second.csv", slower).on_train_begin()
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    assert (tmp_path / "first.csv").read_text() == (
        "epoch,mae_months,learning_rate,validation_mae_months\n1,30.0,0.001,20.0\n"
    )


def test_history_without_validation_has_no_column_for_it(tmp_path: Path) -> None:
    HistoryCsv(tmp_path / "history.csv", [row(1), row(2)]).on_epoch_end(1)
    assert (tmp_path / "history.csv").read_text().startswith("epoch,mae_months,learning_rate\n")


def test_history_of_a_run_without_epochs_is_not_written(tmp_path: Path) -> None:
    HistoryCsv(tmp_path / "history.csv", []).on_train_begin()
    assert not (tmp_path / "history.csv").exists()


def test_speed_of_earlier_processes_is_kept_and_of_a_repeated_epoch_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "speed.csv"
    for epoch, images_per_second in [(0, 50.0), (1, 60.0), (1, 70.0), (2, 80.0)]:
        speed(path, epoch, images_per_second)
    assert path.read_text().splitlines() == [
        "epoch,images_per_second,waiting_share,seconds",
        "1,50.0,0.1,3.0",
        "2,70.0,0.1,3.0",
        "3,80.0,0.1,3.0",
    ]


@pytest.fixture
def calls() -> list[Call]:
    return []


def report(calls: list[Call], rows: list[dict[str, Any]] | None = None) -> ProgressReport:
    """4 epochs of 10 steps of 8 radiographs."""
    return ProgressReport(
        lambda *call: calls.append(call), steps=10, batch_size=8, epochs=4, rows=rows or []
    )


def test_progress_counts_radiographs_over_all_epochs(calls: list[Call]) -> None:
    progress = report(calls)
    progress.on_epoch_begin(0, {"step": 0})
    progress.on_train_batch_end(0, {"mae_months": 31.26})
    progress.on_epoch_end(0, {})
    progress.on_epoch_begin(1, {"step": 0})
    progress.on_train_batch_end(9, {"mae_months": 9.0})
    assert calls == [
        ("train", 0, 320, "epoch 1/4"),
        ("train", 8, 320, "epoch 1/4  MAE 31.3 months"),
        ("train", 80, 320, "epoch 2/4"),
        ("train", 160, 320, "epoch 2/4  MAE 9.0 months"),
    ]


def test_a_resumed_run_counts_from_its_step_and_knows_its_last_validation(
    calls: list[Call],
) -> None:
    rows = [row(1, validation_mae_months=12.0), row(2, validation_mae_months=14.126)]
    progress = report(calls, rows)
    progress.on_epoch_begin(2, {"step": 5})
    assert calls == [("train", 25 * 8, 320, "epoch 3/4  validation 14.13 (best 12.00)")]
    progress.on_epoch_end(2, {"validation_mae_months": 11.5})
    progress.on_epoch_begin(3, {"step": 0})
    assert calls[-1][-1] == "epoch 4/4  validation 11.50 (best)"


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, ""), (0.02, ""), (0.031, "  3% waiting for data")]
)
def test_waiting_is_shown_where_it_is_worth_a_word(
    share: float, shown: str, calls: list[Call]
) -> None:
    progress = report(calls)
    progress.on_epoch_end(0, {"validation_mae_months": 12.0, "waiting_share": share})
    progress.on_epoch_begin(1, {"step": 0})
    assert calls[-1][-1] == f"epoch 2/4  validation 12.00 (best){shown}"
    progress.on_train_batch_end(0, {"mae_months": 5.0, "waiting_share": 0.5})
    assert calls[-1][-1].endswith("(best)  MAE 5.0 months  50% waiting for data")
