#include "load/convert_table.h"

#include <algorithm>
#include <bit>
#include <random>

#include "base/small_float.h"
#include "load/module_rewriter.h"
#include "plan/dialect_writer.h"
#include "plan/host_view.h"
#include "plan/plan.h"
#include "plan/quantization.h"

namespace mortise::load {
namespace {

constexpr uint64_t rows = 256, columns = 512;

// A module in some dialect, without a file.
struct Sample {
    std::string dialect;
    plan::Source source;
    std::vector<quant::WrittenTensor> tensors;

    ModuleBytes bytes() const {
        ModuleBytes out;
        for (const quant::Field& field : source.spec.fields)
            for (const quant::WrittenTensor& tensor : tensors)
                if (tensor.name == field.tensor)
                    out.fields[field.role] = {tensor.bytes, tensor.dtype, nullptr};
        return out;
    }
};

// bf16 weights of a usual size, the same on every machine.
Sample floats() {
    Sample out;
    out.source = {.name = "layers.0.proj", .canonical = "layers.0.proj", .kind = MORTISE_MODULE_LINEAR};
    quant::QuantSpec& spec = out.source.spec;
    spec.extent = {1, rows, columns};
    spec.encoding = MORTISE_ENCODING_BF16;
    spec.bits = 16;
    quant::Field codes;
    codes.role = MORTISE_ROLE_CODES;
    codes.extent = spec.extent;
    codes.tensor = "layers.0.proj.weight";
    codes.dtypes = {DType::bf16};
    codes.shapes = {{rows, columns}};
    spec.fields = {codes};
    out.source.tensors = {0};
    std::mt19937 random(1);
    std::vector<std::byte> bytes;
    for (uint64_t i = 0; i < rows * columns; ++i) {
        float sum = 0;  // of uniform numbers: near enough to normal, and the same everywhere
        for (int k = 0; k < 4; ++k) sum += static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f;
        const uint16_t code = f32_to_bf16(sum * 0.05f);
        bytes.push_back(static_cast<std::byte>(code & 255));
        bytes.push_back(static_cast<std::byte>(code >> 8));
    }
    out.tensors = {{codes.tensor, DType::bf16, {rows, columns}, std::move(bytes)}};
    return out;
}

class TableMaker {
  public:
    explicit TableMaker(registry::Registry& registry) : registry_(registry) {
        checkpoint_.path = "table";
        checkpoint_.virtual_files["config.json"] = {"{}", "config of the table"};
        view_.checkpoint = &checkpoint_;
    }
    // The sample in another dialect.
    Result<std::pair<Sample, quant::Change>> write(const Sample& from, const std::string& dialect) {
        const size_t colon = dialect.find(':');
        MORTISE_TRY(const auto chosen, registry_.scheme_by_id(dialect.substr(0, colon), plan::host()));
        const std::string options = colon == std::string::npos ? "" : dialect.substr(colon + 1);
        MORTISE_TRY(auto writer,
                    plan::DialectWriter::open(*chosen.table, chosen.id, plan::handle(&view_), options));
        MORTISE_TRY(plan::Target target, writer.target(from.source, from.source.canonical, 1));
        const auto absent = plan::absent_roles(from.source, target.spec);
        MORTISE_TRY(auto written, rewrite({.from = from.source,
                                           .to = target.spec,
                                           .recipe = target.quantizer,
                                           .rows = {},
                                           .absent = absent},
                                          from.bytes()));
        Sample out{.dialect = dialect, .source = from.source, .tensors = written.writer.take()};
        out.source.plain = target.plain;
        out.source.spec = std::move(target.spec);
        out.source.tensors.clear();
        for (const quant::Field& field : out.source.spec.fields) {
            const bool present =
                std::ranges::any_of(out.tensors, [&](const auto& t) { return t.name == field.tensor; }) &&
                std::ranges::find(absent, field.role) == absent.end();
            out.source.tensors.push_back(present ? 0 : plan::none);
        }
        return std::pair{std::move(out), written.change};
    }

  private:
    registry::Registry& registry_;
    checkpoint::Checkpoint checkpoint_;
    plan::CheckpointView view_;
};

std::vector<std::string> scheme_ids(const registry::Registry& registry) {
    std::vector<std::string> ids;
    for (const registry::Candidate& candidate : registry.candidates())
        for (const registry::Provides& provides : candidate.manifest.provides)
            if (provides.kind == registry::Interface::scheme) ids.push_back(provides.id);
    std::ranges::sort(ids);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

TableCell cell_of(TableMaker& maker, const Sample& from, const std::string& to) {
    auto written = maker.write(from, to);
    if (!written) return {.reason = written.error().problems().front().what};
    const uint64_t changed = written->second.changed;
    return {changed == 0, changed, ""};
}

}  // namespace

Result<ConvertTable> convert_table(registry::Registry& registry, const std::vector<std::string>& more) {
    TableMaker maker(registry);
    const Sample source = floats();
    std::vector<Sample> samples;
    for (const std::string& id : scheme_ids(registry)) {
        auto sample = maker.write(source, id);
        if (sample) samples.push_back(std::move(sample->first));
    }
    for (const std::string& dialect : more) {
        MORTISE_TRY(auto sample, maker.write(source, dialect));
        samples.push_back(std::move(sample.first));
    }
    ConvertTable table{.rows = rows, .columns = columns};
    for (const Sample& sample : samples) {
        table.dialects.push_back(sample.dialect);
        table.specs.push_back(sample.source.spec.describe());
    }
    for (const Sample& from : samples) {
        table.cells.emplace_back();
        for (const std::string& to : table.dialects) table.cells.back().push_back(cell_of(maker, from, to));
    }
    return table;
}

}  // namespace mortise::load
