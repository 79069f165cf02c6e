"""The genotype file: exact round trip, an id over what matters, and every damage named."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas.genotype
from nas import genotype as gt
from nas.decision import Choice
from nas.errors import GenotypeError

CHOICES: dict[str, Choice] = {
    "normal/2": ("0", "1"),
    "normal/0->2": "sep_conv_3x3",
    "bits": 4,
    "width": 0.5,
}

names = st.text(min_size=0, max_size=12)
candidates = st.one_of(
    st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
choices = st.dictionaries(names, st.one_of(candidates, st.lists(candidates).map(tuple)), max_size=6)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), candidates),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
mappings = st.dictionaries(names, values, max_size=4)


@pytest.fixture
def file() -> gt.GenotypeFile:
    return gt.make(
        "darts",
        "0123456789ab",
        CHOICES,
        args={"steps": 4},
        macro={"layers": 20},
        view={"normal": [["sep_conv_3x3", 0]]},
        measured={"accuracy": 0.99},
        provenance={"seed": 0},
    )


def damaged(file: gt.GenotypeFile, **changes: Any) -> str:
    """The file's text with top-level fields replaced (None removes one)."""
    record = json.loads(gt.dumps(file)) | changes
    return json.dumps({name: value for name, value in record.items() if value is not None})


def one_sentence(message: str) -> None:
    assert "\n" not in message
    assert not re.search(r"[.!?] ", message), message


@given(choices, mappings, mappings, mappings)
def test_round_trip_is_exact(
    chosen: dict[str, Any],
    args: dict[str, Any],
    compression: dict[str, Any],
    provenance: dict[str, Any],
) -> None:
    file = gt.make(
        "s", "f", chosen, args=args, compression=compression, view=args, provenance=provenance
    )
    text = gt.dumps(file)
    again = gt.loads(text)
    assert again == file
    assert again.choices == chosen
    assert list(again.choices) == list(chosen)
    assert [type(c) for c in again.choices.values()] == [type(c) for c in chosen.values()]
    assert gt.dumps(again) == text
    assert gt.loads(text.encode("utf-8", "backslashreplace")) == file  # as nas.files writes it


@given(choices, mappings)
def test_layout_is_plain_json(chosen: dict[str, Any], args: dict[str, Any]) -> None:
    file = gt.make("s", "f", chosen, args=args)
    record = json.loads(gt.dumps(file))
    assert list(record) == list(gt.GenotypeFile.__struct_fields__)
    assert record["space"]["args"] == args
    assert {
        k: tuple(c) if isinstance(c, list) else c for k, c in record["choices"].items()
    } == chosen


@given(choices, st.randoms())
def test_id_ignores_order_and_what_was_measured(chosen: dict[str, Any], random: Any) -> None:
    shuffled = list(chosen.items())
    random.shuffle(shuffled)
    first = gt.make("s", "f", chosen)
    other = gt.make("s", "f", dict(shuffled), macro={"a": 1}, measured={"b": 2}, view={"c": 3})
    assert first.id == other.id
    assert re.fullmatch("[0-9a-f]{12}", first.id)


def test_id_is_the_documented_hash(file: gt.GenotypeFile) -> None:
    canonical = (
        '{"choices":{"bits":4,"normal/0->2":"sep_conv_3x3","normal/2":["0","1"],"width":0.5},'
        '"compression":{},"space":{"fingerprint":"0123456789ab","name":"darts"}}'
    )
    assert file.id == hashlib.sha256(canonical.encode()).hexdigest()[:12]


def test_id_changes_with_space_compression_and_choices(file: gt.GenotypeFile) -> None:
    others = [
        gt.make("nb201", "0123456789ab", CHOICES, args={"steps": 4}),
        gt.make("darts", "ba9876543210", CHOICES, args={"steps": 4}),
        gt.make("darts", "0123456789ab", CHOICES, args={"steps": 4}, compression={"w": 4}),
        gt.make("darts", "0123456789ab", CHOICES | {"bits": 8}, args={"steps": 4}),
        gt.make("darts", "0123456789ab", CHOICES | {"bits": "4"}, args={"steps": 4}),
    ]
    assert len({file.id, *(other.id for other in others)}) == 6
    assert gt.make("darts", "0123456789ab", CHOICES, args={"steps": 5}).id == file.id


