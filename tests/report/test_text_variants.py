import numpy as np
import pytest
from run_folders import make_run

from dim.evaluation.significance import holm
from dim.report.comparison import compare
from dim.report.contents import gather
from dim.report.grids import p_text, texts_grids
from dim.report.reading import read_systems
from dim.report.texts import missing_controls, side_by_side, variant_of


def text_run(folder, quality, text="brief", *, shuffled=(), fields=None, width=256, **facts):
    generator = np.random.default_rng(int(100 * quality))
    config = {
        "data": {"entity_text": text, "shuffle": list(shuffled)},
        "model": {"class_path": "DIM", "init_args": {"entity_fields": fields, "width": width, "fusion": "attention"}},
    }
    features = {"entity_text": text, "text_hash": f"hash of {text}", "text_encoder": "tiny"}
    ranks = np.where(generator.random(150) < quality, 1, 3)
    return make_run(folder, ranks, config=config, features=features, **facts)


def compared(folder):
    return compare(read_systems([folder], "dev").groups[0], None, 1000)


def test_texts_and_controls_of_one_model_stand_as_columns_in_the_papers_order(tmp_path):
    text_run(tmp_path / "a_plus", 0.8, "refreshed")
    text_run(tmp_path / "b_shuffled", 0.4, "refreshed", shuffled=["text"])
    text_run(tmp_path / "c", 0.6)
    text_run(tmp_path / "d_names", 0.5, fields=["name"])
    text_run(tmp_path / "e_nameless", 0.55, "refreshed", fields=["text", "image"])
    comparison = compared(tmp_path)
    (model,) = side_by_side(comparison)
    assert [variant.label for variant in model.systems] == [
        "name only", "name + brief", "name + refreshed", "refreshed without name", "name + another entity's refreshed",
    ]  # fmt: skip
    assert [system.name for system in model.systems.values()] == [
        "d_names", "c", "a_plus", "e_nameless", "b_shuffled",
    ]  # fmt: skip
    assert model.reference.label == "name + brief"
    by_label = {variant.label: test for variant, test in model.tests.items()}
    refreshed = by_label["name + refreshed"]
    hits = {system.name: system.hits for system in comparison.group.systems}
    assert refreshed.difference.value == pytest.approx(hits["a_plus"].mean() - hits["c"].mean())
    assert refreshed.p < 0.05
    ((shuffled, control),) = model.own_text.items()
    assert (shuffled.label, control.reference) == ("name + another entity's refreshed", "a_plus")
    assert control.difference.high < 0
    assert missing_controls([model], comparison) == ""


def test_differences_stand_under_their_texts_with_p_over_all_tests_shown(tmp_path):
    text_run(tmp_path / "a_plus", 0.8, "refreshed")
    text_run(tmp_path / "b_shuffled", 0.72, "refreshed", shuffled=["text"])
    text_run(tmp_path / "c", 0.6)
    contents = gather(read_systems([tmp_path], "dev"), None, [], False, 1000, "dim report")
    [part] = contents.parts
    [grid] = texts_grids(part)
    rows = {row[1]: row[2:] for row in grid.rows}
    hits = {system.name: system.hits for system in part.comparison.group.systems}
    assert [head.split("\n")[0] for head in grid.head[2:]] == [
        "name + brief", "name + refreshed", "name + another entity's refreshed",
    ]  # fmt: skip

    def gap(first, second):
        return f"{100 * (hits[first].mean() - hits[second].mean()):+.1f}"

    to_original = [cell.split("\n")[0] for cell in rows["Δ Top-1 to name + brief"]]
    assert to_original == ["reference", gap("a_plus", "c"), gap("b_shuffled", "c")]
    unshuffled = [cell.split("\n")[0] for cell in rows["Δ Top-1 to the same text, unshuffled"]]
    assert unshuffled == ["", "", gap("b_shuffled", "a_plus")]
    assert contents.num_tests == 3  # a_plus is the reference of the first table, too, so a pair is shown twice
    by_pair = {frozenset((test.system, test.reference)): test for test in part.tests}
    expected = dict(zip(by_pair, holm([test.p for test in by_pair.values()]), strict=True))
    shown = [row[2:] for row in grid.rows if row[1] == "p (Holm)"]
    assert shown == [
        ["", *(p_text(expected[frozenset((name, "c"))]) for name in ("a_plus", "b_shuffled"))],
        ["", "", p_text(expected[frozenset(("a_plus", "b_shuffled"))])],
    ]
    assert len({cell for row in shown for cell in row}) > 2


def test_another_model_is_another_row_and_other_options_never_share_one(tmp_path):
    for name, width in (("small", 128), ("large", 512)):
        text_run(tmp_path / name, 0.6, width=width)
        text_run(tmp_path / f"{name}_plus", 0.7, "refreshed", width=width)
    text_run(tmp_path / "alone", 0.7, "refreshed", width=64)
    models = side_by_side(compared(tmp_path))
    assert [[s.name for s in model.systems.values()] for model in models] == [
        ["large", "large_plus"], ["small", "small_plus"],
    ]  # fmt: skip


def test_entity_fields_that_differ_in_more_than_the_name_are_another_model(tmp_path):
    for name, fields in (("with", ["name", "text", "image"]), ("without", ["name", "text"])):
        text_run(tmp_path / name, 0.6, fields=fields)
        text_run(tmp_path / f"{name}_plus", 0.7, "refreshed", fields=fields)
    models = side_by_side(compared(tmp_path))
    assert [[s.name for s in model.systems.values()] for model in models] == [
        ["with", "with_plus"], ["without", "without_plus"],
    ]  # fmt: skip


def test_other_shuffled_fields_are_part_of_the_model(tmp_path):
    text_run(tmp_path / "a", 0.6, shuffled=["image"])
    text_run(tmp_path / "b", 0.7, "refreshed", shuffled=["image", "text"])
    text_run(tmp_path / "c", 0.7, "refreshed")
    ((model,),) = [side_by_side(compared(tmp_path))]
    assert [variant.label for variant in model.systems] == ["name + brief", "name + another entity's refreshed"]


def test_what_was_not_run_is_said(tmp_path):
    text_run(tmp_path / "a", 0.6)
    comparison = compared(tmp_path)
    assert "refreshed against original: not run" in missing_controls(side_by_side(comparison), comparison)
    text_run(tmp_path / "a_plus", 0.7, "refreshed")
    comparison = compared(tmp_path)
    missing = missing_controls(side_by_side(comparison), comparison)
    assert missing == "Not run: name only; name + another entity's refreshed."


def test_a_system_without_configuration_is_a_row_of_its_own(tmp_path):
    make_run(tmp_path / "foreign", [1, 2], config={}, features={}, model="foreign")
    comparison = compared(tmp_path)
    assert side_by_side(comparison) == []
    assert variant_of(comparison.group.systems[0]).text is None
