"""Runs check_guards over a tree of one line: a guard that a test holds, one that none does, and mistakes in the list."""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
# The "program" passes while the copy of the guarded file says so, and knows one test.
PROGRAM = """#!/bin/sh
echo "[ RUN      ] $1"
case "$1" in *Nothing*) exit 0;; esac
grep -q "guard" "$(dirname "$0")/copy"
"""
NINJA = """rule copy
  command = cp $in $out && chmod +x $out && ! grep -q broken $out
build bin/copy: copy ../guarded.txt
build bin/test_x: copy ../program.sh
build test_x: phony bin/test_x
build plugin: phony bin/copy
"""


class CheckGuards(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        for name in ("tools", "tests", "build/bin"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(SOURCE / "tools/check_guards", self.root / "tools/check_guards")
        (self.root / "guarded.txt").write_text("first\nthe guard\nlast\n")
        (self.root / "program.sh").write_text(PROGRAM)
        (self.root / "build/build.ninja").write_text(NINJA)

    def tearDown(self):
        self.folder.cleanup()

    def check(self, guard):
        (self.root / "tests/guards.ini").write_text("[a trap]\n" + guard)
        done = subprocess.run([sys.executable, self.root / "tools/check_guards"], capture_output=True, text=True)
        self.assertEqual((self.root / "guarded.txt").read_text(), "first\nthe guard\nlast\n", "put back")
        return done.returncode, done.stdout + done.stderr

    def test_a_guard_that_its_test_holds_passes(self):
        code, said = self.check("file = guarded.txt\nline = the guard\nbuild = plugin test_x\ntest = test_x:A.Trap\n")
        self.assertEqual((code, said.splitlines()[-1]), (0, "1 passed, 0 failed"), said)

    def test_a_guard_that_no_test_holds_is_named(self):
        code, said = self.check("file = guarded.txt\nline = the guard\nbuild = plugin test_x\ntest = test_x:Nothing\n")
        self.assertEqual(code, 1)
        self.assertIn("passes without the guard", said)

    def test_a_line_that_is_not_there_once_is_named(self):
        for line in ("no such", "st"):
            code, said = self.check(f"file = guarded.txt\nline = {line}\nbuild = plugin test_x\ntest = test_x:A.Trap\n")
            self.assertEqual(code, 1)
            self.assertIn("lines of guarded.txt", said)

    def test_a_tree_that_does_not_build_is_no_proof(self):
        code, said = self.check(
            "file = guarded.txt\nline = the guard\nbecomes = broken\nbuild = plugin test_x\ntest = test_x:A.Trap\n")
        self.assertEqual(code, 1)
        self.assertIn("does not build", said)

    def test_unknown_keys_are_refused(self):
        code, said = self.check("file = guarded.txt\nline = the guard\ntest = test_x:A.Trap\nodd = 1\n")
        self.assertNotEqual(code, 0)
        self.assertIn("odd", said)


if __name__ == "__main__":
    unittest.main()
