"""The tables of a store, and how a store of an older version becomes one of this."""

from typing import Final

FORMAT: Final = "kembar store"
VERSION: Final = 1

TABLES: Final = """
CREATE TABLE about (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was done, in its order; nothing here is ever changed. All other tables follow from it.
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,                  -- the clock's time, UTC; the order is that of the numbers
    kind TEXT NOT NULL,
    by TEXT NOT NULL,
    note TEXT NOT NULL,
    body TEXT NOT NULL,                -- JSON
    undoes INTEGER REFERENCES events(number),
    key TEXT UNIQUE                    -- of the request, so that the same one does nothing twice
) STRICT;
CREATE INDEX events_undone ON events(undoes) WHERE undoes IS NOT NULL;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TABLE groups (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE posts (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    image TEXT NOT NULL,               -- its name in the folder of photos, '' where there is none
    hash TEXT NOT NULL,                -- 16 hexadecimal digits, '' where it is not known
    price REAL,
    brand TEXT NOT NULL,
    source TEXT NOT NULL,
    category TEXT NOT NULL,
    more TEXT NOT NULL,                -- JSON: other texts, identifiers, further photos, problems
    group_row INTEGER NOT NULL REFERENCES groups(row),
    full INTEGER NOT NULL DEFAULT 0,   -- 1 where a list of its neighbours had no place for more
    removed INTEGER REFERENCES events(number)
) STRICT;
CREATE INDEX posts_of_group ON posts(group_row);

CREATE TABLE vectors (
    post INTEGER NOT NULL REFERENCES posts(row),
    name TEXT NOT NULL,
    vector BLOB NOT NULL,              -- float32, little-endian; of several photos one behind the other
    PRIMARY KEY (post, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pairs (
    left INTEGER NOT NULL REFERENCES posts(row),
    right INTEGER NOT NULL REFERENCES posts(row),
    probability REAL NOT NULL,
    PRIMARY KEY (left, right),
    CHECK (left < right)
) STRICT, WITHOUT ROWID;
CREATE INDEX pairs_by_right ON pairs(right, left);
CREATE INDEX pairs_by_probability ON pairs(probability, left, right);

CREATE TABLE decisions (
    event INTEGER NOT NULL REFERENCES events(number),
    left INTEGER NOT NULL REFERENCES posts(row),
    right INTEGER NOT NULL REFERENCES posts(row),
    verdict TEXT NOT NULL CHECK (verdict IN ('same', 'different', 'variant', 'unsure', 'skip')),
    by TEXT NOT NULL,
    note TEXT NOT NULL,
    undone INTEGER REFERENCES events(number),
    PRIMARY KEY (event, left, right),
    CHECK (left < right)
) STRICT, WITHOUT ROWID;
CREATE INDEX decisions_by_pair ON decisions(left, right);
CREATE INDEX decisions_by_right ON decisions(right);
CREATE INDEX decisions_by_person ON decisions(by);

-- Groups that a new post was like at once: whether they are one product is to be decided by a person or a re-match.
CREATE TABLE merges (
    event INTEGER NOT NULL REFERENCES events(number),
    left INTEGER NOT NULL REFERENCES groups(row),
    right INTEGER NOT NULL REFERENCES groups(row),
    probability REAL NOT NULL,
    closed INTEGER REFERENCES events(number),
    PRIMARY KEY (event, left, right),
    CHECK (left < right)
) STRICT, WITHOUT ROWID;
CREATE INDEX merges_open ON merges(left, right) WHERE closed IS NULL;

-- What the catalogue said of its words when it was last read as a whole.
CREATE TABLE fitted (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: Final[dict[int, str]] = {}
"""From each older version to the next one: statements."""
