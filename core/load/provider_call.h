// A fallible call into a kernel provider: the floating-point mode survives, a status becomes an Error.
#pragma once

#include <string_view>

#include "base/result.h"
#include "plan/host_view.h"
#include "registry/plugin_call.h"

namespace mortise::load {

// Effect: f(), on this thread. Errors: what the provider left in the host's slot, or plugin_failed naming it.
template <class F>
Status call_provider(std::string_view provider, std::string_view function, F&& f) {
    plan::clear_error();
    const mortise_status status = registry::PluginCall::call(f);
    if (status == MORTISE_OK) return {};
    return std::unexpected(plan::take_error(status, provider, function));
}

}  // namespace mortise::load
