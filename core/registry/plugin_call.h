// Every call into a plugin goes through here: what a plugin does to the floating-point mode ends with the call.
#pragma once

#include <xmmintrin.h>

#include <utility>

namespace mortise::registry {

struct PluginCall {
    // Effect: f(), with MXCSR (rounding, flush-to-zero, exception masks) as before afterwards.
    template <class F>
    static auto call(F&& f) {
        const Guard guard;
        return std::forward<F>(f)();
    }

    // The same for a scope: loading a library, a thread that runs kernels.
    class Guard {
      public:
        Guard() : saved_(_mm_getcsr()) {}
        ~Guard() { _mm_setcsr(saved_); }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

      private:
        unsigned saved_;
    };
};

}  // namespace mortise::registry
