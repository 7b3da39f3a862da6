// The table of settings: everything a user can decide, whether in a deployment file, in the environment or
// with a flag. One row gives the key, the flag, the variable, the type, the default and the help text; the
// command line, `config print` and the published JSON Schema are all made from it.
//
// Thread-safe: constant data and pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace mortise::deploy {

enum class Type : uint8_t {
    boolean,
    integer,  // rule: "least..most"
    real,     // rule: "least..most"
    text,     // rule: "" or a list of choices "a|b|c"
    path,     // relative to the file that says it; ${env:NAME} is replaced
    text_list,
    path_list,
    text_map,  // file only
    pin_map    // file only: id -> {version, sha256}
};

// Which commands offer the flag: all of them, those that make a plan, or those that generate text.
enum class Group : uint8_t { every_command, planning, sampling, file_only };

struct Setting {
    std::string_view key;    // "kernels.mode": path in a deployment file
    std::string_view flag;   // "kernels": --kernels and MORTISE_KERNELS; empty = file only
    std::string_view alias;  // other spellings, "-t,--jobs"
    Group group;
    Type type;
    std::string_view rule;
    std::string_view fallback;  // default as it would be typed; empty = unset
    std::string_view help;
};

// In the order of the deployment file.
std::span<const Setting> settings();
const Setting* find_setting(std::string_view key);
std::string variable_of(const Setting& setting);  // "MORTISE_MAX_MODEL_LEN"; empty without a flag

struct Pin {
    std::string version, sha256;  // either may be empty, not both
    bool operator==(const Pin&) const = default;
};
using Data = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<std::string>,
                          std::map<std::string, std::string>, std::map<std::string, Pin>>;

// A value and where it comes from: "default", "deploy.yaml:12:5", "environment MORTISE_THREADS", "flag
// --threads".
struct Value {
    Data data;
    std::string origin = "default";
};

// Effect: the value of a typed text, checked against the setting's type and rule. Lists split at `separator`;
// '\0' = one item. Errors: code `usage`, naming what is expected.
Result<Data> parse_text(const Setting& setting, std::string_view text, char separator = '\0');
// Checks ranges and choices. Errors: code `usage`.
Status check_rule(const Setting& setting, const Data& data);
// Effect: what the type and rule allow, for messages: "an integer from 1 to 1024".
std::string expected(const Setting& setting);
// Effect: the value as one line of JSON.
std::string to_json(const Data& data);

}  // namespace mortise::deploy
