#include "checkpoint/safetensors.h"

#include <map>

#include "make_files.h"
#include "support/vectors.h"

namespace mortise::checkpoint {
namespace {

using test::container;
using test::TempFolder;

Result<SafetensorsHeader> read(const std::string& bytes) {
    TempFolder folder;
    File file = File::open(folder.write("m.safetensors", bytes)).value();
    return read_safetensors_header(file, "m.safetensors");
}
Code code_of(const std::string& bytes) {
    auto header = read(bytes);
    return header ? Code{} : header.error().code();
}
// One entry "a" with the given text, before `data`.
std::string one(const std::string& entry, std::string_view data = "ab") {
    return container(R"({"a":)" + entry + "}", data);
}

const std::map<std::string, Code> codes = {{"HeaderTooSmall", Code::header_too_small},
                                           {"HeaderTooLarge", Code::header_too_large},
                                           {"InvalidHeaderLength", Code::header_length},
                                           {"InvalidHeader", Code::header_utf8},
                                           {"InvalidHeaderDeserialization", Code::header_json},
                                           {"InvalidOffset", Code::header_offsets},
                                           {"ValidationOverflow", Code::header_overflow},
                                           {"MisalignedSlice", Code::header_misaligned},
                                           {"TensorInvalidInfo", Code::header_tensor_bytes},
                                           {"MetadataIncompleteBuffer", Code::header_incomplete}};

TEST(Safetensors, golden_files_are_read_or_refused_each_with_its_own_code) {
    const auto* cases = test::format_vectors().find("safetensors_cases");
    ASSERT_NE(cases, nullptr);
    size_t refused = 0;
    for (const auto& each : cases->items()) {
        std::string id(each->find("id")->as_string().value());
        auto header = read(test::from_hex(each->find("file_hex")->as_string().value()));
        if (each->find("result")->text() == "ok") {
            EXPECT_TRUE(header) << id << '\n' << (header ? "" : to_string(header.error()));
            continue;
        }
        ASSERT_FALSE(header) << id;
        Code expected = codes.at(each->find("error")->text());
        if (id == "st_unknown_dtype") expected = Code::dtype_unsupported;  // said more exactly here
        EXPECT_EQ(header.error().code(), expected) << id << '\n' << to_string(header.error());
        EXPECT_EQ(header.error().first().file, "m.safetensors") << id;
        ++refused;
    }
    EXPECT_EQ(refused, 17u);
}

TEST(Safetensors, a_mixed_file_gives_absolute_offsets_shapes_and_metadata) {
    for (const auto& each : test::format_vectors().find("safetensors_cases")->items()) {
        if (each->find("id")->text() != "st_ok_mixed") continue;
        std::string bytes = test::from_hex(each->find("file_hex")->as_string().value());
        auto header = read(bytes).value();
        EXPECT_EQ(header.metadata.at("format"), "pt");
        ASSERT_GE(header.tensors.size(), 4u);
        const TensorEntry& a = header.tensors[0];
        EXPECT_EQ(a.name, "a");
        EXPECT_EQ(to_string(a.dtype, a.shape), "F32 [2,2]");
        EXPECT_EQ(a.offset, 8u + 0x140);
        EXPECT_EQ(a.bytes, 16u);
        EXPECT_EQ(header.tensors[2].dtype, DType::f4_e2m1);
        EXPECT_EQ(header.tensors[2].bytes, 2u);
        return;
    }
    FAIL() << "no such vector";
}

TEST(Safetensors, every_truncation_of_a_good_file_is_refused) {
    std::string good = test::safetensors({{"a"}, {"b", "F32", "[1]", "1234"}, {"c", "BF16", "[2,0]", ""}});
    ASSERT_TRUE(read(good));
    for (size_t n = 0; n < good.size(); ++n) {
        auto header = read(good.substr(0, n));
        ASSERT_FALSE(header) << n;
        Code expected = n < 8                 ? Code::header_too_small
                        : n < good.size() - 6 ? Code::header_length
                                              : Code::header_incomplete;
        EXPECT_EQ(header.error().code(), expected) << n;
    }
    EXPECT_EQ(code_of(good + "x"), Code::header_incomplete);
}

TEST(Safetensors, entries_of_the_wrong_type_are_refused) {
    const std::string bad[] = {
        R"(1)",
        R"("x")",
        R"([])",
        R"(null)",
        R"({})",
        R"({"dtype":"U8","shape":[2]})",
        R"({"dtype":"U8","data_offsets":[0,2]})",
        R"({"shape":[2],"data_offsets":[0,2]})",
        R"({"dtype":1,"shape":[2],"data_offsets":[0,2]})",
        R"({"dtype":["U8"],"shape":[2],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":2,"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":{},"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":null,"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[-2],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[2.0],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":["2"],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[[2]],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[true],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[2],"data_offsets":[0]})",
        R"({"dtype":"U8","shape":[2],"data_offsets":[0,2,2]})",
        R"({"dtype":"U8","shape":[2],"data_offsets":[0,2.5]})",
        R"({"dtype":"U8","shape":[2],"data_offsets":[-0.0,2]})",
        R"({"dtype":"U8","shape":[2],"data_offsets":2})",
        R"({"dtype":"U8","dtype":"I8","shape":[2],"data_offsets":[0,2]})",
        R"({"dtype":"U8","shape":[2],"shape":[2],"data_offsets":[0,2]})",
    };
    ASSERT_TRUE(read(one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})")));
    for (const std::string& entry : bad) EXPECT_EQ(code_of(one(entry)), Code::header_json) << entry;
}

