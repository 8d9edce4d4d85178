"""Groups and posts as pages list them: filtered, a page at a time from a cursor on, however many there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final

SHOWN: Final = 5
"""Posts of a group in its strip."""
_WORDS: Final = 8  # of a search
_CHOICES: Final = 300  # values of a filter
_LARGEST: Final = 200  # posts of a group whose weakest link is looked for in a list


@dataclass(frozen=True, slots=True)
class Thumb:
    """A post in a list.

    Attributes:
        row: in the store.
        id: of the posting.
        title: of it.
        image: the name of its photo, "" where it has none.
        group: the id of its group.
        source: where it comes from, "" where that is not known.
    """

    row: int
    id: str
    title: str
    image: str
    group: str
    source: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A group in a list.

    Attributes:
        row: of the group, the cursor.
        id: of the group.
        size: posts in it.
        posts: the first of them.
        weakest: the least probability of any pair of it that was compared; None where there is none.
    """

    row: int
    id: str
    size: int
    posts: tuple[Thumb, ...]
    weakest: float | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which groups are listed.

    Attributes:
        text: words that a title of the group has, all of them.
        category: of a post of the group; "": any.
        source: likewise.
        least: posts that a group has at least.
        most: posts that it has at most.
        fresh: those alone of which a post is not said by a person to be the same as another.
    """

    text: str = ""
    category: str = ""
    source: str = ""
    least: int = 2
    most: int = 1_000_000_000
    fresh: bool = False


_THUMB: Final = """SELECT p.row, p.id, p.title, p.image, g.id, p.source
    FROM posts p JOIN groups g ON g.row = p.group_row WHERE p.removed IS NULL AND """
_WEAKEST: Final = """SELECT min(p.probability) FROM posts a JOIN pairs p ON p.left = a.row
    JOIN posts b ON b.row = p.right
    WHERE a.group_row = ? AND b.group_row = ? AND a.removed IS NULL AND b.removed IS NULL"""

_FRESH: Final = """AND EXISTS (SELECT 1 FROM posts m WHERE m.group_row = g.row AND m.removed IS NULL
    AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.left = m.row AND d.verdict = 'same' AND d.undone IS NULL)
    AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.right = m.row AND d.verdict = 'same' AND d.undone IS NULL))"""


def list_groups(connection: Connection, filters: Filters, after: int, limit: int) -> tuple[list[Strip], int | None]:
    """List groups in the order of their rows.

    Args:
        connection: of the store.
        filters: which.
        after: the cursor: row of the last group of the page before; 0 for the first page.
        limit: groups wanted.

    Returns:
        The groups, and the cursor of the next page; None where this is the last.
    """
    conditions, values = _conditions(filters)
    fresh = _FRESH if filters.fresh else ""
    exists = f"AND EXISTS (SELECT 1 FROM posts p WHERE p.group_row = g.row AND p.removed IS NULL {conditions})"
    found = connection.execute(
        f"""SELECT g.row, g.id, (SELECT count(*) FROM posts c WHERE c.group_row = g.row AND c.removed IS NULL) AS size
        FROM groups g WHERE g.row > ? AND size BETWEEN ? AND ? {exists if conditions else ""} {fresh}
        ORDER BY g.row LIMIT ?""",
        (after, max(filters.least, 1), filters.most, *values, limit + 1),
    ).fetchall()
    strips = [_strip(connection, *row) for row in found[:limit]]
    return strips, strips[-1].row if len(found) > limit else None


def find_posts(connection: Connection, text: str, after: int, limit: int) -> tuple[list[Thumb], int | None]:
    """Find posts by their id, or by words of their titles.

    Args:
        connection: of the store.
        text: a posting id, or words; all must occur.
        after: row of the last post of the page before; 0 for the first page.
        limit: posts wanted.

    Returns:
        The post of this id first, then the others in the order of their rows; and the cursor of the next page.
    """
    if not text.strip():
        return [], None
    exact = [] if after else [Thumb(*row) for row in connection.execute(f"{_THUMB} p.id = ?", (text.strip(),))]
    conditions, values = _words(text)
    found = connection.execute(
        f"{_THUMB} p.row > ? {conditions} ORDER BY p.row LIMIT ?", (after, *values, limit + 1)
    ).fetchall()
    posts = [Thumb(*row) for row in found[:limit]]
    following = posts[-1].row if len(found) > limit else None
    return [*exact, *(post for post in posts if post not in exact)], following


def strip_of(connection: Connection, group: str) -> Strip | None:
    """Look up one group; None where it has no posts."""
    found = connection.execute(
        """SELECT g.row, g.id, count(*) FROM groups g JOIN posts p ON p.group_row = g.row AND p.removed IS NULL
        WHERE g.id = ? GROUP BY g.row""",
        (group,),
    ).fetchone()
    return None if found is None else _strip(connection, *found)


def members(connection: Connection, group: str, after: int, limit: int) -> tuple[list[Thumb], int | None]:
    """List posts of a group in the order of their rows; arguments and result as of `find_posts`."""
    found = connection.execute(f"{_THUMB} g.id = ? AND p.row > ? ORDER BY p.row LIMIT ?", (group, after, limit + 1))
    posts = [Thumb(*row) for row in found]
    return posts[:limit], posts[limit - 1].row if len(posts) > limit else None


def thumb(connection: Connection, id: str) -> Thumb | None:
    """Look up one post; None where it is not there."""
    return next((Thumb(*row) for row in connection.execute(f"{_THUMB} p.id = ?", (id,))), None)


def photo_name(connection: Connection, row: int) -> str:
    """Give the name of the photo of a post by its row; "" where there is no post or no photo."""
    found = connection.execute("SELECT image FROM posts WHERE row = ? AND removed IS NULL", (row,)).fetchone()
    return "" if found is None else str(found[0] or "")


def choices(connection: Connection, column: str) -> list[str]:
    """List the values that a filter offers, at most three hundred.

    Args:
        connection: of the store.
        column: "category" or "source".
    """
    name = {"category": "category", "source": "source"}[column]
    found = connection.execute(
        f"SELECT DISTINCT {name} FROM posts WHERE removed IS NULL AND {name} <> '' ORDER BY {name} LIMIT ?", (_CHOICES,)
    )
    return [value for (value,) in found]


def _strip(connection: Connection, row: int, id: str, size: int) -> Strip:
    shown = connection.execute(f"{_THUMB} p.group_row = ? ORDER BY p.row LIMIT ?", (row, SHOWN))
    posts = tuple(Thumb(*each) for each in shown)
    weakest = connection.execute(_WEAKEST, (row, row)).fetchone()[0] if 1 < size <= _LARGEST else None
    return Strip(row, id, size, posts, weakest)


def _conditions(filters: Filters) -> tuple[str, list[Any]]:
    text, values = _words(filters.text)
    for column, value in (("category", filters.category), ("source", filters.source)):
        if value:
            text += f" AND p.{column} = ?"
            values.append(value)
    return text, values


def _words(text: str) -> tuple[str, list[Any]]:
    """Ask for titles with all of some words; SQLite folds ASCII alone, so other words are asked for in three cases."""
    conditions, values = "", []
    for word in text.split()[:_WORDS]:
        forms = _forms(word)
        conditions += f" AND ({' OR '.join(['p.title LIKE ? ESCAPE ?'] * len(forms))})"
        values += [value for form in forms for value in (f"%{_escaped(form)}%", "\\")]
    return conditions, values


def _forms(word: str) -> Sequence[str]:
    return [word] if word.isascii() else list(dict.fromkeys((word, word.lower(), word.upper(), word.capitalize())))


def _escaped(word: str) -> str:
    return "".join(_escapes(word))


def _escapes(word: str) -> Iterator[str]:
    for sign in word:
        yield f"\\{sign}" if sign in "%_\\" else sign
