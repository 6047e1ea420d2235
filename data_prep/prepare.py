"""`prepare`: check all inputs, then write every shard, then publish the data set.

Work in progress is kept in `OUTPUT/.prepare`; the data set appears in `OUTPUT` when all of it is
finished, `manifest.json` last. The same command resumes after a kill.
"""

import contextlib
import dataclasses
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bone_age_tf.config import PrepareConfig
from bone_age_tf.data.manifest import MANIFEST, DataSetManifest, load_data_set
from bone_age_tf.data.problems import PROBLEMS, Problem, summary, write_problems
from bone_age_tf.data.stratification import shuffle_key
from bone_age_tf.data_prep.checks import OnProgress, check, without
from bone_age_tf.data_prep.composition import composition, warnings_of_losses
from bone_age_tf.data_prep.deidentification import deidentified, header_warnings, write_ids
from bone_age_tf.data_prep.near_duplicates import (
    NEAR_DUPLICATES,
    kept_together,
    near_duplicates,
    warnings_of,
    write_near_duplicates,
)
from bone_age_tf.data_prep.preview import write_preview
from bone_age_tf.data_prep.publish import publish
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.data_prep.sources import find_source
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.data_prep.splits import assign_splits
from bone_age_tf.data_prep.work import (
    LOCK,
    WORK,
    keep_only,
    plan_digest,
    remove_all,
    shard_tasks,
    split_sizes,
)
from bone_age_tf.dicom import admission
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.files import locks
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.rejections import EXPLANATIONS

log = logging.getLogger(__name__)

Runner = Callable[[Sequence[ShardTask], Callable[[], None]], list[ShardResult]]
"""Maps `write_shard` over the tasks; calls the second argument for each record where it can."""


@dataclasses.dataclass(frozen=True)
class PrepareReport:
    """Result of `prepare`."""

    layout: str
    splits: dict[str, int]
    """Records (in a dry run: rows) of each split."""
    frame: tuple[int, int]
    problems: tuple[Problem, ...]
    """What was left out because of `skip_bad`; in a dry run, everything found."""
    fingerprint: str
    composition: dict[str, dict[str, int]]
    """Split -> radiographs of each sex and four-year band of the bone age (`composition.GROUPS`)."""
    warnings: tuple[str, ...] = ()
    """A sex or an age band of which nobody is left, a large share that was left out; of DICOM files,
    what their headers say against themselves or against the table; radiographs that look the same."""
    already_complete: bool = False


