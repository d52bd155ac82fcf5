"""Whatever README and docs show is run, and prints what they say it prints.

Python blocks of a page run in order in one namespace, in an empty folder; a text block right after one is what it
prints. A TOML block that begins with a comment, the name of a file, is the content of that file. Numbers with a decimal
point may differ in the last digits (another BLAS adds in another order), and the seconds of an epoch are not compared.
Commands of minidl and of the examples are run; what sets up an environment or tests is left to .ci/run.

    python tests/test_docs.py [PAGE ...]    writes what the blocks print into the pages
    python tests/test_docs.py --pictures    draws the gallery's pictures
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import launching
import pytest

import minidl
from minidl.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
LEFT_TO_CI = re.compile(r"(pip|pytest|ruff|mypy|python -m venv|python -m tests|python benchmarks/)\b")
NUMBER = re.compile(r"[-+]?\d+\.\d+(?:e[-+]?\d+)?|[-+]?\d+")


@dataclass
class Block:
    language: str
    body: str
    indent: str
    span: tuple[int, int]


def blocks(text):
    for match in BLOCK.finditer(text):
        indent = match["indent"]
        body = re.sub(f"^{indent}", "", match["body"], flags=re.MULTILINE)
        yield Block(match["language"], body, indent, match.span())


def with_output(text):
    """Yield each Python block with the text block that follows it, if only blank lines are between."""
    found = list(blocks(text))
    for block, following in zip(found, [*found, None][1:], strict=True):
        if block.language == "python":
            shows = following and following.language == "text" and not text[block.span[1] : following.span[0]].strip()
            yield block, following if shows else None


def run(body, namespace, name):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(body, name, "exec"), namespace)
    return out.getvalue()


def write_files(page):
    """Write the files that a page shows, in the current directory."""
    for block in blocks(page.read_text()):
        name = re.match(r"# (\w+\.toml)\n", block.body)
        if block.language == "toml" and name:
            Path(name[1]).write_text(block.body)


def assert_same_output(actual, expected):
    """The same words; integers equal, decimals within a fifth or 0.05; the seconds of an epoch left out."""
    actual, expected = (
        re.sub(r"  \d+\.\d s$", "  TIME s", text.strip(), flags=re.MULTILINE) for text in (actual, expected)
    )
    assert NUMBER.sub("#", actual) == NUMBER.sub("#", expected)
    for a, e in zip(NUMBER.findall(actual), NUMBER.findall(expected), strict=True):
        assert a == e or ("." in e and abs(float(a) - float(e)) <= max(0.05, 0.2 * abs(float(e)))), f"{a} for {e}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for package, used in (
        ("torch", "import torch\n"),
        ("onnxruntime", "import onnxruntime\n"),
        ("matplotlib", "plotting"),
    ):
        if page.name in ("interop.md", "gallery.md") and used in page.read_text():
            pytest.importorskip(package)
    if page.name == "sweeps.md":
        pytest.importorskip("joblib")
        pytest.importorskip("distributed")
    monkeypatch.setenv("MPLBACKEND", "agg")
    write_files(page)
    namespace = {"__name__": "docs"}
    for block, shown in with_output(page.read_text()):
        printed = run(block.body, namespace, page.name)
        if shown is not None:
            assert_same_output(printed, shown.body)
        else:
            assert not printed, f"{page.name} does not show what this prints: {printed}"


def run_ranks(words, folder):
    """Run a command that starts several processes, in a folder from which it finds the examples."""
    launching.need_mpi()
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples")
    words = [sys.executable if word == "python" else word for word in words]
    at = words.index("minidl") if "minidl" in words else len(words)
    words[at : at + 1] = [sys.executable, "-m", "minidl"] if at < len(words) else []
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [launching.mpiexec(), *words], cwd=folder, env=path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def commands(page):
    for block in blocks(page.read_text()):
        if block.language == "bash":
            for line in block.body.splitlines():
                yield from (command.strip() for command in line.split("#")[0].split("&&") if command.strip())


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=lambda p: p.name)
def test_the_commands_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if page.name == "your-own-images.md":  # whose first Python block makes the files that its commands use
        pytest.importorskip("matplotlib")
        run(next(block.body for block, _ in with_output(page.read_text())), {}, page.name)
    write_files(page)
    for command in commands(page):
        words = command.split()
        if words[0] == "mpiexec":
            run_ranks(words[1:], tmp_path)
            continue
        if words[0] != "minidl":
            assert LEFT_TO_CI.match(command) or words[0] == "source", f"{page}: nobody runs {command!r}"
            continue
        if words[1] == "export":
            pytest.importorskip("onnx")
        if words[1] == "sweep":
            pytest.importorskip("joblib")
        assert main(words[1:]) == 0, command
        assert capsys.readouterr().err == "", command


def test_every_picture_of_the_gallery_is_drawn():
    text = (ROOT / "docs" / "gallery.md").read_text()
    shown = set(re.findall(r"\(images/(\w+\.png)\)", text))
    examples = "".join(path.read_text() for path in (ROOT / "examples").glob("*.py"))
    drawn = re.findall(r'savefig\("(\w+\.png)"\)', text) + re.findall(r'default="(\w+\.png)"', examples)
    assert shown == set(drawn)
    assert shown == {path.name for path in (ROOT / "docs" / "images").iterdir()}


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_comparison_of_outputs_can_fail():
    assert_same_output("epoch 1  loss 0.5001  0.3 s\n", "epoch 1  loss 0.5  9.9 s")
    for actual in ("epoch 2  loss 0.5  9.9 s", "epoch 1  loss 0.7  9.9 s", "epoch 1  cost 0.5  9.9 s", ""):
        with pytest.raises(AssertionError):
            assert_same_output(actual, "epoch 1  loss 0.5  9.9 s")


def update(page):
    """Write what the Python blocks print into the text blocks after them."""
    text = page.read_text()
    namespace, pieces, end = {"__name__": "docs"}, [], 0
    minidl.manual_seed(0)
    write_files(page)
    for block, shown in with_output(text):
        printed = run(block.body, namespace, page.name)
        if shown is not None:
            body = "".join(f"{shown.indent}{line}".rstrip() + "\n" for line in printed.rstrip().splitlines())
            pieces += [text[end : shown.span[0]], f"{shown.indent}```text\n{body}{shown.indent}```"]
            end = shown.span[1]
    page.write_text("".join([*pieces, text[end:]]))


if __name__ == "__main__":
    pages = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if sys.argv[1:] == ["--pictures"]:
            minidl.manual_seed(0)
            names = {"__name__": "docs"}
            for block, _ in with_output((ROOT / "docs" / "gallery.md").read_text()):
                run(block.body, names, "gallery.md")
            for picture in Path(folder).glob("*.png"):
                (ROOT / "docs" / "images" / picture.name).write_bytes(picture.read_bytes())
            sys.exit()
        for path in pages:
            update(path)
