// Writing a scheme: derive from Scheme, answer module(), register with scheme_entry<T>("id").
//
// A Scheme is made for one checkpoint by its constructor, which reads the config and throws Refused or
// Unsupported. T also has `static Match match(const Checkpoint&)`. A scheme that can be written has a nested
// class T::Writer, derived from SchemeWriter (mortise/sdk/writer.h). One thread.
#pragma once

#include <cstring>
#include <memory>

#include "mortise/sdk/cache.h"
#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/float8.h"
#include "mortise/sdk/linear_writer.h"
#include "mortise/sdk/plugin.h"
#include "mortise/sdk/quant.h"
#include "mortise/sdk/rules.h"
#include "mortise/sdk/tuning_keys.h"
#include "mortise/sdk/writer.h"

namespace mortise::sdk {

struct Match {
    bool yes = false;
    uint32_t score = 0;  // 0 to 1000
    std::string reason;
};
inline Match matched(uint32_t score, std::string reason) { return {true, score, std::move(reason)}; }
inline Match not_matched(std::string reason) { return {false, 0, std::move(reason)}; }

// Effect: the object that says how a checkpoint is quantized: inside config.json, else the root of
// `side_file`; absent when nothing does.
inline Config quantization_of(const Checkpoint& checkpoint, std::string_view side_file = {}) {
    const Config config = checkpoint.config();
    for (const char* key : {"quantization_config", "compression_config"})
        if (const Config found = config[key]) return found;
    return side_file.empty() ? Config() : checkpoint.document(side_file);
}

class Scheme {
  public:
    explicit Scheme(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
    virtual ~Scheme() = default;
    // Effect: fills `answer`, usually by say(). What it points to lives until the next call.
    virtual void module(const mortise_module& module, mortise_answer& answer) = 0;
    // Effect: how the config codes the KV cache of every attention.
    virtual CacheCoding cache_coding() { return {}; }
    // Effect: the numbers of one attention's cache, wherever they lie. A scheme has no reason to change it.
    virtual void cache(std::string_view attention, uint64_t kv_heads, uint64_t head_dim,
                       mortise_cache_answer& answer) {
        cache_.answer(checkpoint_, attention, kv_heads, head_dim, cache_coding(), answer);
    }
    virtual void rules(mortise_rule_visitor visit, void* context) { (void)visit, (void)context; }

  protected:
    const Checkpoint& checkpoint() const { return checkpoint_; }
    // Effect: the answer: this spec, by this rule; the note is a contradiction or a choice worth reporting.
    void say(mortise_answer& answer, Spec spec, bool is_plain, std::string rule, std::string note = {},
             Config node = {}) {
        spec_ = std::move(spec);
        answer.plain = is_plain ? 1 : 0;
        answer.rule = spec_.keep(std::move(rule));
        answer.note = spec_.keep(std::move(note));
        answer.node = node.node();
        answer.spec = &spec_.abi();
    }
    void say_plain(const mortise_module& module, mortise_answer& answer, std::string rule,
                   std::string note = {}, Config node = {}) {
        say(answer, plain(checkpoint_, module), true, std::move(rule), std::move(note), node);
    }

  private:
    Checkpoint checkpoint_;
    Spec spec_;
    CacheFields cache_;
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
    static mortise_status cache(void* model, mortise_str attention, uint64_t kv_heads, uint64_t head_dim,
                                mortise_cache_answer* out) {
        return guard([&] { static_cast<Scheme*>(model)->cache(view(attention), kv_heads, head_dim, *out); });
    }
    static void rules(void* model, mortise_rule_visitor visit, void* context) {
        (void)guard([&] { static_cast<Scheme*>(model)->rules(visit, context); });
    }
};

}  // namespace detail

// Effect: the entry of scheme T; its writing half too if T::Writer exists.
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
        if constexpr (requires { typename T::Writer; }) detail::WriterThunks<typename T::Writer>::fill(t);
        return t;
    }();
    return entry_of(MORTISE_INTERFACE_SCHEME, id, &table);
}

}  // namespace mortise::sdk
