"""schemathesis against a service of its own: requests made from its OpenAPI document, and how they are answered.

    python bench/openapi.py [-n 50] [-o docs/figures/openapi.md]

A server error, or an answer in another form than the document says, is a failure. Not counted as failures: refusals
(422) of what the document cannot say, such as that a store without posts cannot be matched again.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kembar.store import Live
from services import Served, post

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,"
    "allow_header_conformance,use_after_free"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=50, help="cases of each operation and phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Live.create(Path(folder) / "store").close()
        with Served(Path(folder) / "store", "--photo-seconds", 3) as served:
            with served.client() as client:
                client.post("/v1/posts", json={"posts": [post("0"), post("1"), post("2")]}).raise_for_status()
            said = schemathesis(served.url, folder, arguments.n, arguments.seed)
            log = served.log.read_text(encoding="utf-8")
    text = table(said, log)
    print(said[-4000:], text, sep="\n")
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


def schemathesis(url: str, folder: str, examples: int, seed: int) -> str:
    """Run it; its own words."""
    # The header is one that no form has: without it photos are refused, as they should be.
    options = ["--max-examples", examples, "--seed", seed, "--header", "Authorization: Bearer none", "-c", CHECKS]
    options += ["--generation-database", "none", "--continue-on-failure", "--suppress-health-check", "all"]
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--no-color"]
    return subprocess.run([*command, *map(str, options)], cwd=folder, capture_output=True, text=True).stdout


def table(said: str, log: str) -> str:
    """Count the cases, the failures, and all answers by their status."""
    found = re.search(r"(\d+) generated(?:, (\d+) found (\d+) unique failures)?", said)
    assert found, said
    operations = re.search(r"Tested: (\d+)", said)
    statuses = Counter(re.findall(r" (\d{3}) [\d.]+ ms$", log, re.MULTILINE))
    errors = sum(n for status, n in statuses.items() if status >= "500")
    lines = [
        "| operations | cases | requests | server errors | tracebacks | answers unlike the document |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| {operations[1]} | {int(found[1]):,} | {sum(statuses.values()):,} | {errors} | {log.count('Traceback')} "
        f"| {found[3] or 0} |",
        "",
        "Answers by status: " + ", ".join(f"{status}: {n:,}" for status, n in sorted(statuses.items())) + ".",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
