"""Take docs/figures/report.png: the upper part of report.html of a drawn shop, as Chromium shows it.

python docs/report_picture.py
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import kembar
import svg

FIGURES = Path(__file__).parent / "figures"
POSTS, WIDTH, HEIGHT, COLORS = 400, 1000, 1500, 96


def main() -> None:
    """Draw a shop, match it, photograph its report."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no chromium and no google-chrome: install one of them")
    with tempfile.TemporaryDirectory() as folder:
        shop, run, shot = (Path(folder) / name for name in ("shop", "run", "shot.png"))
        kembar.write_shop(shop, POSTS, seed=4, photos=kembar.Drawing(size=160))
        kembar.match(shop / "posts.csv", images=shop / "photos").save(run)
        size = [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", f"--user-data-dir={folder}/browser"]
        page = (run / "report.html").as_uri()
        subprocess.run([browser, "--headless", "--no-sandbox", "--hide-scrollbars", *size, page], check=True)
        with Image.open(shot) as picture:
            small = picture.convert("RGB").quantize(COLORS)
            svg.save_png(small, FIGURES / "report.png", Path(__file__))


if __name__ == "__main__":
    main()
