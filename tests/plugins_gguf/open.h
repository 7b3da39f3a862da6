// Opens bytes as a checkpoint through the built plugins.
#pragma once

#include <string>

#include "checkpoint/checkpoint.h"
#include "plan/plan.h"

namespace mortise::test {

// Effect: the checkpoint in `path`, a file or folder. One registry serves all calls.
Result<checkpoint::Checkpoint> open_path(const std::string& path);
// Effect: as above, of a file model.gguf with these bytes; its folder is gone afterwards.
Result<checkpoint::Checkpoint> open_bytes(const std::string& bytes);

// Effect: a proven plan of it, without kernels.
Result<std::shared_ptr<const plan::Planned>> plan_path(const std::string& path);

}  // namespace mortise::test
