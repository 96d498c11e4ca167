"""Peak memory of a campaign over that of an idle client, with and without a journal."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio

from benchmarks.generate import phones
from tests.reliability.runs import SALE
from tests.reliability.scales import Scale
from tests.reliability.table import Row
from webcom_async import WebcomClient
from webcom_async._cli.commands.emulate import Child, Settings, child

__all__ = ["measure"]

_MIB = 1 << 20


def measure(scale: Scale, seed: int) -> list[Row]:
    """Measure both, each in a process of its own."""
    rows = []
    for journaled, bar in ((False, 60.0), (True, 120.0)):
        command = [sys.executable, "-m", __name__, str(scale.recipients), str(seed), str(int(journaled))]
        figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        rows.append(
            Row(
                f"peak memory over an idle client, {'with' if journaled else 'without'} a journal",
                f"{figures['accepted']:,} recipients",
                f"{bar:.0f} MiB",
                f"{figures['over_idle']:.1f} MiB",
                figures["over_idle"] <= bar and figures["accepted"] == figures["sent"] == scale.recipients,
            )
        )
    return rows


def _main() -> None:
    recipients, seed, journaled = map(int, sys.argv[1:])
    with child(Settings()) as emulator, tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal" if journaled else None
        sys.stdout.write(json.dumps(anyio.run(_figures, emulator, recipients, seed, journal)))


async def _figures(emulator: Child, recipients: int, seed: int, journal: Path | None) -> dict[str, float]:
    async with WebcomClient(token=emulator.token, base_url=emulator.base_url) as client:
        await client.send("79612242243", "warm up", sender="ACME")
        idle = _peak()
        report = await client.send_all(phones(recipients, seed), journal=journal, **SALE)
        return {"accepted": report.accepted, "sent": emulator.ledger()["sent"] - 1, "over_idle": _peak() - idle}


def _peak() -> float:
    """Return the peak memory of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


if __name__ == "__main__":
    _main()
