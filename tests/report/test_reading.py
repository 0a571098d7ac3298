from __future__ import annotations

import json

import pytest

from paddle_mobileseg.report.reading import number, read_bundle, read_log, read_records, read_run


def log(tmp_path, *lines: str):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


TRAIN = '{"kind": "train", "iter": %d, "loss": %s}'


def test_half_written_last_line_is_left_out(tmp_path) -> None:
    path = log(tmp_path, TRAIN % (1, 2.5), TRAIN % (2, 2.0), '{"kind": "tra', "")
    assert [record["loss"] for record in read_log(path)] == [2.5, 2.0]
    assert read_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("broken", ['{"kind": "tra', "[1, 2]", '{"kind": "train"}', '{"iter": 4}'])
def test_a_broken_line_elsewhere_is_named(tmp_path, broken: str) -> None:
    path = log(tmp_path, TRAIN % (1, 2.5), broken, TRAIN % (2, 2.0))
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2"):
        read_log(path)


def test_of_a_repeated_iteration_the_later_record_counts(tmp_path) -> None:
    log(tmp_path, TRAIN % (10, 1.0), TRAIN % (20, 2.0), TRAIN % (30, 3.0), TRAIN % (20, 2.5))
    run = read_run(tmp_path)
    assert [(record["iter"], record["loss"]) for record in run.train] == [(10, 1.0), (20, 2.5), (30, 3.0)]
    assert run.evaluations == [] and run.scores is None and run.config is None


def test_missing_runs_are_one_clear_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no run folder .*nowhere"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "config.yml").write_text("iters: 3\n")
    with pytest.raises(FileNotFoundError, match=r"neither log\.jsonl .* nor val\.json"):
        read_run(tmp_path)
    log(tmp_path, "")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_run(tmp_path)


def test_an_evaluation_alone_is_enough(tmp_path) -> None:
    (tmp_path / "val.json").write_text(json.dumps({"miou": 0.5}))
    assert read_run(tmp_path).scores == {"miou": 0.5}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_json_is_named(tmp_path, content: str) -> None:
    (tmp_path / "val.json").write_text(content)
    with pytest.raises(ValueError, match=r"val\.json"):
        read_run(tmp_path)


def test_bundles_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="mobileseg export"):
        read_bundle(tmp_path)
    (tmp_path / "deploy.yaml").write_text("Deploy: {model: a}\n")
    with pytest.raises(ValueError, match="no section 'Bundle'"):
        read_bundle(tmp_path)
    (tmp_path / "deploy.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match=r"deploy\.yaml is damaged"):
        read_bundle(tmp_path)


def test_records_are_those_of_the_bundles(made) -> None:
    run, bundle = read_run(made.run), read_bundle(made.bundle)
    entries, notices = read_records(run, [bundle], [made.records, *made.records.iterdir()])
    assert len(entries) == 3 and notices == []
    assert read_records(run, [bundle], []) == ([], [])
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_records(run, [bundle], [made.run / "none.json"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (0, 0.0), (0.5, 0.5), (None, None), ("1", None), (True, None), (float("nan"), None)],
)
def test_only_finite_numbers_are_numbers(value: object, expected: float | None) -> None:
    assert number(value) == expected
