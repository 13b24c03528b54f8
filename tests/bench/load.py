"""Load from wrk, on the second core, and tables of medians."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.servers import LOAD_CORE, Peer


@dataclass(frozen=True)
class Sample:
    """What one run of wrk saw.

    Attributes:
        requests_per_s: answers in a second.
        mb_per_s: bytes in a second, in MB (10^6).
        mb_per_cpu_s: bytes for each second of the server's processor time, in MB.
    """

    requests_per_s: float
    mb_per_s: float
    mb_per_cpu_s: float


def drive(peer: Peer, connections: int, seconds: int, *arguments: str) -> Sample:
    """Ask a server for the same thing as often as it can answer."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    cpu_before_s = peer.cpu_s()
    printed = subprocess.run(
        [*command, *arguments, peer.url], capture_output=True, text=True, check=True
    ).stdout
    cpu_s = peer.cpu_s() - cpu_before_s
    if re.search(r"Non-2xx|Socket errors: .*[1-9]", printed):
        raise SystemExit(f"{peer.name} did not answer as it should:\n{printed}")
    totals = re.search(r"(\d+) requests in ([\d.]+)s, ([\d.]+)([KMG]?)B read", printed)
    assert totals, printed
    requests, taken_s, amount, unit = totals.groups()
    # wrk counts in powers of 1024.
    megabytes = float(amount) * 1024 ** " KMG".index(unit or " ") / 1e6
    return Sample(
        int(requests) / float(taken_s), megabytes / float(taken_s), megabytes / max(cpu_s, 0.01)
    )


def compare(
    peers: Sequence[Peer], connections: int, runs: int, seconds: int, *arguments: str
) -> dict[str, Sample]:
    """Drive several servers in turn, so that a slow minute is slow for all."""
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for _ in range(runs):
        for peer in peers:
            samples[peer.name].append(drive(peer, connections, seconds, *arguments))
    return {
        name: Sample(
            median(s.requests_per_s for s in taken),
            median(s.mb_per_s for s in taken),
            median(s.mb_per_cpu_s for s in taken),
        )
        for name, taken in samples.items()
    }


def show(title: str, peers: Sequence[Peer], medians: dict[str, Sample]) -> None:
    """Print the medians of several servers, and the first one's ratio to each."""
    print(f"\n{title}")
    print(f"{'':24}{'requests/s':>12}{'MB/s':>10}{'MB/CPU-s':>10}{'peak MB':>10}")
    for peer in peers:
        sample = medians[peer.name]
        print(
            f"{peer.name:24}{sample.requests_per_s:12,.0f}{sample.mb_per_s:10,.0f}"
            f"{sample.mb_per_cpu_s:10,.0f}{peer.peak_mb():10.1f}"
        )
    ours = medians[peers[0].name]
    for peer in peers[1:]:
        sample = medians[peer.name]
        print(
            f"{peers[0].name} / {peer.name}: {ours.requests_per_s / sample.requests_per_s:.2f} "
            f"in requests/s, {ours.mb_per_cpu_s / sample.mb_per_cpu_s:.2f} in MB/CPU-s"
        )
