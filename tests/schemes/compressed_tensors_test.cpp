// How each format of the dialect describes a module.
#include "schemes/compressed_tensors_case.h"

namespace mortise::test {
namespace {

std::string with_version(const std::string& version) {
    return only("pack-quantized", R"("weights": {"num_bits": 3, "type": "int", "strategy": "channel"})",
                R"(, "version": ")" + version + "\"");
}

// --- which files are its own

TEST_F(CompressedTensors, ClaimsEveryFileOfItsMethodThatIsNotWhollyFloat8Rows) {
    use(only("pack-quantized", int4));
    EXPECT_TRUE(claims("compressed_tensors"));
    EXPECT_FALSE(claims("fp8_channel"));
    use(only("float-quantized", rows8));
    EXPECT_FALSE(claims("compressed_tensors"));
    EXPECT_TRUE(claims("fp8_channel"));
    use(config(R"("a": )" + group("float-quantized", rows8, R"("re:.*attn.*")") + R"(, "b": )" +
               group("pack-quantized", int4, R"("re:.*mlp.*")")));
    EXPECT_TRUE(claims("compressed_tensors"));
    EXPECT_FALSE(claims("fp8_channel"));
}

TEST_F(CompressedTensors, TakesFloat8RowsWhoseInputsAreRotated) {
    use(R"({"quantization_config": {"quant_method": "compressed-tensors", "transform_config": {"config_groups": {"u": {"type": "hadamard", "apply": []}}},)"
        R"( "config_groups": {"g": )" +
        group("float-quantized", rows8) + "}}}");
    EXPECT_TRUE(claims("compressed_tensors"));
    EXPECT_FALSE(claims("fp8_channel"));
}

TEST_F(CompressedTensors, ClaimsAFileWhoseGroupsAreBrokenAndSaysWhatIsWrong) {
    use(R"({"quantization_config": {"quant_method": "compressed-tensors"}})");
    EXPECT_TRUE(claims("compressed_tensors"));
    EXPECT_FALSE(claims("fp8_channel"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_REFUSED);
}

TEST_F(CompressedTensors, RefusesFormatsThatItDoesNotKnowByName) {
    for (const char* format :
         {"marlin-24", "sparse-24-bitmask", "sparse-bitmask", "mixed-precision", "pack-quantised"}) {
        use(only(format, int4));
        EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED) << format;
    }
    use(config(R"("W4A16": ["Linear"])"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED) << "a preset by name";
    use(only("pack-quantized", int4, R"(, "sparsity_config": {"format": "sparse-24-bitmask"})"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED);
    use(only("pack-quantized", int4 + R"(, "output_activations": {"num_bits": 8})"));
    EXPECT_EQ(Opened("compressed_tensors").status, MORTISE_UNSUPPORTED);
}

TEST_F(CompressedTensors, RefusesWeightsThatTheirFormatCannotHold) {
    packed("a");
    for (const auto& [format, body] : std::vector<std::pair<std::string, std::string>>{
             {"pack-quantized", whole8},
             {"float-quantized", int4},
             {"nvfp4-pack-quantized", int8},
             {"mxfp4-pack-quantized", fp4},
             {"dense", int4},
             {"pack-quantized", R"("weights": {"num_bits": 9, "type": "int", "strategy": "channel"})"}}) {
        use(only(format, body));
        EXPECT_EQ(ask({.name = "a"}).status, MORTISE_UNSUPPORTED) << format << body;
    }
}

// --- integers

TEST_F(CompressedTensors, ReadsPackedIntegersAndTheirStoredShape) {
    use(only("pack-quantized", int4));
    packed("a");
    const Seen seen = ask({.name = "a", .bias = true});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.encoding, uint32_t{MORTISE_ENCODING_OFFSET});
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 2u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_SHAPE)->tensor, "a.weight_shape");
    EXPECT_EQ(seen.find(MORTISE_ROLE_BIAS)->tensor, "a.bias");
    EXPECT_EQ(host.unread(), "");
}

