// Side files, links and the local cache.
#include "checkpoint/checkpoint.h"

#include "make_files.h"
#include "support/temp_folder.h"

namespace mortise::checkpoint {
namespace {

using test::safetensors;
using test::TempFolder;
namespace fs = std::filesystem;

Checkpoint simple(const TempFolder& folder) {
    folder.write("model.safetensors", safetensors({{"a"}}));
    return open_native(folder.path()).value();
}

TEST(Checkpoint, documents_are_parsed_once_and_absent_ones_are_null) {
    TempFolder folder;
    folder.write("config.json", "{\"a\": 1}");
    folder.write("bad.json", "{");
    Checkpoint checkpoint = simple(folder);
    const json::Document* config = checkpoint.document("config.json").value();
    ASSERT_NE(config, nullptr);
    EXPECT_EQ(config->name(), folder.at("config.json"));
    config->root().find("a");
    EXPECT_EQ(checkpoint.document("config.json").value(), config);
    EXPECT_TRUE(checkpoint.document("config.json").value()->root().items()[0]->was_read());
    EXPECT_EQ(checkpoint.document("hf_quant_config.json").value(), nullptr);
    EXPECT_EQ(checkpoint.document("bad.json").error().code(), Code::json_invalid);
    EXPECT_EQ(checkpoint.document("bad.json").error().first().file, folder.at("bad.json"));
}

TEST(Checkpoint, survives_a_move_with_its_documents) {
    TempFolder folder;
    folder.write("config.json", "{\"a\": 1}");
    Checkpoint checkpoint = simple(folder);
    const json::Document* config = checkpoint.document("config.json").value();
    Checkpoint moved = std::move(checkpoint);
    EXPECT_EQ(moved.document("config.json").value(), config);
    EXPECT_EQ(moved.catalog.size(), 1u);
}

TEST(Checkpoint, virtual_files_go_before_those_of_the_folder) {
    TempFolder folder;
    folder.write("config.json", "{\"a\": 1}");
    folder.write("other.txt", "on disk");
    Checkpoint checkpoint = simple(folder);
    checkpoint.virtual_files["config.json"] = {"{\"a\": 2}", "model.x: metadata key 'k'"};
    EXPECT_EQ(checkpoint.document("config.json").value()->root().find("a")->as_int().value(), 2);
    EXPECT_EQ(checkpoint.document("config.json").value()->name(), "model.x: metadata key 'k'");
    EXPECT_EQ(checkpoint.file("other.txt").value(), "on disk");
    EXPECT_TRUE(checkpoint.has_file("config.json"));
    EXPECT_FALSE(checkpoint.has_file("none"));
    EXPECT_EQ(checkpoint.file("none").error().code(), Code::file_missing);
    EXPECT_EQ(checkpoint.file_origin("other.txt"), folder.at("other.txt"));
}

TEST(Checkpoint, side_files_have_plain_names) {
    TempFolder folder;
    Checkpoint checkpoint = simple(folder);
    for (std::string name : {"../x", "/etc/passwd", "..", ".", "", "a/b"}) {
        EXPECT_EQ(checkpoint.file(name).error().code(), Code::folder_escape) << name;
    }
}

TEST(Links, within_the_folder_are_followed_and_out_of_it_refused) {
    TempFolder outside, folder;
    outside.write("m.safetensors", safetensors({{"a"}}));
    outside.write("config.json", "{}");
    folder.write("inner/m.bin2", safetensors({{"a"}}));
    fs::create_symlink("inner/m.bin2", folder.at("model.safetensors"));
    EXPECT_TRUE(open_native(folder.path()));
    fs::create_symlink(outside.at("config.json"), folder.at("config.json"));
    auto opened = open_native(folder.path()).value();
    EXPECT_EQ(opened.file("config.json").error().code(), Code::folder_escape);
    EXPECT_EQ(opened.document("config.json").error().code(), Code::folder_escape);  // not: absent
    fs::remove(folder.at("model.safetensors"));
    fs::create_symlink(outside.at("m.safetensors"), folder.at("model.safetensors"));
    EXPECT_EQ(open_native(folder.path()).error().code(), Code::folder_escape);
    // A folder beside with a longer name of the same beginning is outside, too.
    TempFolder root;
    root.write("ab/m.safetensors", safetensors({{"a"}}));
    fs::create_directory(root.at("a"));
    fs::create_symlink("../ab/m.safetensors", root.at("a/m.safetensors"));
    EXPECT_EQ(open_native(root.at("a")).error().code(), Code::folder_escape);
    // The folder itself may be reached through a link: the user named it.
    fs::create_directory_symlink(root.at("ab"), root.at("link"));
    EXPECT_TRUE(open_native(root.at("link")));
}

// The layout of the Hugging Face cache: snapshots hold links into the blobs of the same repository.
struct Cache {
    TempFolder root;
    std::string repo = root.at("models--org--name");
    Cache() {
        root.write("models--org--name/blobs/1111", safetensors({{"a"}}));
        root.write("models--org--name/blobs/2222", "{\"n\": 5}");
        root.write("models--org--name/refs/main", "abcdef");
        fs::create_directories(repo + "/snapshots/abcdef");
        fs::create_symlink("../../blobs/1111", repo + "/snapshots/abcdef/model.safetensors");
        fs::create_symlink("../../blobs/2222", repo + "/snapshots/abcdef/config.json");
        ::setenv("HF_HUB_CACHE", root.path().c_str(), 1);
    }
    ~Cache() { ::unsetenv("HF_HUB_CACHE"); }
};

TEST(Cache, a_repository_is_found_by_its_name) {
    Cache cache;
    auto opened = open_native("org/name");
    ASSERT_TRUE(opened) << to_string(opened.error());
    EXPECT_EQ(opened->path, "org/name");
    EXPECT_EQ(opened->catalog.size(), 1u);
    EXPECT_EQ(opened->document("config.json").value()->root().find("n")->as_int().value(), 5);
    EXPECT_TRUE(open_native("org/name@abcdef"));
    EXPECT_TRUE(open_native("org/name@main"));
    auto other = open_native("org/name@v2");
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code(), Code::file_missing);
    EXPECT_NE(other.error().first().fix.find("nothing is ever downloaded"), std::string::npos);
    EXPECT_EQ(open_native("org/none").error().code(), Code::file_missing);
    EXPECT_EQ(open_native("none").error().code(), Code::file_missing);
}

TEST(Cache, is_looked_for_where_the_environment_says) {
    Cache cache;
    ::unsetenv("HF_HUB_CACHE");
    TempFolder home;
    fs::create_directories(home.at("hub"));
    fs::create_directory_symlink(cache.repo, home.at("hub/models--org--name"));
    ::setenv("HF_HOME", home.path().c_str(), 1);
    EXPECT_TRUE(open_native("org/name"));
    ::unsetenv("HF_HOME");
    EXPECT_FALSE(open_native("org/name"));
}

TEST(Cache, links_into_the_blobs_of_another_repository_or_deeper_are_refused) {
    Cache cache;
    std::string link = cache.repo + "/snapshots/abcdef/model.safetensors";
    cache.root.write("models--org--other/blobs/3333", safetensors({{"a"}}));
    cache.root.write("models--org--name/blobs/deep/4444", safetensors({{"a"}}));
    cache.root.write("models--org--name/5555", safetensors({{"a"}}));
    for (std::string target :
         {"../../../models--org--other/blobs/3333", "../../blobs/deep/4444", "../../5555"}) {
        fs::remove(link);
        fs::create_symlink(target, link);
        ASSERT_TRUE(fs::exists(link));
        EXPECT_EQ(open_native("org/name").error().code(), Code::folder_escape) << target;
    }
}

TEST(Cache, blobs_beside_any_other_folder_are_outside) {
    TempFolder root;
    root.write("blobs/1111", safetensors({{"a"}}));
    fs::create_directories(root.at("models/x"));
    fs::create_symlink("../../blobs/1111", root.at("models/x/model.safetensors"));
    EXPECT_EQ(open_native(root.at("models/x")).error().code(), Code::folder_escape);
}

TEST(Cache, hostile_revisions_lead_nowhere) {
    Cache cache;
    for (std::string revision : {"../snapshots/abcdef", "..", ".", "", "a/b"}) {
        cache.root.write("models--org--name/refs/main", revision);
        EXPECT_FALSE(open_native("org/name")) << revision;
        EXPECT_FALSE(open_native("org/name@" + revision)) << revision;
    }
    EXPECT_FALSE(open_native("../name"));
    EXPECT_FALSE(open_native("org/.."));
}

}  // namespace
}  // namespace mortise::checkpoint
