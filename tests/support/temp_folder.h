// A folder for one test, removed at its end.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace mortise::test {

class TempFolder {
  public:
    TempFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "mortise-test.XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        path_ = std::filesystem::canonical(name).string();
    }
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    const std::string& path() const { return path_; }
    std::string at(std::string_view name) const { return path_ + '/' + std::string(name); }
    std::string write(std::string_view name, std::string_view bytes) const {
        std::string path = at(name);
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }

  private:
    std::string path_;
};

// Effect: the one folder of this test program, removed when it ends: for what several tests write.
inline const TempFolder& scratch() {
    static const TempFolder folder;
    return folder;
}

inline std::string read_bytes(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    EXPECT_TRUE(stream) << path;
    return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace mortise::test
