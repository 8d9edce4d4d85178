"""Every route, on a real store."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from kembar.store import Live
from services import client_of, error_of, form, photo, post

TITLES = {
    "a": "Logitech M185 wireless mouse grey",
    "b": "Logitech M185 wireless mouse grey",
    "c": "Epson ELPLP12 projector lamp",
    "d": "Garden hose 25 m green",
}
ODD = ["a/b", "/", "a//b/", "with blanks ", "quote'\"s", "💄 emoji", "100%", "a?b#c&d=e", "..hidden", "ünïcode", "a\\b"]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with Live.create(tmp_path / "store") as live:
        yield live


@pytest.fixture
def client(live: Live) -> Iterator[TestClient]:
    with client_of(live) as client:
        yield client


@pytest.fixture
def stocked(client: TestClient) -> TestClient:
    """With four posts; two of them are one product."""
    answer = client.post("/v1/posts", json={"posts": [post(id, title) for id, title in TITLES.items()], "by": "test"})
    assert answer.status_code == 200, answer.text
    return client


def group_of(client: TestClient, id: str) -> str:
    return client.get(f"/v1/posts/{quote(id, safe='')}").json()["group"]


# --- posts


def test_add(client: TestClient, live: Live) -> None:
    answer = client.post("/v1/posts", json={"posts": [post("a", TITLES["a"]), post("c", TITLES["c"])]})
    placed = answer.json()["placed"]
    assert [(each["id"], each["how"]) for each in placed] == [("a", "founded"), ("c", "founded")]
    assert live.post("a").title == TITLES["a"]
    attached = client.post("/v1/posts", json={"posts": [post("b", TITLES["b"])]}).json()["placed"][0]
    assert (attached["how"], attached["group"]) == ("attached", placed[0]["group"])
    assert attached["candidates"][0]["id"] == "a"
    assert attached["candidates"][0]["band"] == "sure"
    assert live.counts().posts == 3


def test_all_fields_arrive(client: TestClient, live: Live) -> None:
    given = post(
        "a",
        "Title",
        hash="00ff00ff00ff00ff",
        price=12.5,
        brand="Logitech",
        source="shop.example",
        category="mice",
        texts={"mpn": "910-002238"},
    )
    assert client.post("/v1/posts", json={"posts": [given]}).status_code == 200
    found = client.get("/v1/posts/a").json()
    assert {name: found[name] for name in given if name != "texts"} == {k: v for k, v in given.items() if k != "texts"}
    assert "910-002238" in json.dumps(found["more"])


def test_an_add_again_is_known_and_another_content_is_refused(stocked: TestClient, live: Live) -> None:
    before = live.counts()
    again = stocked.post("/v1/posts", json={"posts": [post("a", TITLES["a"])]})
    assert again.json()["placed"][0]["how"] == "known"
    other = stocked.post("/v1/posts", json={"posts": [post("e"), post("a", "Another title")]})
    assert other.status_code == 409
    assert "'a'" in error_of(other)["given"]
    assert stocked.get("/v1/posts/e").status_code == 404  # all or nothing
    assert live.counts().posts == before.posts


def test_an_idempotency_key(client: TestClient, live: Live) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = client.post("/v1/posts", json={"posts": [post("a")]}, headers=headers)
    events = live.counts().events
    assert client.post("/v1/posts", json={"posts": [post("a")]}, headers=headers).json() == first.json()
    assert live.counts().events == events
    other = client.post("/v1/posts", json={"posts": [post("b")]}, headers=headers)
    assert other.status_code == 409
    assert "the key of a request" in error_of(other)["given"]
    for method, path, body in (
        ("POST", "/v1/posts/remove", {"ids": ["a"]}),
        ("PUT", "/v1/posts", {"posts": [post("a", "Other")]}),
        ("POST", "/v1/decisions", {"a": "a", "b": "c", "verdict": "same"}),
        ("DELETE", "/v1/posts/a", None),
    ):
        assert client.request(method, path, json=body, headers=headers).status_code in (404, 409), path
    assert client.get("/v1/posts/a").status_code == 200
    for wrong in ("", "with blanks", "x" * 201):
        refused = client.post("/v1/posts", json={"posts": [post("c")]}, headers={"Idempotency-Key": wrong})
        assert refused.status_code == 422
        assert "idempotency-key" in error_of(refused)["given"].lower()


def test_update(stocked: TestClient) -> None:
    before = group_of(stocked, "d")
    answer = stocked.put("/v1/posts", json={"posts": [post("d", TITLES["a"])]})
    assert answer.json()["placed"][0]["how"] == "updated"
    assert stocked.get("/v1/posts/d").json()["title"] == TITLES["a"]
    assert group_of(stocked, "d") == group_of(stocked, "a") != before
    unknown = stocked.put("/v1/posts", json={"posts": [post("nobody")]})
    assert unknown.status_code == 404
    assert "'nobody'" in error_of(unknown)["given"]


def test_remove(stocked: TestClient) -> None:
    event = stocked.delete("/v1/posts/d?by=me").json()["event"]
    assert (event["kind"], event["by"]) == ("remove", "me")
    assert stocked.get("/v1/posts/d").status_code == 404
    assert stocked.delete("/v1/posts/d").status_code == 404
    some = stocked.post("/v1/posts/remove", json={"ids": ["a", "nobody"]})
    assert some.status_code == 404
    assert stocked.get("/v1/posts/a").status_code == 200  # all or none
    assert stocked.post("/v1/posts/remove", json={"ids": ["a", "c"]}).status_code == 200
    assert stocked.get("/v1/posts/c").status_code == 404


def test_ids_of_all_kinds_in_paths(client: TestClient) -> None:
    placed = client.post("/v1/posts", json={"posts": [post(id) for id in ODD]}).json()["placed"]
    exported = [row["posting_id"] for row in csv.DictReader(io.StringIO(client.get("/v1/export").text))]
    assert exported == ODD
    for id, each in zip(ODD, placed, strict=True):
        place = quote(id, safe="")
        assert client.get(f"/v1/posts/{place}").json()["id"] == id
        group = client.get(f"/v1/groups/{quote(each['group'], safe='')}").json()
        assert id in [member["id"] for member in group["members"]]
    for id in ODD:
        assert client.delete(f"/v1/posts/{quote(id, safe='')}").status_code == 200


def test_a_post_with_a_photo(client: TestClient, live: Live) -> None:
    answer = client.post("/v1/posts/with-photo", **form(post("a"), photo(), by="me"))
    assert answer.status_code == 200, answer.text
    name = client.get("/v1/posts/a").json()["image"]
    assert (live.photos / name).read_bytes() == photo()
    sent = client.get(f"/photos/{name}")
    assert (sent.status_code, sent.content) == (200, photo())
    assert sent.headers["content-type"] == "image/jpeg"
    assert live.events()[-1].by == "me"
    again = client.post("/v1/posts", json={"posts": [post("b", image=name)]})  # by its name
    assert again.json()["placed"][0]["group"] == group_of(client, "a")


@pytest.mark.parametrize("name", ["missing.jpg", "../store.sqlite", "/etc/passwd", "http://example.org/a.jpg", "a/b"])
def test_a_photo_that_is_not_in_the_store(client: TestClient, live: Live, tmp_path: Path, name: str) -> None:
    for path in ("/v1/posts", "/v1/lookup"):
        answer = client.post(path, json={"posts": [post("a", image=name), post("b")]})
        assert answer.status_code == 422
        assert "in its folder" in error_of(answer)["expected"] or "photo folder of the store" in answer.text
        assert str(tmp_path) not in answer.text
    assert live.counts().posts == 0


def test_a_photo_of_a_refused_post_is_not_kept(client: TestClient, live: Live) -> None:
    client.post("/v1/posts", json={"posts": [post("a")]})
    assert client.post("/v1/posts/with-photo", **form(post("a", "Other"), photo())).status_code == 409
    assert [path for path in live.photos.rglob("*") if path.is_file()] == []


# --- lookup


def test_lookup(stocked: TestClient, live: Live) -> None:
    before = live.counts()
    answer = stocked.post("/v1/lookup", json={"posts": [{"title": TITLES["a"]}, post("new", "Quite another thing")]})
    first, second = answer.json()["found"]
    assert (first["id"], second["id"]) == ("", "new")
    assert first["group"] == group_of(stocked, "a")
    assert {each["id"] for each in first["candidates"][:2]} == {"a", "b"}
    assert second["group"] is None
    assert live.counts() == before
    few = stocked.post("/v1/lookup", json={"posts": [{"title": TITLES["a"]}], "limit": 1}).json()["found"][0]
    assert len(few["candidates"]) == 1


def test_lookup_with_a_photo(client: TestClient, live: Live) -> None:
    client.post("/v1/posts/with-photo", **form(post("a", "Red mug"), photo(3, 200)))
    kept = sorted(live.photos.rglob("*"))
    answer = client.post("/v1/lookup/with-photo", **form({"title": "Red mug"}, photo(3, 200), limit="5"))
    assert answer.json()["found"][0]["group"] == group_of(client, "a"), answer.text
    assert client.post("/v1/lookup/with-photo", **form({}, photo(3, 200))).status_code == 200
    assert sorted(live.photos.rglob("*")) == kept
    assert client.get("/v1/events").json()["events"][-1]["kind"] == "add"


# --- groups


def test_groups(stocked: TestClient) -> None:
    group = stocked.get(f"/v1/groups/{group_of(stocked, 'a')}").json()
    assert sorted(member["id"] for member in group["members"]) == ["a", "b"]
    assert sorted(group["weakest"][:2]) == ["a", "b"]
    assert stocked.get("/v1/groups/nobody").status_code == 404
    listed = stocked.get("/v1/groups").json()
    assert listed["next"] is None
    assert sorted(each["size"] for each in listed["groups"]) == [1, 1, 2]
    pages, after = [], ""
    while after is not None:
        page = stocked.get("/v1/groups", params={"after": after, "limit": 2}).json()
        pages += page["groups"]
        after = page["next"]
    assert pages == listed["groups"]
    assert [each["size"] for each in stocked.get("/v1/groups?least=2").json()["groups"]] == [2]


def test_explain(stocked: TestClient) -> None:
    told = stocked.get("/v1/explain", params={"a": "a", "b": "b"}).json()
    assert (told["a"], told["b"], told["matched"]) == ("a", "b", True)
    assert told["contributions"]
    apart = stocked.get("/v1/explain", params={"a": "a", "b": "c"}).json()
    assert apart["matched"] is False
    assert stocked.get("/v1/explain", params={"a": "a", "b": "nobody"}).status_code == 404
    assert stocked.get("/v1/explain", params={"a": "a", "b": "a"}).status_code == 422
    assert stocked.get("/v1/explain", params={"a": "a"}).status_code == 422


# --- decisions and events


def test_decisions_and_undo(stocked: TestClient) -> None:
    said = {"a": "a", "b": "b", "verdict": "different", "by": "Ana", "note": "another colour"}
    event = stocked.post("/v1/decisions", json=said).json()["event"]
    assert (event["by"], event["note"]) == ("Ana", "another colour")
    assert group_of(stocked, "a") != group_of(stocked, "b")
    undone = stocked.post(f"/v1/events/{event['number']}/undo", json={"by": "Bo"}).json()["event"]
    assert (undone["kind"], undone["undoes"], undone["by"]) == ("undo", event["number"], "Bo")
    assert group_of(stocked, "a") == group_of(stocked, "b")
    assert stocked.post("/v1/events/9999/undo", json={}).status_code == 404


def test_every_verdict(stocked: TestClient) -> None:
    for verdict in ("same", "different", "variant", "unsure", "skip"):
        answer = stocked.post("/v1/decisions", json={"a": "a", "b": "c", "verdict": verdict})
        assert answer.status_code == 200
        assert (group_of(stocked, "a") == group_of(stocked, "c")) is (verdict == "same")
        undone = stocked.post(f"/v1/events/{answer.json()['event']['number']}/undo", json={})
        assert undone.status_code == 200, undone.text


def test_decisions_about_nobody(stocked: TestClient) -> None:
    unknown = stocked.post("/v1/decisions", json={"a": "a", "b": "nobody", "verdict": "same"})
    assert unknown.status_code == 404
    assert "'nobody'" in error_of(unknown)["given"]
    assert stocked.post("/v1/decisions", json={"a": "a", "b": "a", "verdict": "same"}).status_code == 422
    assert stocked.post("/v1/decisions", json={"a": "a", "b": "b", "verdict": "maybe"}).status_code == 422


def test_a_post_is_moved_and_groups_are_merged_and_accepted(stocked: TestClient) -> None:
    said = {"by": "Ana", "note": "seen"}
    for path, body, kind in (
        ("/v1/move", {"post": "b"}, "split"),
        ("/v1/merge", {"left": group_of(stocked, "a"), "right": group_of(stocked, "c")}, "merge"),
        ("/v1/accept", {"groups": [group_of(stocked, "a")]}, "accept"),
        ("/v1/move", {"post": "c", "group": group_of(stocked, "d")}, "split"),
    ):
        key = {"Idempotency-Key": f"{kind}-{len(body)}"}
        answer = stocked.post(path, json=body | said, headers=key)
        assert answer.status_code == 200, answer.text
        event = answer.json()["event"]
        assert (event["kind"], event["by"], event["note"]) == (kind, "Ana", "seen")
        assert stocked.post(path, json=body | said, headers=key).json()["event"] == event  # and nothing is done twice
        other = body | ({"groups": ["x"]} if kind == "accept" else {"left": "x"} if kind == "merge" else {"post": "d"})
        assert stocked.post(path, json=other, headers=key).status_code == 409
    assert group_of(stocked, "c") == group_of(stocked, "d") != group_of(stocked, "a") != group_of(stocked, "b")


def test_groups_and_posts_that_cannot_be_moved_or_merged(stocked: TestClient) -> None:
    own = group_of(stocked, "a")
    for path, body, status in (
        ("/v1/move", {"post": "nobody"}, 404),
        ("/v1/move", {"post": "a", "group": "no group"}, 404),
        ("/v1/move", {"post": "a", "group": own}, 422),
        ("/v1/merge", {"left": own, "right": "no group"}, 404),
        ("/v1/merge", {"left": own, "right": own}, 422),
        ("/v1/merge", {"left": own}, 422),
        ("/v1/accept", {"groups": ["no group"]}, 404),
        ("/v1/accept", {"groups": []}, 422),
        ("/v1/accept", {"groups": [own] * 1001}, 422),
    ):
        assert stocked.post(path, json=body).status_code == status, (path, body)


def test_events_by_pages(stocked: TestClient) -> None:
    for other in "bcd":
        stocked.post("/v1/decisions", json={"a": "a", "b": other, "verdict": "unsure"})
    events = stocked.get("/v1/events").json()
    numbers = [event["number"] for event in events["events"]]
    assert numbers == sorted(numbers)
    assert events["next"] is None
    page = stocked.get("/v1/events?limit=2").json()
    assert [event["number"] for event in page["events"]] == numbers[:2]
    assert stocked.get(f"/v1/events?after={page['next']}").json()["events"] == events["events"][2:]


def test_contradictions(stocked: TestClient) -> None:
    assert stocked.get("/v1/contradictions").json() == {"contradictions": []}
    for a, b, verdict in (("a", "b", "same"), ("b", "c", "same"), ("a", "c", "different")):
        stocked.post("/v1/decisions", json={"a": a, "b": b, "verdict": verdict})
    found = stocked.get("/v1/contradictions").json()["contradictions"]
    assert {each for one in found for each in (one["a"], one["b"])} >= {"a", "c"}


def test_rematch(stocked: TestClient) -> None:
    stocked.post("/v1/decisions", json={"a": "a", "b": "b", "verdict": "different"})
    assert stocked.post("/v1/rematch", json={"by": "me"}).json()["event"]["kind"] == "rematch"
    assert group_of(stocked, "a") != group_of(stocked, "b")
    assert stocked.post("/v1/rematch", headers={"Authorization": "any"}).status_code == 200  # without a body


def test_a_store_without_posts_is_neither_matched_nor_grouped_again(client: TestClient) -> None:
    for empty in (True, False):  # where none ever was, and where all were removed
        for path in ("/v1/rematch", "/v1/regroup"):
            refused = client.post(path, json={})
            assert refused.status_code == 422, refused.text
            assert error_of(refused)["given"] == "a store without posts"
        if empty:
            assert client.post("/v1/posts", json={"posts": [post("a", TITLES["a"])]}).status_code == 200
            assert client.delete("/v1/posts/a").status_code == 200


# --- export


def test_export(stocked: TestClient) -> None:
    stocked.post("/v1/posts", json={"posts": [post("e", "=1+1", price=9.5, brand="@x", texts={"mpn": "-2"})]})
    sent = stocked.get("/v1/export")
    assert sent.headers["content-type"] == "text/csv; charset=utf-8"
    assert sent.headers["content-disposition"] == 'attachment; filename="posts.csv"'
    rows = {row["posting_id"]: row for row in csv.DictReader(io.StringIO(sent.text))}
    assert set(rows) == {*TITLES, "e"}
    assert rows["a"]["group_id"] == rows["b"]["group_id"] != rows["c"]["group_id"]
    assert (rows["e"]["title"], rows["e"]["brand"], rows["e"]["price"]) == ("'=1+1", "'@x", "9.5")
    table = pl.read_parquet(io.BytesIO(stocked.get("/v1/export?format=parquet").content))
    assert table.filter(posting_id="e")["title"].item() == "=1+1"
    assert table["price"].to_list() == [None] * 4 + [9.5]
    stocked.delete("/v1/posts/e")
    assert "=1+1" not in stocked.get("/v1/export").text
    assert stocked.get("/v1/export?format=xlsx").status_code == 422


def test_an_export_of_nothing(client: TestClient) -> None:
    assert client.get("/v1/export").text.startswith("posting_id,group_id,title")
    assert len(pl.read_parquet(io.BytesIO(client.get("/v1/export?format=parquet").content))) == 0


def test_labels_for_tune(stocked: TestClient) -> None:
    stocked.post("/v1/decisions", json={"a": "a", "b": "b", "verdict": "same"})
    stocked.post("/v1/decisions", json={"a": "a", "b": "c", "verdict": "different"})
    rows = list(csv.DictReader(io.StringIO(stocked.get("/v1/labels").text)))
    assert {frozenset((row["left"], row["right"])) for row in rows} == {frozenset("ab"), frozenset("ac")}
    assert len(pl.read_parquet(io.BytesIO(stocked.get("/v1/labels?format=parquet").content))) == 2


# --- photos


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With files that nobody should see."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "outside.jpg").write_bytes(photo())
    with Live.create(folder / "store") as live, client_of(live) as client:
        (live.photos / "link.jpg").symlink_to(folder / "outside.jpg")
        (live.photos / "circle.jpg").symlink_to(live.photos / "circle.jpg")
        (live.photos / "folder").mkdir()
        (live.photos / "folder" / "good.jpg").write_bytes(photo())
        (live.photos / "page.jpg").write_text("<script>alert(1)</script>")
        (live.photos / ".hidden.jpg").write_bytes(photo())
        yield client


@pytest.mark.parametrize(
    "name",
    [
        "../store.sqlite",
        "..%2fstore.sqlite",
        "%2e%2e/store.sqlite",
        "%2e%2e%2fstore.sqlite",
        "..%5cstore.sqlite",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a/../../store.sqlite",
        "a%2f..%2f..%2fstore.sqlite",
        "a%00.jpg",
        "",
        ".",
        "x" * 5000,
        "file:///etc/passwd",
        "http://example.org/a.jpg",
        "link.jpg",
        "folder",
        "page.jpg",
        ".hidden.jpg",
        "circle.jpg",
    ],
)
def test_nothing_but_photos_of_the_store_is_sent(gallery: TestClient, name: str) -> None:
    answer = gallery.get(f"/photos/{name}")
    assert answer.status_code == 404
    error_of(answer)
    assert "pytest" not in answer.text.replace(name, "")  # a path of this machine


def test_a_photo_in_a_folder_of_the_store_is(gallery: TestClient) -> None:
    assert gallery.get("/photos/folder/good.jpg").content == photo()


def test_a_photo_is_what_its_content_says(client: TestClient, live: Live) -> None:
    (live.photos / "photo.html").write_bytes(photo(kind="PNG"))
    sent = client.get("/photos/photo.html")
    assert sent.headers["content-type"] == "image/png"
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert sent.headers["content-security-policy"] == "default-src 'none'; sandbox"


# --- operation


def test_health_readiness_and_metrics(stocked: TestClient, live: Live) -> None:
    assert stocked.get("/health").json() == {"status": "alive"}
    assert stocked.get("/ready").json() == {"status": "ready"}
    stocked.get("/v1/posts/a")
    stocked.get("/v1/posts/nobody")
    stocked.get("/nowhere")
    text = stocked.get("/metrics").text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    counts = live.counts()
    for name in ("posts", "groups", "pairs", "decisions", "events", "fresh"):
        assert found[f"kembar_{name}",] == getattr(counts, name)
    assert found["kembar_requests_total", "GET", "/v1/posts/{id:path}", "200"] == 1
    assert found["kembar_requests_total", "GET", "/v1/posts/{id:path}", "404"] == 1
    assert found["kembar_errors_total", "404"] == 2
    assert found["kembar_waiting",] == 0
    assert found["kembar_request_seconds_count", "POST", "/v1/posts"] == 1
    assert "nobody" not in text
    assert "nowhere" not in text


def test_a_store_that_is_gone_is_not_ready(stocked: TestClient, live: Live, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    try:
        answer = stocked.get("/ready")
        assert answer.status_code == 503
        error_of(answer)
        assert stocked.get("/health").status_code == 200
    finally:
        (tmp_path / "elsewhere").rename(tmp_path / "store")


def test_a_method_that_a_path_lacks(client: TestClient) -> None:
    for path, allowed in (("/v1/posts", "POST, PUT"), ("/v1/posts/a", "DELETE, GET"), ("/health", "GET")):
        answer = client.patch(path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert "PATCH" in error_of(answer)["given"]


def test_the_openapi_document_tells_of_every_route_and_error(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    routes = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert routes == {
        ("/v1/posts", "post"),
        ("/v1/posts", "put"),
        ("/v1/posts/with-photo", "post"),
        ("/v1/posts/remove", "post"),
        ("/v1/posts/{id}", "get"),
        ("/v1/posts/{id}", "delete"),
        ("/v1/lookup", "post"),
        ("/v1/lookup/with-photo", "post"),
        ("/v1/groups", "get"),
        ("/v1/groups/{id}", "get"),
        ("/v1/explain", "get"),
        ("/v1/decisions", "post"),
        ("/v1/move", "post"),
        ("/v1/merge", "post"),
        ("/v1/accept", "post"),
        ("/v1/events", "get"),
        ("/v1/events/{number}/undo", "post"),
        ("/v1/contradictions", "get"),
        ("/v1/rematch", "post"),
        ("/v1/regroup", "post"),
        ("/v1/export", "get"),
        ("/v1/labels", "get"),
        ("/photos/{name}", "get"),
        ("/health", "get"),
        ("/ready", "get"),
        ("/metrics", "get"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
