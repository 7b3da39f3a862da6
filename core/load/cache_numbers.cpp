#include "load/cache_numbers.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "quant/reader.h"

namespace mortise::load {
namespace {

using plan::CacheAnswer;
using plan::CacheField;

// The numbers of a cache that are there, each as it is stored.
CacheAnswer as_stored(const checkpoint::Catalog& catalog, const CacheAnswer& answer) {
    CacheAnswer out = answer;
    std::erase_if(out.fields, [&](const CacheField& each) { return !catalog.find(each.field.tensor); });
    for (CacheField& each : out.fields) {
        const checkpoint::TensorEntry& tensor = *catalog.find(each.field.tensor);
        each.field.dtypes = {tensor.dtype};
        each.field.shapes = {tensor.shape};
    }
    return out;
}

bool same_coding(const CacheAnswer& a, const CacheAnswer& b) {
    return a.encoding == b.encoding && a.bits == b.bits && a.per_head == b.per_head &&
           a.scale_divisor == b.scale_divisor;
}

// Every value survives: the dtype is the same, or a narrower float becomes F32.
bool keeps_values(const quant::Field& from, const quant::Field& to) {
    if (to.dtypes.size() != 1 || to.shapes.size() != 1) return false;
    const DType before = from.dtypes[0], after = to.dtypes[0];
    const bool wider = after == DType::f32 && (before == DType::bf16 || before == DType::f16);
    return (before == after || wider) && elements(from.shapes[0]) == elements(to.shapes[0]);
}

class Collector {
  public:
    explicit Collector(const checkpoint::Catalog& catalog) : catalog_(catalog) {}

    Status add(const std::string& attention, const CacheAnswer& current, const CacheAnswer& target) {
        const bool same = same_coding(current, target);
        if (!same && current.fields.empty()) leave_out(target.rule, "the coding of " + attention);
        for (const CacheField& each : current.fields) {
            const auto to = std::ranges::find_if(target.fields, [&](const CacheField& field) {
                return field.letter == each.letter && field.field.role == each.field.role;
            });
            if (!same || to == target.fields.end())
                leave_out(target.rule, each.field.tensor);
            else
                MORTISE_CHECK(write(each.field, to->field));
        }
        return {};
    }
    CacheNumbers take() {
        for (const auto& [rule, left] : left_)
            out_.notes.push_back(std::to_string(left.count) + " numbers of the KV cache are not written, " +
                                 left.first + " first: " + rule);
        return std::move(out_);
    }

  private:
    struct Left {
        uint64_t count = 0;
        std::string first;
    };
    void leave_out(const std::string& rule, const std::string& what) {
        Left& left = left_[rule];
        if (left.count++ == 0) left.first = what;
    }
    // One tensor may be the scale of keys and values both.
    Status write(const quant::Field& from, const quant::Field& to) {
        const auto tensor = static_cast<uint32_t>(catalog_.find(from.tensor) - catalog_.tensors().data());
        const auto known = std::ranges::find(out_.written, to.tensor, &CacheNumber::name);
        if (known != out_.written.end() && known->tensor == tensor) return {};
        if (known != out_.written.end() || !keeps_values(from, to))
            return fail(Problem{.code = Code::plugin_contract,
                                .what = "the dialect would change a number of a KV cache",
                                .tensor = from.tensor,
                                .expected = "its values under a name of its own",
                                .found = to.tensor});
        out_.written.push_back({tensor, to.tensor, to.dtypes[0], to.shapes[0]});
        return {};
    }

    const checkpoint::Catalog& catalog_;
    CacheNumbers out_;
    std::map<std::string, Left> left_;
};

}  // namespace

Result<CacheNumbers> cache_numbers(const plan::Planned& planned, plan::DialectWriter& writer) {
    const checkpoint::Catalog& catalog = planned.checkpoint().catalog;
    Collector collector(catalog);
    for (const plan::CachePlan& cache : planned.plan().caches) {
        const CacheAnswer current = as_stored(catalog, cache.stored);
        if (current.encoding == MORTISE_ENCODING_AS_DTYPE && current.fields.empty()) continue;
        MORTISE_TRY(const CacheAnswer target, writer.cache(cache.attention, current));
        MORTISE_CHECK(collector.add(cache.attention, current, target));
    }
    return collector.take();
}

Result<std::vector<std::byte>> bytes_of(const plan::Planned& planned, const CacheNumber& number) {
    const checkpoint::TensorEntry& tensor = planned.checkpoint().catalog.tensors()[number.tensor];
    MORTISE_TRY(auto bytes, planned.reader().read_all(tensor));
    if (number.dtype == tensor.dtype) return bytes;
    quant::Field field;
    field.tensor = tensor.name;
    field.extent = {1, 1, elements(tensor.shape).value_or(0)};
    field.dtypes = {tensor.dtype};
    MORTISE_TRY(const std::vector<float> wide,
                quant::read_floats(field, {bytes, tensor.dtype}, 0, {}, 0, field.extent.columns));
    bytes.resize(wide.size() * sizeof(float));
    std::memcpy(bytes.data(), wide.data(), bytes.size());
    return bytes;
}

}  // namespace mortise::load
