"""Predicted and measured latency of what searches under ``budget.latency_ms`` derived.

Times the networks of all runs named, interleaved, as the table of their cost was measured (PyTorch,
plain execution, batch 1, the runs' threads), and prints both figures beside the limit. A shared
machine is not equally fast every day: the convolution that was read beside every row of the table
is read here too, and the last column has the error of predictions times the ratio of its times.

    python scripts/check_latency.py runs/search/darts-pc_darts-s*
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to check

from nas import genotype  # noqa: E402
from nas.app.reopen import saved_config  # noqa: E402
from nas.build import Parts  # noqa: E402
from nas.costs.latency_table import read_latency  # noqa: E402
from nas.profile.backends import Eager  # noqa: E402
from nas.profile.measure import reference  # noqa: E402
from nas.profile.timing import interleaved  # noqa: E402
from nas.store.folder import RunFolder  # noqa: E402


def main() -> None:
    """Build, time, print."""
    parser = argparse.ArgumentParser(description="Predicted and measured latency of runs.")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=60)
    args = parser.parse_args()
    runs, told, tables = {}, {}, set()
    for path in args.runs:
        folder = RunFolder.open(path)
        cfg = saved_config(folder, [])
        torch.set_num_threads(int(cfg.threads or torch.get_num_threads()))
        file = genotype.load(folder.genotype)
        parts = Parts(cfg, cast(Any, SimpleNamespace(spec=folder.data_spec())))
        network = parts.space.network(file.choices).eval()
        example = torch.randn(1, *folder.data_spec().input_shape)
        runs[path.name] = Eager("plain").prepare(network, example)
        told[path.name] = cfg.budget.latency_ms, file.predicted["latency_ms"]
        tables.add(str(cfg.cost.latency_ms.table))
    (table,) = tables
    then = read_latency(table).about.get("reference_ms")
    with torch.inference_mode():
        timing = interleaved(runs, reference(torch.Generator().manual_seed(0)), args.repeats)
    now = timing.reference or 0.0
    slower = now / then if then else 1.0
    print(f"drift {timing.drift:.1%}; reference {now:.3f} ms now, {then} ms in {table}")
    print("| run | limit ms | predicted ms | measured ms (quartiles) | error | at this speed |")
    print("|---|---|---|---|---|---|")
    for name, row in timing.rows.items():
        limit, predicted = told[name]
        error = predicted / row.ms - 1
        spread = f"{row.ms:.2f} ({row.low:.2f} to {row.high:.2f})"
        scaled = predicted * slower / row.ms - 1
        print(f"| {name} | {limit} | {predicted:.2f} | {spread} | {error:+.1%} | {scaled:+.1%} |")


if __name__ == "__main__":
    main()
