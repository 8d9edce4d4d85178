"""The documents are run, and what is made from the program is what the program says now."""

import re
import shutil
from pathlib import Path

import pytest

import blocks
import figures_page
import generate
import help_pictures
import svg

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# The README's blocks make a virtual environment and run these very tests: a fresh clone is their test.
PAGES = sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page.parent.name != "tutorial")
RUN = [name for name in PAGES if blocks.blocks((DOCS / name).read_text(encoding="utf-8"))]
# By a person's clicks in a browser.
ELSEWHERE = {"review-group.png", "review-groups.png", "review-progress.png", "review-queue.png"}


@pytest.mark.parametrize("name", RUN)
def test_blocks_run(name, tmp_path):
    steps = blocks.joined(blocks.blocks((DOCS / name).read_text(encoding="utf-8")))
    assert not list(blocks.failures(steps, tmp_path)), name


def test_tutorial_prints_what_it_shows(tmp_path):
    pages = blocks.tutorial()
    assert len(pages) == 8
    for page in pages:
        steps = blocks.blocks(page.read_text(encoding="utf-8"))
        assert any(block.shown for block in steps), f"{page.name} shows nothing that is printed"
        wrong = list(blocks.failures(steps, tmp_path))
        assert not wrong, "\n".join([page.name, *wrong, "if this is right now: python docs/blocks.py"])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```bash\nexit 3\n```\n", "ended with 3"),
        ("```python\nraise ValueError('no longer there')\n```\n", "no longer there"),
        ("```python\nimport warnings\nwarnings.warn('old')\n```\n", "UserWarning: old"),
        ('```bash\necho 61 groups\n```\n\n```text title="Output"\n60 groups\n```\n', "61 groups"),
    ],
)
def test_block_that_fails_or_prints_something_else_is_named(page, said, tmp_path):
    assert said in "\n".join(blocks.failures(blocks.blocks(page), tmp_path))


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("12.1 seconds, peak memory 355 MiB.\n", "9.8 seconds, peak memory 1,024 MiB.\n", True),
        ("4 groups\n...\nWrote run\n", "4 groups\n\nlong\ntext\nWrote run\n", True),
        ("4 groups\n...\nWrote run\n", "5 groups\n\nlong\ntext\nWrote run\n", False),
        ("F1 0.90\n", "F1 0.9\n", False),
        ("F1 0.90\n", "F1 0.90\nmore\n", False),
        ("  table  \n\n", "\n  table\n", True),
    ],
)
def test_seconds_may_vary_and_figures_may_not(shown, printed, right):
    assert blocks.agrees(shown, printed) is right


@pytest.mark.parametrize(
    ("shown", "printed", "right"),
    [
        ("F1 0.9493 of 176 groups\n", "F1  0.9378 of 173 groups\n", True),
        ("F1 0.9493\n", "F1 0.8378\n", False),
        ("176 groups\n", "150 groups\n", False),
        ("1,200 posts of shop_1\n", "1,310 posts of shop_1\n", True),
        ("12 posts of shop_1\n", "12 posts of shop_2\n", False),
        ("12 posts\n", "12 groups\n", False),
        ("12 posts\n", "12 posts, 3 groups\n", False),
    ],
)
def test_figures_that_vary_by_processor_are_near(shown, printed, right):
    assert blocks.near(shown, printed) is right
    page = f'```bash\ncat x\n```\n\n```text title="{blocks.ABOUT}"\n{shown}```\n'
    (block,) = blocks.blocks(page)
    assert blocks.agrees(block.shown, printed, block.title) is right
    assert blocks.rewritten(page, lambda _: printed) == (page if right else page.replace(shown, printed))


def test_what_a_page_shows_is_written_down_anew():
    page = '```bash\necho 61\n```\n\n```text title="Output"\n60\n```\nand so on\n'
    assert blocks.rewritten(page, lambda _: "61\n") == page.replace("60", "61")
    assert blocks.rewritten(page, lambda _: "60\n") == page


