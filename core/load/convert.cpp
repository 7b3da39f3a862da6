#include "load/convert.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "checkpoint/write.h"
#include "load/cache_numbers.h"
#include "load/contents.h"
#include "load/convert_jobs.h"
#include "load/module_rewriter.h"
#include "load/side_files.h"
#include "load/vectors.h"
#include "plan/dialect_writer.h"
#include "plan/plan.h"

namespace mortise::load {
namespace {

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
    Converter(const plan::Planned& planned, const ConvertOptions& options, Team& team,
              const Progress& progress)
        : planned_(planned),
          plan_(planned.plan()),
          options_(options),
          team_(team),
          progress_(progress),
          ledger_(planned.plan(), planned.checkpoint().catalog) {}

    Status prepare(registry::Registry& registry);
    Status write(const std::string& folder);
    ConvertReport take() { return std::move(report_); }

  private:
    Status choose_vector_dtypes();
    void lay_out_shards();
    Status write_shard(const Shard& shard, const std::string& path);
    // One module, on any thread; `report`: this thread may call the progress.
    Status write_module(const Job& job, bool report, checkpoint::SafetensorsWriter& file, std::mutex& lock,
                        ConvertedModule& out);
    Status share_amax();
    Result<std::shared_ptr<const ModuleBytes>> read(const Job& job);
    Status write_vector(const VectorJob& job, checkpoint::SafetensorsWriter& file);
    Status write_vectors(checkpoint::SafetensorsWriter& file);
    Status refuse_change() const;

    const plan::Planned& planned_;
    const plan::LoadPlan& plan_;
    const ConvertOptions& options_;
    Team& team_;
    const Progress& progress_;
    Ledger ledger_;
    std::vector<Job> jobs_;
    std::vector<VectorJob> vectors_;
    std::vector<CacheNumber> cache_;
    std::map<std::string, Stack> stacks_;  // by the name of their first tensor
    std::vector<Shard> shards_;
    NewQuantization quantization_;
    DType float_dtype_{};  // of plain weights written; 0 = as the source
    ConvertReport report_;
    std::map<std::string, float> shared_amax_;
    std::mutex stack_lock_;
    std::shared_ptr<const ModuleBytes> stack_;  // read last, of stack_source_
    uint32_t stack_source_ = plan::none;
    uint64_t done_ = 0;
};

std::string vector_name(const plan::LoadPlan& plan, const plan::VectorPlan& vector) {
    return std::get<model::Vector>(plan.tree.weights[vector.weight]).name;
}

Status Converter::prepare(registry::Registry& registry) {
    if (!plan_.quantization.empty())
        return fail(Problem{.code = Code::usage,
                            .what = "a conversion does not quantize while loading",
                            .found = plan_.quantization,
                            .fix = "name the dialect with --to alone"});
    MORTISE_TRY(const auto chosen, registry.scheme_by_id(options_.dialect, plan::host()));
    MORTISE_TRY(auto writer,
                plan::DialectWriter::open(*chosen.table, chosen.id, planned_.view(), options_.parameters));
    MORTISE_TRY(jobs_, jobs_of(plan_, writer));
    MORTISE_TRY(stacks_, stacks_of(jobs_));
    const auto plain = std::ranges::find_if(jobs_, [](const Job& job) { return job.target.plain; });
    if (plain != jobs_.end()) float_dtype_ = plain->target.spec.fields.front().dtypes.front();
    MORTISE_TRY(CacheNumbers cache, cache_numbers(planned_, writer));
    cache_ = std::move(cache.written);
    report_.notes = std::move(cache.notes);
    MORTISE_TRY(quantization_.text, writer.config());
    quantization_.copy = writer.config_copy();
    MORTISE_TRY(quantization_.files, writer.files());
    MORTISE_CHECK(choose_vector_dtypes());
    lay_out_shards();
    for (const plan::Source& source : plan_.sources)
        if (source.kind != 0 && source.dropped)
            report_.notes.push_back(source.name + " is not written: dropped by a rule");
    return {};
}

// A vector keeps its dtype, unless it came as F32 from a container and every element fits the written floats.
Status Converter::choose_vector_dtypes() {
    for (uint32_t v = 0; v < plan_.vectors.size(); ++v) {
        if (plan_.vectors[v].weight == plan::none) {  // a number of the KV cache: see cache_
            MORTISE_CHECK(read_vector(Origin(planned_), ledger_, v));
            continue;
        }
        const checkpoint::TensorEntry& tensor =
            planned_.checkpoint().catalog.tensors()[plan_.vectors[v].tensor];
        VectorJob job{v, vector_name(plan_, plan_.vectors[v]), tensor.dtype};
        const bool narrower =
            tensor.dtype == DType::f32 && (float_dtype_ == DType::bf16 || float_dtype_ == DType::f16);
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
        shards_[0].tensors.push_back(
            {vector.name, vector.dtype, rows == 1 ? Shape{columns} : Shape{rows, columns}});
        shards_[0].bytes += *dense_bytes(vector.dtype, shards_[0].tensors.back().shape);
    }
    for (const CacheNumber& number : cache_) {
        shards_[0].tensors.push_back({number.name, number.dtype, number.shape});
        shards_[0].bytes += *dense_bytes(number.dtype, number.shape);
    }
    for (size_t j = 0; j < jobs_.size(); ++j) {
        auto tensors = tensors_of(jobs_[j]);
        Stack* stack = jobs_[j].target.slice ? &stacks_.at(tensors.front().name) : nullptr;
        if (stack && stack->shard) {
            shards_[*stack->shard].jobs.push_back(j);
            continue;
        }
        if (stack)
            for (auto& tensor : tensors)
                tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(stack->slices.size()));
        uint64_t bytes = 0;
        for (const auto& tensor : tensors) bytes += dense_bytes(tensor.dtype, tensor.shape).value_or(0);
        if (shards_.back().bytes + bytes > options_.shard_bytes && shards_.back().bytes > 0)
            shards_.emplace_back();
        if (stack) stack->shard = shards_.size() - 1;
        Shard& shard = shards_.back();
        shard.jobs.push_back(j);
        shard.tensors.insert(shard.tensors.end(), tensors.begin(), tensors.end());
        shard.bytes += bytes;
        report_.bytes += bytes;
    }
}

