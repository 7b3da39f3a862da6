// What every plugin must do, whatever it is: run over each library of the build, so that a new plugin is
// tested without a new line here.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "support/fake_builder.h"
#include "support/open_plugin.h"

namespace mortise::test {
namespace {

class EveryPlugin : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        FakeHost::instance().reset();
        plugin_ = open_plugin(GetParam());
        ASSERT_NE(plugin_.entries, nullptr);
    }
    template <class Table>
    std::vector<const Table*> tables(uint32_t kind) const {
        std::vector<const Table*> out;
        for (uint64_t e = 0; e < plugin_.n_entries; ++e)
            if (plugin_.entries[e].interface_kind == kind)
                out.push_back(static_cast<const Table*>(plugin_.entries[e].table));
        return out;
    }
    mortise_plugin plugin_{};
};

TEST_P(EveryPlugin, SaysWhatItsManifestSays) {
    std::ifstream file(plugin_folder() / (GetParam() + ".yaml"));
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_NE(text.str().find("id: " + copy(plugin_.id) + "\n"), std::string::npos);
    EXPECT_NE(text.str().find("version: \"" + copy(plugin_.version) + "\""), std::string::npos);
    for (uint64_t e = 0; e < plugin_.n_entries; ++e)
        EXPECT_NE(text.str().find("id: " + copy(plugin_.entries[e].id)), std::string::npos);
}

TEST_P(EveryPlugin, WritesNoMoreThanTheHostKnows) {
    // An older host knows a shorter struct: what lies behind it is not the plugin's to touch.
    mortise_plugin small{};
    std::memset(static_cast<void*>(&small), 0x5a, sizeof small);
    small.head.size = offsetof(mortise_plugin, entries);
    const mortise_entry* before = small.entries;
    void* library = dlopen((plugin_folder() / (GetParam() + ".so")).c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto entry = reinterpret_cast<mortise_plugin_fn>(dlsym(library, MORTISE_PLUGIN_SYMBOL));
    ASSERT_EQ(entry(FakeHost::instance().table(), &small), MORTISE_OK);
    EXPECT_EQ(small.entries, before);
    EXPECT_EQ(copy(small.id), copy(plugin_.id));
}

TEST_P(EveryPlugin, HasHeadsAndTablesThatLiveOn) {
    EXPECT_GT(plugin_.n_entries, 0u);
    const mortise_plugin again = open_plugin(GetParam());
    for (uint64_t e = 0; e < plugin_.n_entries; ++e) {
        EXPECT_GE(plugin_.entries[e].head.size, sizeof(mortise_entry));
        ASSERT_NE(plugin_.entries[e].table, nullptr);
        EXPECT_EQ(again.entries[e].table, plugin_.entries[e].table) << "a second call must not move a table";
        EXPECT_GT(static_cast<const mortise_head*>(plugin_.entries[e].table)->size, sizeof(mortise_head));
    }
}

// Configs that a scheme or an architecture meets in the field sooner or later.
const std::vector<std::string> odd_configs = {
    "{}",
    R"({"quantization_config": {}})",
    R"({"quantization_config": []})",
    R"({"quantization_config": "x"})",
    R"({"quantization_config": {"quant_method": 3}})",
    R"({"quantization_config": {"quant_method": "unheard-of"}})",
    R"({"quantization_config": {"quant_method": "compressed-tensors"}})",
    R"({"quantization_config": {"quant_method": "awq", "bits": "four"}})",
    R"({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": [1], "weights": {"num_bits": "x"}}}}})",
    R"({"hidden_size": "x"})",
    R"({"hidden_size": 1e300, "num_hidden_layers": 9223372036854775807})"};

TEST_P(EveryPlugin, AnswersAStatusAndAMessageToOddConfigs) {
    FakeHost& host = FakeHost::instance();
    for (const std::string& text : odd_configs) {
        host.reset();
        host.file("config.json", text);
        for (const auto* table : tables<mortise_scheme_v1>(MORTISE_INTERFACE_SCHEME)) {
            mortise_match match{};
            match.head.size = sizeof match;
            const mortise_status status = table->match(host.checkpoint(), &match);
            if (status != MORTISE_OK)
                EXPECT_NE(host.error(), "") << text;
            else
                EXPECT_NE(std::string(match.reason), "") << text;
            void* model = nullptr;
            if (table->open(host.checkpoint(), &model) == MORTISE_OK)
                table->close(model);
            else
                EXPECT_NE(host.error(), "") << text;
        }
        for (const auto* table : tables<mortise_architecture_v1>(MORTISE_INTERFACE_ARCHITECTURE)) {
            Built model;
            EXPECT_NE(table->build(reinterpret_cast<mortise_builder*>(&model), &recorder()), MORTISE_OK)
                << text;
            EXPECT_NE(host.error(), "") << text;
        }
    }
}

TEST_P(EveryPlugin, ClaimsNoFileOfRandomBytes) {
    const std::string noise(64, '\x5c');
    for (const auto* table : tables<mortise_container_v1>(MORTISE_INTERFACE_CONTAINER)) {
        EXPECT_EQ(table->probe(borrow(noise), noise.data(), noise.size()), 0);
        EXPECT_EQ(table->probe(borrow(noise), nullptr, 0), 0);
    }
}

TEST_P(EveryPlugin, WritesFromAnOptionListOrRefusesItByName) {
    FakeHost& host = FakeHost::instance();
    host.file("config.json", "{}");
    const mortise_option odd{{"no-such-option", 14}, {nullptr, 0}};
    for (const auto* table : tables<mortise_scheme_v1>(MORTISE_INTERFACE_SCHEME)) {
        if (table->open_writer == nullptr) continue;
        void* writer = nullptr;
        ASSERT_EQ(table->open_writer(host.checkpoint(), nullptr, 0, &writer), MORTISE_OK) << host.error();
        table->close_writer(writer);
        EXPECT_EQ(table->open_writer(host.checkpoint(), &odd, 1, &writer), MORTISE_REFUSED);
        EXPECT_NE(host.error().find("no-such-option"), std::string::npos);
    }
}

INSTANTIATE_TEST_SUITE_P(Contract, EveryPlugin, testing::ValuesIn(plugin_names()),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace mortise::test
