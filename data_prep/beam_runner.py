"""`write_shard` mapped by Apache Beam (extra `[beam]`): DirectRunner, Flink, Spark, Dataflow.

The source and the output must be accessible to every worker under the same path, and every
worker needs this package.
"""

from collections.abc import Callable, Sequence

from bone_age_tf.data_prep.shards import ShardResult, ShardTask, read_result, write_shard
from bone_age_tf.errors import EnvironmentFaultError, UsageError


def beam_runner(
    options: Sequence[str],
) -> Callable[[Sequence[ShardTask], Callable[[], None]], list[ShardResult]]:
    """A runner for `prepare`; `options` go to Beam as they are, as in `--runner=FlinkRunner`."""
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UsageError(
            "--runner beam needs Apache Beam. Install it with: pip install 'bone-age-tf[beam]'"
        ) from error

    def run(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            names = (
                pipeline
                | "Shards" >> beam.Create(list(tasks))
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.Map(_write)
            )
            del names  # the results are read back from the folder
        return [_finished(task) for task in tasks]

    return run


def _write(task: ShardTask) -> str:
    return write_shard(task).shard.name


def _finished(task: ShardTask) -> ShardResult:
    result = read_result(task)
    if result is None:
        raise EnvironmentFaultError(
            f"{task.folder}/{task.name}: Beam finished but the shard is not there. "
            "Expected every worker to write to the folder of --output under the same path."
        )
    return result
