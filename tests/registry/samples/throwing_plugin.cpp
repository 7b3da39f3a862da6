// An architecture whose code throws: what the SDK makes of it is a status and a message.
#include <stdexcept>

#include "mortise/sdk/plugin.h"

namespace {

void build(mortise::sdk::Builder&) { throw std::runtime_error("the author forgot something"); }

}  // namespace

MORTISE_PLUGIN("com.test.throwing", "1.0.0",
               mortise::sdk::architecture_entry<build>("throwing", {"ThrowingForCausalLM"}, {"throwing"}))
