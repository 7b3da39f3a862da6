// What must hold between the tensors of a quantized module, each relation violated once, over every scheme
// that a golden checkpoint shows: names, element types, shapes and contents come from the plan's own specs,
// so a new scheme is tested by adding a checkpoint.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <set>

#include "base/small_float.h"
#include "checkpoint/write.h"
#include "load/loader.h"
#include "support/golden.h"
#include "support/temp_folder.h"

namespace mortise::load {
namespace {

namespace fs = std::filesystem;
using test::golden;

// A checkpoint in memory: tensors that a test changes, and the side files of the original.
struct Copy {
    struct Tensor {
        std::string name;
        DType dtype;
        Shape shape;
        std::vector<std::byte> bytes;
    };
    std::string from;
    std::vector<Tensor> tensors;

    explicit Copy(const plan::Planned& planned) : from(planned.checkpoint().folder) {
        for (const auto& t : planned.checkpoint().catalog.tensors())
            tensors.push_back({t.name, t.dtype, t.shape, planned.reader().read_all(t).value()});
    }
    Tensor& at(const std::string& name) { return *std::ranges::find(tensors, name, &Tensor::name); }
    const Tensor& at(const std::string& name) const {
        return *std::ranges::find(tensors, name, &Tensor::name);
    }
    void write(const std::string& folder) const {
        fs::create_directory(folder);
        for (const auto& file : fs::directory_iterator(from)) {
            const std::string name = file.path().filename();
            if (name.find(".safetensors") == std::string::npos)
                fs::copy_file(file.path(), folder + "/" + name);
        }
        std::vector<checkpoint::NewTensor> list;
        for (const Tensor& t : tensors) list.push_back({t.name, t.dtype, t.shape});
        auto file =
            checkpoint::SafetensorsWriter::create(folder + "/model.safetensors", list, {{"format", "pt"}});
        ASSERT_TRUE(file) << to_string(file.error());
        for (const Tensor& t : tensors) ASSERT_TRUE(file->write(t.name, 0, t.bytes));
        ASSERT_TRUE(file->close());
    }
};

// What is wrong with the checkpoint in `folder`; "" = nothing.
std::string complaint(const std::string& folder) {
    auto planned = test::try_plan(folder);
    if (!planned) return to_string(planned.error());
    Team team(1);
    const auto read = verify(Origin(**planned), team);
    return read ? "" : to_string(read.error());
}

struct Violation {
    std::string what;
    std::string tensor;  // where it is
    Copy copy;
};

// One field of each kind of quantized module, so that every role is violated once.
struct Target {
    const plan::Source* source;
    const quant::Field* field;
};
std::vector<Target> targets(const plan::LoadPlan& plan) {
    std::vector<Target> out;
    std::set<std::string> seen;
    for (const plan::Source& source : plan.sources) {
        if (source.plain || source.dropped || source.kind == 0) continue;
        for (size_t f = 0; f < source.spec.fields.size(); ++f) {
            const quant::Field& field = source.spec.fields[f];
            if (source.tensors[f] == plan::none) continue;
            if (seen.insert(std::to_string(field.role) + source.spec.describe()).second)
                out.push_back({&source, &field});
        }
    }
    return out;
}

bool optional(const quant::Field& field) {
    return field.has(MORTISE_FIELD_OPTIONAL) || field.has(MORTISE_FIELD_DROP_IF_ZERO) ||
           field.role == MORTISE_ROLE_UNUSED;
}

void violate_structure(const Copy& good, const Target& target, std::vector<Violation>& out) {
    const std::string& name = target.field->tensor;
    const auto add = [&](const std::string& what, auto change) {
        out.push_back({what, name, good});
        change(out.back().copy);
    };
    if (!optional(*target.field))
        add("dropped",
            [&](Copy& c) { std::erase_if(c.tensors, [&](const auto& t) { return t.name == name; }); });
    add("renamed", [&](Copy& c) { c.at(name).name = name + "_"; });
    add("one row more", [&](Copy& c) {
        Copy::Tensor& t = c.at(name);
        if (t.shape.empty())
            t.shape = {2};
        else
            ++t.shape[0];
        t.bytes.resize(*dense_bytes(t.dtype, t.shape), t.bytes.empty() ? std::byte{} : t.bytes[0]);
    });
    add("of another rank", [&](Copy& c) {
        Shape& shape = c.at(name).shape;
        for (int i = 0; i < 3; ++i) shape.insert(shape.begin(), 1);
    });
    for (const DType other : {DType::u8, DType::i8, DType::u16, DType::u32, DType::u64})
        if (bits(other) == bits(good.at(name).dtype) && !target.field->accepts(other))
            add("of another element type", [&](Copy& c) { c.at(name).dtype = other; });
}

// The bytes of one float as stored.
std::vector<std::byte> stored(DType dtype, float value) {
    std::vector<std::byte> out(static_cast<size_t>(bits(dtype)) / 8);
    if (dtype == DType::f32) std::memcpy(out.data(), &value, 4);
    const uint16_t half = dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
    if (out.size() == 2) std::memcpy(out.data(), &half, 2);
    if (out.size() == 1) out[0] = static_cast<std::byte>(encode_small(dtype, value, Overflow::special));
    return out;
}

void violate_contents(const Copy& good, const Target& target, std::vector<Violation>& out) {
    const quant::Field& field = *target.field;
    const Copy::Tensor& original = good.at(field.tensor);
    const auto put = [&](const std::string& what, const std::vector<std::byte>& element) {
        out.push_back({what, field.tensor, good});
        auto& bytes = out.back().copy.at(field.tensor).bytes;
        if (bytes.size() >= element.size()) std::ranges::copy(element, bytes.begin());
    };
    const bool whole_floats =
        field.layout.dense() || bits(original.dtype) >= 16;  // an element begins at byte 0
    if (is_float(original.dtype) && whole_floats && field.role == MORTISE_ROLE_SCALE) {
        EXPECT_TRUE(field.has(MORTISE_FIELD_FINITE)) << field.tensor << ": scales are never NaN";
        if (original.dtype != DType::f8_e8m0)
            put("NaN", stored(original.dtype, std::numeric_limits<float>::quiet_NaN()));
        if (field.has(MORTISE_FIELD_POSITIVE)) {
            put("zero", stored(original.dtype, 0));
            put("negative", stored(original.dtype, -1));
        }
    }
    if (field.role == MORTISE_ROLE_G_IDX && original.dtype == DType::i32)
        for (const int32_t index : {-7, 1 << 20}) {
            std::vector<std::byte> element(4);
            std::memcpy(element.data(), &index, 4);
            put("group " + std::to_string(index), element);
        }
    if (field.role == MORTISE_ROLE_SHAPE) put("another shape", std::vector<std::byte>(8, std::byte{3}));
    if (field.has(MORTISE_FIELD_DROP_IF_ZERO)) put("not zero", stored(original.dtype, 1));
}

class Relations : public ::testing::TestWithParam<std::string> {
  protected:
    test::TempFolder folder_;
};

TEST_P(Relations, HoldInTheCheckpointAndEachViolationIsSeen) {
    const auto planned = test::plan_of(golden(GetParam()));
    if (!planned->checkpoint().name_space.empty()) GTEST_SKIP() << "another container";
    const std::vector<Target> fields = targets(planned->plan());
    if (fields.empty()) GTEST_SKIP() << "nothing is quantized";
    const Copy good(*planned);
    good.write(folder_.at("good"));
    EXPECT_EQ(complaint(folder_.at("good")), "");
    std::vector<Violation> violations;
    for (const Target& target : fields) {
        violate_structure(good, target, violations);
        violate_contents(good, target, violations);
    }
    EXPECT_GE(violations.size(), fields.size() * 4);
    for (size_t v = 0; v < violations.size(); ++v) {
        const std::string folder = folder_.at("bad" + std::to_string(v));
        violations[v].copy.write(folder);
        const std::string found = complaint(folder);
        EXPECT_NE(found, "") << violations[v].tensor << " " << violations[v].what << ": nobody noticed";
        const std::string module = violations[v].tensor.substr(0, violations[v].tensor.find_last_of('.'));
        EXPECT_NE(found.find(module), std::string::npos)
            << violations[v].tensor << " " << violations[v].what << ": " << found;
        fs::remove_all(folder);
    }
}
INSTANTIATE_TEST_SUITE_P(Golden, Relations, ::testing::ValuesIn(test::golden_names()), test::gtest_name);

}  // namespace
}  // namespace mortise::load
