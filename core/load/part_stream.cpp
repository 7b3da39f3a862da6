#include "load/part_stream.h"

#include <algorithm>
#include <new>
#include <optional>

#include "load/ledger.h"
#include "load/source_reader.h"

namespace mortise::load {
namespace {

// Rows of one source that make up rows of a destination.
struct Rows {
    const model::RowMap* map = nullptr;  // null: the source's own order
    uint64_t first = 0, count = 0;       // in the destination's numbers before the map
    uint64_t operator()(uint64_t row) const { return map ? (*map)(first + row) : first + row; }
};

// All tiles of one expert, shared by the threads of the team in contiguous runs.
class Tiles {
  public:
    Tiles(const SourceReader& reader, const Rows& rows, const StreamOptions& options, const Consume& consume)
        : reader_(reader), rows_(rows), options_(options), consume_(consume) {}

    Status run(uint64_t source_expert, uint64_t tile_expert) {
        const int threads = options_.team ? options_.team->size() : 1;
        const uint64_t per_tile = reader_.tile_rows(rows_.count, options_.row_tile, threads);
        const uint64_t tiles = (rows_.count + per_tile - 1) / per_tile;
        FirstError error;
        const auto work = [&](int rank, int size) {
            SourceReader::Scratch scratch;
            const Share mine = share(tiles, rank, size);
            for (uint64_t t = mine.begin; t < mine.end && !error.failed(); ++t) {
                const uint64_t row = t * per_tile;
                error.set(
                    guarded(scratch, source_expert, tile_expert, row, std::min(per_tile, rows_.count - row)));
            }
        };
        if (options_.team)
            options_.team->run(work);
        else
            work(0, 1);
        return error.take();
    }

    uint64_t elements() const { return elements_.load(); }

  private:
    // Threads must not throw; the only thing that can is an allocation.
    Status guarded(SourceReader::Scratch& scratch, uint64_t source_expert, uint64_t tile_expert, uint64_t row,
                   uint64_t count) {
        try {
            return tile(scratch, source_expert, tile_expert, row, count);
        } catch (const std::bad_alloc&) {
            return fail(Code::out_of_memory, "no memory for a tile of " + std::to_string(count) + " rows");
        }
    }

    Status tile(SourceReader::Scratch& scratch, uint64_t source_expert, uint64_t tile_expert, uint64_t row,
                uint64_t count) {
        scratch.rows.resize(count);
        for (uint64_t i = 0; i < count; ++i) scratch.rows[i] = rows_(row + i);
        MORTISE_CHECK(reader_.read({scratch.rows, source_expert, tile_expert, row}, scratch));
        const mortise_tile& view = scratch.tile.view();
        MORTISE_CHECK(consume_(view));
        elements_.fetch_add(view.rows * view.columns, std::memory_order_relaxed);
        return {};
    }

    const SourceReader& reader_;
    const Rows& rows_;
    const StreamOptions& options_;
    const Consume& consume_;
    std::atomic<uint64_t> elements_{0};
};

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
    to.insert(to.end(), from.begin(), from.end());
}

// Adds one expert's extras behind those of the experts before it.
void append(quant::Extras& to, const quant::Extras& from) {
    append(to.bias, from.bias);
    append(to.pre_scale, from.pre_scale);
    append(to.input_scale, from.input_scale);
    append(to.input_zero_point, from.input_zero_point);
    append(to.input_scale2, from.input_scale2);
    append(to.low_rank_a, from.low_rank_a);
    append(to.low_rank_b, from.low_rank_b);
    append(to.cast_scale, from.cast_scale);
    to.rotation = from.rotation;
    to.low_rank = from.low_rank;
}

Status add_extras(const SourceReader& reader, const plan::PartPlan& part, const Rows& rows, uint64_t expert,
                  quant::Extras& to) {
    std::vector<uint64_t> list(rows.count);
    for (uint64_t i = 0; i < rows.count; ++i) list[i] = rows(i);
    MORTISE_TRY(quant::Extras extras, quant::read_extras(reader.spec(), reader.fields(), expert, list,
                                                         part.first_column, part.n_columns));
    if (!part.has_bias) extras.bias.clear();
    append(to, extras);
    return {};
}

// The books of a stream whose caller keeps none.
Ledger& ledger_of(const Origin& origin, const StreamOptions& options, std::optional<Ledger>& own) {
    return options.ledger ? *options.ledger : own.emplace(origin.plan, origin.catalog);
}

Status stream_part(const Origin& origin, uint32_t part_id, const StreamOptions& options,
                   const Consume& consume) {
    const plan::PartPlan& part = origin.plan.parts[part_id];
    std::optional<Ledger> own;
    Ledger& ledger = ledger_of(origin, options, own);
    if (options.extras) *options.extras = {};
    uint64_t elements = 0;
    for (uint64_t s = 0; s < part.sources.size(); ++s) {
        SourceReader::Options reading{part.first_column, part.n_columns, options.cast, options.team};
        MORTISE_TRY(auto reader, SourceReader::open(origin, ledger, part.sources[s], reading));
        const plan::Source& source = origin.plan.sources[part.sources[s]];
        const bool ordered = source.remake && !source.remake->rows.empty();  // by its making
        const Rows rows{ordered ? nullptr : &part.rows_on_disk, part.first_row, part.n_rows};
        const uint64_t experts = part.sources.size() == 1 ? part.experts : 1;
        const bool stacked = reader->spec().extent.experts > 1;
        for (uint64_t e = 0; e < experts; ++e) {
            const uint64_t from = stacked ? part.number(e) : 0;
            MORTISE_CHECK(reader->select_expert(from));
            Tiles tiles(*reader, rows, options, consume);
            MORTISE_CHECK(tiles.run(from, s + e));
            elements += tiles.elements();
            if (options.extras) MORTISE_CHECK(add_extras(*reader, part, rows, from, *options.extras));
        }
        reader->codes_done();
    }
    return ledger.close_part(part_id, elements);
}

Status stream_source(const Origin& origin, uint32_t source, const StreamOptions& options,
                     const Consume& consume) {
    std::optional<Ledger> own;
    Ledger& ledger = ledger_of(origin, options, own);
    const quant::Extent extent = origin.plan.sources[source].spec.extent;
    const Rows rows{nullptr, 0, extent.rows};
    SourceReader::Options reading{0, extent.columns, options.cast, options.team};
    MORTISE_TRY(auto reader, SourceReader::open(origin, ledger, source, reading));
    for (uint64_t e = 0; e < extent.experts; ++e) {
        MORTISE_CHECK(reader->select_expert(e));
        Tiles tiles(*reader, rows, options, consume);
        MORTISE_CHECK(tiles.run(e, e));
    }
    reader->codes_done();
    return {};
}

template <class Body>
Status without_exceptions(const Body& body) {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return fail(Code::out_of_memory, "no memory for the tensors of one module");
    }
}

}  // namespace

Status for_each_tile(const Origin& origin, uint32_t part, const StreamOptions& options,
                     const Consume& consume) {
    return without_exceptions([&] { return stream_part(origin, part, options, consume); });
}

Status for_each_source_tile(const Origin& origin, uint32_t source, const StreamOptions& options,
                            const Consume& consume) {
    return without_exceptions([&] { return stream_source(origin, source, options, consume); });
}

}  // namespace mortise::load
