// Calls into a plugin. Whatever the plugin does to the floating-point mode (rounding, flush to zero), the
// core goes on with its own: a library built for fast arithmetic would otherwise change every later result.
//
// Thread-safe: the mode belongs to the calling thread. Not for the run functions of kernels, which are too
// many and too short; those promise to leave the mode alone.
#pragma once

#include <cfenv>
#include <utility>

namespace mortise::registry {

struct PluginCall {
    // Effect: f(), and the floating-point mode is as before.
    template <class F>
    static decltype(auto) call(F&& f) {
        const Guard guard;
        return std::forward<F>(f)();
    }

    // The same for a scope: opening a library, a thread that runs kernels.
    class Guard {
      public:
        Guard() { std::fegetenv(&mode_); }
        ~Guard() { std::fesetenv(&mode_); }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

      private:
        std::fenv_t mode_;
    };
};

}  // namespace mortise::registry
