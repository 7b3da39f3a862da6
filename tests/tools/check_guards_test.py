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
if [ "$1" = --gtest_list_tests ]; then case "$2" in *Gone*) ;; *) printf 'A.\\n  Trap\\n';; esac; exit 0; fi
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
        for name in ("tools", "tests/guards", "build/bin"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(SOURCE / "tools/check_guards", self.root / "tools/check_guards")
        (self.root / "guarded.txt").write_text("first\nthe guard\nlast\n")
        (self.root / "program.sh").write_text(PROGRAM)
        (self.root / "build/build.ninja").write_text(NINJA)

    def tearDown(self):
        self.folder.cleanup()

    def check(self, guard, *options):
        (self.root / "tests/guards/x.ini").write_text("[a trap]\n" + guard)
        done = subprocess.run([sys.executable, self.root / "tools/check_guards", *options], capture_output=True, text=True)
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

    def test_looking_builds_nothing_and_misses_lines_and_tests_that_are_gone(self):
        shutil.copy(self.root / "program.sh", self.root / "build/bin/test_x")
        (self.root / "build/bin/test_x").chmod(0o755)
        guard = "file = guarded.txt\nline = {}\ntest = test_x:{}\nreference = somebody #1\n"
        for line, test, passes in (("the guard", "A.Trap", True), ("gone", "A.Trap", False), ("the guard", "Gone", False)):
            code, said = self.check(guard.format(line, test), "--look")
            self.assertEqual(code == 0, passes, said)
        self.assertFalse((self.root / "build/bin/copy").exists(), "nothing was built")

    def test_one_name_in_two_lists_is_refused(self):
        (self.root / "tests/guards/y.ini").write_text("[a trap]\nfile = guarded.txt\nline = last\ntest = test_x:A\n")
        code, said = self.check("file = guarded.txt\nline = the guard\ntest = test_x:A.Trap\n")
        self.assertNotEqual(code, 0)
        self.assertIn("another list", said)

    def test_unknown_keys_are_refused(self):
        code, said = self.check("file = guarded.txt\nline = the guard\ntest = test_x:A.Trap\nodd = 1\n")
        self.assertNotEqual(code, 0)
        self.assertIn("odd", said)


if __name__ == "__main__":
    unittest.main()
