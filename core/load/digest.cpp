#include "load/digest.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "load/ledger.h"
#include "load/reporter.h"
#include "load/vectors.h"
#include "plan/names.h"
#include "quant/decode.h"
#include "quant/digest.h"
#include "quant/layout.h"

namespace mortise::load {
namespace {

// One expert's share of arrays that hold one block per expert.
quant::Extras share_of(const quant::Extras& all, uint64_t expert, uint64_t experts) {
    const auto cut = [&](const std::vector<float>& from) {
        const auto size = static_cast<ptrdiff_t>(from.size() / experts);
        const auto begin = from.begin() + static_cast<ptrdiff_t>(expert) * size;
        return std::vector<float>(begin, begin + size);
    };
    if (experts == 1) return all;
    quant::Extras one;
    one.bias = cut(all.bias);
    one.pre_scale = cut(all.pre_scale);
    one.rotation = all.rotation;
    one.input_scale = cut(all.input_scale);
    one.input_zero_point = cut(all.input_zero_point);
    one.input_scale2 = cut(all.input_scale2);
    one.low_rank_a = cut(all.low_rank_a);
    one.low_rank_b = cut(all.low_rank_b);
    one.cast_scale = cut(all.cast_scale);
    one.low_rank = all.low_rank;
    return one;
}

// Is the file's order of a stack [experts][columns][rows]?
bool stored_transposed(const quant::QuantSpec& spec) {
    const quant::Field& codes = *spec.find(MORTISE_ROLE_CODES);
    if (codes.layout.dense() || spec.extent.rows < 2 || spec.extent.columns < 2) return false;
    const uint32_t bits = spec.bits;
    const int64_t origin = quant::bit_address(codes.layout, codes.extent, bits, 0, 0, 0, 0);
    // The last column, not the next one: several columns may share a byte.
    return quant::bit_address(codes.layout, codes.extent, bits, 0, 1, 0, 0) - origin <
           quant::bit_address(codes.layout, codes.extent, bits, 0, 0, spec.extent.columns - 1, 0) - origin;
}

// SHA-256 of f32 rows with the axes exchanged: needs the whole matrix of one expert.
class TransposedDigest {
  public:
    TransposedDigest(uint64_t rows, uint64_t columns)
        : rows_(rows), columns_(columns), matrix_(rows * columns) {}
    void add(const mortise_tile& tile) {
        std::vector<float> values(tile.rows * tile.columns);
        quant::decode_tile(tile, values.data());
        for (uint64_t r = 0; r < tile.rows; ++r)
            for (uint64_t c = 0; c < columns_; ++c)
                matrix_[c * rows_ + tile.row + r] = values[r * columns_ + c];
        if (tile.row + tile.rows == rows_) sha_.update(std::as_bytes(std::span(matrix_)));
    }
    std::string finish() { return sha_.hex(); }

  private:
    uint64_t rows_, columns_;
    std::vector<float> matrix_;
    Sha256 sha_;
};

// One piece of work for one thread: a part or a module.
struct Unit {
    bool is_part = false;
    uint32_t index = 0;
    uint64_t elements = 0;
};

class Digesting {
  public:
    Digesting(const Origin& origin, Team& team, const Progress& progress)
        : origin_(origin),
          plan_(origin.plan),
          team_(team),
          ledger_(origin.plan, origin.catalog),
          reporter_(progress, origin, ledger_),
          parts_(plan_.parts.size()),
          modules_(plan_.sources.size()) {}

    Result<Digests> run(const DigestOptions& options);

  private:
    void plan_units(bool modules);
    Status run_units();
    Status digest_part(uint32_t part);
    Status digest_module(uint32_t source);
    void take_modules_from_parts();
    Status add_vectors(Digests& out);

