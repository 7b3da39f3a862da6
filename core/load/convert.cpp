#include "load/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "checkpoint/write.h"
#include "load/dialect_writer.h"
#include "load/side_files.h"
#include "quant/decode.h"

namespace mortise::load {
namespace {

// A module to write: where it comes from and what it becomes.
struct Job {
    uint32_t source = plan::none;
    std::vector<uint64_t> rows;   // row of the source for each row written; empty = same order
    Target target;
    std::vector<uint32_t> absent; // optional roles that are not written
};

// A vector to write, in the dtype it keeps.
struct VectorJob {
    uint32_t vector = plan::none;
    std::string name;
    DType dtype{};
};

// One output file and what goes into it.
struct Shard {
    std::vector<size_t> jobs;
    std::vector<checkpoint::NewTensor> tensors;
    uint64_t bytes = 0;
};

class Converter {
  public:
    Converter(const plan::Planned& planned, const ConvertOptions& options, Team& team, const Progress& progress)
        : planned_(planned), plan_(planned.plan()), options_(options), team_(team), progress_(progress) {}

    Status prepare(registry::Registry& registry);
    Status write(const std::string& folder);
    ConvertReport take() { return std::move(report_); }

  private:
    Status add_job(DialectWriter& writer, uint32_t source);
    Status choose_vector_dtypes();
    void lay_out_shards();
    Status write_shard(const Shard& shard, const std::string& path);
    // One module, on any thread; `report`: this thread may call the progress.
    Status write_module(const Job& job, bool report, checkpoint::SafetensorsWriter& file, std::mutex& lock, ConvertedModule& out);
    Result<quant::Change> fill(const Job& job, quant::ModuleWriter& writer);
    Result<quant::Change> quantize(const Job& job, const quant::Sources& bytes, quant::ModuleWriter& writer);
    // Rows of one expert as floats, in the order in which they are written.
    using UseRows = std::function<Status(uint64_t row, uint64_t count, const float* weights)>;
    Status each_rows(const Job& job, const quant::PartReader& reader, uint64_t expert, uint64_t unit, const UseRows& use) const;
    Result<float> amax_of(const Job& job, const quant::PartReader& reader, uint64_t expert) const;
    Status share_amax();
    Result<quant::Sources> read(const plan::Source& source, std::vector<std::vector<std::byte>>& keep) const;
    Status write_vector(const VectorJob& job, checkpoint::SafetensorsWriter& file);

