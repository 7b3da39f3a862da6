// The frame of the command line: help, exit codes, where results and errors go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/json.h"
#include "support/temp_folder.h"
#include "tools/program.h"

namespace mortise {

namespace {

using test::mortise;
using testing::HasSubstr;

// Names under "Subcommands:" of the root's help.
std::vector<std::string> commands() {
    std::istringstream help(mortise({"--help"}).out);
    std::vector<std::string> out;
    bool inside = false;
    for (std::string line; std::getline(help, line);) {
        if (line.empty()) inside = false;
        if (inside && line.size() > 2 && line[2] != ' ') out.push_back(line.substr(2, line.find(' ', 2) - 2));
        if (line == "Subcommands:") inside = true;
    }
    return out;
}

std::string temporary(const std::string& name, const std::string& text) {
    return test::scratch().write(name, text);
}

}  // namespace

TEST(Cli, EveryHelpFitsOnAScreenAndEndsWithThreeExamples) {
    std::vector<std::string> names = commands();
    EXPECT_GE(names.size(), 2u);
    names.emplace_back("");
    for (const std::string& name : names) {
        auto help = name.empty() ? mortise({"--help"}) : mortise({name, "--help"});
        EXPECT_EQ(help.exit_code, 0) << name;
        EXPECT_LT(test::count_lines(help.out), 60u) << name;
        size_t at = help.out.find("Examples:\n");
        ASSERT_NE(at, std::string::npos) << name;
        size_t examples = 0;
        for (size_t next = at; (next = help.out.find("\n  mortise", next + 1)) != std::string::npos;)
            ++examples;
        EXPECT_EQ(examples, 3u) << name;
    }
}

TEST(Cli, VersionNamesTheAbi) {
    auto version = mortise({"--version"});
    EXPECT_EQ(version.exit_code, 0);
    EXPECT_THAT(version.out, HasSubstr("ABI 1."));
}

TEST(Cli, AMistypedCommandIsUsageAndNamesTheNearest) {
    auto wrong = mortise({"docter"});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_EQ(wrong.out, "");
    EXPECT_THAT(wrong.err, HasSubstr("unknown command 'docter'"));
    EXPECT_THAT(wrong.err, HasSubstr("'doctor'"));
}

TEST(Cli, AMistypedFlagIsUsageAndNamesTheNearest) {
    auto wrong = mortise({"doctor", "--plugin-dirs", "x"});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("'--plugin-dir'"));
}

TEST(Cli, NoCommandIsUsage) { EXPECT_EQ(mortise({}).exit_code, 2); }

TEST(Cli, AFlagThatDoesNotFitIsUsage) {
    auto wrong = mortise({"doctor", "--threads", "many"});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("an integer from 0 to 1024"));
}

TEST(Cli, AWrongDeploymentIsExitThreeWithEveryProblemOnItsOwnLine) {
    std::string file =
        temporary("cli.yaml", "deployment: mortise.deploy/v1\nkernls: {}\ndevice: {threads: x}\n");
    auto wrong = mortise({"doctor", "--config", file});
    EXPECT_EQ(wrong.exit_code, 3);
    EXPECT_EQ(wrong.out, "");
    EXPECT_EQ(test::count_lines(wrong.err), 2u);
    EXPECT_THAT(wrong.err, HasSubstr(file + ":2:1: error[E3003]"));
    EXPECT_THAT(wrong.err, HasSubstr(file + ":3:19: error[E3004]"));
}

TEST(Cli, ErrorsAreJsonUnderJson) {
    auto wrong = mortise({"doctor", "--json", "--config", "/nowhere.yaml"});
    EXPECT_EQ(wrong.exit_code, 8);
    auto document = json::Document::parse(wrong.err, "stderr");
    ASSERT_TRUE(document) << wrong.err;
    const auto* error = document->root().find("error");
    ASSERT_TRUE(error);
    EXPECT_EQ(error->find("exit_code")->as_int().value(), 8);
    EXPECT_EQ(error->find("problems")->items()[0]->find("code")->text(), "E7005");
}

TEST(Cli, DoctorJsonIsJson) {
    auto doctor = mortise({"--json", "doctor", "--threads", "1"});
    EXPECT_EQ(doctor.exit_code, 0) << doctor.err;
    auto document = json::Document::parse(doctor.out, "stdout");
    ASSERT_TRUE(document) << doctor.out;
    EXPECT_EQ(document->root().find("threads")->as_int().value(), 1);
}

TEST(Cli, ConfigPrintNamesTheOriginOfAFlagAndOfAVariable) {
    auto print = mortise({"config", "print", "--resolved", "--threads", "3", "--kernels", "reference"},
                         {"MORTISE_ACTIVATIONS=exact"});
    EXPECT_EQ(print.exit_code, 0) << print.err;
    EXPECT_THAT(print.out, HasSubstr("# flag --threads"));
    EXPECT_THAT(print.out, HasSubstr("# flag --kernels"));
    EXPECT_THAT(print.out, HasSubstr("# environment MORTISE_ACTIVATIONS"));
}

TEST(Cli, ConfigCheckIsSilentOnStandardErrorWhenTheFileIsRight) {
    auto check = mortise({"config", "check", MORTISE_SOURCE_DIR "/configs/minimal.yaml"});
    EXPECT_EQ(check.exit_code, 0);
    EXPECT_EQ(check.err, "");
    EXPECT_EQ(mortise({"config", "check"}).exit_code, 2);
}

TEST(Cli, ColoursAreOffOnAFileUnlessAskedFor) {
    EXPECT_EQ(mortise({"docter"}).err.find('\x1b'), std::string::npos);
    EXPECT_NE(mortise({"doctor", "--color", "always", "--config", "/nowhere.yaml"}).err.find('\x1b'),
              std::string::npos);
    EXPECT_EQ(mortise({"doctor", "--color", "never", "--config", "/nowhere.yaml"}, {"CLICOLOR_FORCE=1"})
                  .err.find('\x1b'),
              std::string::npos);
}

}  // namespace mortise
