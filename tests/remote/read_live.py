"""Run by a Python with apolo-flow or neuro-flow: print the evaluated .neuro/live.yml as JSON.

Every expression is worked out as `apolo-flow run --dry-run` does it, without a cluster.
"""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from apolo_flow.config_loader import LiveLocalCL
from apolo_flow.context import RunningLiveFlow
from apolo_flow.parser import find_workspace, parse_live
from apolo_sdk import Parser

CONFIG = SimpleNamespace(
    username="someone",
    org_name="organisation",
    cluster_name="cluster",
    project_name_or_raise="project",
)
"""What the command line knows after `apolo login`."""


async def work_out(root: Path, given: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Images, volumes and jobs; `given` are the parameters of jobs."""
    client = SimpleNamespace(config=CONFIG, parse=Parser._create(CONFIG))
    names = list(parse_live(root, root / ".neuro/live.yml").jobs)
    flow = await RunningLiveFlow.create(LiveLocalCL(find_workspace(root), client), dry_run=True)
    jobs = {name: await flow.get_job(name, given.get(name, {})) for name in names}
    for job in jobs.values():
        client.parse.volumes(job.volumes)
    return {
        "images": {name: dataclasses.asdict(image) for name, image in flow.images.items()},
        "volumes": {name: dataclasses.asdict(volume) for name, volume in flow.volumes.items()},
        "jobs": {name: dataclasses.asdict(job) for name, job in jobs.items()},
    }


if __name__ == "__main__":
    found = asyncio.run(work_out(Path(sys.argv[1]).resolve(), json.loads(sys.argv[2])))
    sys.stdout.write("\n" + json.dumps(found, default=str))
