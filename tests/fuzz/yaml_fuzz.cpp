// A text is refused with positions, or every node has one and its typed readings agree with its kind.
#include <cstdint>

#include "base/yaml.h"

using mortise::yaml::Kind;
using mortise::yaml::Node;

static void visit(const Node& node) {
    MORTISE_INVARIANT(node.line() > 0 && node.column() > 0);
    MORTISE_INVARIANT(node.as_bool().has_value() == (node.kind() == Kind::boolean));
    MORTISE_INVARIANT(node.as_string().has_value() == (node.kind() == Kind::string));
    (void)node.as_int();
    (void)node.as_double();
    for (size_t i = 0; i < node.size(); ++i) {
        if (node.kind() == Kind::map) {
            MORTISE_INVARIANT(node.find(node.keys()[i]) == node.items()[i].get());
            MORTISE_INVARIANT(node.key_positions()[i].line > 0);
        }
        visit(*node.items()[i]);
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto document = mortise::yaml::Document::parse({reinterpret_cast<const char*>(data), size}, "text");
    if (document) {
        visit(document->root());
        return 0;
    }
    MORTISE_INVARIANT(document.error().problems().size() <= mortise::yaml::max_problems);
    for (const auto& problem : document.error().problems()) MORTISE_INVARIANT(problem.line > 0);
    return 0;
}