TEST_F(CompressedTensors, PacksZeroPointsAlongTheRows) {
    use(only(
        "pack-quantized",
        R"("weights": {"num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 32})"));
    packed("a");
    host.tensor("a.weight_zero_point", MORTISE_DTYPE_I32, {8, 2});
    const Seen seen = ask({.name = "a"});
    ASSERT_TRUE(seen.find(MORTISE_ROLE_ZERO_POINT));
    const SeenField& zero = *seen.find(MORTISE_ROLE_ZERO_POINT);
    EXPECT_EQ(zero.shapes[0][0], 8) << "64 rows of 4 bits are 8 words";
    EXPECT_EQ(zero.shapes[0][1], 2);
    EXPECT_EQ(zero.rows, 64u);
    EXPECT_EQ(zero.encoding, uint32_t{MORTISE_ENCODING_OFFSET}) << "stored like the codes";
}

TEST_F(CompressedTensors, ReadsZeroPointsThatWereLeftUnpacked) {
    use(only(
        "pack-quantized",
        R"("weights": {"num_bits": 4, "type": "int", "symmetric": false, "strategy": "group", "group_size": 32})"));
    packed("a");
    host.tensor("a.weight_zero_point", MORTISE_DTYPE_I8, {64, 2});
    const Seen seen = ask({.name = "a"});
    EXPECT_EQ(seen.find(MORTISE_ROLE_ZERO_POINT)->first_dtype, uint32_t{MORTISE_DTYPE_I8});
    EXPECT_EQ(seen.find(MORTISE_ROLE_ZERO_POINT)->shapes[0][0], 64);
}

TEST_F(CompressedTensors, DropsZeroPointsOfSymmetricFilesOnlyIfTheyAreZero) {
    use(only("int-quantized", int8));
    coded("a", MORTISE_DTYPE_I8, {64, 1});
    host.tensor("a.weight_zero_point", MORTISE_DTYPE_I8, {64, 1});
    const Seen seen = ask({.name = "a"});
    ASSERT_TRUE(seen.find(MORTISE_ROLE_UNUSED));
    EXPECT_EQ(seen.find(MORTISE_ROLE_UNUSED)->flags, uint32_t{MORTISE_FIELD_CONSTANT});
    EXPECT_EQ(seen.find(MORTISE_ROLE_UNUSED)->default_value, 0);
    EXPECT_EQ(seen.offset_kind, 0u);
}

TEST_F(CompressedTensors, TellsTheTwoPackingsOfThreeBitsByTheWidthElseByTheVersion) {
    // 64 columns of 3 bits: 6 dense words, 7 of ten lanes each.
    use(with_version("0.19.0"));
    packed("a", 6, 1);
    EXPECT_EQ(ask({.name = "a"}).find(MORTISE_ROLE_CODES)->shapes[0][1], 6);
    packed("a", 7, 1);
    EXPECT_EQ(ask({.name = "a"}).find(MORTISE_ROLE_CODES)->shapes[0][1], 7);
    // 8 columns fill one word either way: the layouts differ in nothing that 8 fields reach, 11 columns in
    // one.
    const auto planes = [&](const std::string& version) {
        use(with_version(version));
        host.tensor("b.weight_packed", MORTISE_DTYPE_I32, {64, 2});
        host.tensor("b.weight_scale", MORTISE_DTYPE_BF16, {64, 1});
        Opened opened("compressed_tensors");
        return opened.module({.name = "b", .columns = 11}).code_terms;
    };
    EXPECT_EQ(planes("0.19.0"), planes(""));
    EXPECT_EQ(planes("0.17.0"), planes("1.2.3"));
    EXPECT_NE(planes("0.16.3"), planes("0.17.0"));
    EXPECT_EQ(planes("0.9.4"), planes("0.16.3"));
}

TEST_F(CompressedTensors, ReadsFourBitCodesThatAreNotPacked) {
    use(only(
        "int-quantized",
        int4 +
            R"(, "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true})"));
    coded("a", MORTISE_DTYPE_I8, {64, 2});
    const Seen seen = ask({.name = "a"});
    ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
    EXPECT_EQ(seen.bits, 4u) << "so that a code out of -8 to 7 is refused";
    EXPECT_EQ(seen.find(MORTISE_ROLE_CODES)->bits, 8u);
    EXPECT_EQ(seen.activation.divisor, 448);
}

TEST_F(CompressedTensors, ReadsIntegersThatAreCalledNaive) {
    use(only("naive-quantized",
             R"("weights": {"num_bits": 3, "type": "int", "strategy": "group", "group_size": 32})"));
    coded("a", MORTISE_DTYPE_I8, {64, 2});
    EXPECT_EQ(ask({.name = "a"}).encoding, uint32_t{MORTISE_ENCODING_TWOS});
}