// Effect: the bytes of the job's module. A stack is read once for all of its experts, whose jobs follow each
// other.
Result<std::shared_ptr<const ModuleBytes>> Converter::read(const Job& job) {
    const std::unique_lock lock = job.expert ? std::unique_lock(stack_lock_) : std::unique_lock<std::mutex>();
    if (job.expert && stack_ && stack_source_ == job.source) return stack_;
    MORTISE_TRY(ModuleBytes bytes, read_module(ledger_, job.source));
    auto out = std::make_shared<const ModuleBytes>(std::move(bytes));
    if (job.expert) stack_ = out, stack_source_ = job.source;
    return out;
}

// Modules that share the amax of their second level: all of them are read before the first is written.
Status Converter::share_amax() {
    FirstError error;
    std::atomic<size_t> next{0};
    std::mutex lock;
    const auto one = [&](const Job& job) -> Status {
        const plan::Source& source = plan_.sources[job.source];
        if (job.target.quantizer.shared.empty() || !source.plain) return {};
        MORTISE_TRY(const auto bytes, read(job));
        MORTISE_TRY(const float amax, largest_weight(source, *bytes, job.expert));
        const std::scoped_lock locked(lock);
        float& most = shared_amax_[job.target.quantizer.shared];
        most = std::max(most, amax);
        return {};
    };
    team_.run([&](int, int) {
        for (size_t i; (i = next++) < jobs_.size() && !error.failed();) error.set(one(jobs_[i]));
    });
    return error.take();
}

Status Converter::write_vector(const VectorJob& job, checkpoint::SafetensorsWriter& file) {
    const checkpoint::TensorEntry& tensor =
        planned_.checkpoint().catalog.tensors()[plan_.vectors[job.vector].tensor];
    MORTISE_CHECK(read_vector(Origin(planned_), ledger_, job.vector));
    MORTISE_TRY(const auto bytes, planned_.reader().read_all(tensor));
    if (job.dtype == tensor.dtype) return file.write(job.name, 0, bytes);
    return file.write(job.name, 0, narrowed(bytes, job.dtype));
}

Status Converter::write_vectors(checkpoint::SafetensorsWriter& file) {
    for (const VectorJob& vector : vectors_) MORTISE_CHECK(write_vector(vector, file));
    for (const CacheNumber& number : cache_) {
        MORTISE_TRY(const auto bytes, bytes_of(planned_, number));
        MORTISE_CHECK(file.write(number.name, 0, bytes));
    }
    return {};
}

