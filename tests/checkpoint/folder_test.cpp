// Folders with and without an index.
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "checkpoint/checkpoint.h"
#include "make_files.h"
#include "support/temp_folder.h"

namespace mortise::checkpoint {
namespace {

using test::index_text;
using test::safetensors;
using test::TempFolder;

Code code_of(const std::string& path) {
    auto opened = open_native(path);
    return opened ? Code{} : opened.error().code();
}

constexpr const char* index_name = "model.safetensors.index.json";
constexpr const char* shard_1 = "model-00001-of-00002.safetensors";
constexpr const char* shard_2 = "model-00002-of-00002.safetensors";

void write_two_shards(const TempFolder& folder) {
    folder.write(shard_1, safetensors({{"a"}, {"b"}}));
    folder.write(shard_2, safetensors({{"c"}}));
    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_1}, {"c", shard_2}}));
    folder.write("config.json", R"({"model_type": "x"})");
}

TEST(Folder, the_only_weights_file_is_found_whatever_its_name) {
    TempFolder folder;
    folder.write("gptq_model-4bit-128g.safetensors", safetensors({{"a"}}));
    folder.write("config.json", R"({"n": 1})");
    auto opened = open_native(folder.path()).value();
    EXPECT_EQ(opened.catalog.size(), 1u);
    EXPECT_EQ(opened.metadata.at("format"), "pt");
    EXPECT_EQ(opened.name_space, "");
    auto single = open_native(folder.at("gptq_model-4bit-128g.safetensors")).value();
    EXPECT_EQ(single.catalog.size(), 1u);
    EXPECT_EQ(single.folder, folder.path());
    EXPECT_EQ((*single.document("config.json").value()).root().find("n")->as_int().value(), 1);
}

TEST(Folder, an_index_and_its_shards_agree_in_both_directions) {
    TempFolder folder;
    write_two_shards(folder);
    auto opened = open_native(folder.path()).value();
    EXPECT_EQ(opened.catalog.size(), 3u);
    EXPECT_EQ(opened.catalog.files().size(), 2u);
    EXPECT_EQ(opened.catalog.file_name(*opened.catalog.find("c")), shard_2);

    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_1}, {"c", shard_2}, {"d", shard_2}}));
    EXPECT_EQ(code_of(folder.path()), Code::index_tensor_missing);
    folder.write(index_name, index_text({{"a", shard_1}, {"c", shard_2}}));
    EXPECT_EQ(code_of(folder.path()), Code::index_tensor_extra);
    folder.write(shard_2, safetensors({{"c"}, {"z"}}));
    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_1}, {"c", shard_2}}));
    EXPECT_EQ(code_of(folder.path()), Code::index_tensor_extra);
    folder.write(shard_2, safetensors({{"c"}}));
    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_2}, {"c", shard_2}}));
    auto moved = open_native(folder.path());
    ASSERT_FALSE(moved);
    EXPECT_EQ(moved.error().code(), Code::index_tensor_missing);
    EXPECT_NE(moved.error().first().what.find("it lies in"), std::string::npos);
    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_1}, {"c", "gone.safetensors"}}));
    EXPECT_EQ(code_of(folder.path()), Code::index_shard_missing);
    folder.write(index_name, index_text({{"a", shard_1}, {"b", shard_1}}));
    EXPECT_EQ(code_of(folder.path()), Code::folder_ambiguous);  // shard 2 is named by nobody
}

TEST(Folder, the_same_tensor_in_two_shards_is_an_error) {
    TempFolder folder;
    write_two_shards(folder);
    folder.write(shard_2, safetensors({{"c"}, {"a"}}));
    EXPECT_EQ(code_of(folder.path()), Code::duplicate_tensor);
}

TEST(Folder, a_broken_shard_is_named) {
    TempFolder folder;
    write_two_shards(folder);
    folder.write(shard_2, "");
    auto opened = open_native(folder.path());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::header_too_small);
    EXPECT_EQ(opened.error().first().file, shard_2);
}

TEST(Folder, malformed_indexes_are_refused) {
    TempFolder folder;
    write_two_shards(folder);
    for (std::string text :
         {"", "[]", "{}", "{\"weight_map\":{}}", "{\"weight_map\":[]}", "{\"weight_map\":1}",
          "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{\"a\":{}}}", "{\"weight_map\":{\"a\":null}}",
          "{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}",
          "{\"weight_map\":{\"a\":\"\xFF.safetensors\"}}", "{\"weight_map\""}) {
        folder.write(index_name, text);
        EXPECT_EQ(code_of(folder.path()), Code::index_invalid) << text;
    }
    folder.write(index_name, R"({"weight_map":{"a":")" + std::string(shard_1) + R"(","b":")" + shard_1 +
                                 R"(","c":")" + shard_2 +
                                 R"("},"metadata":{"weight_map":{"z":"z"},"l":[[1]]},"x":null})");
    EXPECT_EQ(code_of(folder.path()), Code{});
}

