// Where each value comes from: flag, then environment (MORTISE_<LONG_FLAG>), then deployment file, then
// default.
//
// A Resolved is a value. resolve() reads one file and, through a function, the environment; it has no state.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "deploy/setting.h"

namespace mortise::deploy {

// A flag as typed: the setting's key, and one text per repetition.
struct Flag {
    std::string key;
    std::vector<std::string> texts;
};

struct Inputs {
    std::string file;  // deployment YAML; empty = none
    std::vector<Flag> flags;
    // Value of an environment variable; nullopt = not set.
    std::function<std::optional<std::string>(std::string_view)> environment;
};

class Resolved {
  public:
    // Requires: `key` is in settings().
    const Value& at(std::string_view key) const;
    // The typed values; the setting must have that type. Unset: the empty value.
    bool flag(std::string_view key) const;
    int64_t integer(std::string_view key) const;
    std::optional<double> real(std::string_view key) const;
    std::optional<int64_t> integer_if_set(std::string_view key) const;
    std::string text(std::string_view key) const;
    std::vector<std::string> list(std::string_view key) const;
    bool is_default(std::string_view key) const { return at(key).origin == "default"; }

    const std::string& file() const { return file_; }
    void set(std::string_view key, Value value);

  private:
    friend Result<Resolved> resolve(const Inputs& inputs);
    std::map<std::string, Value, std::less<>> values_;
    std::string file_;
};

// Errors: yaml_* for the file, each with file:line:column; usage for flags and variables. All of them at
// once.
Result<Resolved> resolve(const Inputs& inputs);

// Effect: the real environment, for Inputs::environment.
std::optional<std::string> process_environment(std::string_view name);

// Effect: "key: value  # origin" per line, in table order; JSON: [{"key","value","origin"}...].
std::string print(const Resolved& resolved);
std::string print_json(const Resolved& resolved);

// Effect: the values that a deployment file sets. Errors: yaml_*, all problems together.
Result<std::map<std::string, Value, std::less<>>> read_deployment(
    const std::string& file, const std::function<std::optional<std::string>(std::string_view)>& environment);

// Effect: JSON Schema (draft 7) of a deployment file, with a final newline.
std::string json_schema();

}  // namespace mortise::deploy
