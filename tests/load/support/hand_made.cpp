#include "load/support/hand_made.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "plan/kernel_problem.h"

namespace mortise::testing {

TemporaryFolder::TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "mortise-test-XXXXXX";
    path_ = mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

std::vector<std::byte> bytes_of(const std::vector<float>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

std::vector<float> pseudo_random(size_t count, uint64_t seed) {
    std::vector<float> values(count);
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    for (float& value : values) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value =
            static_cast<float>(static_cast<int64_t>(state >> 40) - (1 << 23)) / static_cast<float>(1 << 23);
    }
    return values;
}

uint32_t HandMade::tensor(const std::string& name, DType dtype, Shape shape, std::vector<std::byte> bytes) {
    checkpoint::TensorEntry entry;
    entry.name = name;
    entry.dtype = dtype;
    entry.shape = std::move(shape);
    entry.bytes = bytes.size();
    pending_.push_back({std::move(entry), std::move(bytes)});
    return static_cast<uint32_t>(pending_.size() - 1);
}

uint32_t HandMade::tensor(const std::string& name, Shape shape, const std::vector<float>& values) {
    return tensor(name, DType::f32, std::move(shape), bytes_of(values));
}

quant::QuantSpec HandMade::plain(const std::string& tensor, uint64_t rows, uint64_t columns) {
    quant::QuantSpec spec;
    spec.extent = {1, rows, columns};
    quant::Field codes;
    codes.role = MORTISE_ROLE_CODES;
    codes.extent = spec.extent;
    codes.tensor = tensor;
    codes.dtypes = {DType::f32};
    codes.shapes = {{static_cast<int64_t>(rows), static_cast<int64_t>(columns)}};
    spec.fields = {codes};
    return spec;
}

uint32_t HandMade::source(const std::string& name, quant::QuantSpec spec) {
    plan::Source source;
    source.name = source.canonical = name;
    source.kind = MORTISE_MODULE_LINEAR;
    source.plain = spec.is_plain();
    for (const quant::Field& field : spec.fields) {
        const auto at =
            std::ranges::find(pending_, field.tensor, [](const Pending& p) { return p.entry.name; });
        source.tensors.push_back(at == pending_.end() ? plan::none
                                                      : static_cast<uint32_t>(at - pending_.begin()));
    }
    source.spec = std::move(spec);
    plan.sources.push_back(std::move(source));
    return static_cast<uint32_t>(plan.sources.size() - 1);
}

uint32_t HandMade::part(const std::string& name, std::vector<uint32_t> sources, uint64_t rows,
                        uint64_t columns) {
    plan::PartPlan part;
    part.name = name;
    part.experts = sources.size();
    part.rows = part.n_rows = rows;
    part.columns = part.n_columns = columns;
    for (const quant::Field& field : plan.sources[sources[0]].spec.fields) {
        const bool taken = field.role == MORTISE_ROLE_CODES || field.role == MORTISE_ROLE_BIAS ||
                           field.role == MORTISE_ROLE_SCALE;
        if (!taken) continue;
        part.has_bias |= field.role == MORTISE_ROLE_BIAS;
        part.parameters.push_back(static_cast<uint32_t>(plan.parameters.size()));
        plan.parameters.push_back(
            {name, field.role, {sources.size(), field.extent.rows, field.extent.columns}});
    }
    part.sources = std::move(sources);
    plan.parts.push_back(std::move(part));
    return static_cast<uint32_t>(plan.parts.size() - 1);
}

uint32_t HandMade::random_part(const std::string& name, uint64_t rows, uint64_t columns) {
    tensor(name + ".weight", {static_cast<int64_t>(rows), static_cast<int64_t>(columns)},
           pseudo_random(rows * columns, seed_++));
    return part(name, {source(name, plain(name + ".weight", rows, columns))}, rows, columns);
}

uint32_t HandMade::equal_part(const std::string& name, const std::string& other, uint64_t rows,
                              uint64_t columns) {
    const auto at =
        std::ranges::find(pending_, other + ".weight", [](const Pending& p) { return p.entry.name; });
    tensor(name + ".weight", DType::f32, at->entry.shape, std::vector<std::byte>(at->bytes));
    return part(name, {source(name, plain(name + ".weight", rows, columns))}, rows, columns);
}

uint32_t HandMade::random_vector(const std::string& name, uint64_t columns) {
    plan::VectorPlan vector;
    vector.weight = 0;  // of the model, not of a KV cache
    vector.tensor = tensor(name, {static_cast<int64_t>(columns)}, pseudo_random(columns, seed_++));
    vector.columns = vector.n_columns = columns;
    vector.parameter = static_cast<uint32_t>(plan.parameters.size());
    plan.parameters.push_back({name, MORTISE_ROLE_NONE, {1, 1, columns}});
    plan.obligations.push_back({plan::Promise::finite, vector.tensor, plan::none, plan::none, 0});
    plan.vectors.push_back(vector);
    return static_cast<uint32_t>(plan.vectors.size() - 1);
}

uint32_t HandMade::op(uint32_t kind, std::vector<uint32_t> inputs, std::vector<uint64_t> widths,
                      std::vector<uint32_t> parts, std::vector<uint32_t> vectors,
                      std::vector<model::Attribute> attributes) {
    model::Op op;
    op.kind = kind;
    op.inputs = inputs;
    op.attributes = std::move(attributes);
    std::vector<uint64_t> input_widths;
    for (uint32_t value : inputs) input_widths.push_back(plan.tree.widths[value]);
    for (uint64_t width : widths) {
        op.outputs.push_back(static_cast<uint32_t>(plan.tree.widths.size()));
        plan.tree.widths.push_back(width);
    }
    std::vector<plan::ProblemPart> problem_parts;
    plan::KernelPlan kernel;
    for (uint32_t p : parts) {
        const plan::PartPlan& part = plan.parts[p];
        problem_parts.push_back({&plan.sources[part.sources[0]].spec, part.experts, part.n_rows,
                                 part.n_columns, part.first_row, part.first_column, part.has_bias});
    }
    plan::ProblemFacts facts;
    facts.max_rows = plan.max_rows;
    facts.threads = 4;  // the largest team of the tests
    kernel.problem = plan::KernelProblem::make(kind, op, input_widths, widths, problem_parts, facts);
    kernel.provider = provider_;
    kernel.provider_id = "test";
    kernel.parts = parts;
    for (uint32_t p = 0; p < parts.size(); ++p)
        kernel.packed_bytes.push_back(provider_->packed_bytes(&kernel.problem->abi(), p));
    plan.steps.push_back({static_cast<uint32_t>(plan.tree.ops.size()),
                          static_cast<uint32_t>(plan.kernels.size()), op.outputs, vectors});
    const uint32_t first = op.outputs[0];
    plan.kernels.push_back(std::move(kernel));
    plan.tree.ops.push_back(std::move(op));
    return first;
}

void HandMade::obligation(plan::Promise promise, uint32_t source, uint32_t field, double value) {
    plan.obligations.push_back({promise, plan.sources[source].tensors[field], source, field, value});
}

void HandMade::finish() {
    std::ofstream file(file_path(), std::ios::binary);
    uint64_t at = 0;
    for (Pending& each : pending_) {
        file.write(reinterpret_cast<const char*>(each.bytes.data()),
                   static_cast<std::streamsize>(each.bytes.size()));
        each.entry.offset = at;
        at += each.bytes.size();
    }
    file.close();
    checkpoint::CatalogBuilder builder;
    builder.add_file("data.bin", File::open(file_path()).value());
    for (const Pending& each : pending_) builder.add(each.entry);
    catalog = std::move(builder).finish().value();
    std::vector<uint32_t> moved;  // the catalog is sorted by name
    for (const Pending& each : pending_)
        moved.push_back(static_cast<uint32_t>(catalog.find(each.entry.name) - catalog.tensors().data()));
    const auto follow = [&](uint32_t& tensor) {
        if (tensor != plan::none) tensor = moved[tensor];
    };
    for (plan::Source& source : plan.sources) std::ranges::for_each(source.tensors, follow);
    for (plan::VectorPlan& vector : plan.vectors) follow(vector.tensor);
    for (plan::Drop& drop : plan.drops) follow(drop.tensor);
    for (plan::Obligation& obligation : plan.obligations) follow(obligation.tensor);
}

void HandMade::overwrite(const std::string& name, uint64_t begin, const std::vector<std::byte>& bytes) {
    struct stat before{};
    const int descriptor = open(file_path().c_str(), O_WRONLY);
    fstat(descriptor, &before);
    const auto offset = static_cast<off_t>(entry(name).offset + begin);
    if (pwrite(descriptor, bytes.data(), bytes.size(), offset) != static_cast<ssize_t>(bytes.size()))
        std::abort();
    const timespec times[2] = {before.st_atim, before.st_mtim};
    futimens(descriptor, times);
    close(descriptor);
}

namespace {

uint32_t tiny_layer(HandMade& made, uint32_t x, uint32_t layer, uint64_t width) {
    const std::string at = "layers." + std::to_string(layer) + ".";
    const uint32_t normed =
        made.op(MORTISE_OP_NORM, {x}, {width}, {}, {made.random_vector(at + "norm1", width)});
    const uint32_t q = made.random_part(at + "q", width, width), k = made.random_part(at + "k", width, width),
                   v = made.random_part(at + "v", width, width), o = made.random_part(at + "o", width, width);
    const uint32_t qkv = made.op(MORTISE_OP_LINEAR, {normed}, {width, width, width}, {q, k, v});
    model::Attribute index;
    index.key = MORTISE_ATTR_LAYER;
    index.integer = layer;
    const uint32_t attended =
        made.op(MORTISE_OP_ATTENTION, {qkv, qkv + 1, qkv + 2}, {width}, {}, {}, {index});
    made.plan.caches.push_back({layer, at + "attention", 1, width, width, MORTISE_ENCODING_F32, 32});
    const uint32_t added =
        made.op(MORTISE_OP_ADD, {x, made.op(MORTISE_OP_LINEAR, {attended}, {width}, {o})}, {width});
    const uint32_t again =
        made.op(MORTISE_OP_NORM, {added}, {width}, {}, {made.random_vector(at + "norm2", width)});
    const uint32_t mixed =
        made.op(MORTISE_OP_LINEAR, {again}, {width}, {made.random_part(at + "mix", width, width)});
    return made.op(MORTISE_OP_ADD, {added, mixed}, {width});
}

}  // namespace

std::unique_ptr<HandMade> tiny_model(const TinyOptions& options) {
    constexpr uint64_t width = 8;
    auto made = std::make_unique<HandMade>(options.provider);
    made->plan.max_rows = options.max_rows;
    made->plan.max_length = options.max_length;
    made->plan.cache_block_slots = options.block_slots;
    made->plan.tree.vocabulary = tiny_vocabulary;
    uint32_t x =
        made->op(MORTISE_OP_EMBED, {}, {width}, {made->random_part("embed", tiny_vocabulary, width)});
    for (uint32_t layer = 0; layer < options.layers; ++layer) x = tiny_layer(*made, x, layer, width);
    const uint32_t normed = made->op(MORTISE_OP_NORM, {x}, {width}, {}, {made->random_vector("norm", width)});
    const uint32_t table = options.equal_tables ? made->equal_part("head", "embed", tiny_vocabulary, width)
                                                : made->random_part("head", tiny_vocabulary, width);
    uint32_t logits = made->op(MORTISE_OP_LINEAR, {normed}, {tiny_vocabulary}, {table});
    model::Linear head;
    head.head = true;
    made->plan.tree.weights.push_back(head);
    made->plan.tree.ops.back().weights = {0};
    if (options.softcap) {
        model::Attribute factor;
        factor.key = MORTISE_ATTR_FACTOR;
        factor.real = 2;
        logits = made->op(MORTISE_OP_SOFTCAP, {logits}, {tiny_vocabulary}, {}, {}, {factor});
    }
    made->plan.tree.logits = logits;
    made->plan.tree.layers = options.layers;
    made->finish();
    return made;
}

}  // namespace mortise::testing