TEST(Safetensors, headers_of_the_wrong_form_are_refused) {
    for (std::string header : {"", " ", "[]", "1", "null", "{", "{}x", "{} {}", R"({"__metadata__":1})",
                               R"({"__metadata__":[]})", R"({"__metadata__":{"a":null}})",
                               R"({"__metadata__":{"a":{}}})", R"({"__metadata__":{"a":"b","a":"c"}})"}) {
        EXPECT_EQ(code_of(container(header, "")), Code::header_json) << header;
    }
    EXPECT_EQ(code_of(container(std::string("{}\0", 3), "")), Code::header_json);
    EXPECT_EQ(code_of(container(std::string(100000, '['), "")), Code::header_json);
    EXPECT_TRUE(read(container(R"({"__metadata__":null})", "")));
    EXPECT_TRUE(read(container(" \n{} \t\r\n", "")));
}

TEST(Safetensors, unknown_fields_are_passed_over_as_the_reference_reader_does) {
    auto header =
        read(one(R"({"x":{"shape":[9],"y":[[1],{}]},"dtype":"U8","z":7,"shape":[2],"data_offsets":[0,2]})"));
    ASSERT_TRUE(header) << to_string(header.error());
    EXPECT_EQ(header->tensors[0].shape, Shape{2});
}

TEST(Safetensors, the_same_name_twice_is_a_duplicate_tensor) {
    std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
    std::string other = R"({"dtype":"U8","shape":[1],"data_offsets":[1,2]})";
    EXPECT_EQ(code_of(container(R"({"a":)" + entry + R"(,"a":)" + other + "}", "ab")),
              Code::duplicate_tensor);
    EXPECT_EQ(code_of(container(R"({"a":)" + entry + R"(,"\u0061":)" + other + "}", "ab")),
              Code::duplicate_tensor);
}

TEST(Safetensors, byte_ranges_must_be_contiguous) {
    auto two = [](const char* a, const char* b, std::string_view data) {
        std::string head = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + std::string(a) +
                           R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}";
        return container(head, data);
    };
    EXPECT_EQ(code_of(two("[0,2]", "[2,4]", "abcd")), Code{});
    EXPECT_EQ(code_of(two("[2,4]", "[0,2]", "abcd")), Code{});  // in any order
    EXPECT_EQ(code_of(two("[0,2]", "[3,5]", "abcde")), Code::header_offsets);
    EXPECT_EQ(code_of(two("[0,2]", "[1,3]", "abc")), Code::header_offsets);
    EXPECT_EQ(code_of(two("[0,2]", "[0,2]", "ab")), Code::header_offsets);
    EXPECT_EQ(code_of(two("[1,3]", "[3,5]", "abcde")), Code::header_offsets);
    EXPECT_EQ(code_of(two("[0,2]", "[4,2]", "abcd")), Code::header_offsets);
    EXPECT_EQ(read(two("[0,2]", "[4,2]", "abcd")).error().first().what, "byte range is reversed");
    EXPECT_EQ(code_of(two("[0,2]", "[2,18446744073709551615]", "abcd")), Code::header_tensor_bytes);
}

