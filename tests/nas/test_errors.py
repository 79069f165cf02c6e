import pytest

from nas.errors import ConfigError, GenotypeError, NasError, SpaceError, nearest


@pytest.mark.parametrize("kind", [SpaceError, GenotypeError, ConfigError])
def test_every_user_error_is_caught_as_one_kind(kind: type[NasError]) -> None:
    with pytest.raises(NasError, match="the sentence"):
        raise kind("the sentence")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("serch", "; did you mean 'search'?"),
        ("SEARCH", "; did you mean 'search'?"),
        ("retrian", "; did you mean 'retrain'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_nearest_names_the_closest_known_word(word: str, expected: str) -> None:
    assert nearest(word, ["search", "retrain", "evaluate"]) == expected


def test_nearest_keeps_the_spelling_of_the_known_word() -> None:
    assert nearest("pc_darts_cifar", ["PC_DARTS_cifar"]) == "; did you mean 'PC_DARTS_cifar'?"


def test_nearest_of_nothing_known_is_empty() -> None:
    assert nearest("word", []) == ""