def prepare(
    config: PrepareConfig,
    *,
    dry_run: bool = False,
    preview: int = 0,
    runner: Runner | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> PrepareReport:
    """Make the data set that `config` describes.

    A radiograph that preprocessing rejects is left out with its reason. With a preview, sheets of
    that many radiographs and of all rejected ones are written into `OUTPUT/preview`.
    `on_progress(stage, done, total)` is called with the stages `headers` (of DICOM files), `check` and
    `prepare`.
    Raises `InputDataError` (with `OUTPUT/problems.csv` written) where rows or files are bad and
    `skip_bad` is not set, `EnvironmentFaultError` where another process prepares the same folder.
    """
    try:
        return _prepare(config, dry_run, preview, runner, on_progress or _say_nothing)
    finally:
        admission.accept()


def _say_nothing(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def _prepare(
    config: PrepareConfig,
    dry_run: bool,
    preview: int,
    runner: Runner | None,
    notify: Callable[[str, int, int], None],
) -> PrepareReport:
    jobs = config.jobs or os.cpu_count() or 1
    if dry_run:
        rows, problems, source = _check(config, jobs, notify, is_dry_run=True)
        splits = assign_splits(rows, config.split, config.seed)
        return _report(config, source, rows, splits, problems)
    output = Path(config.output)
    with _locked(output):
        rows, problems, source = _check(config, jobs, notify)
        if problems and not config.skip_bad:
            raise _problems_error(output, problems, "Nothing was prepared.", left=len(rows))
        if not rows:
            raise _problems_error(output, problems, "No radiograph is left.")
        splits = assign_splits(rows, config.split, config.seed)
        plan = plan_digest(config, source, rows, splits)
        if (output / MANIFEST).exists():
            done = _already_complete(output, plan)
            remove_all(output / WORK)
            problems = [Problem(**reject) for reject in done.rejects]
            _preview(config, rows, problems, preview)
            report = _report(config, source, without(rows, problems), splits, problems)
            return dataclasses.replace(report, already_complete=True)
        folder = output / WORK / plan
        keep_only(folder)
        tasks = shard_tasks(config, rows, splits, folder)
        total = len(rows)
        notify("prepare", 0, total)
        counter = _Counter(lambda done: notify("prepare", done, total))
        results = (runner or _local_runner(jobs))(tasks, counter.increment)
        problems += [problem for result in results for problem in result.rejects]
        _preview(config, rows, problems, preview)
        if not config.skip_bad and any(p.code not in EXPLANATIONS for p in problems):
            raise _problems_error(
                output, problems, "The data set was not published.", left=len(rows)
            )
        rejected = {problem.id for result in results for problem in result.rejects}
        rows = [row for row in rows if row.id not in rejected]
        if not rows:
            raise _problems_error(output, problems, "No radiograph is left.")
        write_problems(output / PROBLEMS, problems)
        write_near_duplicates(output / NEAR_DUPLICATES, near_duplicates(rows), splits)
        publish(
            config,
            source,
            rows,
            splits,
            plan=plan,
            work=folder,
            results=results,
            problems=problems,
        )
        remove_all(output / WORK)
        return _report(config, source, rows, splits, problems)


def _preview(
    config: PrepareConfig, rows: Sequence[CheckedRow], problems: Sequence[Problem], count: int
) -> None:
    """Sheets of the first rows in the seed's order, and of every rejected one."""
    if not count:
        return
    rejected = {problem.id for problem in problems if problem.code in EXPLANATIONS}
    shown = sorted(rows, key=lambda row: shuffle_key(config.seed, row.id))
    sample = [row for row in shown if row.id not in rejected][:count]
    written = write_preview(
        Path(config.output),
        sample,
        [row for row in shown if row.id in rejected],
        config.preprocessing,
        config.variants,
    )
    log.info("preview: %s", ", ".join(str(path) for path in written))


def _check(
    config: PrepareConfig,
    jobs: int,
    notify: Callable[[str, int, int], None],
    *,
    is_dry_run: bool = False,
) -> tuple[list[CheckedRow], list[Problem], Source]:
    admission.accept(*config.accept_dicom)
    source = deidentified(
        find_source(config),
        config,
        on_progress=lambda done, total: notify("headers", done, total),
        is_dry_run=is_dry_run,
    )
    log.info("layout: %s", source.layout)

    on_progress: OnProgress = lambda done, total: notify("check", done, total)  # noqa: E731
    rows, problems = check(
        source,
        config.label_options,
        limit=config.limit,
        seed=config.seed,
        jobs=jobs,
        on_progress=on_progress,
    )
    if not rows and not problems:
        raise InputDataError(f"{config.source}: the label table has no rows.")
    if not is_dry_run:
        write_ids(source, config, rows)
    return kept_together(rows, near_duplicates(rows)), problems, source


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Hold the folder for this process, and remove it again if nothing was written."""
    work = output / WORK
    busy = f"{output}: another process is preparing this folder. Wait for it, or choose another --output."
    with locks.held(work / LOCK, busy):
        try:
            yield
        finally:
            if [path.name for path in work.iterdir()] == [LOCK]:
                shutil.rmtree(work)
            with contextlib.suppress(OSError):
                output.rmdir()  # only where it is empty


def _local_runner(jobs: int) -> Runner:
    """Shards side by side in threads: TensorFlow's operations run outside Python's lock."""

    def run(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        pool = ThreadPoolExecutor(jobs)
        try:
            return list(pool.map(lambda task: write_shard(task, on_record), tasks))
        finally:
            pool.shutdown(cancel_futures=True)

    return run


class _Counter:
    """Counts from many threads."""

    def __init__(self, notify: Callable[[int], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._count = 0

    def increment(self) -> None:
        with self._lock:
            self._count += 1
            self._notify(self._count)


def _already_complete(output: Path, plan: str) -> DataSetManifest:
    done = load_data_set(output)
    if done.plan != plan:
        raise UsageError(
            f"{output} already holds a data set made from other data or with other settings. "
            "Choose another --output, or delete that folder."
        )
    return done


def _problems_error(
    output: Path, problems: Sequence[Problem], consequence: str, *, left: int = 0
) -> InputDataError:
    """`left`: the rows without a problem."""
    path = output / PROBLEMS
    advice = "Fix them, or leave them out with --skip-bad." if left else "Fix them."
    write_problems(path, problems)
    return InputDataError(
        f"{len(problems)} problems in the labels and files. {consequence}\n{summary(problems)}\n"
        f"All of them: {path}. {advice}"
    )


def _report(
    config: PrepareConfig,
    source: Source,
    rows: Sequence[CheckedRow],
    splits: dict[str, str],
    problems: Sequence[Problem],
) -> PrepareReport:
    is_made = config.skip_bad or all(problem.code in EXPLANATIONS for problem in problems)
    warnings = (
        warnings_of_losses(source, config.label_options, rows, problems)
        if rows and is_made and not config.limit
        else []
    )
    return PrepareReport(
        layout=source.layout,
        splits=split_sizes({row.id: splits[row.id] for row in rows}),
        frame=config.preprocessing.frame,
        problems=tuple(problems),
        fingerprint=pipeline.fingerprint(config.preprocessing),
        composition=composition(rows, splits),
        warnings=(
            *warnings,
            *header_warnings(source, rows),
            *warnings_of(rows, near_duplicates(rows), splits),
        ),
    )
