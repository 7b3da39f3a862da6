#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <array>

#include "base/json.h"

namespace mortise::log {
namespace {

// %v as a JSON string literal.
class QuotedMessage : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        std::string quoted = json::quote({message.payload.data(), message.payload.size()});
        out.append(quoted.data(), quoted.data() + quoted.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<QuotedMessage>();
    }
};

spdlog::logger& logger() {
    // Never destroyed: threads may log while the process ends.
    static spdlog::logger& instance = [] -> spdlog::logger& {
        auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
        auto* made = new spdlog::logger("mortise", sink);
        made->set_level(spdlog::level::info);
        made->flush_on(spdlog::level::trace);
        made->set_pattern("%^%l%$ %H:%M:%S.%e %v");
        return *made;
    }();
    return instance;
}

spdlog::level::level_enum native(Level level) {
    constexpr std::array<spdlog::level::level_enum, 5> levels = {spdlog::level::debug, spdlog::level::info,
                                                                 spdlog::level::warn, spdlog::level::err,
                                                                 spdlog::level::off};
    return levels[static_cast<size_t>(level)];
}

void write(Level level, std::string_view line) {
    logger().log(native(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

void set_level(Level level) { logger().set_level(native(level)); }

void set_format(Format format) {
    if (format == Format::text) {
        logger().set_pattern("%^%l%$ %H:%M:%S.%e %v");
        return;
    }
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<QuotedMessage>('Q').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%Q})");
    logger().set_formatter(std::move(formatter));
}

Level level() {
    for (Level each : {Level::debug, Level::info, Level::warn, Level::error}) {
        if (native(each) == logger().level()) return each;
    }
    return Level::off;
}

std::optional<Level> parse_level(std::string_view name) {
    constexpr std::array<std::string_view, 5> names = {"debug", "info", "warn", "error", "off"};
    for (size_t i = 0; i < names.size(); ++i) {
        if (names[i] == name) return static_cast<Level>(i);
    }
    return std::nullopt;
}

void debug(std::string_view line) { write(Level::debug, line); }
void info(std::string_view line) { write(Level::info, line); }
void warn(std::string_view line) { write(Level::warn, line); }
void error(std::string_view line) { write(Level::error, line); }

}  // namespace mortise::log
