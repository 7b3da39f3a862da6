#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace mortise {
namespace {

TEST(Problem, prints_everything_it_knows_in_one_line) {
    Problem problem{.code = Code::tensor_shape,
                    .what = "scale has the wrong shape",
                    .file = "a.safetensors",
                    .tensor = "x.weight_scale",
                    .line = 3,
                    .column = 7,
                    .expected = "F32 [256,1]",
                    .found = "F32 [1,256]",
                    .fix = "export it again"};
    EXPECT_EQ(to_string(problem),
              "a.safetensors:3:7: error[E2112]: x.weight_scale: scale has the wrong shape "
              "(expected F32 [256,1], found F32 [1,256]); export it again");
    EXPECT_EQ(to_string(Problem{.code = Code::usage, .what = "no model"}), "error[E1001]: no model");
}

TEST(Error, maps_each_thousand_to_its_exit_code) {
    EXPECT_EQ(Error(Code::usage, "").exit_code(), 2);
    EXPECT_EQ(Error(Code::header_json, "").exit_code(), 4);
    EXPECT_EQ(Error(Code::yaml_syntax, "").exit_code(), 3);
    EXPECT_EQ(Error(Code::plugin_open, "").exit_code(), 6);
    EXPECT_EQ(Error(Code::unsupported_scheme, "").exit_code(), 5);
    EXPECT_EQ(Error(Code::out_of_memory, "").exit_code(), 7);
    EXPECT_EQ(Error(Code::file_short, "").exit_code(), 8);
    EXPECT_EQ(Error(Code::internal, "").exit_code(), 70);
}

TEST(Error, fills_file_and_tensor_only_where_they_are_missing) {
    Problems problems;
    problems.add(Problem{.code = Code::usage, .what = "a", .file = "one", .tensor = "t"});
    problems.add(Problem{.code = Code::usage, .what = "b"});
    Error error = std::move(problems).status().error();
    error = std::move(std::move(error).in_file("two")).in_tensor("u");
    EXPECT_EQ(to_string(error), "one: error[E1001]: t: a\ntwo: error[E1001]: u: b");
}

Result<std::unique_ptr<int>> half(int x) {
    if (x % 2 != 0) return fail(Code::usage, "odd");
    return std::make_unique<int>(x / 2);
}
Result<int> quarter(int x) {
    MORTISE_TRY(auto once, half(x));
    MORTISE_TRY(auto twice, half(*once));
    MORTISE_CHECK(half(x));
    return *twice;
}

TEST(Try, unwraps_or_returns_the_error) {
    EXPECT_EQ(quarter(12).value(), 3);
    EXPECT_EQ(quarter(6).error().code(), Code::usage);
}

TEST(Problems, of_none_is_success) { EXPECT_TRUE(Problems().status()); }

TEST(InvariantDeathTest, aborts_with_file_and_line) {
    EXPECT_DEATH(MORTISE_INVARIANT(1 + 1 == 3), "result_test.cpp:[0-9]+: broken invariant.*1 \\+ 1 == 3");
}

}  // namespace
}  // namespace mortise
