// How a plugin says no: it throws, and the SDK's thunks turn that into a status and an error of the host.
//
//   throw Refused({.what = "group_size does not divide the columns", .subject = name, .found = "48"});
//
// Nothing ever leaves a thunk as an exception. Thread-safe: values only.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "mortise/sdk/host.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace mortise::sdk {

// What is wrong. Empty fields are left out of the message.
struct Details {
    std::string what;                    // one sentence, no full stop
    std::string subject;                 // tensor, module or part
    std::string expected;                // "F32 [256,1]"
    std::string found;                   // "F32 [1,256]"
    std::string fix;                     // what to do about it
    const mortise_node* node = nullptr;  // place in a config file
    uint32_t code = 0;                   // of the host's table; 0 = the one of the status
};

class Failure : public std::exception {
  public:
    Failure(mortise_status status, Details details) : status_(status), details_(std::move(details)) {}
    mortise_status status() const noexcept { return status_; }
    const Details& details() const noexcept { return details_; }
    const char* what() const noexcept override { return details_.what.c_str(); }

  private:
    mortise_status status_;
    Details details_;
};
// The checkpoint is wrong: missing, contradictory, out of range.
struct Refused : Failure {
    explicit Refused(Details details) : Failure(MORTISE_REFUSED, std::move(details)) {}
};
// The checkpoint is sound, this plugin cannot do it.
struct Unsupported : Failure {
    explicit Unsupported(Details details) : Failure(MORTISE_UNSUPPORTED, std::move(details)) {}
};
// A call of the host failed and has set its error already.
struct Reported {
    mortise_status status;
};
// Effect: nothing on success. Errors: throws Reported.
inline void check(mortise_status status) {
    if (status != MORTISE_OK) throw Reported{status};
}

inline mortise_status set_error(mortise_status status, const Details& details) noexcept {
    auto error = make<mortise_error>();
    error.code = details.code;
    error.what = str(details.what);
    error.subject = str(details.subject);
    error.expected = str(details.expected);
    error.found = str(details.found);
    error.fix = str(details.fix);
    error.node = details.node;
    host().set_error(&error);
    return status;
}
inline mortise_status set_plain_error(mortise_status status, const char* what) noexcept {
    auto error = make<mortise_error>();
    error.what = str(what);
    host().set_error(&error);
    return status;
}

// Keeps the caller's floating-point mode across plugin code.
class FloatMode {
  public:
#if defined(__SSE__)
    FloatMode() noexcept : saved_(_mm_getcsr()) {}
    ~FloatMode() { _mm_setcsr(saved_); }

  private:
    unsigned saved_;
#else
    FloatMode() noexcept {}
    ~FloatMode() {}
#endif
  public:
    FloatMode(const FloatMode&) = delete;
    FloatMode& operator=(const FloatMode&) = delete;
};

// Effect: runs `body` and turns whatever it throws into a status, with the host's error set.
template <class Body>
mortise_status guard(Body&& body) noexcept {
    FloatMode mode;
    try {
        std::forward<Body>(body)();
        return MORTISE_OK;
    } catch (const Reported& reported) {
        return reported.status;
    } catch (const Failure& failure) {
        return set_error(failure.status(), failure.details());
    } catch (const std::bad_alloc&) {
        return set_plain_error(MORTISE_NO_MEMORY, "the plugin ran out of memory");
    } catch (const std::exception& error) {
        return set_plain_error(MORTISE_INTERNAL, error.what());
    } catch (...) {
        return set_plain_error(MORTISE_INTERNAL, "the plugin threw something that is no exception");
    }
}

}  // namespace mortise::sdk
