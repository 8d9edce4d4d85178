"""Posts as JSON: a list of objects, an object that holds one such list, or one object per line.

Numbers are kept as they are written: an id of 20 digits loses none of them.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

import polars as pl

from kembar.errors import CatalogError, quoted
from kembar.posts.encodings import as_utf8
from kembar.posts.layout import Layout
from kembar.posts.notes import Note
from kembar.posts.table import Table, Wanted, present

_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda _: None)


def read_json(raw: bytes, source: str, wanted: Wanted, layout: Layout) -> Table:
    """Read the wanted values of JSON records.

    Args:
        raw: the bytes of the file.
        source: what the file is called in messages.
        wanted: the columns that are looked for.
        layout: what is said about the file.

    Returns:
        The table, all String; a list or an object as a value is its JSON text.

    Raises:
        CatalogError: no JSON, or none of the three shapes.
    """
    data, encoding = as_utf8(raw, source, layout.encoding)
    text = data.decode()
    records, notes = _records(text, source)
    names = list(dict.fromkeys(name for record in records for name in record))
    chosen = present(names, wanted)
    columns = {name: [_text(record.get(name)) for record in records] for name in chosen}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(chosen, pl.String))
    nested = [name for name in chosen if any(isinstance(record.get(name), dict | list) for record in records)]
    for name in set(nested) & set(wanted.plain(names)):
        at = next(at for at, record in enumerate(records, 1) if isinstance(record.get(name), dict | list))
        raise _shape(source, f"a list or an object as {quoted(name)} of record {at}")
    notes += [Note("cells", f"lists or objects in {quoted(name)}, kept as JSON text") for name in nested]
    return Table(source, names, frame, (encoding, *notes), is_file=True)


def _records(text: str, source: str) -> tuple[list[dict[str, Any]], list[Note]]:
    try:
        whole = _DECODER.decode(text)
    except ValueError as error:
        if "\n" not in text.strip():
            raise _no_json(source, str(error)) from error
        return list(_by_line(text, source)), []
    except RecursionError as error:
        raise _no_json(source, "nested too deeply") from error
    if isinstance(whole, list):
        return _objects(whole, source), []
    if not isinstance(whole, dict):
        raise _shape(source, "neither a list nor an object")
    return _in_object(whole, source)


def _in_object(whole: dict[str, Any], source: str) -> tuple[list[dict[str, Any]], list[Note]]:
    """Find the one list of records in an object, or take it as the only record."""
    lists = [name for name, value in whole.items() if isinstance(value, list) and _all_objects(value)]
    if len(lists) == 1:
        return whole[lists[0]], [Note("container", f"the records under {quoted(lists[0])}")]
    if lists:
        raise _shape(source, f"an object with {len(lists)} lists of records: {', '.join(map(quoted, lists[:5]))}")
    if any(isinstance(value, dict | list) for value in whole.values()):
        raise _shape(source, f"an object of {', '.join(map(quoted, list(whole)[:5]))}")
    return [whole], []


def _by_line(text: str, source: str) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _DECODER.decode(line.strip())
        except (ValueError, RecursionError) as error:
            raise _no_json(source, f"line {number}: {error}") from error
        if not isinstance(record, dict):
            raise _shape(source, f"{quoted(line[:60])} in line {number}")
        yield record


def _all_objects(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _objects(values: list[Any], source: str) -> list[dict[str, Any]]:
    wrong = next((at for at, value in enumerate(values, 1) if not isinstance(value, dict)), 0)
    if wrong:
        raise _shape(source, f"{quoted(values[wrong - 1])} as record {wrong}")
    return values


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value).lower()


def _no_json(source: str, why: str) -> CatalogError:
    return CatalogError(
        f"{quoted(source)}, which is no JSON ({why})",
        "a list of objects, or one object per line",
        "Export the posts again; the file is cut short, damaged or of another kind.",
    )


def _shape(source: str, found: str) -> CatalogError:
    return CatalogError(
        f"{quoted(source)} with {found}",
        "a list of objects, one per post, or one object per line",
        "Write the records as such; in pandas: frame.to_json(path, orient='records').",
    )
