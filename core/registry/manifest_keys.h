// The keys of a manifest, by section: the reader and the published schema are made from the same lists.
#pragma once

#include <array>
#include <string_view>

namespace mortise::registry::keys {

inline constexpr std::string_view family = "mortise.plugin/v1";
inline constexpr std::array<std::string_view, 8> root{"manifest", "plugin",      "library",  "abi",
                                                      "provides", "disable_env", "requires", "conflicts"};
inline constexpr std::array<std::string_view, 6> plugin{"id",      "version",  "vendor",
                                                        "license", "homepage", "description"};
inline constexpr std::array<std::string_view, 2> library{"path", "sha256"};
inline constexpr std::array<std::string_view, 6> scheme{"interface",    "id",         "priority",
                                                        "quant_method", "name_space", "description"};
inline constexpr std::array<std::string_view, 6> architecture{"interface",     "id",         "priority",
                                                              "architectures", "model_type", "description"};
inline constexpr std::array<std::string_view, 5> kernels{"interface", "id", "priority", "device",
                                                         "description"};
inline constexpr std::array<std::string_view, 6> container{"interface", "id",          "priority",
                                                           "suffix",    "first_bytes", "description"};
inline constexpr std::array<std::string_view, 4> interfaces{"scheme", "architecture", "kernels", "container"};

}  // namespace mortise::registry::keys