TEST(Safetensors, shapes_are_multiplied_without_wrapping) {
    struct Row {
        const char *dtype, *shape;
        uint64_t bytes;
        Code code;
    };
    const Row rows[] = {{"U8", "[]", 1, Code{}},
                        {"F32", "[0]", 0, Code{}},
                        {"F32", "[0,9223372036854775807]", 0, Code{}},
                        {"U8", "[1,1,1,1,1,1,1,1,1,2]", 2, Code{}},
                        {"F4", "[4]", 2, Code{}},
                        {"F4", "[1]", 1, Code::header_misaligned},
                        {"F6_E2M3", "[4]", 3, Code{}},
                        {"F6_E2M3", "[5]", 4, Code::header_misaligned},
                        {"U8", "[4294967296,4294967296]", 0, Code::header_overflow},
                        {"U8", "[4294967296,4294967297]", 1, Code::header_overflow},
                        {"F64", "[2305843009213693952]", 0, Code::header_overflow},
                        {"U8", "[9223372036854775808]", 0, Code::header_overflow},
                        {"U8", "[9223372036854775807,2,2]", 0, Code::header_overflow},
                        {"U8", "[3]", 2, Code::header_tensor_bytes},
                        {"F16", "[1]", 1, Code::header_tensor_bytes},
                        {"C64", "[1]", 8, Code{}}};
    for (const Row& row : rows) {
        std::string entry = R"({"dtype":")" + std::string(row.dtype) + R"(","shape":)" + row.shape +
                            R"(,"data_offsets":[0,)" + std::to_string(row.bytes) + "]}";
        EXPECT_EQ(code_of(one(entry, std::string(row.bytes, 'x'))), row.code) << row.dtype << row.shape;
    }
}

TEST(Safetensors, every_element_type_of_the_format_is_known_and_no_other) {
    for (int i = 1; i <= dtype_count; ++i) {
        auto dtype = static_cast<DType>(i);
        std::string bytes(static_cast<size_t>(bits(dtype)), 'x');  // 8 elements
        std::string entry = R"({"dtype":")" + std::string(name(dtype)) +
                            R"(","shape":[8],"data_offsets":[0,)" + std::to_string(bytes.size()) + "]}";
        EXPECT_EQ(code_of(one(entry, bytes)), Code{}) << name(dtype);
    }
    for (std::string word : {"f32", "F128", "", "F8_E4M3FN", "BF16 "}) {
        EXPECT_EQ(code_of(one(R"({"dtype":")" + word + R"(","shape":[2],"data_offsets":[0,2]})")),
                  Code::dtype_unsupported);
    }
}

TEST(Safetensors, a_huge_claim_costs_nothing) {
    TempFolder folder;
    std::string path = folder.write("m.safetensors", std::string("\0\0\0\0\0\0\0\x7f", 8));
    std::filesystem::resize_file(path, uint64_t{1} << 40);  // a hole
    File file = File::open(path).value();
    EXPECT_EQ(read_safetensors_header(file, "m").error().code(), Code::header_too_large);
}

TEST(Safetensors, a_pointer_of_large_file_storage_is_called_by_its_name) {
    auto header = read("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().code(), Code::header_too_large);
    EXPECT_NE(header.error().first().fix.find("Git LFS"), std::string::npos);
}

TEST(Safetensors, several_broken_tensors_are_reported_together) {
    std::string header = R"({"a":{"dtype":"Q1","shape":[2],"data_offsets":[0,2]},)"
                         R"("b":{"dtype":"Q2","shape":[2],"data_offsets":[2,4]}})";
    auto result = read(container(header, "abcd"));
    ASSERT_FALSE(result);
    ASSERT_EQ(result.error().problems().size(), 2u);
    EXPECT_EQ(result.error().problems()[1].tensor, "b");
}

}  // namespace
}  // namespace mortise::checkpoint
