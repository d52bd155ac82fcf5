"""docs/reading.md: the core fits an afternoon."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUDGET = 3600


def files(text):
    return [ROOT / name for name in re.findall(r"^### \d+\. \[(\S+)\]", text, re.MULTILINE)]


def test_the_core_is_fifteen_files_within_the_budget():
    text = (ROOT / "docs" / "reading.md").read_text()
    listed = files(text)
    assert len(listed) == 15
    assert all(path.exists() for path in listed), listed
    assert text.count("*Exercise:*") == 15
    lines = {path.name: len(path.read_text().splitlines()) for path in listed}
    assert sum(lines.values()) <= BUDGET, (sum(lines.values()), lines)
    assert f"at most {BUDGET:,} lines" in text
