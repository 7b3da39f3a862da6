// Writing a scheme: derive from Scheme, answer module(), register with scheme_entry<T>("id").
//
// A Scheme is made for one checkpoint by its constructor, which reads the config and throws Refused or
// Unsupported. T also has `static Match match(const Checkpoint&)`. One thread.
#pragma once

#include <cstring>
#include <memory>

#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/plugin.h"

namespace mortise::sdk {

struct Match {
    bool yes = false;
    uint32_t score = 0;  // 0 to 1000
    std::string reason;
};

class Scheme {
  public:
    virtual ~Scheme() = default;
    // Effect: fills `answer`; what it points to lives until the next call.
    virtual void module(const mortise_module& module, mortise_answer& answer) = 0;
    virtual void cache(std::string_view attention, uint64_t kv_heads, uint64_t head_dim, mortise_cache_answer& answer) {
        (void)attention, (void)kv_heads, (void)head_dim, (void)answer;
    }
    virtual void rules(mortise_rule_visitor visit, void* context) { (void)visit, (void)context; }
};

namespace detail {

template <class T>
struct SchemeThunks {
    static mortise_status match(const mortise_checkpoint* checkpoint, mortise_match* out) {
        return guard([&] {
            const Match match = T::match(Checkpoint(checkpoint));
            out->verdict = match.yes ? MORTISE_VERDICT_YES : MORTISE_VERDICT_NO;
            out->score = match.score;
            std::strncpy(out->reason, match.reason.c_str(), sizeof out->reason - 1);
            out->reason[sizeof out->reason - 1] = 0;
        });
    }
    static mortise_status open(const mortise_checkpoint* checkpoint, void** model) {
        return guard([&] { *model = static_cast<Scheme*>(new T(Checkpoint(checkpoint))); });
    }
    static void close(void* model) { delete static_cast<Scheme*>(model); }
    static mortise_status module(void* model, const mortise_module* module, mortise_answer* out) {
        return guard([&] { static_cast<Scheme*>(model)->module(*module, *out); });
    }
    static mortise_status cache(void* model, mortise_str attention, uint64_t kv_heads, uint64_t head_dim, mortise_cache_answer* out) {
        return guard([&] { static_cast<Scheme*>(model)->cache(view(attention), kv_heads, head_dim, *out); });
    }
    static void rules(void* model, mortise_rule_visitor visit, void* context) {
        (void)guard([&] { static_cast<Scheme*>(model)->rules(visit, context); });
    }
};

}  // namespace detail

template <class T>
mortise_entry scheme_entry(const char* id) {
    static mortise_scheme_v1 table = [] {
        auto t = make<mortise_scheme_v1>();
        using Thunks = detail::SchemeThunks<T>;
        t.match = Thunks::match;
        t.open = Thunks::open;
        t.close = Thunks::close;
        t.module = Thunks::module;
        t.cache = Thunks::cache;
        t.rules = Thunks::rules;
        return t;
    }();
    return entry_of(MORTISE_INTERFACE_SCHEME, id, &table);
}

}  // namespace mortise::sdk
