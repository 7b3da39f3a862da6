// A text is refused, or its tree, written out, reads back as the same tree.
#include <cstdint>

#include "base/json.h"

using mortise::json::Document;
using mortise::json::Kind;
using mortise::json::Node;
using mortise::json::Writer;

static void write(const Node& node, Writer& writer) {
    switch (node.kind()) {
        case Kind::object:
            writer.begin_object();
            for (size_t i = 0; i < node.size(); ++i) {
                MORTISE_INVARIANT(node.find(node.keys()[i]) == node.items()[i].get());
                write(*node.items()[i], writer.key(node.keys()[i]));
            }
            writer.end_object();
            return;
        case Kind::array:
            writer.begin_array();
            for (const auto& item : node.items()) write(*item, writer);
            writer.end_array();
            return;
        case Kind::string: writer.value(node.text()); return;
        default:
            (void)node.as_int();
            (void)node.as_double();
            writer.raw(node.text());
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto first = Document::parse({reinterpret_cast<const char*>(data), size}, "first");
    if (!first) {
        MORTISE_INVARIANT(first.error().first().line > 0);
        return 0;
    }
    Writer once, twice;
    write(first->root(), once);
    std::string text = once.take();
    auto second = Document::parse(text, "second");
    MORTISE_INVARIANT(second.has_value());
    write(second->root(), twice);
    MORTISE_INVARIANT(twice.take() == text);
    return 0;
}