def test_dumps_computes_the_id_anew(file: gt.GenotypeFile) -> None:
    changed = msgspec.structs.replace(file, choices={"bits": 8})
    assert gt.loads(gt.dumps(changed)).id == gt.compute_id(changed) != file.id


def test_layout_is_readable(file: gt.GenotypeFile) -> None:
    lines = gt.dumps(file).splitlines()
    expected = '  "space": {"name": "darts", "args": {"steps": 4}, "fingerprint": "0123456789ab"},'
    assert lines[1:3] == ['  "schema": "nas.genotype/1",', expected]
    many = gt.make("s", "f", {f"normal/{i}->{i + 1}": ("a", "b") for i in range(20)})
    assert '    "normal/3->4": ["a", "b"],' in gt.dumps(many).splitlines()


def test_lists_become_tuples(file: gt.GenotypeFile) -> None:
    assert gt.make("s", "f", {"a": ["x", "y"]}).choices == {"a": ("x", "y")}  # type: ignore[dict-item]
    assert gt.loads(gt.dumps(file)).choices == CHOICES


def test_save_and_load(tmp_path: Path, file: gt.GenotypeFile) -> None:
    path = gt.save(tmp_path / "deep" / "genotype.json", file)
    assert gt.load(path) == file
    assert [p.name for p in path.parent.iterdir()] == ["genotype.json"]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as some editors save
    assert gt.load(path) == file


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"schema": "nas.genotype/2"}, "schema", "'nas.genotype/2', the only version known"),
        ({"schema": 1}, "schema", "the only version known here is 'nas.genotype/1'"),
        ({"schema": None}, "schema", "is missing"),
        ({"space": None}, "space", "is missing"),
        ({"choices": None}, "choices", "is missing"),
        ({"id": None}, "id", "is missing"),
        ({"id": "000000000000"}, "id", "edited by hand"),
        ({"id": 7}, "id", "wrong type (expected str, got int)"),
        ({"choice": {}}, "choice", "is unknown; remove it; did you mean 'choices'?"),
        ({"space": "darts"}, "space", "wrong type (expected object, got str)"),
        ({"space": {"name": "darts"}}, "space.fingerprint", "is missing"),
        ({"space": {"name": 1, "fingerprint": "f"}}, "space.name", "expected str, got int"),
        (
            {"space": {"name": "d", "fingerprint": "f", "arg": {}}},
            "space.arg",
            "did you mean 'args'?",
        ),
        ({"choices": []}, "choices", "expected object, got array"),
        ({"choices": {"a": "x", "b": True}}, "choices.b", "is true; a choice is text"),
        ({"choices": {"b c": {"op": "x"}}}, "choices.b c", 'is {"op": "x"}'),
        ({"choices": {"b": ["x", ["y"]]}}, "choices.b", 'is ["x", ["y"]]'),
        ({"choices": {"b": [None]}}, "choices.b", "is [null]"),
        ({"choices": {"bits": 8}}, "id", "edited by hand"),
        ({"compression": {"w": 4}}, "id", "edited by hand"),
        ({"measured": [1]}, "measured", "expected object, got array"),
        ({"macro": "x"}, "macro", "expected object, got str"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, file: gt.GenotypeFile, change: dict[str, Any], field: str, words: str
) -> None:
    path = tmp_path / "hand.json"
    path.write_text(damaged(file, **change))
    with pytest.raises(GenotypeError) as caught:
        gt.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: field {field!r} ")
    assert words in message
    assert "; " in message  # a remedy follows
    one_sentence(message.replace(str(path), "").replace("?", ""))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b'{"schema": "nas.genotype/1",', "is not JSON"),
        (b"Genotype(normal=[('skip_connect', 0)])", "is not JSON"),
        (b"\x80\x04\x95pickle", "is not JSON"),
        (b'{"schema": "nas.genotype/1", "choices": {"a": NaN}}', "NaN is not a finite number"),
        (b'{"schema": "nas.genotype/1", "choices": {"a": 1e999}}', "1e999 is not a finite number"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "holds no genotype but a list"),
        (b"null", "holds no genotype"),
        (b"{}", "field 'schema' is missing"),
    ],
)
def test_what_is_no_genotype_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(GenotypeError, match=re.escape(words)) as caught:
        gt.load(path)
    assert str(path) in str(caught.value)


