// What `inspect` says of a checkpoint, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "support/temp_folder.h"
#include "tools/program.h"

namespace mortise {

namespace {

namespace fs = std::filesystem;
using test::mortise;
using testing::HasSubstr;

// A folder with one weights file of this header and so many zero bytes, and a config.
class Inspect : public testing::Test {
  protected:
    void write(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name, std::ios::binary) << text;
    }
    void write_weights(const std::string& header, size_t bytes) {
        uint64_t size = header.size();
        std::string text(8, '\0');
        std::memcpy(text.data(), &size, 8);
        write("model.safetensors", text + header + std::string(bytes, '\0'));
    }
    test::TempFolder temporary_;
    fs::path folder_ = temporary_.path();
};

constexpr const char* header = R"({"a.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
                               R"("a.scale":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]}})";

}  // namespace

TEST_F(Inspect, CountsTensorsByTypeAndByEnding) {
    write_weights(header, 20);
    write("config.json",
          R"({"architectures": ["SomeModel"], "quantization_config": {"quant_method": "some"}})");
    auto outcome = mortise({"inspect", folder_.string(), "--json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    auto document = json::Document::parse(outcome.out, "stdout");
    ASSERT_TRUE(document) << outcome.out;
    const json::Node& root = document->root();
    EXPECT_EQ(root.find("architecture")->text(), "SomeModel");
    EXPECT_EQ(root.find("quantization")->text(), "some");
    EXPECT_EQ(root.find("tensors")->as_int().value(), 2);
    EXPECT_EQ(root.find("types")->find("BF16")->find("elements")->as_int().value(), 6);
    EXPECT_EQ(root.find("endings")->find("scale")->find("bytes")->as_int().value(), 8);
    EXPECT_EQ(root.find("tensor_list"), nullptr);
}

TEST_F(Inspect, ListsTensorsWhenAsked) {
    write_weights(header, 20);
    auto outcome = mortise({"inspect", folder_.string(), "--tensors"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("[2,3]"));
    EXPECT_THAT(outcome.out, HasSubstr("a.weight  model.safetensors"));
}

TEST_F(Inspect, ATruncatedFileIsRefused) {
    write_weights(header, 19);
    auto outcome = mortise({"inspect", folder_.string()});
    EXPECT_EQ(outcome.exit_code, 4);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr("model.safetensors"));
}

TEST_F(Inspect, PicklesAreNamedAndNotOpened) {
    write_weights(header, 20);
    write("training_args.bin", "not a pickle");
    EXPECT_THAT(mortise({"inspect", folder_.string()}).out, HasSubstr("not used: training_args.bin"));
}

TEST_F(Inspect, WithoutAModelItIsUsage) { EXPECT_EQ(mortise({"inspect"}).exit_code, 2); }

TEST_F(Inspect, TheModelMayComeFromADeployment) {
    write_weights(header, 20);
    write("deploy.yaml", "deployment: mortise.deploy/v1\nmodel: {path: .}\n");
    EXPECT_EQ(mortise({"inspect", "--config", (folder_ / "deploy.yaml").string()}).exit_code, 0);
}

}  // namespace mortise
