// What this dialect writes: the format that is asked for, or what the source holds in its words.
#include "schemes/compressed_tensors_case.h"

namespace mortise::test {
namespace {

class CompressedTensorsWriter : public CompressedTensors {
  protected:
    // A float weight of BF16.
    static mortise_spec floats() {
        mortise_spec spec{};
        spec.head.size = sizeof spec;
        spec.experts = 1;
        spec.rows = spec.columns = 256;
        spec.encoding = MORTISE_ENCODING_BF16;
        spec.bits = 16;
        return spec;
    }
    void SetUp() override {
        CompressedTensors::SetUp();
        use("{}");
    }
    Seen write(const std::string& format, const ModuleOf& module, const mortise_spec& current) {
        std::vector<std::string> words;
        for (size_t at = 0; at < format.size();
             at = format.find(':', at) == std::string::npos ? format.size() : format.find(':', at) + 1)
            words.push_back(format.substr(at, format.find(':', at) - at));
        std::vector<mortise_option> options;
        for (const std::string& word : words) options.push_back({borrow(word), {}});
        return written("compressed_tensors", options, module, current, &recipe_, &config_);
    }
    mortise_quantizer recipe_{};
    std::string config_;
};
const ModuleOf linear{.name = "a.q_proj", .rows = 256, .columns = 256};

TEST_F(CompressedTensorsWriter, WritesEachFormatThatItReads) {
    struct Case {
        const char* words;
        uint32_t encoding, levels;
        uint64_t columns;  // of the scales
        const char* format;
    };
    for (const Case& each : {Case{"w4", MORTISE_ENCODING_OFFSET, 1, 2, "pack-quantized"},
                             {"w3:g64", MORTISE_ENCODING_OFFSET, 1, 4, "pack-quantized"},
                             {"w8:channel", MORTISE_ENCODING_OFFSET, 1, 1, "pack-quantized"},
                             {"int8", MORTISE_ENCODING_TWOS, 1, 1, "int-quantized"},
                             {"float-tensor", MORTISE_ENCODING_E4M3, 1, 1, "float-quantized"},
                             {"float-block", MORTISE_ENCODING_E4M3, 1, 2, "float-quantized"},
                             {"nvfp4:weights", MORTISE_ENCODING_E2M1, 2, 16, "nvfp4-pack-quantized"},
                             {"mxfp4", MORTISE_ENCODING_E2M1, 1, 8, "mxfp4-pack-quantized"},
                             {"mxfp8", MORTISE_ENCODING_E4M3, 1, 8, "mxfp8-quantized"}}) {
        const Seen seen = write(each.words, linear, floats());
        ASSERT_EQ(seen.status, MORTISE_OK) << each.words << seen.error;
        EXPECT_EQ(seen.encoding, each.encoding) << each.words;
        EXPECT_EQ(seen.levels, each.levels) << each.words;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, each.columns) << each.words;
        EXPECT_NE(config_.find("\"format\":\"" + std::string(each.format) + "\""), std::string::npos)
            << config_;
    }
}

TEST_F(CompressedTensorsWriter, QuantizesAFloatModelToFourBitsUnlessToldOtherwise) {
    EXPECT_EQ(write("", linear, floats()).encoding, uint32_t{MORTISE_ENCODING_OFFSET});
    EXPECT_EQ(write("int-quantized", linear, floats()).encoding, uint32_t{MORTISE_ENCODING_TWOS});
    use(only("pack-quantized", int4));
    EXPECT_TRUE(write("", linear, floats()).plain) << "a float among quantized modules stays one";
}

TEST_F(CompressedTensorsWriter, HalvesTheWholeRangeOfSymmetricIntegers) {
    write("w4", linear, floats());
    EXPECT_EQ(recipe_.divisor, 7.5);
    EXPECT_EQ(recipe_.code_min, -8);
    EXPECT_EQ(recipe_.code_max, 7);
    EXPECT_EQ(recipe_.compute, uint32_t{MORTISE_ENCODING_BF16}) << "the dtype that the model is loaded in";
}

TEST_F(CompressedTensorsWriter, NeedsTheSourcesInputScaleForFloat4Inputs) {
    EXPECT_EQ(write("nvfp4", linear, floats()).status, MORTISE_UNSUPPORTED) << "nothing was calibrated";
}

TEST_F(CompressedTensorsWriter, LeavesAsFloatsWhatAGroupDoesNotDivideAndIgnoresIt) {
    const Seen seen = write("w4", {.name = "a.o_proj", .rows = 256, .columns = 192}, floats());
    EXPECT_TRUE(seen.plain);
    EXPECT_EQ(config_, "") << "nothing is quantized";
}

TEST_F(CompressedTensorsWriter, RefusesOptionsThatItsFormatDoesNotHave) {
    for (const char* words : {"w4:q", "mxfp4:g64", "float-tensor:asym", "int8:g64"})
        EXPECT_EQ(write(words, linear, floats()).status, MORTISE_REFUSED) << words;
}

}  // namespace
}  // namespace mortise::test
