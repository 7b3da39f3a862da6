"""Plants one violation of each kind in a temporary copy of the tree and sees it caught."""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
LONG_BODY = "    int x = 0;\n" * 60


class CheckLayers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        skip = shutil.ignore_patterns("golden", "__pycache__", "build*")
        for top in ("core", "schemes", "plugins", "kernels", "tools", "tests"):
            if (SOURCE / top).is_dir():
                shutil.copytree(SOURCE / top, self.root / top, ignore=skip)
        # Names of its own, so that the test does not depend on what is installed in the tree today.
        self.plant("schemes/zebra4/CMakeLists.txt", "mortise_add_plugin(zebra4)\n")
        self.plant("schemes/zebra4/zebra4.yaml", "plugin:\n  id: org.example.stripe-code\n")
        self.plant("kernels/abacus/CMakeLists.txt", "mortise_add_plugin(abacus)\n")
        self.plant("kernels/abacus/beads9/add.cpp", "// beads9 is at home here\n")
        self.before = self.violations()

    def tearDown(self):
        self.folder.cleanup()

    def plant(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def violations(self):
        done = subprocess.run([sys.executable, SOURCE / "tools/check_layers", "--root", self.root],
                              capture_output=True, text=True)
        lines = done.stderr.splitlines()
        self.assertEqual(done.returncode, 1 if lines else 0, done.stderr)
        return set(lines)

    def caught(self, *expected):
        """Asserts that exactly the expected lines are new: no planted fault missed, no false alarm."""
        new = sorted(self.violations() - self.before)
        self.assertEqual(len(new), len(expected), new)
        for line, beginning in zip(new, sorted(expected)):
            self.assertTrue(line.startswith(beginning), f"want {beginning!r}, got {line!r}")

    def test_nothing_planted_is_nothing_found(self):
        self.caught()

    def test_a_room_that_includes_against_its_arrow(self):
        self.plant("core/plan/planted.h", "#pragma once\n")
        self.plant("core/base/planted.cpp", '#include "plan/planted.h"\n')
        self.caught("core/base/planted.cpp:1: arrow: core/base may not include core/plan/planted.h")

    def test_an_arrow_is_transitive(self):
        self.plant("core/quant/planted.h", "#pragma once\n")
        self.plant("core/deploy/planted.cpp", '#include "quant/planted.h"\n')
        self.caught()

    def test_a_plugin_that_includes_the_core(self):
        self.plant("core/base/planted.h", "#pragma once\n")
        self.plant("schemes/zebra4/zebra4.cpp", '\n#include "base/planted.h"\n')
        self.caught("schemes/zebra4/zebra4.cpp:2: arrow: schemes/zebra4 may not include core/base/planted.h")

    def test_a_plugin_that_includes_its_sibling(self):
        self.plant("schemes/yak/CMakeLists.txt", "mortise_add_plugin(yak)\n")
        self.plant("schemes/yak/yak.h", "#pragma once\n")
        self.plant("schemes/zebra4/zebra4.cpp", '#include "../yak/yak.h"\n')
        self.caught("schemes/zebra4/zebra4.cpp:1: arrow: schemes/zebra4 may not include schemes/yak/yak.h")

    def test_a_plugin_that_links_the_core(self):
        self.plant("schemes/zebra4/CMakeLists.txt", "mortise_add_plugin(zebra4)\ntarget_link_libraries(z mortise_plan)\n")
        self.caught("schemes/zebra4/CMakeLists.txt:2: arrow: schemes/zebra4 may not link mortise_plan")

    def test_a_room_that_links_against_its_arrow(self):
        self.plant("core/checkpoint/sub/CMakeLists.txt", "mortise_room(sub USES base engine)\n")
        self.caught("core/checkpoint/sub/CMakeLists.txt:1: arrow: core/checkpoint may not use engine")

    def test_a_format_named_in_the_core(self):
        self.plant("core/plan/planted.cpp", "// nothing here\nbool zebra = name == \"Zebra4\";\n")
        self.caught("core/plan/planted.cpp:2: name: 'Zebra4' belongs to schemes/zebra4")

    def test_a_format_named_by_its_manifest_id_in_a_kernel(self):
        self.plant("kernels/abacus/abacus.cpp", "int stripe_code_add();\n")
        self.caught("kernels/abacus/abacus.cpp:1: name: 'stripe_code' belongs to schemes/zebra4")

    def test_an_instruction_set_named_in_a_plugin(self):
        self.plant("schemes/zebra4/zebra4.cpp", "bool have_beads9();\n")
        self.caught("schemes/zebra4/zebra4.cpp:1: name: 'beads9' belongs to kernels/abacus/beads9")

    def test_part_of_a_word_is_no_name(self):
        self.plant("core/plan/planted.cpp", "int zebra44; int superzebra4;\n")
        self.caught()

    def test_an_exception_excuses_and_must_be_needed(self):
        self.plant("core/plan/planted.cpp", "int zebra4;\n")
        rules = self.root / "tools/layer_exceptions.txt"
        old = rules.read_text() if rules.is_file() else ""
        rules.write_text(old + "zebra4 core/plan/* an animal\n")
        self.caught()
        rules.write_text(old + "zebra4 core/plan/* an animal\nzebra4 core/load/* nobody there\n")
        self.caught(f"tools/layer_exceptions.txt:{old.count(chr(10)) + 2}: exception: 'zebra4' no longer occurs")

    def test_a_file_that_is_too_long(self):
        self.plant("core/base/planted.h", "// line\n" * 401)
        self.caught("core/base/planted.h:401: size: 401 lines")

    def test_a_function_that_is_too_long(self):
        self.plant("core/base/planted.cpp", "namespace a {\nint f(int y) {\n" + LONG_BODY + "}\n}\n")
        self.caught("core/base/planted.cpp:2: size: function of 62 lines")

    def test_a_long_table_is_no_function(self):
        self.plant("core/base/planted.cpp", "constexpr int table[] = {\n" + "    1,\n" * 80 + "};\n")
        self.caught()

    def test_a_python_function_that_is_too_long(self):
        self.plant("tools/planted.py", "def f():\n" + "    x = 1\n" * 60)
        self.caught("tools/planted.py:1: size: function of 61 lines")

    def test_a_second_user_of_boost_dll(self):
        self.plant("core/base/planted_a.cpp", "#include <boost/dll/shared_library.hpp>\n")
        self.plant("tools/planted_b.cpp", "#include <boost/dll/shared_library.hpp>\n")
        found = [line for line in self.violations() - self.before if ": boost-dll: " in line]
        self.assertTrue(found)

    def test_the_cost_counts_files_lines_and_outside_edits(self):
        done = subprocess.run([sys.executable, SOURCE / "tools/check_layers", "--root", self.root, "--cost"],
                              capture_output=True, text=True, check=True)
        row = next(line.split() for line in done.stdout.splitlines() if line.startswith("schemes/zebra4"))
        self.assertEqual(row, ["schemes/zebra4", "2", "3", "0"])


if __name__ == "__main__":
    unittest.main()