Status Converter::write_module(const Job& job, bool report, checkpoint::SafetensorsWriter& file,
                               std::mutex& lock, ConvertedModule& out) {
    const plan::Source& source = plan_.sources[job.source];
    const auto shared = shared_amax_.find(job.target.quantizer.shared);
    const Rewriting what{.from = source,
                         .to = job.target.spec,
                         .recipe = job.target.quantizer,
                         .rows = job.rows,
                         .absent = job.absent,
                         .shared_amax = shared == shared_amax_.end() ? 0 : shared->second,
                         .may_change = options_.requantize,
                         .expert = job.expert};
    MORTISE_TRY(const auto bytes, read(job));
    auto written = rewrite(what, *bytes);
    if (!written) return std::unexpected(Error(written.error()).in_tensor(job.name));
    out = {job.name, source.spec.describe(), job.target.spec.describe(), job.target.reason, written->change};
    const auto tensors = written->writer.take();
    const std::scoped_lock locked(lock);
    for (const quant::WrittenTensor& tensor : tensors) {
        if (job.shared.contains(tensor.name)) continue;
        const uint64_t before = job.target.slice ? job.target.slice - 1 : 0;
        MORTISE_CHECK(file.write(tensor.name, before * tensor.bytes.size(), tensor.bytes));
        done_ += tensor.bytes.size();
    }
    if (report && progress_) progress_(done_, report_.bytes);
    return {};
}

Status Converter::write_shard(const Shard& shard, const std::string& path) {
    MORTISE_TRY(auto file, checkpoint::SafetensorsWriter::create(path, shard.tensors, {{"format", "pt"}}));
    if (&shard == &shards_[0]) MORTISE_CHECK(write_vectors(file));
    // Modules are independent: each thread takes the next one; only the file is shared.
    std::atomic<size_t> next{0};
    std::vector<std::optional<Status>> outcomes(shard.jobs.size());
    std::vector<ConvertedModule> modules(shard.jobs.size());
    std::mutex lock;
    team_.run([&](int rank, int) {
        for (size_t i; (i = next++) < shard.jobs.size();)
            outcomes[i] = write_module(jobs_[shard.jobs[i]], rank == 0, file, lock, modules[i]);
    });
    for (size_t i = 0; i < modules.size(); ++i) {
        if (!*outcomes[i]) return std::unexpected(outcomes[i]->error());
        report_.total.add(modules[i].change);
        report_.modules.push_back(std::move(modules[i]));
    }
    return file.close();
}

// Effect: the refusal of a lossy conversion; names how many weights change and the first module of them.
Status Converter::refuse_change() const {
    const auto first =
        std::ranges::find_if(report_.modules, [](const ConvertedModule& m) { return m.change.changed > 0; });
    const std::string reason = first->reason.empty() ? "" : " (" + first->reason + ")";
    return fail(Problem{
        .code = Code::lossy,
        .what = "the conversion would change decoded weights",
        .file = plan_.path,
        .tensor = first->name,
        .expected = "every weight bit-equal",
        .found = std::to_string(report_.total.changed) + " of " + std::to_string(report_.total.weights) +
                 " weights would change, first here: " + first->from + " would become " + first->to + reason,
        .fix = "if that is what you want, say --requantize"});
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
    MORTISE_CHECK(check_remaining(Origin(planned_), ledger_));
    MORTISE_CHECK(ledger_.reader.unchanged());
    MORTISE_CHECK(ledger_.close_tensors());
    if (report_.total.changed > 0 && !options_.requantize) return refuse_change();
    if (shards_.size() > 1) MORTISE_CHECK(write_index(beside.path(), where, report_.bytes));
    MORTISE_CHECK(write_side_files(planned_.checkpoint(), beside.path(), quantization_, float_dtype_));
    return beside.commit();
}

}  // namespace

Result<ConvertReport> convert(const plan::Planned& planned, registry::Registry& registry,
                              const std::string& folder, const ConvertOptions& options, Team& team,
                              const Progress& progress) {
    Converter converter(planned, options, team, progress);
    MORTISE_CHECK(converter.prepare(registry));
    MORTISE_CHECK(converter.write(folder));
    return converter.take();
}

}  // namespace mortise::load