    const Origin& origin_;
    const plan::LoadPlan& plan_;
    Team& team_;
    Ledger ledger_;
    Reporter reporter_;
    std::vector<Unit> units_;
    std::vector<uint32_t> only_part_;                 // [sources] the part that is the whole module, or none
    std::vector<std::vector<PartDigest>> parts_;      // [plan.parts][experts]
    std::vector<std::vector<ModuleDigest>> modules_;  // [plan.sources]
};

// A module that is exactly one part is not hashed twice: the part's order is Hugging Face's.
void Digesting::plan_units(bool modules) {
    std::vector<uint32_t> readers(plan_.sources.size());
    only_part_.assign(plan_.sources.size(), plan::none);
    for (uint32_t p = 0; p < plan_.parts.size(); ++p) {
        const plan::PartPlan& part = plan_.parts[p];
        units_.push_back({true, p, part.experts * part.rows * part.columns});
        for (uint32_t source : part.sources) {
            const quant::Extent& extent = plan_.sources[source].spec.extent;
            const bool whole =
                extent.rows == part.rows && extent.columns == part.columns && extent.experts == 1;
            only_part_[source] = ++readers[source] == 1 && whole ? p : plan::none;
        }
    }
    for (uint32_t s = 0; modules && s < plan_.sources.size(); ++s) {
        const quant::QuantSpec& spec = plan_.sources[s].spec;
        if (!spec.find(MORTISE_ROLE_CODES) || only_part_[s] != plan::none) continue;
        units_.push_back({false, s, spec.extent.experts * spec.extent.rows * spec.extent.columns});
    }
    std::ranges::stable_sort(units_, std::greater<>(), &Unit::elements);
}

Status Digesting::run_units() {
    FirstError error;
    std::atomic<size_t> next{0};
    team_.run([&](int, int) {
        for (size_t i = next++; i < units_.size() && !error.failed(); i = next++) {
            try {
                error.set(units_[i].is_part ? digest_part(units_[i].index) : digest_module(units_[i].index));
            } catch (const std::bad_alloc&) {
                error.set(fail(Code::out_of_memory, "no memory for a digest"));
            }
            reporter_.tick();
        }
    });
    return error.take();
}

Status Digesting::digest_part(uint32_t p) {
    const plan::PartPlan& part = plan_.parts[p];
    std::vector<quant::ValueDigest> values(part.experts);
    std::vector<quant::SpecDigest> specs;
    specs.reserve(part.experts);
    const auto source_of = [&](uint64_t e) -> const plan::Source& {
        return plan_.sources[part.sources.size() == 1 ? part.sources[0] : part.sources[e]];
    };
    for (uint64_t e = 0; e < part.experts; ++e) specs.emplace_back(source_of(e).result());
    quant::Extras extras;
    const StreamOptions options{.ledger = &ledger_, .extras = &extras};
    MORTISE_CHECK(for_each_tile(origin_, p, options, [&](const mortise_tile& tile) -> Status {
        values[tile.expert].add(tile);
        specs[tile.expert].add(tile);
        return {};
    }));
    for (uint64_t e = 0; e < part.experts; ++e) {
        const quant::Extras mine = share_of(extras, e, part.experts);
        const plan::Source& source = source_of(e);
        parts_[p].push_back({plan::member_name(part.name, part.number(e)), part.rows, part.columns,
                             source.stays_plain(), specs[e].finish(mine), values[e].finish(),
                             quant::activation_digest(source.result(), mine)});
    }
    return {};
}

Status Digesting::digest_module(uint32_t s) {
    const plan::Source& source = plan_.sources[s];
    const quant::Extent& extent = source.spec.extent;
    const auto rows = static_cast<int64_t>(extent.rows), columns = static_cast<int64_t>(extent.columns),
               experts = static_cast<int64_t>(extent.experts);
    const bool apart = plan::has_members(source.canonical);  // listed per expert
    const bool transposed = experts > 1 && !apart && stored_transposed(source.result());
    std::vector<quant::ValueDigest> values(apart ? extent.experts : 1);
    TransposedDigest exchanged(transposed ? extent.rows : 0, transposed ? extent.columns : 0);
    const StreamOptions options{.ledger = &ledger_};
    MORTISE_CHECK(for_each_source_tile(origin_, s, options, [&](const mortise_tile& tile) -> Status {
        if (transposed)
            exchanged.add(tile);
        else
            values[apart ? tile.expert : 0].add(tile);
        return {};
    }));
    for (uint64_t e = 0; e < values.size(); ++e) {
        ModuleDigest module{
            plan::member_name(source.canonical, e), {rows, columns}, source.stays_plain(), {}};
        if (experts > 1 && !apart)
            module.shape = transposed ? Shape{experts, columns, rows} : Shape{experts, rows, columns};
        module.values = transposed ? exchanged.finish() : values[e].finish();
        modules_[s].push_back(std::move(module));
    }
    return {};
}

void Digesting::take_modules_from_parts() {
    for (uint32_t s = 0; s < plan_.sources.size(); ++s) {
        if (only_part_[s] == plan::none) continue;
        const plan::PartPlan& part = plan_.parts[only_part_[s]];
        const auto expert = static_cast<size_t>(std::ranges::find(part.sources, s) - part.sources.begin());
        const PartDigest& digest = parts_[only_part_[s]][expert];
        const Shape shape{static_cast<int64_t>(digest.n), static_cast<int64_t>(digest.k)};
        modules_[s].push_back({plan_.sources[s].canonical, shape, digest.plain, digest.values});
    }
}

Status Digesting::add_vectors(Digests& out) {
    for (uint32_t v = 0; v < plan_.vectors.size(); ++v) {
        MORTISE_TRY(const std::vector<float> values, read_vector(origin_, ledger_, v));
        if (plan_.vectors[v].weight == plan::none) continue;  // a number of the KV cache, not of the model
        const std::string& name = plan_.parameters[plan_.vectors[v].parameter].owner;
        out.vectors.push_back({name, sha256_hex(std::as_bytes(std::span(values)))});
    }
    return {};
}

std::string model_digest(const Digests& digests) {
    Sha256 sha;
    for (const PartDigest& part : digests.parts)
        sha.update(part.name + " " + std::to_string(part.n) + " " + std::to_string(part.k) + " " + part.spec +
                   " " + part.values + "\n");
    for (const VectorDigest& vector : digests.vectors) sha.update(vector.name + " " + vector.values + "\n");
    return sha.hex();
}

Result<Digests> Digesting::run(const DigestOptions& options) {
    plan_units(options.modules);
    MORTISE_CHECK(run_units());
    Digests out;
    MORTISE_CHECK(add_vectors(out));
    MORTISE_CHECK(ledger_.reader.unchanged());
    if (options.modules) take_modules_from_parts();
    for (auto& list : parts_) out.parts.insert(out.parts.end(), list.begin(), list.end());
    for (auto& list : modules_) out.modules.insert(out.modules.end(), list.begin(), list.end());
    std::ranges::stable_sort(out.parts, {}, &PartDigest::name);
    std::ranges::stable_sort(out.modules, {}, &ModuleDigest::name);
    std::ranges::stable_sort(out.vectors, {}, &VectorDigest::name);
    out.model = model_digest(out);
    reporter_.done();
    return out;
}

}  // namespace

Result<Digests> digest(const Origin& origin, Team& team, const DigestOptions& options,
                       const Progress& progress) {
    return Digesting(origin, team, progress).run(options);
}

}  // namespace mortise::load
