// Loading a model with a progress bar: what every command that runs has in common.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/text/tokenizer.h"
#include "load/loader.h"
#include "mortise/session.h"

namespace mortise::tool {

// Effect: plan, load and engine of MODEL.
struct Running {
    std::shared_ptr<const plan::Planned> planned;
    std::shared_ptr<const load::Model> model;
    std::unique_ptr<engine::Engine> engine;
};
Result<Running> start(Session& session);
// The same from a plan that exists.
Result<Running> start(Session& session, std::shared_ptr<const plan::Planned> planned);

// Effect: every byte read and every obligation checked, with a progress bar.
Result<load::Receipt> verify(Session& session, const plan::Planned& planned);

// "1,2,3" -> ids. Errors: usage.
Result<std::vector<int32_t>> parse_ids(std::string_view text);

// Effect: the tokenizer of the checkpoint. Errors: config_missing when it has none, and of the tokenizer.
Result<text::Tokenizer> open_tokenizer(const checkpoint::Checkpoint& checkpoint);

}  // namespace mortise::tool
