// What the command line prints: tables, colours, errors.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::tool {

// Columns as wide as their longest cell; the first row is the heading.
class Table {
  public:
    // `alignment`: one 'l' or 'r' per column.
    explicit Table(std::string_view alignment) : alignment_(alignment) {}
    void add(std::vector<std::string> cells);
    std::string text() const;

  private:
    std::string alignment_;
    std::vector<std::vector<std::string>> rows_;
};

enum class Color : uint8_t { red, green, yellow, bold };
// Decides once for `stream`: choice is auto, always or never; NO_COLOR, CLICOLOR_FORCE and TERM=dumb are
// heeded.
bool wants_color(std::string_view choice, std::FILE* stream);
std::string paint(Color color, std::string_view text, bool enabled);

void print(std::string_view text);  // standard output, as it is
void line(std::string_view text);   // with a line end

// Effect: each problem on a line of its own on standard error, or one JSON object.
void print_error(const Error& error, bool json, bool color);
std::string error_json(const Error& error);

std::string with_commas(uint64_t number);  // "91,991"

}  // namespace mortise::tool
