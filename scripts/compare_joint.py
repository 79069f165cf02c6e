"""Operations and bits in one search, beside operations first and their bits afterwards.

With every seed, under the same limit on bit operations: one joint search; and a search of
operations in fp32, whose cell is kept (architecture=) while its bits are searched. How many epochs
each of the three gets is given; processor times of the searches are measured, so that the table
says how equal the total cost was. All networks are retrained at equal lengths. What is finished is
not run again, and shows the processor time of the sitting in which it was.

    python scripts/compare_joint.py --limit 1e9 --joint 3 --operations 10 --bits 3 -- \
        data=cifar10 data.samples=2000 preset=cpu threads=1
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the sources beside this script are the ones to measure

import nas  # noqa: E402
from nas.analysis.statistics import differences, signed_rank, t_interval  # noqa: E402
from nas.files import read_json, write_json  # noqa: E402

SEARCH, WHOLE = "[search,derive]", "[search,derive,retrain,evaluate]"


def main() -> None:
    """Search, retrain, print."""
    args = arguments()
    limit = f"budget.bitops={args.limit:.10g}"
    print("| seed | arm | search, s of processor time | bit operations | accuracy % |")
    print("|---|---|---|---|---|", flush=True)
    accuracy: dict[str, list[float]] = {"joint": [], "one by one": []}
    for seed in args.seeds:
        joint = [f"strategy={args.strategy}", f"trainer.epochs={args.joint}", limit]
        joint += ["compression=superbit"]
        one = searched(args, seed, joint, SEARCH)
        first = searched(
            args,
            seed,
            [f"strategy={args.strategy}", f"trainer.epochs={args.operations}"],
            SEARCH,
        )
        bits = [f"architecture={first['folder'] / 'genotype.json'}", "strategy=darts", limit]
        bits += ["compression=superbit", f"trainer.epochs={args.bits}"]
        second = searched(args, seed, bits, SEARCH)
        for arm, words, seconds in (
            ("joint", joint, one["seconds"]),
            ("one by one", bits, first["seconds"] + second["seconds"]),
        ):
            whole = searched(args, seed, words, WHOLE)
            found = read_json(whole["folder"] / "evaluation.json")["test"]["found"]
            cost = read_json(whole["folder"] / "genotype.json")["predicted"]["bitops"]
            accuracy[arm].append(100 * found["accuracy"])
            print(
                f"| {seed} | {arm} | {seconds:.0f} | {cost:,.0f} | {accuracy[arm][-1]:.1f} |",
                flush=True,
            )
    told(accuracy)


def searched(
    args: argparse.Namespace, seed: int, words: Sequence[str], stages: str
) -> dict[str, Any]:
    """A run, and the processor time of its search, which is kept beside it."""
    begun = time.process_time()
    run = nas.search(
        *args.settings, *words, f"seed={seed}", f"stages={stages}", f"runs={args.runs}", quiet=True
    )
    seconds = time.process_time() - begun
    note = args.runs / f"{run.folder.name}.seconds.json"
    if not note.is_file():
        write_json(note, seconds)
    return {"folder": run.folder, "seconds": float(read_json(note))}


def told(accuracy: dict[str, list[float]]) -> None:
    """Means, and the paired difference."""
    joint, parts = accuracy["joint"], accuracy["one by one"]
    print(f"\njoint {fmean(joint):.2f}, one by one {fmean(parts):.2f} (%)")
    if len(joint) > 1:
        apart = differences(joint, parts)
        low, high = t_interval(apart) or (0.0, 0.0)
        print(
            f"joint - one by one: {fmean(apart):+.2f} ({low:+.2f} to {high:+.2f}), "
            f"signed-rank p {signed_rank(apart):.3g}"
        )


def arguments() -> argparse.Namespace:
    """The command line; what follows ``--`` are settings of nas search."""
    parser = argparse.ArgumentParser(description="Joint search beside one after the other.")
    parser.add_argument("--limit", type=float, required=True, help="on bit operations")
    parser.add_argument("--joint", type=int, required=True, help="epochs of the joint search")
    parser.add_argument("--operations", type=int, required=True, help="epochs of operations alone")
    parser.add_argument("--bits", type=int, required=True, help="epochs of bits alone")
    parser.add_argument("--strategy", default="pc_darts", help="of joint search and operations")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/joint"))
    parser.add_argument("settings", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    main()
