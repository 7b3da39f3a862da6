// What `plugins` says of the installed plugins and of broken ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

const fs::path installed = fs::path(MORTISE_BINARY_DIR) / "lib/mortise/plugins";

// A manifest of the tree and its library, to copy and break.
struct Sample {
    fs::path manifest, library;
};

Sample a_plugin() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(installed)) {
        if (entry.path().extension() == ".yaml") found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return {found.at(0), fs::path(found.at(0)).replace_extension(".so")};
}

fs::path empty_folder(const std::string& name) {
    fs::path folder = test::scratch().at(name);
    fs::remove_all(folder);
    fs::create_directories(folder);
    fs::permissions(folder, fs::perms::owner_all);
    return folder;
}

}  // namespace

TEST(Plugins, EveryInstalledManifestIsListedAndSound) {
    auto list = mortise({"plugins", "list", "--json"});
    ASSERT_EQ(list.exit_code, 0) << list.err;
    auto document = json::Document::parse(list.out, "stdout");
    ASSERT_TRUE(document);
    size_t manifests = 0;
    for (const auto& entry : fs::directory_iterator(installed))
        manifests += entry.path().extension() == ".yaml" ? 1 : 0;
    EXPECT_EQ(document->root().find("plugins")->size(), manifests);
    auto check = mortise({"plugins", "check", installed.string()});
    EXPECT_EQ(check.exit_code, 0) << check.err;
    EXPECT_EQ(test::count_lines(check.out), manifests);
}

TEST(Plugins, ShowNamesManifestAndLibraryAndAMisspelledIdIsUsage) {
    auto list = mortise({"plugins", "list", "--json"});
    auto document = json::Document::parse(list.out, "stdout");
    ASSERT_TRUE(document);
    std::string id = document->root().find("plugins")->items().at(0)->find("id")->text();
    auto show = mortise({"plugins", "show", id});
    EXPECT_EQ(show.exit_code, 0) << show.err;
    EXPECT_THAT(show.out, HasSubstr("needs ABI"));
    auto wrong = mortise({"plugins", "show", id + "x"});
    EXPECT_EQ(wrong.exit_code, 2);
    EXPECT_THAT(wrong.err, HasSubstr("'" + id + "'"));
}

TEST(Plugins, ATruncatedLibraryIsAFindingAndNoCrash) {
    Sample sample = a_plugin();
    fs::path folder = empty_folder("truncated");
    fs::copy(sample.manifest, folder);
    fs::copy(sample.library, folder);
    fs::path copy = folder / sample.library.filename();
    fs::resize_file(copy, fs::file_size(copy) / 2);
    auto check = mortise({"plugins", "check", folder.string()});
    EXPECT_EQ(check.exit_code, 6) << check.err;
    EXPECT_THAT(check.out, HasSubstr("failed"));
}

TEST(Plugins, ALibraryThatIsNoLibraryIsAFinding) {
    Sample sample = a_plugin();
    fs::path folder = empty_folder("text");
    fs::copy(sample.manifest, folder);
    std::ofstream(folder / sample.library.filename()) << "not a library";
    EXPECT_EQ(mortise({"plugins", "check", folder.string()}).exit_code, 6);
}

TEST(Plugins, APluginThatKillsItsProcessIsAFindingAndNoCrash) {
    fs::path folder = empty_folder("crash");
    fs::path library = MORTISE_CRASHING_PLUGIN;
    fs::copy(library, folder);
    std::ofstream(folder / "crashes.yaml")
        << "manifest: mortise.plugin/v1\nplugin:\n  id: com.test.crashes\n  version: \"1.0.0\"\nlibrary:\n  "
           "path: "
        << library.filename().string()
        << "\nabi: \"1.0\"\nprovides:\n  - {interface: scheme, id: sample, quant_method: [sample]}\n";
    auto check = mortise({"plugins", "check", folder.string()});
    EXPECT_EQ(check.exit_code, 6) << check.err;
    EXPECT_THAT(check.out + check.err, HasSubstr("killed the process"));
    EXPECT_THAT(check.out + check.err, HasSubstr("Aborted"));
}

TEST(Plugins, ABrokenManifestIsReportedWithItsLine) {
    fs::path folder = empty_folder("manifest");
    std::ofstream(folder / "x.yaml") << "manifest: mortise.plugin/v1\nplugn:\n  id: a.b\n";
    auto doctor = mortise({"plugins", "doctor", "--plugin-dir", folder.string()});
    EXPECT_NE(doctor.exit_code, 0);
    EXPECT_THAT(doctor.err, HasSubstr("x.yaml:2:1"));
}

TEST(Plugins, TheSearchPathIsShownInOrderWithItsReasons) {
    fs::path folder = empty_folder("first");
    auto doctor = mortise({"plugins", "doctor", "--plugin-dir", folder.string()});
    EXPECT_EQ(doctor.exit_code, 0) << doctor.err;
    size_t first = doctor.out.find(folder.string()), own = doctor.out.find(installed.string());
    ASSERT_NE(first, std::string::npos);
    ASSERT_NE(own, std::string::npos);
    EXPECT_LT(first, own);
}

}  // namespace mortise
