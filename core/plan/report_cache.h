// The part of a plan's report that is about the KV cache. Private to the plan.
#pragma once

#include <string>

#include "base/json.h"
#include "plan/plan.h"

namespace mortise::plan {

// Effect: lines of text: dtype, bytes of a position, which tensors go where, the kernel that runs it.
std::string cache_text(const Planned& planned);
// Effect: member "kv_cache": one object per attention.
void cache_json(json::Writer& w, const Planned& planned);

}  // namespace mortise::plan