TEST(Folder, no_hostile_file_name_of_an_index_is_followed) {
    TempFolder outside;
    outside.write("s.safetensors", safetensors({{"a"}}));
    TempFolder folder;
    std::string up = "../" + std::filesystem::path(outside.path()).filename().string() + "/s.safetensors";
    ASSERT_TRUE(std::filesystem::exists(folder.at(up)));
    const std::vector<std::string> names = {up,
                                            outside.at("s.safetensors"),
                                            "/etc/passwd",
                                            "/dev/zero",
                                            "/dev/stdin",
                                            "/proc/self/fd/0",
                                            "../x.safetensors",
                                            "..",
                                            ".",
                                            "",
                                            "./x.safetensors",
                                            "a/x.safetensors",
                                            "a\\x.safetensors",
                                            "..\\x.safetensors",
                                            "x.safetensors/",
                                            "x.safetensors/..",
                                            ".safetensors",
                                            ".x.safetensors",
                                            "x.bin",
                                            "x.pt",
                                            "x.safetensors.bin",
                                            "~/x.safetensors",
                                            "$HOME/x.safetensors",
                                            "x y.safetensors",
                                            " x.safetensors",
                                            "x.safetensors ",
                                            "x\n.safetensors",
                                            std::string("x\0y.safetensors", 14),
                                            std::string("x.safetensors\0", 14),
                                            "file:///x.safetensors",
                                            "http://h/x.safetensors",
                                            "C:\\x.safetensors",
                                            "C:x.safetensors",
                                            "x*.safetensors",
                                            "x?.safetensors",
                                            "x;y.safetensors",
                                            "x|y.safetensors",
                                            "`id`.safetensors",
                                            "\u202Ex.safetensors",
                                            "\uFF0E\uFF0E/x.safetensors",
                                            "x%2e.safetensors",
                                            std::string(300, 'x') + ".safetensors"};
    ASSERT_GE(names.size(), 40u);
    for (const std::string& name : names) {
        folder.write(index_name, index_text({{"a", name}}));
        EXPECT_EQ(code_of(folder.path()), Code::index_file_name) << name;
    }
}

