"""A pytest plugin for the whole suite: a test fails when a secret or a message's text reaches what it wrote.

Looked through are standard output and error and the log of every test, log and metric lines of the code under test
among them, and at the end the log files of the systems that were started. Secrets are the suite's own, listed here.
Texts are those of every message that the code under test makes: each is remembered as it is made.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

SECRETS = (
    "8f742231b10e8888abcd99yyyzzz85a5", "Abc_123-xyz", "xoxb-secret-token", "4242:secret-token", "xoxb-test",
    "ABC-secret", "hook-secret", "xoxb-of-the-tests", "signing-secret-of-", "a-key-of-the-tests", "xoxb-e2e",
    "e2e-token", "e2e-signing-secret", "e2e-secret", "e2e-key", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    "bench-signing-secret", "xoxb-bench",
)  # fmt: skip
"""What the tests sign and authenticate with; `tests/test_leaks.py` holds the list to their modules."""

SHORTEST = 12
"""Characters of a text that is looked for: shorter ones stand in log lines by chance."""
MOST_TEXTS = 500
"""How many of a test's texts are looked for."""
ALLOWED = "may_show_secrets"

_texts: dict[str, None] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Remember the text of every message from now on."""
    from parley.domain.message import Incoming, Message
    from parley.domain.turn import ModelReply, Outgoing

    config.addinivalue_line("markers", f"{ALLOWED}(why): what this test prints is meant to hold a secret or a text")
    for kind in (Incoming, Message, ModelReply, Outgoing):
        _remember(kind)


def _remember(kind: Any) -> None:
    make: Callable[..., None] = kind.__init__

    @functools.wraps(make)
    def remember(self: Any, *arguments: Any, **fields: Any) -> None:
        make(self, *arguments, **fields)
        text = self.text
        if isinstance(text, str) and len(text) >= SHORTEST and len(_texts) < MOST_TEXTS:
            _texts[text] = None

    kind.__init__ = remember


def leaks(content: str, texts: Iterable[str]) -> list[str]:
    """The secrets in what was written, and the texts: as they are, or as JSON writes them."""
    found = [secret for secret in SECRETS if secret in content]
    return found + [text for text in texts if text in content or _as_json(text) in content]


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)[1:-1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test has its own texts."""
    _texts.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test, in whichever phase, for what it wrote."""
    report = yield
    if report.failed or item.get_closest_marker(ALLOWED) is not None:
        return report
    for name, content in report.sections:
        found = leaks(content, list(_texts)) if name.endswith(f" {report.when}") else []
        if found:
            report.outcome = "failed"
            report.longrepr = f"{name}: {found[0][:80]!r} stands in what the code wrote; {len(found)} in all"
            break
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for what a system that was started left in its log files."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    folder = getattr(factory, "_basetemp", None)
    found = list(leaks_in_files(folder)) if folder is not None else []
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.stash[_IN_FILES] = found


def leaks_in_files(folder: Path) -> Iterable[str]:
    """A line for each log file below a folder that holds a secret."""
    for file in sorted(folder.rglob("logs/*.log*")):
        found = leaks(file.read_text(errors="replace"), ())
        if found:
            yield f"{file.relative_to(folder)} holds {found[0]!r}"


_IN_FILES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which files they are."""
    for line in config.stash.get(_IN_FILES, []):
        terminalreporter.write_line(f"LEAK: {line}", red=True)
