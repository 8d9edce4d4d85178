"""Count what the code is made of: lines, files, packages, arrows between them, import depth, long signatures.

    python bench/structure.py [src/kembar ...]

A package is a folder under the root, or a file beside them. An arrow is an import from one package into another. Depth
is the longest chain of arrows. A long signature has more than six parameters, without self and cls; command functions,
whose parameters are the options of the command line, are counted apart.
"""

import ast
import sys
from pathlib import Path

MOST = 6


def package(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


def targets(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kembar":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


def depth(arrows: dict[str, set[str]], name: str, seen: tuple[str, ...] = ()) -> int:
    return 1 + max(
        (depth(arrows, other, (*seen, name)) for other in arrows.get(name, ()) if other not in seen), default=0
    )


def long_signatures(tree: ast.Module) -> tuple[int, int]:
    plain = commands = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if sum(arg.arg not in ("self", "cls") for arg in given) > MOST:
                command = any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
                plain, commands = plain + (not command), commands + command
    return plain, commands


def report(root: Path) -> None:
    arrows: dict[str, set[str]] = {}
    files = lines = plain = commands = longest = 0
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        files, lines, longest = files + 1, lines + text.count("\n"), max(longest, text.count("\n"))
        own = package(path, root)
        if not own.startswith("__"):
            arrows.setdefault(own, set()).update(targets(tree) - {own})
        more = long_signatures(tree)
        plain, commands = plain + more[0], commands + more[1]
    arrows = {name: {other for other in others if other in arrows} for name, others in arrows.items()}
    print(
        f"{root}: {lines:,} lines in {files} files, the longest {longest}; {len(arrows)} packages and files at the top,"
    )
    print(f"{sum(map(len, arrows.values()))} arrows, import depth {max(depth(arrows, name) for name in arrows)};")
    print(f"{plain} functions of more than {MOST} parameters, and {commands} commands")


if __name__ == "__main__":
    for root in sys.argv[1:] or ["src/kembar"]:
        report(Path(root))
