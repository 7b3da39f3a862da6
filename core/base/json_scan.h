// Internal to core/base: the pull scanner below Document and parse_events. One scanner, one thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mortise::json {

// Splits a JSON text (RFC 8259) into events without recursion and without copying, except strings with
// escapes.
class Scanner {
  public:
    enum class Step : uint8_t { event, done, failed };
    struct Limits {
        size_t depth = 64;
        size_t string_bytes = 8u << 20;
        size_t number_bytes = 1000;
        bool non_finite = false;  // NaN, Infinity, -Infinity are reals
    };

    // Requires: `text` and `name` outlive the scanner.
    Scanner(std::string_view text, const std::string& name, Limits limits);

    Step next(Event& event);
    int line() const { return line_; }      // of the event
    int column() const { return column_; }  // of the event
    Problem take_problem() { return std::move(problem_); }

  private:
    enum class Expect : uint8_t { value, value_or_end, key, key_or_end, comma_or_end };
    struct Key {
        std::string_view text;
        size_t offset;
    };
    struct Frame {
        bool object;
        size_t first_key;
    };

    void skip_blanks();
    Step read_value(Event& event);
    Step read_key(Event& event);
    Step open(Event& event, bool object);
    Step close(Event& event);
    bool read_string(std::string_view& out);
    bool read_escaped(std::string_view& out, size_t begin);
    bool read_escape(std::string& out);
    bool read_hex4(uint32_t& out);
    Step read_number(Event& event);
    Step read_word(Event& event);
    bool keys_differ(const Frame& frame);
    Step fail(Code code, std::string what, size_t offset);
    Step bad(std::string what) { return fail(Code::json_invalid, std::move(what), at_); }

    std::string_view text_;
    const std::string& name_;
    Limits limits_;
    size_t at_ = 0;
    int line_ = 1, column_ = 1;
    size_t line_start_ = 0;
    bool checked_ = false;
    Expect expect_ = Expect::value;
    std::vector<Frame> frames_;
    std::vector<Key> keys_;          // of all open objects, innermost last
    std::deque<std::string> owned_;  // keys with escapes
    std::string scratch_;            // the last string value with escapes
    Problem problem_;
};

}  // namespace mortise::json