TEST_F(CompressedTensors, LoadsColumnMapsThatTheNewestLibraryRefuses) {
    use(only(
        "pack-quantized",
        R"("weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "actorder": "group"})"));
    packed("a");
    host.tensor("a.weight_g_idx", MORTISE_DTYPE_I32, {64});
    std::vector<int32_t>& map = host.contents["a.weight_g_idx"];
    for (int32_t k = 0; k < 64; ++k) map.push_back(1 - k % 2);
    EXPECT_TRUE(ask({.name = "a"}).find(MORTISE_ROLE_G_IDX));
    for (int32_t k = 0; k < 64; ++k) map[static_cast<size_t>(k)] = k / 32;
    EXPECT_FALSE(ask({.name = "a"}).find(MORTISE_ROLE_G_IDX)) << "the trivial map";
    map.assign(64, -1);
    const Seen unset = ask({.name = "a"});
    EXPECT_FALSE(unset.find(MORTISE_ROLE_G_IDX));
    EXPECT_EQ(unset.find(MORTISE_ROLE_UNUSED)->default_value, -1) << "never filled: columns as they come";
    map.assign(64, 0);
    EXPECT_EQ(ask({.name = "a"}).status, MORTISE_REFUSED) << "a group of all columns";
    host.tensors.erase("a.weight_g_idx");
    EXPECT_TRUE(ask({.name = "a"}).find(MORTISE_ROLE_UNUSED) || ask({.name = "a"}).find(MORTISE_ROLE_G_IDX))
        << "so that the map is called missing";
}

TEST_F(CompressedTensors, TakesStaticOrderAsNoOrder) {
    for (const char* order : {R"("static")", R"("weight")", "null", "false"}) {
        use(only(
            "pack-quantized",
            R"("weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "actorder": )" +
                std::string(order) + "}"));
        packed("a");
        EXPECT_EQ(ask({.name = "a"}).fields.size(), 3u) << order;
        EXPECT_EQ(host.unread(), "") << order;
    }
}

TEST_F(CompressedTensors, RefusesAGroupThatDoesNotDivideTheColumns) {
    use(only("pack-quantized", int4));
    packed("a", 6, 2);
    EXPECT_EQ(ask({.name = "a", .columns = 48}).status, MORTISE_REFUSED);
}

// --- floats

TEST_F(CompressedTensors, DividesByItsGlobalScale) {
    use(only("nvfp4-pack-quantized", fp4));
    host.tensor("a.weight_packed", MORTISE_DTYPE_U8, {64, 32});
    const Seen seen = ask({.name = "a"});
    EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE2)->tensor, "a.weight_global_scale");
    EXPECT_EQ(seen.divides, (std::vector<uint32_t>{0, 1}));
    EXPECT_EQ(seen.granularity, uint32_t{MORTISE_ACTIVATION_NONE});
}

TEST_F(CompressedTensors, QuantizesFloat4InputsUnderTheirGlobalScaleOnlyWhereTheGroupSaysSo) {
    use(only(
        "nvfp4-pack-quantized",
        fp4 +
            R"(, "input_activations": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "dynamic": "local"})"));
    host.tensor("a.weight_packed", MORTISE_DTYPE_U8, {64, 32});
    const Seen seen = ask({.name = "a"});
    EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_SCALE2)->tensor, "a.input_global_scale")
        << "a lost one is an error, not 0 or 1";
    EXPECT_EQ(seen.activation.second_level, 2u);
    EXPECT_EQ(seen.activation.zero_scale, 0.125);
}

TEST_F(CompressedTensors, TakesScaleBytesOfMicroscaledFloatsAsExponents) {
    for (const auto& [format, bits, leaf] :
         {std::tuple{"mxfp4-pack-quantized", "4", ".weight_packed"}, {"mxfp8-quantized", "8", ".weight"}}) {
        const std::string floats =
            R"({"num_bits": )" + std::string(bits) +
            R"(, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8")";
        use(only(format,
                 "\"weights\": " + floats + "}, \"input_activations\": " + floats + ", \"dynamic\": true}"));
        host.tensor("a" + std::string(leaf), MORTISE_DTYPE_U8, {64, 32});
        const Seen seen = ask({.name = "a"});
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->encoding, uint32_t{MORTISE_ENCODING_E8M0});
        EXPECT_EQ(seen.activation.exponent_rule, uint32_t{MORTISE_EXPONENT_BUMP})
            << "its own rule, not that of OCP";
        EXPECT_EQ(seen.levels, 1u);
        host.tensors.clear();
    }
}