TEST(Folder, something_else_under_the_name_of_a_shard_is_refused) {
    TempFolder folder;
    folder.write(index_name, index_text({{"a", "s.safetensors"}}));
    std::filesystem::create_directory(folder.at("s.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::index_shard_missing);
    std::filesystem::remove(folder.at("s.safetensors"));
    ASSERT_EQ(::mkfifo(folder.at("s.safetensors").c_str(), 0600), 0);
    EXPECT_EQ(code_of(folder.path()), Code::file_open);
    std::filesystem::remove(folder.at("s.safetensors"));
    std::filesystem::create_symlink("/dev/zero", folder.at("s.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::folder_escape);
    std::filesystem::remove(folder.at("s.safetensors"));
    std::filesystem::create_symlink("nowhere", folder.at("s.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::file_missing);
}

TEST(Folder, without_an_index_only_a_complete_numbered_set_is_read) {
    TempFolder folder;
    folder.write(shard_1, safetensors({{"a"}}));
    EXPECT_EQ(code_of(folder.path()), Code{});  // the only one, whatever its name
    folder.write(shard_2, safetensors({{"b"}}));
    EXPECT_EQ(open_native(folder.path()).value().catalog.size(), 2u);
    folder.write("model-00003-of-00002.safetensors", safetensors({{"c"}}));
    EXPECT_EQ(code_of(folder.path()), Code::index_shard_missing);
    std::filesystem::remove(folder.at("model-00003-of-00002.safetensors"));
    folder.write("other.safetensors", safetensors({{"c"}}));
    EXPECT_EQ(code_of(folder.path()), Code::folder_ambiguous);
    std::filesystem::remove(folder.at("other.safetensors"));
    std::filesystem::rename(folder.at(shard_2), folder.at("model-00002-of-00003.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::folder_ambiguous);
    std::filesystem::rename(folder.at(shard_1), folder.at("model-00001-of-00003.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::index_shard_missing);
    folder.write("model-00003-of-00003.safetensors", safetensors({{"d"}}));
    EXPECT_EQ(code_of(folder.path()), Code{});
    std::filesystem::remove(folder.at("model-00002-of-00003.safetensors"));
    EXPECT_EQ(code_of(folder.path()), Code::index_shard_missing);
}

TEST(Folder, two_indexes_are_ambiguous) {
    TempFolder folder;
    write_two_shards(folder);
    folder.write("other.safetensors.index.json", index_text({{"a", shard_1}}));
    EXPECT_EQ(code_of(folder.path()), Code::folder_ambiguous);
}

TEST(Folder, a_second_spelling_of_the_weights_is_set_aside_and_reported) {
    TempFolder folder;
    write_two_shards(folder);
    folder.write("consolidated.safetensors", "not even read");
    auto opened = open_native(folder.path()).value();
    ASSERT_EQ(opened.ignored_files.size(), 1u);
    EXPECT_EQ(opened.ignored_files[0].name, "consolidated.safetensors");
    TempFolder alone;
    alone.write("consolidated.safetensors", safetensors({{"a"}}));
    EXPECT_EQ(open_native(alone.path()).value().catalog.size(), 1u);
}

TEST(Folder, pickles_and_programs_are_listed_and_never_opened) {
    TempFolder folder;
    folder.write("pytorch_model.bin", "x");
    folder.write("modeling_x.py", "x");
    folder.write("config.json", "{}");
    int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ASSERT_GE(::inotify_add_watch(watch, folder.at("pytorch_model.bin").c_str(), IN_OPEN), 0);
    ASSERT_GE(::inotify_add_watch(watch, folder.at("modeling_x.py").c_str(), IN_OPEN), 0);
    auto opened = open_native(folder.path());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::folder_no_weights);
    EXPECT_NE(opened.error().first().found.find("pytorch_model.bin (pickle, never opened)"),
              std::string::npos);
    EXPECT_TRUE(candidates(folder.path()).value().empty());
    EXPECT_TRUE(candidates(folder.at("pytorch_model.bin")).value().empty());
    EXPECT_EQ(code_of(folder.at("pytorch_model.bin")), Code::unsupported_container);
    folder.write("model.safetensors", safetensors({{"a"}}));
    EXPECT_EQ(open_native(folder.path()).value().ignored_files.size(), 2u);
    char event[256];
    EXPECT_EQ(::read(watch, event, sizeof event), -1) << "a watched file was opened";
    EXPECT_EQ(errno, EAGAIN);
    std::ifstream(folder.at("modeling_x.py")).get();
    EXPECT_GT(::read(watch, event, sizeof event), 0) << "the watch itself does not work";
    ::close(watch);
    TempFolder empty;
    EXPECT_EQ(code_of(empty.path()), Code::folder_no_weights);
}

TEST(Folder, the_catalog_does_not_depend_on_how_tensors_are_dealt_to_shards) {
    std::vector<int> tensors(24);
    std::iota(tensors.begin(), tensors.end(), 0);
    std::string first;
    for (unsigned seed = 0; seed < 10; ++seed) {
        std::mt19937 random(seed);
        std::shuffle(tensors.begin(), tensors.end(), random);
        TempFolder folder;
        std::vector<std::vector<test::Tensor>> shards(1 + random() % 5);
        std::vector<std::pair<std::string, std::string>> map;
        for (int i : tensors) {
            size_t s = random() % shards.size();
            std::string data = {static_cast<char>('a' + i), static_cast<char>('A' + i)};
            shards[s].push_back({"t" + std::to_string(i), "U8", "[2]", data});
            map.emplace_back("t" + std::to_string(i), "s" + std::to_string(s) + ".safetensors");
        }
        for (size_t s = 0; s < shards.size(); ++s) {
            if (!shards[s].empty())
                folder.write("s" + std::to_string(s) + ".safetensors", safetensors(shards[s]));
        }
        folder.write(index_name, index_text(map));
        TensorReader reader(open_native(folder.path()).value().catalog);
        std::string text;
        for (const TensorEntry& entry : reader.catalog().tensors()) {
            auto bytes = reader.read_all(entry).value();
            text += entry.name + to_string(entry.dtype, entry.shape);
            text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        }
        if (seed == 0) first = text;
        EXPECT_EQ(text, first);
        EXPECT_EQ(reader.bytes_read(), 48u);
    }
}

TEST(Candidates, are_the_files_that_a_container_plugin_may_know) {
    TempFolder folder;
    folder.write("model.gguf", "GGUF" + std::string(100, 'x'));
    folder.write("README.md", "x");
    folder.write("config.json", "{}");
    folder.write(".gitattributes", "x");
    auto found = candidates(folder.path()).value();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].file_name, "model.gguf");
    EXPECT_EQ(found[0].first_bytes, "GGUF" + std::string(60, 'x'));
    EXPECT_EQ(candidates(folder.at("model.gguf")).value().size(), 1u);
    EXPECT_EQ(code_of(folder.at("model.gguf")), Code::unsupported_container);
    folder.write("model.safetensors", safetensors({{"a"}}));
    EXPECT_TRUE(candidates(folder.path()).value().empty());
    EXPECT_TRUE(candidates(folder.at("model.safetensors")).value().empty());
}

}  // namespace
}  // namespace mortise::checkpoint
