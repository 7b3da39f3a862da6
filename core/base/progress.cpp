#include "base/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/text.h"

namespace mortise {
namespace {

bool can_move_cursor(std::FILE* stream) {
    const char* term = std::getenv("TERM");
    return ::isatty(::fileno(stream)) == 1 && term && std::string_view(term) != "dumb";
}

std::string amount(double value, Progress::Unit unit) {
    auto whole = static_cast<uint64_t>(value);
    return unit == Progress::Unit::bytes ? human_bytes(whole) : std::to_string(whole);
}

std::string duration(double seconds) {
    auto whole = static_cast<uint64_t>(std::ceil(seconds));
    if (whole < 120) return std::to_string(whole) + " s";
    return std::to_string(whole / 60) + " min";
}

}  // namespace

Progress::Progress(std::string title, uint64_t total, Options options)
    : title_(std::move(title)), total_(total), options_(options), terminal_(can_move_cursor(options.stream)) {
    start_ = last_ = Clock::now();
}

Progress::~Progress() { finish(); }

std::string Progress::line(const std::string& title, uint64_t done, uint64_t total, double seconds,
                           Unit unit) {
    double part = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
    std::string text = title + ' ' + std::to_string(static_cast<int>(part * 100)) + " % " +
                       amount(static_cast<double>(done), unit) + '/' +
                       amount(static_cast<double>(total), unit);
    if (seconds > 0 && done > 0) {
        text += ' ' + amount(static_cast<double>(done) / seconds, unit) + "/s";
        if (done < total) text += ' ' + duration(seconds * (1 - part) / part) + " left";
    }
    return text;
}

void Progress::update(uint64_t done) {
    if (options_.silent || finished_) return;
    auto now = Clock::now();
    auto since = now - last_;
    uint64_t percent =
        total_ > 0 ? static_cast<uint64_t>(100.0 * static_cast<double>(done) / static_cast<double>(total_))
                   : 100;
    bool due = terminal_ ? since >= std::chrono::milliseconds(100)
                         : since >= std::chrono::seconds(5) ||
                               (percent / 10 > last_percent_ / 10 && since >= std::chrono::milliseconds(100));
    if (!due) return;
    last_ = now;
    last_percent_ = percent;
    double seconds = std::chrono::duration<double>(now - start_).count();
    std::string text = line(title_, done, total_, seconds, options_.unit);
    std::fprintf(options_.stream, terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(options_.stream);
    shown_ = true;
}

void Progress::finish() {
    if (finished_) return;
    finished_ = true;
    if (!terminal_ || !shown_) return;
    std::fputs("\r\033[K", options_.stream);
    std::fflush(options_.stream);
}

}  // namespace mortise
