"""Test accuracy of 3-NN and an RBF support-vector machine on the splits of nas.data.Digits.

Usage: python scripts/baseline_digits.py [--seeds 5]

Trained on gray levels 0..16 with settings fixed beforehand, once on the samples a network is
trained on (weights and architecture) and once with the validation split added. They say what an
accuracy on these splits is worth: some splits are easier than others.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from nas.data import ArrayData, Digits

TRAINING = (("weights", "architecture"), ("weights", "architecture", "validation"))


def correct_answers(data: ArrayData) -> Iterator[tuple[str, int]]:
    """Per model and training set a heading and the number of correct test answers."""
    levels = np.rint(data.inputs.flatten(1).numpy() * (16 / 255))
    targets, test = data.targets.numpy(), data.indices("test").numpy()
    for parts in TRAINING:
        training = np.concatenate([data.indices(part).numpy() for part in parts])
        for name, model in (
            ("3-NN", KNeighborsClassifier(n_neighbors=3)),
            ("RBF-SVM", SVC(kernel="rbf", C=10, gamma=0.001)),
        ):
            answers = model.fit(levels[training], targets[training]).predict(levels[test])
            yield f"{name} on {len(training)}", int((answers == targets[test]).sum())


def main() -> None:
    """Print one line per split seed, then mean, standard deviation and minimum."""
    parser = argparse.ArgumentParser(description="3-NN and RBF-SVM on the digits splits.")
    parser.add_argument("--seeds", type=int, default=5, help="split seeds 0..N-1 (default 5)")
    rates: list[list[float]] = []
    for seed in range(parser.parse_args().seeds):
        data = Digits(split_seed=seed).load()
        hits, test = dict(correct_answers(data)), data.counts()["test"]
        if seed == 0:
            print("samples: " + ", ".join(f"{part} {n}" for part, n in data.counts().items()))
            print("split seed  " + "  ".join(f"{heading:>17}" for heading in hits))
        cells = (f"{hit}/{test} = {hit / test:.2%}" for hit in hits.values())
        print(f"{seed:>10}  " + "  ".join(f"{cell:>17}" for cell in cells))
        rates.append([hit / test for hit in hits.values()])
    table = np.array(rates)
    rows = {"mean": table.mean(0), "minimum": table.min(0)}
    if len(table) > 1:
        rows["sd"] = table.std(0, ddof=1)
    for label, row in rows.items():
        print(f"{label:>10}  " + "  ".join(f"{rate:>17.2%}" for rate in row))


if __name__ == "__main__":
    main()
