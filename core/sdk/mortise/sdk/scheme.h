// Writing a scheme: derive from Scheme, answer module(), register with scheme_entry<T>("id").
//
// A Scheme is made for one checkpoint by its constructor, which reads the config and throws Refused or
// Unsupported. T also has `static Match match(const Checkpoint&)`. A scheme that can be written has a nested
// class T::Writer, derived from SchemeWriter (mortise/sdk/writer.h). One thread.
#pragma once

#include <cstring>
#include <memory>

#include "mortise/sdk/checkpoint.h"
#include "mortise/sdk/plugin.h"
#include "mortise/sdk/quant.h"
#include "mortise/sdk/rules.h"
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
    virtual void cache(std::string_view attention, uint64_t kv_heads, uint64_t head_dim,
                       mortise_cache_answer& answer) {
        (void)attention, (void)kv_heads, (void)head_dim, (void)answer;
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
};

// Fields of a cache answer; keeps what it borrows. One per scheme.
class CacheFields {
  public:
    // Effect: starts over.
    void clear() { *this = CacheFields(); }
    // Effect: one positive float scale: letter 'k', 'v' or 'q'; per_head > 0: [per_head][1][1].
    mortise_field& scale(char letter, std::string tensor, uint64_t per_head = 0) {
        letters_.push_back(letter);
        const uint64_t rows = per_head == 0 ? 1 : per_head;
        mortise_field& field =
            fields_.field(MORTISE_ROLE_SCALE, std::move(tensor), float_dtypes, {shape_of({rows})});
        field.shapes[field.n_shapes++] = per_head == 0 ? shape_of({}) : shape_of({rows, 1, 1});
        field.rows = rows;
        field.flags = MORTISE_FIELD_FINITE | MORTISE_FIELD_POSITIVE;
        return field;
    }
    // Effect: static 8-bit float scales of k, v and (if stored) q beside the attention, or under the old name
    // beside the projections. coded: the config says that the cache is quantized, so k and v must be there.
    void answer(const Checkpoint& checkpoint, std::string_view attention, bool coded, uint64_t per_head,
                std::string rule, mortise_cache_answer& answer) {
        clear();
        for (const char letter : {'k', 'v', 'q'}) {
            const std::string ours = std::string(attention) + "." + letter + "_scale";
            const std::string old = std::string(attention) + "." + letter + "_proj.output_scale";
            const bool is_old = !checkpoint.has(ours) && checkpoint.has(old);
            if ((letter == 'q' || !coded) && !is_old && !checkpoint.has(ours)) continue;
            scale(letter, is_old ? old : ours, letter == 'q' ? 0 : per_head);
        }
        answer.per_head = per_head != 0 ? 1 : 0;
        say(answer, coded ? MORTISE_ENCODING_E4M3 : MORTISE_ENCODING_AS_DTYPE, coded ? 8 : 0,
            std::move(rule));
    }
    void say(mortise_cache_answer& answer, uint32_t encoding, uint32_t bits, std::string rule) {
        answer.rule = fields_.keep(std::move(rule));
        answer.encoding = encoding;
        answer.bits = bits;
        answer.n_fields = fields_.abi().n_fields;
        answer.fields = fields_.abi().fields;
        answer.letters = letters_.data();
    }

  private:
    Spec fields_{1, 1, 1};
    std::string letters_;
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
