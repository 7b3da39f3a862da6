// At most one scheme claims a checkpoint, over everything that is golden; plain files belong to the plain
// one.
#include <fstream>
#include <sstream>

#include "checkpoint/checkpoint.h"
#include "schemes/scheme_case.h"

namespace mortise::test {
namespace {

std::vector<std::string> golden_folders() {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(MORTISE_SOURCE_DIR) /
                                                                 "tests/golden/checkpoints"))
        if (std::filesystem::exists(entry.path() / "checkpoint/config.json"))
            out.push_back(entry.path() / "checkpoint");
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<std::string> schemes() {
    std::vector<std::string> out;
    for (const std::string& name : plugin_names())
        if (table_of<mortise_scheme_v1>(name, MORTISE_INTERFACE_SCHEME)) out.push_back(name);
    return out;
}

TEST(Verdicts, AreDisjointOverAllGoldenCheckpoints) {
    ASSERT_GE(golden_folders().size(), 10u);
    FakeHost& host = FakeHost::instance();
    for (const std::string& folder : golden_folders()) {
        host.reset();
        std::ifstream file(folder + "/config.json");
        std::stringstream text;
        text << file.rdbuf();
        host.file("config.json", text.str());
        const auto opened = checkpoint::open_native(folder);
        ASSERT_TRUE(opened) << folder;
        for (const auto& tensor : opened->catalog.tensors())
            host.tensor(std::string(tensor.name), static_cast<uint32_t>(tensor.dtype),
                        {tensor.shape.begin(), tensor.shape.end()});
        std::string claimed;
        for (const std::string& name : schemes())
            if (claims(name)) claimed += name + " ";
        const bool quantized = text.str().find("quantization_config") != std::string::npos;
        EXPECT_EQ(std::count(claimed.begin(), claimed.end(), ' '), 1) << folder << ": " << claimed;
        EXPECT_EQ(claimed == "unquantized ", !quantized) << folder << ": " << claimed;
    }
}

TEST(Verdicts, LeaveFloatsToTheScheme) {
    FakeHost& host = FakeHost::instance();
    host.reset();
    host.file("config.json", R"({"quantization_config": {"bits": 4}})");
    for (const std::string& name : schemes()) EXPECT_FALSE(claims(name)) << name;
}

}  // namespace
}  // namespace mortise::test
