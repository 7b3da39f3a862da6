// Mistral: the Llama graph with one sliding window for all layers, or none.

#include "mortise/sdk/decoder.h"
#include "mortise/sdk/plugin.h"

namespace {

using namespace mortise::sdk;

void build(Builder& b) {
    const Config c = b.config();
    DecoderOptions o = read_decoder(c);
    o.windows =
        layer_windows(c, o.layers, c.get<uint64_t>("sliding_window", 0), [](uint64_t) { return true; });
    build_decoder(b, o);
    b.root("model.", "");
}

}  // namespace

MORTISE_PLUGIN("org.mortise.mistral", "0.1.0",
               architecture_entry<build>("mistral", {"MistralForCausalLM"}, {"mistral"}))
