#include "load/module_rewriter.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>
#include <new>

#include "load/contents.h"
#include "quant/decode.h"

namespace mortise::load {
namespace {

constexpr uint64_t tile_weights = uint64_t{1} << 18;

// Rows of one expert as floats, in tiles of `unit` rows or a multiple of them; tiles in no order when there
// is a team.
struct Rows {
    const quant::PartReader& reader;
    const quant::Extent& extent;
    const std::vector<uint64_t>& order;
    uint64_t expert = 0, unit = 1;
};
using UseRows = std::function<Status(uint64_t row, uint64_t count, const float* weights)>;

Status one_tile(const Rows& rows, uint64_t row, uint64_t count, const UseRows& use) {
    std::vector<float> weights(count * rows.extent.columns);
    std::vector<uint64_t> wanted(count);
    for (uint64_t i = 0; i < count; ++i) wanted[i] = rows.order.empty() ? row + i : rows.order[row + i];
    quant::Tile tile;
    MORTISE_CHECK(rows.reader.read(
        {.rows = wanted, .expert = rows.expert, .tile_expert = rows.expert, .tile_row = row}, tile));
    quant::decode_tile(tile.view(), weights.data());
    return use(row, count, weights.data());
}

Status each_rows(const Rows& rows, Team* team, const UseRows& use) {
    const uint64_t whole = std::max<uint64_t>(1, tile_weights / rows.extent.columns);
    const uint64_t step = std::min(rows.extent.rows, (whole + rows.unit - 1) / rows.unit * rows.unit);
    std::atomic<uint64_t> next{0};
    FirstError error;
    const auto work = [&](int, int) {
        for (uint64_t row = next.fetch_add(step); row < rows.extent.rows && !error.failed();
             row = next.fetch_add(step)) {
            try {
                error.set(one_tile(rows, row, std::min(step, rows.extent.rows - row), use));
            } catch (const std::bad_alloc&) {
                error.set(fail(Code::out_of_memory, "no memory for a tile of floats"));
            }
        }
    };
    if (team)
        team->run(work);
    else
        work(0, 1);
    return error.take();
}

Result<float> largest(const quant::PartReader& reader, const quant::Extent& extent, uint64_t expert) {
    float amax = 0;
    MORTISE_CHECK(each_rows({reader, extent, {}, expert}, nullptr,
                            [&](uint64_t, uint64_t n, const float* weights) -> Status {
                                for (uint64_t i = 0; i < n * extent.columns; ++i)
                                    amax = std::max(amax, std::fabs(weights[i]));
                                return {};
                            }));
    return amax;
}

// Effect: use(from, to) for each expert that is rewritten.
template <class Use>
Status each_expert(const Rewriting& what, Use use) {
    if (what.expert) return use(*what.expert, uint64_t{0});
    for (uint64_t e = 0; e < what.from.spec.extent.experts; ++e) MORTISE_CHECK(use(e, e));
    return {};
}

// Floats become codes by the dialect's own recipe, in steps of whole scale groups.
Result<Rewritten> quantize(const Rewriting& what, const ModuleBytes& bytes) {
    MORTISE_TRY(auto writer, quant::ModuleWriter::make(what.to, what.absent));
    MORTISE_TRY(const auto reader, quant::PartReader::make(what.from.spec, bytes.fields, {}));
    const quant::Extent& extent = what.from.spec.extent;
    quant::Change change;
    const auto one = [&](uint64_t from, uint64_t to) -> Status {
        MORTISE_CHECK(writer.copy_companions(what.from.spec, bytes.fields, {from, to, what.rows}));
        float amax = what.shared_amax;
        if (writer.wants_amax() && amax == 0) {
            MORTISE_TRY(amax, largest(reader, extent, from));
        }
        std::mutex lock;
        const Rows rows{reader, extent, what.rows, from, writer.row_step()};
        return each_rows(rows, what.team, [&](uint64_t row, uint64_t n, const float* weights) -> Status {
            MORTISE_TRY(const quant::Change part, writer.quantize(what.recipe, to, row, n, weights, amax));
            const std::lock_guard locked(lock);
            change.add(part);
            return {};
        });
    };
    MORTISE_CHECK(each_expert(what, one));
    return Rewritten{std::move(writer), change};
}

Result<Rewritten> transcribe(const Rewriting& what, const ModuleBytes& bytes) {
    MORTISE_TRY(auto writer, quant::ModuleWriter::make(what.to, what.absent));
    quant::Change change;
    const auto one = [&](uint64_t from, uint64_t to) -> Status {
        MORTISE_TRY(const quant::Change part,
                    writer.reencode(what.from.spec, bytes.fields, {from, to, what.rows}));
        change.add(part);
        return {};
    };
    MORTISE_CHECK(each_expert(what, one));
    return Rewritten{std::move(writer), change};
}

}  // namespace

Result<ModuleBytes> read_module(Ledger& ledger, uint32_t id) {
    const plan::Source& source = ledger.plan.sources[id];
    ModuleBytes out;
    std::map<uint32_t, size_t> known;
    out.tensors.reserve(source.spec.fields.size());
    for (uint32_t f = 0; f < source.spec.fields.size(); ++f) {
        const quant::Field& field = source.spec.fields[f];
        const uint32_t tensor = source.tensors[f];
        if (tensor == plan::none || field.role == MORTISE_ROLE_UNUSED) continue;
        const checkpoint::TensorEntry& entry = ledger.reader.catalog().tensors()[tensor];
        if (const auto [at, fresh] = known.emplace(tensor, out.tensors.size()); fresh) {
            out.tensors.emplace_back(entry.bytes);
            MORTISE_CHECK(ledger.read(tensor, 0, out.tensors.back()));
        }
        out.fields[field.role] = {out.tensors[known[tensor]], entry.dtype, nullptr};
        MORTISE_CHECK(check_field(ledger, id, f, out.fields[field.role]));
    }
    return out;
}

Result<Rewritten> rewrite(const Rewriting& what, const ModuleBytes& bytes) {
    const bool to_codes = !what.to.is_plain();
    if (what.from.plain && to_codes) return quantize(what, bytes);
    auto kept = transcribe(what, bytes);
    if (!what.may_change || !to_codes || (kept && kept->change.changed == 0)) return kept;
    auto made = quantize(what, bytes);
    if (!made) return kept ? std::move(kept) : std::move(made);
    const bool closer = !kept || made->change.squared_error < kept->change.squared_error;
    return closer ? std::move(made) : std::move(kept);
}

Result<float> largest_weight(const plan::Source& source, const ModuleBytes& bytes,
                             std::optional<uint64_t> expert) {
    MORTISE_TRY(const auto reader, quant::PartReader::make(source.spec, bytes.fields, {}));
    float amax = 0;
    const uint64_t first = expert.value_or(0), end = expert ? first + 1 : source.spec.extent.experts;
    for (uint64_t e = first; e < end; ++e) {
        MORTISE_TRY(const float own, largest(reader, source.spec.extent, e));
        amax = std::max(amax, own);
    }
    return amax;
}

Result<float> shared_amax(Ledger& ledger, const std::string& words) {
    if (words.empty()) return 0.0f;
    const std::lock_guard lock(ledger.shared_mutex);
    if (const auto known = ledger.shared_amax.find(words); known != ledger.shared_amax.end())
        return known->second;
    float amax = 0;
    for (uint32_t s = 0; s < ledger.plan.sources.size(); ++s) {
        const plan::Source& source = ledger.plan.sources[s];
        if (!source.remake || source.remake->recipe.shared != words) continue;
        MORTISE_TRY(const ModuleBytes bytes, read_module(ledger, s));
        MORTISE_TRY(const float own, largest_weight(source, bytes));
        amax = std::max(amax, own);
    }
    return ledger.shared_amax[words] = amax;
}

}  // namespace mortise::load
