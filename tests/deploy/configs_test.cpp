// Every deployment in configs/ loads, and the published schema and the reader agree on what is valid.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "deploy/deployment.h"
#include "deploy/schema_check.h"
#include "support/temp_folder.h"

namespace mortise::deploy {

namespace {

namespace fs = std::filesystem;
const fs::path configs = fs::path(MORTISE_SOURCE_DIR) / "configs";

std::vector<fs::path> deployments() {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(configs)) {
        if (entry.path().extension() == ".yaml") out.push_back(entry.path());
    }
    return out;
}

std::optional<std::string> environment(std::string_view name) {
    return name == "MODEL_DIR" ? std::optional<std::string>("/models") : std::nullopt;
}

json::Document schema() {
    auto text = read_file((configs / "schema/deployment.schema.json").string());
    auto document = json::Document::parse(text.value(), "deployment.schema.json");
    return std::move(document).value();
}

bool reader_accepts(const std::string& text) {
    return resolve({.file = test::scratch().write("agreement.yaml", text),
                    .flags = {},
                    .environment = environment})
        .has_value();
}

bool schema_accepts(const std::string& text) {
    auto document = yaml::Document::parse(text, "agreement.yaml");
    return document && test::violations(schema().root(), document->root()).empty();
}

}  // namespace

TEST(Configs, ThereAreDeploymentsToCopy) { EXPECT_GE(deployments().size(), 5u); }

TEST(Configs, EachLoadsAndIsValidUnderTheSchema) {
    json::Document rules = schema();
    for (const fs::path& file : deployments()) {
        auto resolved = resolve({.file = file.string(), .flags = {}, .environment = environment});
        ASSERT_TRUE(resolved) << to_string(resolved.error());
        auto deployment = make_deployment(*resolved);
        ASSERT_TRUE(deployment) << to_string(deployment.error());
        EXPECT_FALSE(deployment->model.empty()) << file;
        auto document = yaml::Document::load(file.string());
        ASSERT_TRUE(document);
        for (const std::string& wrong : test::violations(rules.root(), document->root()))
            ADD_FAILURE() << file << ": " << wrong;
    }
}

TEST(Configs, TheFirstLineNamesTheSchema) {
    for (const fs::path& file : deployments()) {
        std::string line;
        std::ifstream stream(file);
        std::getline(stream, line);
        EXPECT_EQ(line, "# yaml-language-server: $schema=schema/deployment.schema.json") << file;
    }
}

TEST(Configs, ThePublishedSchemaIsTheOneMadeFromTheTable) {
    auto text = read_file((configs / "schema/deployment.schema.json").string());
    ASSERT_TRUE(text);
    EXPECT_EQ(*text, json_schema()) << "run: mortise config schema > configs/schema/deployment.schema.json";
}

TEST(Configs, SchemaAndReaderAgreeOnWhatIsWrong) {
    const std::string head = "deployment: mortise.deploy/v1\n";
    const std::vector<std::pair<std::string, bool>> cases = {
        {head, true},
        {head + "x-note: mine\n", true},
        {head + "device: {threads: 4}\n", true},
        {head + "plugins: {pin: {a.b: {version: \"1.10\"}}}\n", true},
        {head + "plugins: {select: {scheme: a.b}}\n", true},
        {head + "sampling: {temperature: 1}\n", true},
        {"device: {threads: 4}\n", false},
        {"deployment: mortise.deploy/v2\n", false},
        {head + "devise: {threads: 4}\n", false},
        {head + "device: {thread: 4}\n", false},
        {head + "device: {threads: four}\n", false},
        {head + "device: {threads: 2000}\n", false},
        {head + "device: [4]\n", false},
        {head + "kernels: {mode: fast}\n", false},
        {head + "kernels: {prefer: one}\n", false},
        {head + "sampling: {top_p: 1.5}\n", false},
        {head + "plugins: {pin: {a.b: {}}}\n", false},
        {head + "plugins: {pin: {a.b: {versoin: \"1\"}}}\n", false},
        {head + "model: {accept_missing_head: yes}\n", false},
    };
    for (const auto& [text, good] : cases) {
        EXPECT_EQ(reader_accepts(text), good) << text;
        EXPECT_EQ(schema_accepts(text), good) << text;
    }
}

}  // namespace mortise::deploy
