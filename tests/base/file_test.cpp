#include "base/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/sha256.h"
#include "support/temp_folder.h"

namespace mortise {
namespace {

std::span<std::byte> bytes_of(std::string& text) {
    return std::as_writable_bytes(std::span(text.data(), text.size()));
}

TEST(File, reads_exactly_what_was_asked_for) {
    test::TempFolder folder;
    auto file = File::open(folder.write("a", "0123456789")).value();
    EXPECT_EQ(file.size(), 10u);
    std::string out(4, '\0');
    ASSERT_TRUE(file.read(3, bytes_of(out)));
    EXPECT_EQ(out, "3456");
    EXPECT_EQ(file.read_all(10).value(), "0123456789");
    EXPECT_EQ(file.read_all(9).error().code(), Code::file_read);
    EXPECT_TRUE(file.unchanged());
}

TEST(File, that_ends_early_is_an_error) {
    test::TempFolder folder;
    auto file = File::open(folder.write("a", "0123456789")).value();
    std::string out(4, '\0');
    EXPECT_EQ(file.read(7, bytes_of(out)).error().code(), Code::file_short);
    ASSERT_EQ(::truncate(folder.at("a").c_str(), 2), 0);
    auto error = file.read(0, bytes_of(out));
    EXPECT_EQ(error.error().code(), Code::file_short);
    EXPECT_EQ(error.error().first().file, folder.at("a"));
    EXPECT_EQ(file.unchanged().error().code(), Code::value_changed);
}

TEST(File, of_the_same_size_but_rewritten_has_changed) {
    test::TempFolder folder;
    auto file = File::open(folder.write("a", "0123")).value();
    struct timespec times[2] = {{1, 0}, {1, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, folder.at("a").c_str(), times, 0), 0);
    EXPECT_EQ(file.unchanged().error().code(), Code::value_changed);
}

TEST(File, must_be_a_regular_file) {
    test::TempFolder folder;
    EXPECT_EQ(File::open(folder.at("none")).error().code(), Code::file_missing);
    EXPECT_EQ(File::open(folder.path()).error().code(), Code::file_open);
    EXPECT_EQ(File::open("/dev/zero").error().code(), Code::file_open);
    ASSERT_EQ(::mkfifo(folder.at("pipe").c_str(), 0600), 0);
    EXPECT_EQ(File::open(folder.at("pipe")).error().code(), Code::file_open);
    EXPECT_EQ(File::open(std::string("a\0b", 3)).error().code(), Code::file_open);
}

TEST(WriteAtomically, replaces_the_content_and_leaves_nothing_beside) {
    test::TempFolder folder;
    std::string path = folder.write("a", "old");
    ASSERT_TRUE(write_atomically(path, "new"));
    EXPECT_EQ(test::read_bytes(path), "new");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
    EXPECT_EQ(write_atomically(folder.at("no/a"), "x").error().code(), Code::file_write);
}

TEST(WriteAtomically, keeps_the_old_content_when_writing_fails) {
    test::TempFolder folder;
    std::string path = folder.write("a", "old");
    struct rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = before;
    small.rlim_cur = 8;
    auto* handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    Status status = write_atomically(path, std::string(1000, 'x'));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(status.error().code(), Code::file_write);
    EXPECT_EQ(test::read_bytes(path), "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(OutputFile, appends_and_patches_and_exists_only_when_closed) {
    test::TempFolder folder;
    {
        auto file = OutputFile::create(folder.at("a")).value();
        ASSERT_TRUE(file.append("....world"));
        ASSERT_TRUE(file.write_at(0, std::as_bytes(std::span("1234", 4))));
        EXPECT_EQ(file.size(), 9u);
        ASSERT_TRUE(file.close());
        EXPECT_FALSE(OutputFile::create(folder.at("a")));
        auto dropped = OutputFile::create(folder.at("b")).value();
        ASSERT_TRUE(dropped.append("x"));
    }
    EXPECT_EQ(test::read_bytes(folder.at("a")), "1234world");
    EXPECT_FALSE(std::filesystem::exists(folder.at("b")));
}

TEST(AtomicFolder, appears_whole_or_not_at_all) {
    test::TempFolder folder;
    {
        auto made = AtomicFolder::create(folder.at("out/")).value();
        std::ofstream(made.path() + "/f") << "x";
        EXPECT_FALSE(std::filesystem::exists(folder.at("out")));
        ASSERT_TRUE(made.commit());
    }
    EXPECT_EQ(test::read_bytes(folder.at("out/f")), "x");
    EXPECT_EQ(AtomicFolder::create(folder.at("out")).error().code(), Code::file_write);
    {
        auto dropped = AtomicFolder::create(folder.at("gone")).value();
    }
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFolder, never_replaces_what_appeared_meanwhile) {
    test::TempFolder folder;
    auto made = AtomicFolder::create(folder.at("out")).value();
    std::filesystem::create_directory(folder.at("out"));
    EXPECT_EQ(made.commit().error().code(), Code::file_write);
}

TEST(Sha256, gives_the_published_digests_however_the_bytes_are_cut) {
    EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Sha256 pieces;
    pieces.update("a");
    pieces.update("");
    pieces.update("bc");
    EXPECT_EQ(pieces.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    std::string abc = "abc";
    EXPECT_EQ(sha256_hex(bytes_of(abc)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace mortise