def test_generated_pages_are_current():
    stale = [path.name for path, text in generate.pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run python docs/generate.py: {stale}"


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_pages_that_messages_name_are_there():
    folders = (ROOT / name for name in ("src", "bench", "docs", "deploy"))
    files = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*"))]
    texts = [path for path in files if path.suffix in {".py", ".md", ".toml", ".service", ".html"} and path.is_file()]
    assert len(texts) > 200
    for path in texts:
        for page in re.findall(r"\bdocs/[\w/-]+\.(?:md|py|toml|svg|png|jpg)\b", path.read_text(encoding="utf-8")):
            named = page in OPTIONAL or (ROOT / page).exists()
            assert named, f"{path.relative_to(ROOT)} names {page}"


OPTIONAL = {"docs/figures/ablation.md"}
"""What a bench would write: of ablation.py nothing was kept."""


def test_config_documents_every_option():
    text = (DOCS / "default.toml").read_text(encoding="utf-8")
    options = [line for line in text.splitlines() if "=" in line]
    assert len(options) > 30
    assert all("#" in line for line in options)


def test_errors_page_has_every_error_and_its_messages():
    text = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    for name in ("KembarError", "CatalogError", "FolderError", "MissingExtraError", "ForkedError"):
        assert f"\n## {name}\n" in text
    assert text.count("\n| ") > 250
    assert "| …, which exists |" in text


def test_every_figure_has_its_script():
    orphans = [name for name in figures_page.figures(ROOT) if figures_page.script_of(ROOT, name) is None]
    assert not orphans, f"no script in bench/ or docs/ names docs/figures/ and: {orphans}"


def test_figure_without_its_script_is_found(tmp_path):
    for folder in ("bench", "docs/figures"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bench" / "speed.py").write_text('"""Writes docs/figures/speed.md."""', encoding="utf-8")
    for name in ("speed.md", "speed.md5.md", "typed-in.md"):
        (tmp_path / "docs" / "figures" / name).write_text("| 1 |", encoding="utf-8")
    found = {name: figures_page.script_of(tmp_path, name) for name in figures_page.figures(tmp_path)}
    assert found == {"speed.md": "bench/speed.py", "speed.md5.md": None, "typed-in.md": None}
    assert "| **no script** |" in figures_page.page(tmp_path)


def test_a_day_holds_until_the_figure_changes(tmp_path):
    folder = tmp_path / "docs" / "figures"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("1", encoding="utf-8")
    (folder / figures_page.DAYS).write_text(f'"a.md" = ["{figures_page.digest(folder / "a.md")}", "2021-05-11"]\n')
    assert '"2021-05-11"' in figures_page.days(tmp_path)
    (folder / "a.md").write_text("2", encoding="utf-8")
    assert '"2021-05-11"' not in figures_page.days(tmp_path)


def test_pictures_are_as_new_as_the_scripts_that_draw_them():
    folder = DOCS / "figures"
    pictures = [path for path in sorted(folder.iterdir()) if path.suffix in {".svg", ".png"}]
    drawn = [path for path in pictures if path.name not in ELSEWHERE]
    assert len(drawn) >= 10
    assert not svg.stale(ROOT, drawn)
    assert not help_pictures.outdated(folder)


def test_picture_older_than_its_script_is_named(tmp_path):
    figures = tmp_path / "docs" / "figures"
    figures.mkdir(parents=True)
    script = tmp_path / "docs" / "drawings.py"
    script.write_text("# as it was\n", encoding="utf-8")
    svg.save("<svg></svg>", figures / "old.svg", script)
    shutil.copy(DOCS / "figures" / "review-queue.png", figures / "none.png")
    old = figures / "old.svg"
    assert svg.stale(tmp_path, [old]) == []
    script.write_text("# as it is\n", encoding="utf-8")
    assert svg.stale(tmp_path, [old, figures / "none.png"]) == ["old.svg: run docs/drawings.py", "none.png: no script"]


def test_picture_of_another_help_is_named(tmp_path):
    for name in help_pictures.SHOWN:
        shutil.copy(DOCS / "figures" / name, tmp_path / name)
    assert help_pictures.outdated(tmp_path) == []
    old = tmp_path / "help-match.svg"
    old.write_text(old.read_text(encoding="utf-8").replace("<!-- help ", "<!-- help 0"), encoding="utf-8")
    assert help_pictures.outdated(tmp_path) == ["help-match.svg: run docs/help_pictures.py"]


def test_comparison_says_where_peers_are_better():
    sections = re.split(r"^## ", (DOCS / "figures" / "peers.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    better = {}
    for section in sections:
        rows = [
            [cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if "|" in line
        ]
        scores = {row[0]: [float(cell) for cell in row[1:3] if re.fullmatch(r"\d\.\d+", cell)] for row in rows[2:]}
        own = scores.pop("**kembar**")[0]
        if scores:
            better[section.split("\n", 1)[0]] = tuple(any(peer[at] > own for peer in scores.values()) for at in (0, 1))
    table = {row[0].split(",")[0]: ["better" in cell for cell in row[1:3]] for row in _side_by_side()}
    said = {name: tuple(table[words]) for name, words in SETS.items()}
    assert said == better


SETS = {
    "shopee0": "Shopee fold",
    "abt_buy": "Abt-Buy",
    "amazon_google": "Amazon-Google",
    "walmart_amazon": "Walmart-Amazon",
    "wdc_shoes": "WDC shoes",
    "photo_edits": "photos as sellers edit them",
}


def _side_by_side():
    text = (DOCS / "compare.md").read_text(encoding="utf-8").split("## Side by side")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return rows[2:]
