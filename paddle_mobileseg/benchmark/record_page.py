"""docs/reference/record.md: the page on records, made from the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paddle_mobileseg import tables
from paddle_mobileseg.benchmark import importers, record

_PAGE = """# Benchmark records

Written by `python -m paddle_mobileseg.benchmark.record` (`make docs`) from the JSON Schema
`paddle_mobileseg/benchmark/schema/record-{version}.json`; do not edit it here.

{description}

`mobileseg benchmark` and `mobileseg import-benchmark` write records; `compare`, `choose` and `report` read them.

- A file is called after the record's `id`. It is written whole, is read-only, and never takes the place of another, so
  any number of runs may write into one folder. Records do not change: who measures again gets another record.
- `status` is `ok`, `invalid` (there are numbers, which must not be used) or `failed` (there are none). All three are
  written.
- `origin.kind` says where the numbers are from: `measured` here, `imported` from another tool's text, `published` by a
  network's authors, or `estimated`.
- `timing.network` begins and ends in host memory. A tool that times the computation alone has `timing.stages.compute`
  and no `timing.network`: the two are not compared.

## Versions

`schema_version` is {version}. A field that is added, removed, renamed, or means something else makes a new version. A
record of another version is refused: of a newer one with the advice to update paddle_mobileseg, of an older one to
measure again. So are the `kind: latency` files that `mobileseg benchmark` wrote before there were records.

## What a valid record keeps to

Beside the types and limits below:

{rules}

## Imports

`mobileseg import-benchmark --from NAME` takes what another tool printed. What its text does not say is null.

{imports}

```python
from paddle_mobileseg.benchmark import importers, record

(made,) = importers.read("ncnn", "squeezenet  min =    3.05  max =    3.16  avg =    3.09")
path = record.write("output/imported", made)  # output/imported/20261121T100000Z-squeezenet-ncnn-0123abcd.json
assert [each["timing"]["network"]["mean"] for each in record.read_folder(path)] == [3.09]
```

## Fields

`NAME` stands for any name, `[]` for each item of a list, *summary* and *state* for the tables below.

{fields}

### summary

{summary}

{summary_fields}

### state

{state}

{state_fields}
"""

_RULES = (
    "`NaN` and infinities are no numbers of a record; its text can be written in UTF-8.",
    "`error` is there exactly where `status` is `failed`, which has no `timing`.",
    "`validity.valid` is true exactly where `status` is `ok`; `validity.reasons` is empty there, and is not where it "
    "is `invalid`.",
    "A measured or imported record that has not failed has a time.",
    "With a `status` of `ok`, `parity` has passed; `parity.passed` says whether `label_agreement` reaches `tolerance`.",
    "In a summary min <= median <= p90 <= p95 <= p99 <= max and min <= mean <= max; statistics are those of `raw`, and "
    "`count` is its length. So a file in which times of two units were mixed is refused.",
    "`timing.network` is not shorter than its three stages together, and `timing.frame` not than all five or "
    "`timing.network` (a quarter and 0.1 ms are allowed for, as parts may be timed in other runs than the whole). "
    "Nor is one 100 times longer than its stages and 10 ms.",
    "`protocol.turns` is as long as `timing.network.raw`.",
    "A measured record with a `status` of `ok` has at least `protocol.min_runs` runs.",
    "`input.classes_present` has a value for each of `input.count` inputs, none above `model.num_classes`.",
    "`memory.peak_resident_bytes` is at least `memory.before_load_bytes`.",
    "An imported record has `origin.importer` and `origin.source_sha256`, a published one `origin.source`.",
    "`created` is a date and time that exist.",
)

_IMPORTS = (
    ("name", "tool", "its times"),
    (
        "`paddle-lite`",
        "Paddle Lite's `benchmark_bin`, and the tables of `benchmark.sh`",
        "`timing.stages.compute`: `Run()` alone",
    ),
    (
        "`trtexec`",
        "TensorRT's `trtexec` 8 and 10",
        "`timing.network` (Latency) and its stages; with `--noDataTransfers` `timing.stages.compute`",
    ),
    (
        "`litert`",
        "LiteRT's (TensorFlow Lite's) `benchmark_model`; its unit is microseconds",
        "`timing.stages.compute`: `Invoke()` alone",
    ),
    ("`ncnn`", "ncnn's `benchncnn`; a record for each model", "`timing.network`: input, run, output"),
    (
        "`onnxruntime`",
        "`onnxruntime_perf_test`",
        "`timing.network`: `Session::Run` with inputs and outputs in host memory",
    ),
    (
        "`mobileseg-run`",
        "`mobileseg_lite_run --model` of deploy/lite/cpp; a record for each line of JSON",
        "`timing.network` with single runs, and its stages",
    ),
)


def markdown() -> str:
    """The page."""
    schema = record.schema()
    parts = schema["$defs"]
    assert [row[0].strip("`") for row in _IMPORTS[1:]] == list(importers.NAMES)
    return _PAGE.format(
        version=record.SCHEMA_VERSION,
        description=schema["description"],
        rules="\n".join(f"- {rule}" for rule in _RULES),
        imports=tables.markdown(_IMPORTS),
        fields=_table(schema),
        summary=parts["summary"]["description"],
        summary_fields=_table(parts["summary"]),
        state=parts["state"]["description"],
        state_fields=_table(parts["state"]),
    ).rstrip("\n")


def _table(described: dict[str, Any]) -> str:
    return tables.markdown([("field", "type", "meaning"), *_rows(described, "")])


def _rows(described: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, field in described["properties"].items():
        yield f"`{path}{name}`", _type(field), field.get("description", "").replace("|", "\\|")
        inner, mark = _inner(field)
        if "properties" in inner:
            yield from _rows(inner, f"{path}{name}{mark}.")


def _inner(field: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What an object or the items of a list hold, and how a path says which."""
    field = field["anyOf"][0] if "anyOf" in field else field
    return (field["items"], "[]") if field.get("type") == "array" else (field, "")


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "$ref" in field:
        return f"*{field['$ref'].rsplit('/', 1)[1]}*"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join("null" if each is None else f"`{each}`" for each in field["enum"])
    names = [field["type"]] if isinstance(field["type"], str) else field["type"]
    return " or ".join(_named(name, field) for name in names)


def _named(name: str, field: dict[str, Any]) -> str:
    if name == "array":
        return f"list of {_type(field['items'])}"
    if name == "object":
        return f"mapping{_values(field)}"
    return {"string": "text"}.get(name, name) + ("" if name == "null" else _limits(field))


def _limits(field: dict[str, Any]) -> str:
    if "minimum" in field and "maximum" in field:
        return f" {field['minimum']}..{field['maximum']}"
    if "minimum" in field:
        return f" >= {field['minimum']}"
    return f" > {field['exclusiveMinimum']}" if "exclusiveMinimum" in field else ""


def _values(field: dict[str, Any]) -> str:
    values = field.get("additionalProperties")
    if not isinstance(values, dict):
        return ""
    named = _type(values)
    return f" of NAME to ({named})" if " or " in named else f" of NAME to {named}"
