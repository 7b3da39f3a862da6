// Precedence, origins, paths and messages.
#include "deploy/resolve.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/codes.h"
#include "base/json.h"
#include "deploy/deployment.h"
#include "support/temp_folder.h"

namespace mortise::deploy {

namespace {

namespace fs = std::filesystem;

std::string write(const std::string& name, const std::string& text) {
    return test::scratch().write(name, text);
}

std::function<std::optional<std::string>(std::string_view)> variables(
    std::map<std::string, std::string> values) {
    return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
        auto found = values.find(std::string(name));
        return found == values.end() ? std::nullopt : std::optional(found->second);
    };
}

Problem only_problem(const std::string& text) {
    auto resolved = resolve({.file = write("wrong.yaml", "deployment: mortise.deploy/v1\n" + text),
                             .flags = {},
                             .environment = {}});
    EXPECT_FALSE(resolved);
    if (resolved) return {};
    EXPECT_EQ(resolved.error().problems().size(), 1u) << to_string(resolved.error());
    return resolved.error().first();
}

}  // namespace

TEST(Resolve, AFlagBeatsAVariableBeatsAFileBeatsADefault) {
    std::string file =
        write("order.yaml", "deployment: mortise.deploy/v1\ndevice: {threads: 3}\ncache: {dtype: bf16}\n");
    auto env = variables({{"MORTISE_THREADS", "5"}});
    auto all = resolve({.file = file, .flags = {{"device.threads", {"7"}}}, .environment = env}).value();
    EXPECT_EQ(all.integer("device.threads"), 7);
    EXPECT_EQ(all.at("device.threads").origin, "flag --threads");
    auto without_flag = resolve({.file = file, .flags = {}, .environment = env}).value();
    EXPECT_EQ(without_flag.integer("device.threads"), 5);
    EXPECT_EQ(without_flag.at("device.threads").origin, "environment MORTISE_THREADS");
    auto file_only = resolve({.file = file, .flags = {}, .environment = {}}).value();
    EXPECT_EQ(file_only.integer("device.threads"), 3);
    EXPECT_EQ(file_only.at("device.threads").origin, file + ":2:19");
    EXPECT_EQ(file_only.at("kernels.mode").origin, "default");
    EXPECT_EQ(file_only.text("cache.dtype"), "bf16");
}

TEST(Resolve, EveryFlagHasAVariableOfItsName) {
    for (const Setting& setting : settings()) {
        std::string name = variable_of(setting);
        EXPECT_EQ(name.empty(), setting.flag.empty());
        if (setting.key == "cache.max_model_len") {
            EXPECT_EQ(name, "MORTISE_MAX_MODEL_LEN");
        }
    }
}

TEST(Resolve, PathsAreRelativeToTheFileThatSaysThem) {
    std::string file = write("paths.yaml",
                             "deployment: mortise.deploy/v1\nmodel: {path: a/../models/x}\n"
                             "plugins: {search_path: [p, /q, \"${env:R}/s\"]}\n");
    auto resolved = resolve({.file = file, .flags = {}, .environment = variables({{"R", "/r"}})}).value();
    fs::path folder = fs::path(file).parent_path();
    EXPECT_EQ(resolved.text("model.path"), (folder / "models/x").string());
    EXPECT_EQ(resolved.list("plugins.search_path"),
              (std::vector<std::string>{(folder / "p").string(), "/q", "/r/s"}));
}

TEST(Resolve, VariablesOfListsAreSplit) {
    auto env = variables({{"MORTISE_PLUGIN_DIR", "/a:/b"}, {"MORTISE_PREFER_KERNELS", "x.y,z"}});
    auto resolved = resolve({.file = "", .flags = {}, .environment = env}).value();
    EXPECT_EQ(resolved.list("plugins.plugin_dir"), (std::vector<std::string>{"/a", "/b"}));
    EXPECT_EQ(resolved.list("kernels.prefer"), (std::vector<std::string>{"x.y", "z"}));
}

TEST(Resolve, AMisspelledKeyIsNamedWithItsPositionAndTheNearestOne) {
    Problem problem = only_problem("kernels:\n  activation: exact\n");
    EXPECT_EQ(problem.code, Code::yaml_unknown_key);
    EXPECT_EQ(problem.line, 3);
    EXPECT_EQ(problem.column, 3);
    EXPECT_NE(problem.fix.find("activations"), std::string::npos) << to_string(problem);
}

