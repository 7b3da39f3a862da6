// Log lines on standard error. Thread-safe. Results never go through here: they go to standard output.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mortise::log {

enum class Level : uint8_t { debug, info, warn, error, off };
enum class Format : uint8_t { text, json };

// Default: info, text. Effect: applies to all later lines.
void set_level(Level level);
void set_format(Format format);
Level level();
// Effect: the level of that name ("debug", "info", "warn", "error", "off"); nothing for other words.
std::optional<Level> parse_level(std::string_view name);

void debug(std::string_view line);
void info(std::string_view line);
void warn(std::string_view line);
void error(std::string_view line);

}  // namespace mortise::log
