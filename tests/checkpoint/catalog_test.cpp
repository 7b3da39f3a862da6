#include "checkpoint/catalog.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "support/temp_folder.h"

namespace mortise::checkpoint {
namespace {

using test::TempFolder;

TensorEntry entry(std::string name, uint32_t file, uint64_t offset, Shape shape = {2}) {
    uint64_t bytes = dense_bytes(DType::u8, shape).value_or(0);
    return {.name = std::move(name),
            .dtype = DType::u8,
            .shape = std::move(shape),
            .file = file,
            .offset = offset,
            .bytes = bytes};
}

struct Fixture {
    TempFolder folder;
    CatalogBuilder builder;
    Fixture() {
        // Added against the order of their names.
        EXPECT_EQ(builder.add_file("b", File::open(folder.write("b", "0123456789")).value()), 0u);
        EXPECT_EQ(builder.add_file("a", File::open(folder.write("a", "abcdefghij")).value()), 1u);
    }
    Result<Catalog> finish() { return std::move(builder).finish(); }
};

TEST(Catalog, finds_names_and_prefixes_in_byte_order) {
    Fixture f;
    std::vector<std::string> names = {"l.1.w", "l.10.w", "l.1.b", "l.2.w", "l.1", "k", "l.1x"};
    std::shuffle(names.begin(), names.end(), std::mt19937(3));
    for (const auto& name : names) f.builder.add(entry(name, 0, 0));
    Catalog catalog = f.finish().value();
    EXPECT_TRUE(std::is_sorted(catalog.tensors().begin(), catalog.tensors().end(),
                               [](const auto& a, const auto& b) { return a.name < b.name; }));
    ASSERT_NE(catalog.find("l.1.w"), nullptr);
    EXPECT_EQ(catalog.find("l.1.w")->name, "l.1.w");
    EXPECT_EQ(catalog.find("l"), nullptr);
    EXPECT_EQ(catalog.find("zz"), nullptr);
    auto below = catalog.with_prefix("l.1.");
    ASSERT_EQ(below.size(), 2u);
    EXPECT_EQ(below[0].name, "l.1.b");
    EXPECT_EQ(catalog.with_prefix("").size(), 7u);
    EXPECT_EQ(catalog.with_prefix("m").size(), 0u);
    EXPECT_EQ(catalog.total_bytes(), 14u);
}

TEST(Catalog, files_are_in_byte_order_and_entries_follow_them) {
    Fixture f;
    f.builder.add(entry("x", 0, 4));
    f.builder.add(entry("y", 1, 4));
    TensorReader reader(f.finish().value());
    EXPECT_EQ(reader.catalog().files()[0].name, "a");
    EXPECT_EQ(reader.catalog().file_name(*reader.catalog().find("x")), "b");
    auto bytes = reader.read_all(*reader.catalog().find("x")).value();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "45");
}

TEST(Catalog, is_the_same_for_every_order_of_adding) {
    for (int seed = 0; seed < 20; ++seed) {
        Fixture f;
        std::vector<TensorEntry> entries;
        for (uint32_t i = 0; i < 30; ++i) entries.push_back(entry("t" + std::to_string(i), i % 2, i % 8));
        std::shuffle(entries.begin(), entries.end(), std::mt19937(static_cast<unsigned>(seed)));
        for (auto& each : entries) f.builder.add(std::move(each));
        Catalog catalog = f.finish().value();
        std::string text;
        for (const auto& each : catalog.tensors()) {
            text += each.name + '@' + catalog.file_name(each) + std::to_string(each.offset) + ' ';
        }
        static std::string first;
        if (seed == 0) first = text;
        EXPECT_EQ(text, first);
    }
}

TEST(Catalog, the_same_name_twice_names_both_files) {
    Fixture f;
    f.builder.add(entry("x", 0, 0));
    f.builder.add(entry("x", 1, 0));
    auto result = f.finish();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::duplicate_tensor);
    EXPECT_EQ(to_string(result.error()), "b: error[E2011]: x: tensor occurs twice, first in 'a'");
}

TEST(Catalog, entries_must_lie_in_their_file_and_fit_their_shape) {
    auto code_of = [](TensorEntry e) {
        Fixture f;
        f.builder.add(std::move(e));
        auto result = f.finish();
        return result ? Code{} : result.error().code();
    };
    EXPECT_EQ(code_of(entry("x", 0, 8)), Code{});
    EXPECT_EQ(code_of(entry("x", 0, 9)), Code::header_offsets);
    EXPECT_EQ(code_of(entry("x", 0, ~uint64_t{0})), Code::header_offsets);
    EXPECT_EQ(code_of(entry("x", 0, 0, {-1})), Code::header_overflow);
    TensorEntry wrong = entry("x", 0, 0);
    wrong.bytes = 3;
    EXPECT_EQ(code_of(wrong), Code::header_tensor_bytes);
    wrong.encoding = "block";  // the container vouches for its own blocks
    EXPECT_EQ(code_of(wrong), Code{});
    TensorEntry half = entry("x", 0, 0, {3});
    half.dtype = DType::f4_e2m1;
    EXPECT_EQ(code_of(half), Code::header_misaligned);
}

TEST(TensorReader, reads_pieces_and_counts_them) {
    Fixture f;
    f.builder.add(entry("x", 0, 2, {6}));
    TensorReader reader(f.finish().value());
    const TensorEntry& x = *reader.catalog().find("x");
    std::string out(3, '\0');
    ASSERT_TRUE(reader.read(x, 2, std::as_writable_bytes(std::span(out.data(), out.size()))));
    EXPECT_EQ(out, "456");
    EXPECT_EQ(reader.bytes_read(), 3u);
    ASSERT_TRUE(reader.read_all(x));
    EXPECT_EQ(reader.bytes_read(), 9u);
    EXPECT_TRUE(reader.unchanged());
}

TEST(TensorReader, notices_files_that_shrink_or_change) {
    Fixture f;
    f.builder.add(entry("x", 0, 2, {6}));
    TensorReader reader(f.finish().value());
    const TensorEntry& x = *reader.catalog().find("x");
    ASSERT_EQ(::truncate(f.folder.at("b").c_str(), 4), 0);
    auto result = reader.read_all(x);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::file_short);
    EXPECT_EQ(result.error().first().tensor, "x");
    EXPECT_EQ(reader.bytes_read(), 0u);
    EXPECT_EQ(reader.unchanged().error().code(), Code::value_changed);
}

TEST(TensorReader, never_crashes_while_another_writer_cuts_and_grows_the_file) {
    Fixture f;
    f.builder.add(entry("x", 0, 0, {10}));
    TensorReader reader(f.finish().value());
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (off_t size = 0; !stop; size = (size + 3) % 11)
            EXPECT_EQ(::truncate(f.folder.at("b").c_str(), size), 0);
    });
    int failed = 0;
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (int i = 0; (i < 2000 || failed == 0) && std::chrono::steady_clock::now() < limit; ++i) {
        auto result = reader.read_all(*reader.catalog().find("x"));
        if (result) continue;
        EXPECT_EQ(result.error().code(), Code::file_short);
        ++failed;
    }
    stop = true;
    writer.join();
    EXPECT_GT(failed, 0);
}

}  // namespace
}  // namespace mortise::checkpoint