TEST(Resolve, AMisspelledChoiceIsNamedWithTheChoices) {
    Problem problem = only_problem("kernels: {activations: exakt}\n");
    EXPECT_EQ(problem.code, Code::yaml_value);
    EXPECT_EQ(problem.line, 2);
    EXPECT_EQ(problem.expected, "one of exact, as-specified, fast");
    EXPECT_EQ(problem.found, "'exakt'");
    EXPECT_NE(problem.fix.find("exact"), std::string::npos);
}

TEST(Resolve, AWrongTypeIsNamed) {
    Problem problem = only_problem("device: {threads: \"4\"}\n");
    EXPECT_EQ(problem.code, Code::yaml_type);
}

TEST(Resolve, ReplacementHappensInPathsOnly) {
    EXPECT_EQ(only_problem("model: {scheme: \"${env:HOME}\"}\n").code, Code::yaml_value);
    Problem unset = only_problem("model: {path: \"${env:MORTISE_NOT_SET}/x\"}\n");
    EXPECT_EQ(unset.fix, "set the environment variable MORTISE_NOT_SET");
    EXPECT_EQ(only_problem("model: {path: \"${HOME}/x\"}\n").fix, "only ${env:NAME} is replaced");
}

TEST(Resolve, AllProblemsOfAFileAreReportedTogetherInOrder) {
    std::string file = write(
        "many.yaml", "deployment: mortise.deploy/v1\nmodel: {pth: x}\nkernels: {mode: 3}\ndevise: {}\n");
    auto resolved = resolve({.file = file, .flags = {}, .environment = {}});
    ASSERT_FALSE(resolved);
    ASSERT_EQ(resolved.error().problems().size(), 3u) << to_string(resolved.error());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(resolved.error().problems()[static_cast<size_t>(i)].line, i + 2);
    EXPECT_EQ(resolved.error().exit_code(), 3);
}

TEST(Resolve, AMissingFileIsAnErrorOfItsOwn) {
    auto resolved = resolve({.file = "/nowhere/deploy.yaml", .flags = {}, .environment = {}});
    ASSERT_FALSE(resolved);
    EXPECT_EQ(resolved.error().code(), Code::file_missing);
}

TEST(Resolve, AWrongVariableSaysWhichOne) {
    auto resolved =
        resolve({.file = "", .flags = {}, .environment = variables({{"MORTISE_THREADS", "many"}})});
    ASSERT_FALSE(resolved);
    EXPECT_NE(resolved.error().first().what.find("environment MORTISE_THREADS"), std::string::npos);
    EXPECT_EQ(resolved.error().exit_code(), 2);
}

TEST(Resolve, PrintingNamesEveryKeyAndItsOrigin) {
    auto resolved = resolve({.file = "", .flags = {{"device.threads", {"2"}}}, .environment = {}}).value();
    std::string text = print(resolved);
    for (const Setting& setting : settings())
        EXPECT_NE(text.find(std::string(setting.key) + ":"), std::string::npos);
    EXPECT_NE(text.find("# flag --threads"), std::string::npos);
    EXPECT_TRUE(json::Document::parse(print_json(resolved), "print"));
}

TEST(Deployment, ThreadsAreNeverZero) {
    auto deployment = make_deployment(resolve({.file = "", .flags = {}, .environment = {}}).value()).value();
    EXPECT_GE(deployment.threads, 1u);
    EXPECT_FALSE(deployment.plugins.allow.has_value());
}

TEST(Deployment, ContradictionsAreRefusedTogether) {
    std::vector<Flag> flags = {{"tensor_parallel.size", {"2"}},
                               {"tensor_parallel.rank", {"2"}},
                               {"kernels.prefer", {"a"}},
                               {"kernels.forbid", {"a"}}};
    auto deployment = make_deployment(resolve({.file = "", .flags = flags, .environment = {}}).value());
    ASSERT_FALSE(deployment);
    EXPECT_EQ(deployment.error().problems().size(), 2u);
    EXPECT_EQ(deployment.error().exit_code(), 2);
}

}  // namespace mortise::deploy