TEST_F(CompressedTensors, TakesTheBlockFromTheConfigAndLeavesTheEdgesRagged) {
    for (const char* block : {"[48, 40]", "\"48x40\""}) {
        use(only("float-quantized",
                 R"("weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": )" +
                     std::string(block) + "}"));
        coded("a", MORTISE_DTYPE_F8_E4M3, {2, 2});
        const Seen seen = ask({.name = "a"});
        ASSERT_EQ(seen.status, MORTISE_OK) << seen.error;
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->rows, 2u) << "64 rows in blocks of 48";
        EXPECT_EQ(seen.find(MORTISE_ROLE_SCALE)->columns, 2u);
    }
    use(only("float-quantized",
             R"("weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": "48"})"));
    EXPECT_EQ(ask({.name = "a"}).status, MORTISE_UNSUPPORTED);
}

TEST_F(CompressedTensors, KeepsOneScaleForEachPartOfAFusedMatrix) {
    use(only("float-quantized", whole8));
    coded("a.qkv_proj", MORTISE_DTYPE_F8_E4M3, {3});
    const ModuleOf fused{.name = "a.qkv_proj",
                         .parts = {{"a.q_proj", 32}, {"a.k_proj", 16}, {"a.v_proj", 16}}};
    EXPECT_EQ(ask(fused).piece_ends, (std::vector<uint64_t>{32, 48, 64}));
    coded("a.qkv_proj", MORTISE_DTYPE_F8_E4M3, {1});
    EXPECT_TRUE(ask(fused).piece_ends.empty()) << "one for all of it";
}

// --- inputs

TEST_F(CompressedTensors, HalvesTheWholeRangeOfIntegerInputs) {
    coded("a", MORTISE_DTYPE_I8, {64, 1});
    use(only(
        "int-quantized",
        int8 +
            R"(, "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": true})"));
    EXPECT_EQ(ask({.name = "a"}).activation.divisor, 127.5);
    use(only(
        "int-quantized",
        int8 +
            R"(, "input_activations": {"num_bits": 8, "type": "int", "symmetric": false, "strategy": "token", "dynamic": true})"));
    EXPECT_EQ(ask({.name = "a"}).activation.divisor, 255);
}

TEST_F(CompressedTensors, NeedsTheScaleAndZeroPointOfStaticInputs) {
    coded("a", MORTISE_DTYPE_I8, {64, 1});
    use(only(
        "int-quantized",
        int8 +
            R"(, "input_activations": {"num_bits": 8, "type": "int", "symmetric": false, "strategy": "tensor", "dynamic": false})"));
    const Seen seen = ask({.name = "a"});
    EXPECT_EQ(seen.dynamic, 0u);
    EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_SCALE)->tensor, "a.input_scale");
    EXPECT_EQ(seen.find(MORTISE_ROLE_INPUT_ZERO_POINT)->tensor, "a.input_zero_point");
}

TEST_F(CompressedTensors, DropsAStoredScaleOfDynamicInputsByName) {
    coded("a", MORTISE_DTYPE_I8, {64, 1});
    host.tensor("a.input_scale", MORTISE_DTYPE_F32, {1});
    use(only(
        "int-quantized",
        int8 +
            R"(, "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": true})"));
    EXPECT_EQ(ask({.name = "a"}).find(MORTISE_ROLE_UNUSED)->tensor, "a.input_scale");
}

TEST_F(CompressedTensors, RefusesInputsThatItsLibraryCannotQuantizeEither) {
    coded("a", MORTISE_DTYPE_I8, {64, 1});
    for (
        const char* inputs :
        {R"({"num_bits": 8, "type": "int", "strategy": "channel", "dynamic": true})",
         R"({"num_bits": 8, "type": "int", "strategy": "token", "dynamic": false})",
         R"({"num_bits": 8, "type": "float", "symmetric": false, "strategy": "token", "dynamic": true})",
         R"({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "dynamic": true})"}) {
        use(only("int-quantized", int8 + ", \"input_activations\": " + inputs));
        EXPECT_EQ(ask({.name = "a"}).status, MORTISE_UNSUPPORTED) << inputs;
    }
}

}  // namespace
}  // namespace mortise::test
