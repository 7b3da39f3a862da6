#include "engine/cache.h"

#include <algorithm>

namespace mortise::engine {
namespace {

// The provider that runs the attention of a layer, and the kind of its device.
struct Owner {
    const mortise_kernels_v1* provider = nullptr;
    uint32_t device_kind = MORTISE_DEVICE_CPU;
};

Owner owner_of(const plan::LoadPlan& plan, uint32_t layer) {
    for (const plan::Step& step : plan.steps) {
        const model::Op& op = plan.tree.ops[step.op];
        if (op.kind != MORTISE_OP_ATTENTION || op.integer(MORTISE_ATTR_LAYER) != static_cast<int64_t>(layer))
            continue;
        const plan::KernelPlan& kernel = plan.kernels[step.kernel];
        return {kernel.provider, kernel.problem->abi().device_kind};
    }
    return {};
}

constexpr uint64_t cache_alignment = 64;

Problem no_block() {
    return {.code = Code::out_of_memory,
            .what = "the KV cache has no free block",
            .fix = "close sequences, or raise --max-model-len"};
}

}  // namespace

Result<Cache> Cache::make(const load::Model& model) {
    const plan::LoadPlan& plan = model.plan();
    Cache cache;
    cache.block_slots_ = std::max<uint32_t>(plan.cache_block_slots, 1);
    cache.blocks_per_sequence_ =
        static_cast<uint32_t>((plan.max_length + cache.block_slots_ - 1) / cache.block_slots_);
    const uint64_t blocks = cache.blocks_per_sequence_;
    for (uint64_t b = blocks; b-- > 0;) cache.free_.push_back(static_cast<uint32_t>(b));
    for (const plan::CachePlan& layer : plan.caches) {
        const Owner owner = owner_of(plan, layer.layer);
        if (!owner.provider)
            return fail(Code::internal,
                        "layer " + std::to_string(layer.layer) + " has a cache but no attention");
        const uint64_t rows = layer.kv_heads * cache.block_slots_;  // of one block
        mortise_cache view{};
        view.head.size = sizeof view;
        for (const bool key : {true, false}) {
            const uint64_t bytes = rows * layer.row_bytes(key ? layer.head_dim : layer.v_head_dim);
            MORTISE_TRY(auto memory, load::DeviceMemory::make(owner.provider, owner.device_kind,
                                                              blocks * bytes, cache_alignment));
            (key ? view.k : view.v) = {memory.base(), 0};
            cache.planes_.push_back({std::move(memory), bytes});
        }
        view.encoding = layer.encoding;
        view.block_slots = cache.block_slots_;
        cache.add_numbers(model, layer, view);
        if (cache.layers_.size() <= layer.layer) cache.layers_.resize(layer.layer + 1);
        cache.layers_[layer.layer] = view;
    }
    return cache;
}

// Kernels read scales as they take effect.
void Cache::add_numbers(const load::Model& model, const plan::CachePlan& plan, mortise_cache& view) {
    const auto keep = [&](uint32_t vector, double divisor, const float** out) {
        if (vector == plan::none && divisor == 1) return;
        const std::span<const float> stored =
            vector == plan::none ? std::span<const float>() : model.vector(vector);
        std::vector<float>& own = numbers_.emplace_back(stored.begin(), stored.end());
        if (own.empty()) own = {1};
        for (float& value : own) value /= static_cast<float>(divisor);
        *out = own.data();
    };
    if (plan.bits >= 16) return;
    keep(plan.k_scale, plan.scale_divisor, &view.k_scale);
    keep(plan.v_scale, plan.scale_divisor, &view.v_scale);
    if (plan.q_scale != plan::none) keep(plan.q_scale, plan.scale_divisor, &view.q_scale);
    keep(plan.k_bias, 1, &view.k_bias);
    keep(plan.v_bias, 1, &view.v_bias);
    keep(plan.k_zero, 1, &view.k_zero);
    keep(plan.v_zero, 1, &view.v_zero);
    view.scales_per_head = plan.per_head ? 1 : 0;
}

const mortise_cache* Cache::layer(uint32_t layer) const {
    return layer < layers_.size() && layers_[layer].head.size ? &layers_[layer] : nullptr;
}

Result<uint32_t> Cache::open() {
    if (free_.empty()) return fail(no_block());
    auto slot = std::ranges::find(sequences_, false, &Sequence::open);
    if (slot == sequences_.end()) slot = sequences_.insert(sequences_.end(), Sequence{});
    slot->length = 0;
    const auto id = static_cast<uint32_t>(slot - sequences_.begin());
    MORTISE_CHECK(reserve(id, 1));
    slot->open = true;
    return id;
}

void Cache::close(uint32_t sequence) {
    if (!is_open(sequence)) return;
    set_length(sequence, 0);
    Sequence& s = sequences_[sequence];
    free_.insert(free_.end(), s.blocks.begin(), s.blocks.end());
    s.blocks.clear();
    s.open = false;
}

bool Cache::is_open(uint32_t sequence) const {
    return sequence < sequences_.size() && sequences_[sequence].open;
}

void Cache::set_length(uint32_t sequence, uint64_t length) {
    Sequence& s = sequences_[sequence];
    s.length = length;
    const uint64_t needed = std::max<uint64_t>(1, (length + block_slots_ - 1) / block_slots_);
    while (s.blocks.size() > needed) {
        free_.push_back(s.blocks.back());
        s.blocks.pop_back();
    }
}

Status Cache::reserve(uint32_t sequence, uint64_t length) {
    Sequence& s = sequences_[sequence];
    const uint64_t needed = (length + block_slots_ - 1) / block_slots_;
    if (needed > s.blocks.size() + free_.size()) return fail(no_block());
    while (s.blocks.size() < needed) {
        for (Plane& plane : planes_)
            MORTISE_CHECK(plane.memory.poison(free_.back() * plane.block_bytes, plane.block_bytes));
        s.blocks.push_back(free_.back());
        free_.pop_back();
    }
    return {};
}

void Cache::write_table(uint32_t sequence, uint32_t* table) const {
    const std::vector<uint32_t>& blocks = sequences_[sequence].blocks;
    std::fill_n(std::copy(blocks.begin(), blocks.end(), table), blocks_per_sequence_ - blocks.size(), 0u);
}

}  // namespace mortise::engine