    const plan::Planned& planned_;
    const plan::LoadPlan& plan_;
    const ConvertOptions& options_;
    Team& team_;
    const Progress& progress_;
    std::vector<Job> jobs_;
    std::vector<VectorJob> vectors_;
    std::vector<Shard> shards_;
    std::string quantization_;    // JSON of quantization_config
    DType float_dtype_{};         // of plain weights written; 0 = as the source
    ConvertReport report_;
    std::map<std::string, float> shared_amax_;
    uint64_t done_ = 0;
};

std::string vector_name(const plan::LoadPlan& plan, const plan::VectorPlan& vector) {
    return std::get<model::Vector>(plan.tree.weights[vector.weight]).name;
}

// Header entries of a spec: each tensor once, in its first accepted form.
std::vector<checkpoint::NewTensor> tensors_of(const Job& job) {
    std::vector<checkpoint::NewTensor> out;
    for (const quant::Field& field : job.target.spec.fields) {
        if (field.role == MORTISE_ROLE_UNUSED || std::find(job.absent.begin(), job.absent.end(), field.role) != job.absent.end()) continue;
        const bool known = std::any_of(out.begin(), out.end(), [&](const auto& t) { return t.name == field.tensor; });
        if (!known) out.push_back({field.tensor, field.dtypes.front(), field.shapes.front()});
    }
    return out;
}

Status Converter::prepare(registry::Registry& registry) {
    MORTISE_TRY(const auto chosen, registry.scheme_by_id(options_.dialect, plan::host()));
    MORTISE_TRY(auto writer, DialectWriter::open(*chosen.table, chosen.id, planned_.view(), options_.parameters));
    for (uint32_t s = 0; s < plan_.sources.size(); ++s)
        if (plan_.sources[s].kind != 0 && !plan_.sources[s].dropped) MORTISE_CHECK(add_job(writer, s));
    MORTISE_TRY(quantization_, writer.config());
    MORTISE_CHECK(choose_vector_dtypes());
    lay_out_shards();
    for (const plan::Source& source : plan_.sources)
        if (source.dropped) report_.notes.push_back(source.name + " is not written: dropped by a rule");
    return {};
}

Status Converter::add_job(DialectWriter& writer, uint32_t id) {
    const plan::Source& source = plan_.sources[id];
    Job job{.source = id};
    MORTISE_TRY(job.target, writer.target(source, source.canonical));
    for (const plan::PartPlan& part : plan_.parts) {
        if (part.sources.size() != 1 || part.sources[0] != id || part.rows != source.spec.extent.rows || part.rows_on_disk.contiguous()) continue;
        for (uint64_t row = 0; row < part.rows; ++row) job.rows.push_back(part.rows_on_disk(row));
    }
    for (const quant::Field& field : job.target.spec.fields) {
        const bool optional = field.has(MORTISE_FIELD_OPTIONAL) || field.has(MORTISE_FIELD_DROP_IF_ZERO);
        if (!optional) continue;
        bool present = false;
        for (size_t f = 0; f < source.spec.fields.size(); ++f)
            present |= source.spec.fields[f].role == field.role && source.tensors[f] != plan::none &&
                       !source.spec.fields[f].has(MORTISE_FIELD_DROP_IF_ZERO);
        if (!present) job.absent.push_back(field.role);
    }
    if (job.target.plain && float_dtype_ == DType{}) float_dtype_ = job.target.spec.fields.front().dtypes.front();
    jobs_.push_back(std::move(job));
    return {};
}

// A vector keeps its dtype, unless it came as F32 from a container and every element fits the written floats.
Status Converter::choose_vector_dtypes() {
    for (uint32_t v = 0; v < plan_.vectors.size(); ++v) {
        const checkpoint::TensorEntry& tensor = planned_.checkpoint().catalog.tensors()[plan_.vectors[v].tensor];
        VectorJob job{v, vector_name(plan_, plan_.vectors[v]), tensor.dtype};
        const bool narrower = tensor.dtype == DType::f32 && (float_dtype_ == DType::bf16 || float_dtype_ == DType::f16);
        if (narrower && !planned_.checkpoint().name_space.empty()) {
            MORTISE_TRY(const auto bytes, planned_.reader().read_all(tensor));
            if (fits(bytes, float_dtype_)) job.dtype = float_dtype_;
        }
        vectors_.push_back(std::move(job));
    }
    return {};
}

void Converter::lay_out_shards() {
    shards_.emplace_back();
    for (const VectorJob& vector : vectors_) {
        const plan::VectorPlan& plan = plan_.vectors[vector.vector];
        const auto columns = static_cast<int64_t>(plan.columns), rows = static_cast<int64_t>(plan.rows);
        shards_[0].tensors.push_back({vector.name, vector.dtype, rows == 1 ? Shape{columns} : Shape{rows, columns}});
        shards_[0].bytes += *dense_bytes(vector.dtype, shards_[0].tensors.back().shape);
    }
    for (size_t j = 0; j < jobs_.size(); ++j) {
        const auto tensors = tensors_of(jobs_[j]);
        uint64_t bytes = 0;
        for (const auto& tensor : tensors) bytes += dense_bytes(tensor.dtype, tensor.shape).value_or(0);
        if (shards_.back().bytes + bytes > options_.shard_bytes && shards_.back().bytes > 0) shards_.emplace_back();
        Shard& shard = shards_.back();
        shard.jobs.push_back(j);
        shard.tensors.insert(shard.tensors.end(), tensors.begin(), tensors.end());
        shard.bytes += bytes;
        report_.bytes += bytes;
    }
}

Result<quant::Sources> Converter::read(const plan::Source& source, std::vector<std::vector<std::byte>>& keep) const {
    quant::Sources bytes{};
    std::map<uint32_t, size_t> known;
    keep.reserve(source.spec.fields.size());
    for (size_t f = 0; f < source.spec.fields.size(); ++f) {
        const uint32_t tensor = source.tensors[f];
        if (tensor == plan::none) continue;
        const checkpoint::TensorEntry& entry = planned_.checkpoint().catalog.tensors()[tensor];
        if (const auto [at, fresh] = known.emplace(tensor, keep.size()); fresh) {
            MORTISE_TRY(auto data, planned_.reader().read_all(entry));
            keep.push_back(std::move(data));
        }
        bytes[source.spec.fields[f].role] = {keep[known[tensor]], entry.dtype, nullptr};
    }
    return bytes;
}

Status Converter::each_rows(const Job& job, const quant::PartReader& reader, uint64_t expert, uint64_t unit, const UseRows& use) const {
    const quant::Extent& extent = plan_.sources[job.source].spec.extent;
    const uint64_t whole = std::max<uint64_t>(1, (uint64_t{1} << 20) / extent.columns);
    const uint64_t step = std::min(extent.rows, (whole + unit - 1) / unit * unit);
    std::vector<float> weights;
    quant::Tile tile;
    for (uint64_t row = 0; row < extent.rows; row += step) {
        const uint64_t n = std::min(step, extent.rows - row);
        std::vector<uint64_t> wanted;
        for (uint64_t r = row; r < row + n; ++r) wanted.push_back(job.rows.empty() ? r : job.rows[r]);
        MORTISE_CHECK(reader.read({.rows = wanted, .expert = expert, .tile_expert = expert, .tile_row = row}, tile));
        weights.resize(n * extent.columns);
        quant::decode_tile(tile.view(), weights.data());
        MORTISE_CHECK(use(row, n, weights.data()));
    }
    return {};
}

Result<float> Converter::amax_of(const Job& job, const quant::PartReader& reader, uint64_t expert) const {
    const uint64_t columns = plan_.sources[job.source].spec.extent.columns;
    float amax = 0;
    MORTISE_CHECK(each_rows(job, reader, expert, 1, [&](uint64_t, uint64_t n, const float* weights) -> Status {
        for (uint64_t i = 0; i < n * columns; ++i) amax = std::max(amax, std::fabs(weights[i]));
        return {};
    }));
    return amax;
}

// Modules that share the amax of their second level: all of them are read before the first is written.
Status Converter::share_amax() {
    std::vector<std::optional<Status>> outcomes(jobs_.size());
    std::atomic<size_t> next{0};
    std::mutex lock;
    const auto one = [&](const Job& job) -> Status {
        if (job.target.quantizer.shared.empty() || !plan_.sources[job.source].plain) return {};
        std::vector<std::vector<std::byte>> keep;
        const plan::Source& source = plan_.sources[job.source];
        MORTISE_TRY(const quant::Sources bytes, read(source, keep));
        MORTISE_TRY(const auto reader, quant::PartReader::make(source.spec, bytes, {}));
        for (uint64_t expert = 0; expert < source.spec.extent.experts; ++expert) {
            MORTISE_TRY(const float amax, amax_of(job, reader, expert));
            const std::scoped_lock locked(lock);
            float& most = shared_amax_[job.target.quantizer.shared];
            most = std::max(most, amax);
        }
        return {};
    };
    team_.run([&](int, int) {
        for (size_t i; (i = next++) < jobs_.size();) outcomes[i] = one(jobs_[i]);
    });
    for (const auto& outcome : outcomes) MORTISE_CHECK(Status(*outcome));
    return {};
}

// Floats become codes by the dialect's own recipe, in steps of whole scale groups.
Result<quant::Change> Converter::quantize(const Job& job, const quant::Sources& bytes, quant::ModuleWriter& writer) {
    const plan::Source& source = plan_.sources[job.source];
    MORTISE_TRY(const auto reader, quant::PartReader::make(source.spec, bytes, {}));
    quant::Change change;
    for (uint64_t expert = 0; expert < source.spec.extent.experts; ++expert) {
        float amax = 0;
        const auto shared = shared_amax_.find(job.target.quantizer.shared);
        if (writer.wants_amax() && shared != shared_amax_.end()) {
            amax = shared->second;
        } else if (writer.wants_amax()) {
            MORTISE_TRY(amax, amax_of(job, reader, expert));
        }
        MORTISE_CHECK(each_rows(job, reader, expert, writer.row_step(), [&](uint64_t row, uint64_t n, const float* weights) -> Status {
            MORTISE_TRY(const quant::Change part, writer.quantize(job.target.quantizer, expert, row, n, weights, amax));
            change.add(part);
            return {};
        }));
    }
    MORTISE_CHECK(copy_bias(source, bytes, job.rows, writer));
    return change;
}

Result<quant::Change> Converter::fill(const Job& job, quant::ModuleWriter& writer) {
    const plan::Source& source = plan_.sources[job.source];
    std::vector<std::vector<std::byte>> keep;
    MORTISE_TRY(const quant::Sources bytes, read(source, keep));
    if (source.plain && !job.target.plain) return quantize(job, bytes, writer);
    quant::Change change;
    for (uint64_t expert = 0; expert < source.spec.extent.experts; ++expert) {
        auto part = writer.reencode(source.spec, bytes, {expert, expert, job.rows});
        if (!part && options_.requantize && !job.target.plain) return quantize(job, bytes, writer);
        if (!part) return std::unexpected(Error(part.error()).in_tensor(source.name));
        change.add(*part);
    }
    // Codes that do not fit the target's grid: by recipe, if weights may change.
    if (change.changed > 0 && !job.target.plain && options_.requantize) return quantize(job, bytes, writer);
    return change;
}

Status Converter::write_vector(const VectorJob& job, checkpoint::SafetensorsWriter& file) {
    const checkpoint::TensorEntry& tensor = planned_.checkpoint().catalog.tensors()[plan_.vectors[job.vector].tensor];
    MORTISE_TRY(const auto bytes, planned_.reader().read_all(tensor));
    if (job.dtype == tensor.dtype) return file.write(job.name, 0, bytes);
    return file.write(job.name, 0, narrowed(bytes, job.dtype));
}

Status Converter::write_module(const Job& job, bool report, checkpoint::SafetensorsWriter& file, std::mutex& lock, ConvertedModule& out) {
    const plan::Source& source = plan_.sources[job.source];
    auto writer = quant::ModuleWriter::make(job.target.spec, job.absent);
    if (!writer) return std::unexpected(Error(writer.error()).in_tensor(source.canonical));
    auto change = fill(job, *writer);
    if (!change) return std::unexpected(Error(change.error()).in_tensor(source.canonical));
    out = {source.canonical, source.spec.describe(), job.target.spec.describe(), job.target.reason, *change};
    const auto tensors = writer->take();
    const std::scoped_lock locked(lock);
    for (const quant::WrittenTensor& tensor : tensors) {
        MORTISE_CHECK(file.write(tensor.name, 0, tensor.bytes));
        done_ += tensor.bytes.size();
    }
    if (report && progress_) progress_(done_, report_.bytes);
    return {};
}

Status Converter::write_shard(const Shard& shard, const std::string& path) {
    MORTISE_TRY(auto file, checkpoint::SafetensorsWriter::create(path, shard.tensors, {{"format", "pt"}}));
    if (&shard == &shards_[0])
        for (const VectorJob& vector : vectors_) MORTISE_CHECK(write_vector(vector, file));
    // Modules are independent: each thread takes the next one; only the file is shared.
    std::atomic<size_t> next{0};
    std::vector<std::optional<Status>> outcomes(shard.jobs.size());
    std::vector<ConvertedModule> modules(shard.jobs.size());
    std::mutex lock;
    team_.run([&](int rank, int) {
        for (size_t i; (i = next++) < shard.jobs.size();) outcomes[i] = write_module(jobs_[shard.jobs[i]], rank == 0, file, lock, modules[i]);
    });
    for (size_t i = 0; i < modules.size(); ++i) {
        if (!*outcomes[i]) return std::unexpected(outcomes[i]->error());
        report_.total.add(modules[i].change);
        report_.modules.push_back(std::move(modules[i]));
    }
    return file.close();
}

Status Converter::write(const std::string& folder) {
    MORTISE_CHECK(share_amax());
    MORTISE_TRY(auto beside, AtomicFolder::create(folder));
    std::map<std::string, std::string> where;
    for (size_t s = 0; s < shards_.size(); ++s) {
        const std::string name = shard_name(s, shards_.size());
        report_.files.push_back(name);
        for (const auto& tensor : shards_[s].tensors) where[tensor.name] = name;
        MORTISE_CHECK(write_shard(shards_[s], beside.path() + "/" + name));
    }
    if (report_.total.changed > 0 && !options_.requantize)
        return fail(Problem{.code = Code::lossy,
                            .what = "the conversion would change decoded weights",
                            .file = plan_.path,
                            .expected = "every weight bit-equal",
                            .found = std::to_string(report_.total.changed) + " of " + std::to_string(report_.total.weights) + " weights would change",
                            .fix = "if that is what you want, say --requantize"});
    if (shards_.size() > 1) MORTISE_CHECK(write_index(beside.path(), where, report_.bytes));
    MORTISE_CHECK(write_side_files(planned_.checkpoint(), beside.path(), quantization_, float_dtype_));
    return beside.commit();
}

}  // namespace

Result<ConvertReport> convert(const plan::Planned& planned, registry::Registry& registry, const std::string& folder,
                              const ConvertOptions& options, Team& team, const Progress& progress) {
    MORTISE_CHECK(verify(Origin(planned), team));
    Converter converter(planned, options, team, progress);
    MORTISE_CHECK(converter.prepare(registry));
    MORTISE_CHECK(converter.write(folder));
    return converter.take();
}

}  // namespace mortise::load