@given(st.data())
def test_truncation_is_always_an_error_that_names_the_file(data: st.DataObject) -> None:
    text = gt.dumps(gt.make("darts", "0123456789ab", CHOICES, args={"steps": 4}))
    end = data.draw(st.integers(0, len(text.rstrip()) - 1))
    with pytest.raises(GenotypeError, match=r"cut\.json is not JSON"):
        gt.loads(text[:end], source="cut.json")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('"bits": 4', '"bits": 4, "bits": 4', "choices"),
        ('"seed": 0', '"seed": 0, "seed": 1', "provenance"),
        ('{"steps": 4}', '{"steps": 4, "steps": 4}', "space.args"),
        ('"compression": {}', '"compression": {}, "compression": {}', "(top)"),
    ],
)
def test_names_given_twice_are_refused(
    file: gt.GenotypeFile, old: str, new: str, field: str
) -> None:
    text = gt.dumps(file).replace(old, new)
    with pytest.raises(GenotypeError, match=rf"field {re.escape(repr(field))} holds '\w+' twice"):
        gt.loads(text)


@pytest.mark.parametrize("depth", [70, 500, 900, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_absurd_nesting_is_an_error_too(
    file: gt.GenotypeFile, depth: int, left: str, right: str
) -> None:
    nested = f'"provenance": {{"x": {left * depth}1{right * depth}, '
    text = gt.dumps(file).replace('"provenance": {', nested)
    with pytest.raises(GenotypeError, match=r"is nested deeper than 64|is not JSON"):
        gt.loads(text)


def test_an_edit_can_be_accepted_by_the_id_the_message_names(file: gt.GenotypeFile) -> None:
    text = gt.dumps(file).replace('"bits": 4', '"bits": 8')
    with pytest.raises(GenotypeError) as caught:
        gt.loads(text)
    wanted = re.findall(r"set the id to '(\w+)'", str(caught.value))[0]
    assert gt.loads(text.replace(file.id, wanted)).choices["bits"] == 8


def test_missing_file_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(GenotypeError, match=r"nothere\.json: there is no such file"):
        gt.load(tmp_path / "nothere.json")
    with pytest.raises(GenotypeError, match="that is a folder"):
        gt.load(tmp_path)


@pytest.mark.parametrize("choice", [True, None, float("nan"), float("inf"), {"a": 1}, ("x", None)])
def test_make_refuses_what_is_no_choice(choice: Any) -> None:
    with pytest.raises(GenotypeError, match="decision 'd' is"):
        gt.make("s", "f", {"ok": "x", "d": choice})


def test_make_names_the_field_json_cannot_hold() -> None:
    with pytest.raises(GenotypeError, match=r"field 'space\.args'"):
        gt.make("s", "f", {}, args={"a": object()})


def test_check_space_names_both(file: gt.GenotypeFile) -> None:
    gt.check_space(file, "darts", "0123456789ab")
    with pytest.raises(GenotypeError, match=r"'darts'.*'nb201'"):
        gt.check_space(file, "nb201", "0123456789ab")
    with pytest.raises(GenotypeError, match=r"'0123456789ab'.*'ffffffffffff'"):
        gt.check_space(file, "darts", "ffffffffffff")


def test_shipped_schema_agrees() -> None:
    shipped = Path(nas.genotype.__file__).with_name("genotype.schema.json")
    # To renew it, write this text to that file.
    assert shipped.read_text(encoding="utf-8") == json.dumps(gt.json_schema(), indent=2) + "\n"


def test_schema_is_strict_and_names_every_field() -> None:
    schema = gt.json_schema()
    record = schema["$defs"]["GenotypeFile"]
    assert list(record["properties"]) == list(gt.GenotypeFile.__struct_fields__)
    assert record["required"] == ["schema", "space", "choices", "id"]
    assert record["additionalProperties"] is False
    assert record["properties"]["schema"] == {"enum": ["nas.genotype/1"]}
