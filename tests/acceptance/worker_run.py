"""Runs under the newest official client, untouched: its EnvironmentWorker, for as long as it lives. Reads JSON on stdin."""

import asyncio
import json
import sys

from anthropic import AsyncAnthropic


async def main() -> None:
    given = json.loads(sys.stdin.readline())
    async with AsyncAnthropic(base_url=given["url"], api_key="none") as client:
        worker = client.beta.environments.work.worker(
            environment_id=given["environment"],
            environment_key=given["key"],
            workdir=given["folder"],
            max_idle=given["max_idle"],
        )
        await worker.run()


asyncio.run(main())
