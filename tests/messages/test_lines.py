"""Lines of several processes do not tear each other apart."""

import io
import subprocess
import sys

import pytest

from pcb.messages.lines import WholeLines, say


class Writes(io.StringIO):
    """A stream that remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.mark.parametrize(
    "texts, lines",
    [
        (["whole\n"], ["whole"]),
        (["in ", "parts", "\n"], ["in parts"]),
        (["two\nlines\n"], ["two", "lines"]),
        (["a\n\nb\n"], ["a", "", "b"]),
        (["a\r\nb\r\n"], ["a", "b"]),
        (["no end"], ["no end"]),
        ([], []),
        # A progress bar, and a line after it.
        (["\r 10%", "\r 20%", "\r100%\n", "done\n"], [" 10%", " 20%", "100%", "done"]),
        (["a\n\r 10%\r", "\r 20%\n"], ["a", " 10%", " 20%"]),
    ],
)
def test_each_line_is_one_write(texts, lines):
    stream = Writes()
    labelled = WholeLines(stream, "label: ")
    for text in texts:
        assert labelled.write(text) == len(text)
        labelled.flush()
    labelled.close()
    labelled.close()  # nothing is left
    assert stream.writes == [f"label: {line}\n" for line in lines]


def test_several_lines_are_one_write():
    stream = Writes()
    say("it failed:\nwhy", stream)
    assert stream.writes == ["it failed:\nwhy\n"]


# Without buffers, each write of the stream is one of the process.
WRITER = """
import sys
from pcb.messages.lines import WholeLines, say
name = sys.argv[1]
lines = WholeLines(sys.stdout, f"{name}: ")
for number in range(300):
    for part in ("a line ", "of many", " parts", "\\n"):
        lines.write(part)
    say(f"{name} says: a line of many parts")
"""


def test_lines_of_processes_that_share_a_pipe_stay_whole(tmp_path):
    with open(tmp_path / "out", "w") as out:
        started = [
            subprocess.Popen([sys.executable, "-u", "-c", WRITER, name], stdout=out)
            for name in ("one", "two")
        ]
        assert [process.wait() for process in started] == [0, 0]
    expected = [
        line
        for name in ("one", "two")
        for line in (f"{name}: a line of many parts", f"{name} says: a line of many parts")
        for _ in range(300)
    ]
    assert sorted((tmp_path / "out").read_text().splitlines()) == sorted(expected)
