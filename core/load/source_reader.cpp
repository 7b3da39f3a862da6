#include "load/source_reader.h"

#include "load/module_rewriter.h"

#include <algorithm>

namespace mortise::load {
namespace {

constexpr uint64_t tile_target = 1u << 20;       // bytes of a thread's tile
constexpr uint64_t shared_read_from = 4u << 20;  // smaller tensors are read by one thread
constexpr uint64_t tiles_per_thread = 4;         // at least, so that uneven tiles even out

// Fields that say nothing about the weights of a part: dropped, or checked by the plan's obligations alone.
bool skipped(const quant::Field& field) {
    return field.role == MORTISE_ROLE_CODES || field.role == MORTISE_ROLE_UNUSED ||
           field.role == MORTISE_ROLE_SHAPE || field.role == MORTISE_ROLE_NONE ||
           field.has(MORTISE_FIELD_DROP_IF_ZERO);
}

}  // namespace

SourceReader::SourceReader(const Origin& origin, Ledger& ledger, uint32_t source, const Options& options)
    : ledger_(&ledger),
      catalog_(origin.catalog),
      source_(origin.plan.sources[source]),
      source_id_(source),
      options_(options) {}

Result<std::unique_ptr<SourceReader>> SourceReader::open(const Origin& origin, Ledger& ledger,
                                                         uint32_t source, const Options& options) {
    std::unique_ptr<SourceReader> self(new SourceReader(origin, ledger, source, options));
    if (self->source_.remake) {
        MORTISE_CHECK(self->remake());
    } else {
        MORTISE_CHECK(self->read_fields());
        MORTISE_CHECK(self->choose_mode());
    }
    quant::ReaderOptions reader_options;
    reader_options.column0 = options.first_column;
    reader_options.columns = options.columns;
    reader_options.cast = options.cast;
    reader_options.need_codes = false;
    auto reader = quant::PartReader::make(self->spec(), self->fields_, reader_options);
    if (!reader) return std::unexpected(std::move(reader).error().in_tensor(self->source_.name));
    self->reader_ = std::make_unique<quant::PartReader>(std::move(*reader));
    return self;
}

Status SourceReader::read_fields() {
    for (uint32_t f = 0; f < source_.spec.fields.size(); ++f) {
        const quant::Field& field = source_.spec.fields[f];
        const uint32_t tensor = source_.tensors[f];
        if (field.role == MORTISE_ROLE_CODES) {
            code_field_ = f;
            code_tensor_ = tensor;
        }
        if (tensor == plan::none || skipped(field)) continue;
        const checkpoint::TensorEntry& entry = catalog_.tensors()[tensor];
        if (!tensors_.contains(tensor)) {
            MORTISE_TRY(tensors_[tensor], read_bytes(tensor, 0, entry.bytes));
        }
        fields_[field.role] = {tensors_[tensor].span(), entry.dtype};
        MORTISE_CHECK(check_field(*ledger_, source_id_, f, fields_[field.role]));
    }
    MORTISE_INVARIANT(code_tensor_ != plan::none);
    return {};
}

Status SourceReader::remake() {
    const plan::Remake& made = *source_.remake;
    MORTISE_TRY(const float amax, shared_amax(*ledger_, made.recipe.shared));
    MORTISE_TRY(const ModuleBytes bytes, read_module(*ledger_, source_id_));
    auto written = rewrite({.from = source_,
                            .to = made.spec,
                            .recipe = made.recipe,
                            .rows = made.rows,
                            .absent = made.absent,
                            .shared_amax = amax,
                            .may_change = true,
                            .team = options_.team},
                           bytes);
    if (!written) return std::unexpected(Error(written.error()).in_tensor(source_.name));
    made_.emplace(std::move(written->writer));
    fields_ = made_->sources();
    held_codes_ = fields_[MORTISE_ROLE_CODES];
    mode_ = Mode::whole;
    return {};
}

// A tensor that holds other fields too, or whose rows are spread over it, is held; a stack is held one
// expert at a time where experts lie one after the other.
Status SourceReader::choose_mode() {
    const quant::Field& field = source_.spec.fields[code_field_];
    const checkpoint::TensorEntry& entry = catalog_.tensors()[code_tensor_];
    code_bits_ = field.stored_as(entry.dtype).second;
    code_duties_ = duties_of(*ledger_, source_id_, code_field_);
    if (tensors_.contains(code_tensor_)) {
        mode_ = Mode::whole;
        held_codes_ = {tensors_[code_tensor_].span(), entry.dtype};
        return {};
    }
    const uint64_t some = std::min<uint64_t>(field.extent.rows, 2);
    if (quant::window(field.layout, field.extent, code_bits_, 0, 0, some).ranges.size() == 1) {
        mode_ = Mode::windows;
        return {};
    }
    if (quant::window(field.layout, field.extent, code_bits_, 0, 0, field.extent.rows).ranges.size() == 1) {
        mode_ = Mode::expert;
        return {};
    }
    mode_ = Mode::whole;
    MORTISE_TRY(held_, read_bytes(code_tensor_, 0, entry.bytes));
    held_codes_ = {held_.span(), entry.dtype};
    return {};
}

Status SourceReader::select_expert(uint64_t expert) {
    if (mode_ != Mode::expert) return {};
    const quant::Field& field = source_.spec.fields[code_field_];
    held_window_ = quant::window(field.layout, field.extent, code_bits_, expert, 0, field.extent.rows);
    const quant::ByteRange range = held_window_.ranges[0];
    MORTISE_TRY(held_, read_bytes(code_tensor_, range.begin, range.bytes));
    held_codes_ = {held_.span(), catalog_.tensors()[code_tensor_].dtype, &held_window_.layout};
    return {};
}

Result<SourceReader::Bytes> SourceReader::read_bytes(uint32_t tensor, uint64_t begin, uint64_t bytes) {
    Bytes out{std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
    if (!options_.team || bytes < shared_read_from) {
        MORTISE_CHECK(ledger_->read(tensor, begin, {out.data.get(), bytes}));
        return out;
    }
    FirstError error;
    options_.team->run([&](int rank, int size) {
        const Share part = share(bytes, rank, size);
        error.set(
            ledger_->read(tensor, begin + part.begin, {out.data.get() + part.begin, part.end - part.begin}));
    });
    MORTISE_CHECK(error.take());
    return out;
}

Status SourceReader::read_window(const quant::Window& window, std::vector<std::byte>& out) const {
    const uint64_t bytes = window.bytes();
    if (out.size() < bytes) out.resize(bytes);
    uint64_t at = 0;
    for (const quant::ByteRange& range : window.ranges) {
        MORTISE_CHECK(ledger_->read(code_tensor_, range.begin, {out.data() + at, range.bytes}));
        at += range.bytes;
    }
    return {};
}

Status SourceReader::read(const quant::TileRequest& request, Scratch& scratch) const {
    const auto [low, high] = std::ranges::minmax(request.rows);
    quant::FieldBytes codes = held_codes_;
    quant::Window window;
    if (mode_ == Mode::windows) {
        const quant::Field& field = source_.spec.fields[code_field_];
        window = quant::window(field.layout, field.extent, code_bits_, request.expert, low, high - low + 1);
        MORTISE_CHECK(read_window(window, scratch.bytes));
        codes = {
            {scratch.bytes.data(), window.bytes()}, catalog_.tensors()[code_tensor_].dtype, &window.layout};
    }
    if (!source_.remake)
        MORTISE_CHECK(check_rows(*ledger_, code_duties_, source_id_, code_field_, codes, request.expert, low,
                                 high - low + 1));
    auto read = reader_->read(request, codes, scratch.tile);
    if (read) return {};
    if (source_.remake) return std::unexpected(std::move(read).error().in_tensor(source_.name));
    const checkpoint::TensorEntry& entry = catalog_.tensors()[code_tensor_];
    return std::unexpected(std::move(read).error().in_tensor(entry.name).in_file(catalog_.file_name(entry)));
}

uint64_t SourceReader::tile_rows(uint64_t rows, uint32_t row_tile, int threads) const {
    const uint64_t step = std::max<uint32_t>(row_tile, 1);
    uint64_t fit = std::max<uint64_t>(1, tile_target / std::max<uint64_t>(1, reader_->tile_bytes(1)));
    const auto parts = static_cast<uint64_t>(threads) * tiles_per_thread;
    fit = std::min(fit, (rows + parts - 1) / parts);
    return std::max<uint64_t>(step, fit / step * step);
}

}  // namespace mortise::load
