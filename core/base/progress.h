// Progress of one long piece of work on standard error: one moving line on a terminal, else a line at each
// 10 % or 5 s. One thread reports at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace mortise {

class Progress {
  public:
    enum class Unit : uint8_t { bytes, items };
    struct Options {
        Unit unit = Unit::bytes;
        bool silent = false;
        std::FILE* stream = stderr;
    };

    Progress(std::string title, uint64_t total, Options options);
    Progress(std::string title, uint64_t total) : Progress(std::move(title), total, Options()) {}
    ~Progress();  // as finish()
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // Effect: `done` of the total is done. Cheap: prints ten times a second at most.
    void update(uint64_t done);
    // Effect: removes the moving line; later calls do nothing.
    void finish();

    // Effect: "load 42 % 1.2 GiB/2.9 GiB 310.0 MiB/s 5 s left".
    static std::string line(const std::string& title, uint64_t done, uint64_t total, double seconds,
                            Unit unit);

  private:
    using Clock = std::chrono::steady_clock;
    std::string title_;
    uint64_t total_;
    Options options_;
    bool terminal_;
    bool finished_ = false, shown_ = false;
    uint64_t last_percent_ = 0;
    Clock::time_point start_, last_;
};

}  // namespace mortise
